"""What methods cost beside what they are worth: readers, memory, and everything that was trained for them.

Knows mixtures and what they read. Does not know what an answer is worth.
"""

from collections.abc import Mapping, Sequence

from torch import nn

from comparison.archive import Archive, Run
from comparison.bench.memory import bytes_of, growth
from comparison.decoding import Decoded, Request
from experts.bank import ExpertBank
from mixture import Mixture

Cost = Mapping[str, float | str | Sequence[str]]
"""Readers of every token, trained parameters, trained models, and the names of what was trained."""
EXPERTS, CONTROLLER, SPECIALIST, POLICY = TRAINED = ("experts", "controller", "specialist", "policy")
STEPS = 16
"""Whose memory is measured."""


def costs(mixture: Mixture) -> dict[str, Cost]:
    """Gives what each kind of method needs."""
    bank = mixture.bank
    adapters = isinstance(bank, ExpertBank)
    trained = sum(p.numel() for name in bank.names for p in bank.parameters_of(name)) if adapters else 0
    controller = sum(p.numel() for p in mixture.pcm.parameters()) if mixture.pcm is not None else 0
    many = f"{len(bank.names)}, one a pole"
    soup = {"readers": 1, "trained_parameters": trained, "trained_models": many, "trained": [EXPERTS]}
    return {
        "base": {"readers": 1, "trained_parameters": 0, "trained_models": "0", "trained": []},
        "soup": soup,
        "mixture": {**soup, "readers": "1 + asked"},
        "controlled": {
            "readers": "1 + asked",
            "trained_parameters": trained + controller,
            "trained_models": f"{many} + 1",
            "trained": [EXPERTS, CONTROLLER],
        },
    }


def steps_behind(cost: Cost, known: Mapping[str, int]) -> int | None:
    """Gives how many steps of an optimiser a method stands on, None where they are not known of all its parts.

    Args:
        cost: Of the method.
        known: Steps of each part.
    """
    parts = [str(one) for one in cost.get("trained", ())]  # type: ignore[union-attr]  # a list of names
    return sum(known[one] for one in parts) if {*parts} <= {*known} else None


def peak_bytes(method: Decoded, run: Run, archive: Archive) -> int:
    """Gives the memory of one request: weights, and the most that the tensors of some steps hold at one time.

    Making a soup is not in it, serving it is. The archive keeps the number.

    Args:
        method: Answers.
        run: One of its runs.
        archive: Has the questions.
    """
    known = archive.noted(run, "bytes")
    if known is None:
        request = method.request(archive.conversations[:1], run.asked, run.seed)
        mixture = request.mixture
        parts: list[nn.Module] = [mixture.bank.base, mixture.bank]
        parts += [one for one in (mixture.pcm, mixture.gate) if one is not None]
        known = bytes_of(parts) + growth(lambda: _read(request), mixture.bank.base.device)
        archive.note(run, "bytes", known)
    return int(known)


def _read(request: Request) -> None:
    """Reads the prompt and a few likeliest tokens."""
    tokens, mask = request.mixture.encode(request.conversations)
    state = request.mixture.start(mask, request.asked)
    for _ in range(STEPS):
        tokens = request.mixture.step(state, tokens).logprobs.argmax(dim=-1, keepdim=True)
