"""What is compared on: models, questions, preferences and who judges, for a bundle or for anybody's own models.

Knows how to read all of it from disk. Does not know methods or statistics.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations as choices_of
from pathlib import Path

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

import bundle as bundles
from comparison.combinations import Combination, combinations, label, strengths, weighted
from comparison.decoding import drawn
from comparison.phrasing import Phrase
from comparison.questions import read_questions
from decoding.dimension import Dimension
from experts.bank import ExpertBank
from experts.miniature import corpus
from experts.miniature.corpus import Prompt
from experts.miniature.world import dimension_data, reserved_dimensions
from experts.rewards import QUALITY, names_in
from mixture import Mixture
from pcm.users.profile import load_profile

DEMONSTRATIONS = 3


@dataclass(frozen=True)
class Case:
    """Everything a comparison is about.

    Args:
        mixture: Base, experts, and a controller where there is one.
        identity: Tells these models from others.
        prompts: Questions of the report; no choice ever sees them.
        validation: Questions on which choices are made; none, and nothing is chosen.
        demonstrations: Questions for in-context examples, neither of the two.
        preferences: What is asked for.
        phrase: Puts preferences into words for prompts.
        held_out: Puts preferences into words for the reader.
        rewards: Folder of learned reward models, if there are any.
        users: Names of the users whose profiles ask for the preferences, in their order; mostly nobody's.
    """

    mixture: Mixture
    identity: str
    prompts: Sequence[Prompt]
    validation: Sequence[Prompt]
    demonstrations: Sequence[Prompt]
    preferences: Sequence[Combination]
    phrase: Phrase
    held_out: Phrase
    rewards: Path | None = None
    users: Sequence[str] = ()

    @property
    def everything(self) -> list[Prompt]:
        """All questions, each once."""
        known = {repr(one.messages): one for one in (*self.prompts, *self.validation, *self.demonstrations)}
        return list(known.values())


def bundle_case(bundle: str) -> Case:
    """Gives the case of a bundle: on questions of the miniature world, if it speaks of its dimensions.

    Raises:
        FileNotFoundError: If there is no such bundle.
        ValueError: If it is damaged.
    """
    folder = bundles.locate(bundle)
    mixture = Mixture.load(folder)
    judged = set(names_in(folder / "rewards"))
    spoken = set(mixture.names) <= set(dimension_data()["dimensions"])
    known = set(mixture.names) <= {*dimension_data()["dimensions"], *reserved_dimensions()}
    return Case(
        mixture,
        bundles.sha256(folder / bundles.MANIFEST),
        corpus.prompts("test") if known else [],
        corpus.prompts("validation") if known else [],
        corpus.prompts("train")[:DEMONSTRATIONS] if known else [],
        default_preferences(mixture.dimensions),
        world_phrase("train") if spoken else described(mixture.dimensions),
        world_phrase("test") if spoken else described(mixture.dimensions),
        folder / "rewards" if judged >= {*mixture.names, QUALITY} else None,  # functions that judged stay outside
    )


def case_of(
    bundle: str, base: str | None, experts: dict[str, str] | None, opposites: dict[str, str] | None, rule: str
) -> Case:
    """Gives the bundle's case, or that of one's own models.

    Raises:
        ValueError: If base and experts are not given together.
    """
    if base is not None and experts is not None:
        return own_case(base, experts, opposites or {}, rule)
    if base is not None or experts is not None:
        raise ValueError(f"base and experts must be given together, got base {base} and experts {experts}")
    return bundle_case(bundle)


def own_case(base: str, experts: Mapping[str, str], opposites: Mapping[str, str], rule: str) -> Case:
    """Gives the case of adapters on a model of one's own, without controller, reader and reward models.

    Args:
        base: Folder or hub id of a causal language model with a chat template.
        experts: PEFT folder or hub id of each expert, by the name of its dimension.
        opposites: The other pole of a dimension, where there is one.
        rule: How the fixed mixture with a learned temperature mixes.

    Raises:
        ValueError: If the parts do not belong together.
    """
    model = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
    dimensions = tuple(Dimension(name, f"The answer is {name}.", opposites.get(name)) for name in experts)
    mixture = Mixture(ExpertBank.load(model, experts), AutoTokenizer.from_pretrained(base), dimensions, rule)
    sums = [float(p.detach().double().sum()) for p in (*model.parameters(), *mixture.bank.parameters())]
    phrase = described(dimensions)
    identity = f"{drawn(list(experts), rule, sums):014x}"
    return Case(mixture, identity, [], [], [], default_preferences(dimensions), phrase, phrase)


def with_questions(
    case: Case, prompts: str | None, validation: str | None, limits: tuple[int | None, int | None]
) -> Case:
    """Gives the case with the questions of these sources where they are given, and not more of them than wanted.

    Args:
        case: Has questions of its own, perhaps.
        prompts: A file or dataset, as `read_questions` takes it.
        validation: Likewise.
        limits: The most test and validation questions; None is all.

    Raises:
        ValueError: If there is no question to test on, or one is in both lists.
    """
    found = replace(
        case,
        prompts=(read_questions(prompts, limits[0]) if prompts else list(case.prompts))[: limits[0]],
        validation=(read_questions(validation, limits[1]) if validation else [] if prompts else list(case.validation))[
            : limits[1]
        ],
        demonstrations=[] if prompts else case.demonstrations,
    )
    if not found.prompts:
        raise ValueError("a comparison needs questions, got none: name a file with --prompts")
    tested = {repr(one.messages) for one in found.prompts}
    if shared := [one.messages[-1]["content"] for one in found.validation if repr(one.messages) in tested]:
        raise ValueError(f"choices must be made on other questions than the report's, got {len(shared)} in both lists")
    return found


def with_preferences(case: Case, wanted: Sequence[str] | None) -> Case:
    """Gives the case with these preferences, each a `+` between names, as it is without any.

    Args:
        case: Has preferences of its own.
        wanted: Such as `friendly+concise`, or `friendly=0.5+concise` where not all is asked for as strongly.

    Raises:
        ValueError: If a name is unknown, or a number not in (0, 1].
    """
    if wanted is None:
        return case
    chosen = [tuple(one.split("+")) for one in wanted]
    require_preferences(chosen, case.mixture.names)
    return replace(case, preferences=chosen)


def require_preferences(preferences: Sequence[Combination], names: Sequence[str]) -> None:
    """Refuses preferences that ask for unknown dimensions, or for more or less than there is of one.

    Raises:
        ValueError: If a name is unknown, or a number not in (0, 1].
    """
    for one in preferences:
        _require_strengths(one, names)


def _require_strengths(combination: Combination, names: Sequence[str]) -> None:
    try:
        found = strengths(combination)
    except ValueError as problem:
        raise ValueError(f"a preference must be as in friendly=0.5+concise, got {label(combination)}") from problem
    if unknown := sorted(set(found) - set(names)):
        raise ValueError(f"preferences must be of {', '.join(names)} joined by +, got {', '.join(unknown)}")
    if wrong := [name for name, strength in found.items() if not 0 < strength <= 1]:
        raise ValueError(f"a dimension must be asked for with a number in (0, 1], got {wrong[0]}={found[wrong[0]]:g}")


def with_users(case: Case, users: Sequence[str] | None) -> Case:
    """Gives the case with what these users are known to want as its preferences; as it is without any.

    Raises:
        FileNotFoundError: If a user has no profile.
        ValueError: If a profile asks for nothing, or cannot be read.
    """
    if users is None:
        return case
    wanted = {user: load_profile(user).preference for user in users}
    if nothing := [user for user, preference in wanted.items() if preference is None]:
        raise ValueError(f"users must be known to want something, got {', '.join(nothing)}: ask them more")
    asked = [weighted(case.mixture.understood(one)) for one in wanted.values()]
    return replace(case, preferences=asked, users=list(wanted))


def default_preferences(dimensions: Sequence[Dimension]) -> list[Combination]:
    """Gives one pole of each axis in every way; without axes, each dimension alone and each two of them."""
    names = [one.name for one in dimensions]
    if any(one.opposite in names for one in dimensions):
        return combinations(dimensions)
    return [(name,) for name in names] + list(choices_of(names, 2))


def described(dimensions: Sequence[Dimension]) -> Phrase:
    """Gives what puts preferences into the words of the dimensions' descriptions."""
    told = {one.name: one.description for one in dimensions}
    return lambda asked, rng: " ".join(told[name] for name in asked)


def world_phrase(split: str) -> Phrase:
    """Puts a preference into the miniature world's words of one split."""
    return lambda asked, rng: corpus.preference(asked, rng, split=split).text
