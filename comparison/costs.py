"""What methods cost beside what they are worth: readers, time, memory, and everything that was trained for them.

Knows mixtures and what they read. Does not know what an answer is worth.
"""

import statistics
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import nn

from comparison.archive import Archive, Run
from comparison.bench.memory import bytes_of, growth
from comparison.decoding import Decoded, Request
from comparison.methods import without_experts
from experts.bank import ExpertBank
from mixture import Mixture

EXPERTS, CONTROLLER, GATE, READER, REWARDS = "experts", "controller", "gate", "reader", "rewards"
SPECIALIST, POLICY = "specialist", "policy"
STEPS = 16
"""Tokens of the answer that time and memory are measured on."""
ROUNDS = 3
"""How often its time is taken."""


@dataclass(frozen=True)
class Cost:
    """What a method needs.

    Args:
        readers: Of every token: models, or rows of one.
        trained_parameters: In all that it needs; None where nobody counted them.
        trained_models: How many there are, and of what they are one each: what grows with the preferences.
        trained: Names of what was trained, for the optimiser's steps.
    """

    readers: str
    trained_parameters: int | None
    trained_models: str
    trained: tuple[str, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """Gives it as plain data."""
        return {**asdict(self), "trained": list(self.trained)}

    def steps(self, known: Mapping[str, int]) -> int | None:
        """Gives how many steps of an optimiser it stands on, None where they are not known of everything."""
        return sum(known[part] for part in self.trained) if {*self.trained} <= {*known} else None


def costs(mixture: Mixture) -> dict[str, Cost]:
    """Gives what each kind of method needs."""
    bank = mixture.bank
    adapters = isinstance(bank, ExpertBank)
    trained = sum(p.numel() for name in bank.names for p in bank.parameters_of(name)) if adapters else 0
    controller = _parameters(mixture.pcm)
    many, both = f"{len(bank.names)}, one a pole", (EXPERTS, CONTROLLER)
    spared, spoken = (controller + _parameters(part) for part in (mixture.gate, mixture.reader))
    return {
        "base": Cost("1", 0, "0"),
        "chosen": Cost("1", None, "reward models", (REWARDS,)),
        "soup": Cost("1", trained, many, (EXPERTS,)),
        "static": Cost("1", trained + controller, f"{many} + 1", both),
        "mixture": Cost("1 + asked", trained, many, (EXPERTS,)),
        "controlled": Cost("1 + asked", trained + controller, f"{many} + 1", both),
        "spared": Cost("1, or 2 + asked", trained + spared, f"{many} + 2", (*both, GATE)),
        "spoken": Cost("1 + asked", trained + spoken, f"{many} + 2", (*both, READER)),
    }


def measured(method: Decoded, cost: Cost, run: Run, archive: Archive) -> dict[str, float]:
    """Gives the time of a token and the memory of one request, as the archive keeps them.

    What has one reader is served as one merged model: it takes what the base takes. Memory is that of weights, caches
    and everything else that is alive at one time while a prompt and some tokens are read; making a soup is not in it.

    Args:
        method: Answers.
        cost: Of it.
        run: One of its runs.
        archive: Has the questions.
    """
    known = archive.noted(run, "cost")
    if known is None:
        request = method.request(archive.conversations[:1], run.asked, run.seed)
        if cost.readers == "1":
            alone = without_experts(request.mixture)
            request = request._replace(mixture=alone, asked=request.asked[:, :0])
        known = _measured(request)
        archive.note(run, "cost", known)
    return dict(known)


@torch.no_grad()
def _measured(request: Request) -> dict[str, float]:
    """Time and memory of one request; the first reading warms up, and leaves in place what it keeps."""
    mixture = request.mixture
    seconds = [second for _ in range(1 + ROUNDS) for second in _read(request)][STEPS - 1 :]
    parts: list[nn.Module] = [mixture.bank.base, mixture.bank]
    parts += [] if mixture.pcm is None else [mixture.pcm]
    parts += [] if mixture.gate is None or mixture.budget == 1 else [mixture.gate]
    grown = growth(lambda: _read(request), mixture.bank.base.device)
    return {
        "milliseconds_per_token": round(1000 * statistics.median(seconds), 3),
        "peak_bytes": bytes_of(parts) + grown,
    }


def _read(request: Request) -> list[float]:
    """Reads the prompt and the likeliest tokens, and gives the seconds of each after the prompt."""
    tokens, mask = request.mixture.encode(request.conversations)
    state, seconds = request.mixture.start(mask, request.asked.to(mask.device)), []
    for _ in range(STEPS):
        began = time.perf_counter()
        tokens = request.mixture.step(state, tokens).logprobs.argmax(dim=-1, keepdim=True)
        tokens.tolist()  # waits for a device
        seconds.append(time.perf_counter() - began)
    return seconds[1:]


def _parameters(module: nn.Module | None) -> int:
    return 0 if module is None else sum(parameter.numel() for parameter in module.parameters())
