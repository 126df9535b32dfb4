"""What an expert is paid for: the mean of some rewards, always the same ones or those that each prompt asks for.

Knows names. Does not know scores. One reward makes the expert of a dimension; the rewards of a whole preference make a
specialist for it; those that each prompt asks for make one policy for all preferences (P-MORL, arXiv 2310.11564).
"""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from experts.rewards import QUALITY

Objectives = Mapping[str, Sequence[str]]
"""By name of an expert, the rewards whose mean is its own mark; none stand for what each prompt asks for."""


def chosen(objectives: Objectives | None, rewards: Sequence[str], names: Sequence[str] | None) -> Objectives:
    """The objectives of the experts to train.

    Args:
        objectives: of every expert there could be; one for each reward but quality if none are given.
        rewards: names of all that there are.
        names: the experts to train; all if none are given.

    Raises:
        ValueError: if there is no reward, or nothing pays an expert.
    """
    if not rewards:
        raise ValueError("there must be at least one reward, got none")
    known = objectives or {name: (name,) for name in rewards if name != QUALITY}
    if missing := sorted(set(names or ()) - set(known)):
        raise ValueError(f"every expert must have a reward, got none for {missing}; there are {list(known)}")
    return {name: known[name] for name in names or known}


def needed(
    objectives: Objectives, rewards: Sequence[str], asked: Sequence[Sequence[str]], held: Objectives | None = None
) -> list[str]:
    """The rewards that pay somebody or are held, and that for quality where there is one, in their order.

    Args:
        objectives: of the experts that are trained.
        rewards: names of all that there are.
        asked: what each prompt asks for.
        held: by name of an expert, the rewards that it shall leave alone.

    Raises:
        ValueError: if a reward is not there, or a prompt asks for nothing and its expert is paid what it asks for.
    """
    wanted = {name for names in objectives.values() for name in names}
    wanted |= {name for expert in objectives for name in (held or {}).get(expert, ())}
    if by_prompt := [expert for expert, names in objectives.items() if not names]:
        if idle := [number for number, names in enumerate(asked, 1) if not names]:
            raise ValueError(f"prompts must say what is asked for to pay {by_prompt}, got nothing in row {idle[0]}")
        wanted |= {name for names in asked for name in names}
    if missing := sorted(wanted - set(rewards)):
        raise ValueError(f"objectives must be made of the rewards {list(rewards)}, got {missing}")
    return [name for name in rewards if name in wanted or name == QUALITY]


def shares(objectives: Objectives, rewards: Sequence[str], asked: Sequence[Sequence[str]]) -> Tensor:
    """The part of each reward in each expert's own mark for each prompt `(K, N, D)`; parts of a mark sum to one.

    Args:
        objectives: of K experts.
        rewards: names of D rewards, all that are needed.
        asked: what each of N prompts asks for.
    """
    found = torch.zeros(len(objectives), len(asked), len(rewards))
    for expert, names in enumerate(objectives.values()):
        for prompt, wanted in enumerate(asked):
            paying = [rewards.index(name) for name in names or wanted]
            found[expert, prompt, paying] = 1 / len(paying)
    return found


def require_held(held: Objectives, objectives: Objectives | None, rewards: Sequence[str]) -> None:
    """Refuses to hold an expert that is not there, or to what is not there or what it is paid for.

    Args:
        held: by name of an expert, names of rewards.
        objectives: of every expert there could be; one for each reward but quality if none are given.
        rewards: names of all that there are.

    Raises:
        ValueError: with the name that is wrong.
    """
    known = chosen(objectives, rewards, None)
    for expert, names in held.items():
        if expert not in known:
            raise ValueError(f"held must name experts among {', '.join(known)}, got {expert!r}")
        if wrong := sorted(set(names) - set(rewards)):
            raise ValueError(f"{expert} must be held to rewards among {', '.join(rewards)}, got {', '.join(wrong)}")
        if paid := sorted(set(names) & set(known[expert])):
            raise ValueError(f"{expert} must not be held to what it is paid for, got {', '.join(paid)}")


def held_mask(held: Objectives, experts: Sequence[str], rewards: Sequence[str]) -> Tensor:
    """Which rewards each expert shall leave alone `(K, D)`, bool.

    Args:
        held: by name of an expert, names of rewards; experts that are not trained now may be among them.
        experts: names of K experts.
        rewards: names of D rewards, all that are held among them.
    """
    return torch.tensor([[name in held.get(expert, ()) for name in rewards] for expert in experts])
