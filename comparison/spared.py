"""The controller's mixture with a budget: experts are read where a gate says so, or anywhere.

Knows gates. Does not know what an answer is worth.
"""

from dataclasses import replace

import torch
from torch import Tensor

from comparison.methods import Mixed
from mixture import Mixture
from pcm.gate.head import Gate

BUDGET = 0.3


SIGNS = 24


class RandomGate(Gate):
    """Knows nothing: opens at any token with the same chance, always at the same ones of one text."""

    def forward(self, hidden: Tensor, spread: Tensor, divergence: Tensor, age: Tensor) -> Tensor:
        """Gives numbers in [0, 1) (...,) that the signs of the state scatter: rounding does not change them."""
        signs = (hidden[..., :SIGNS] > 0).double()
        scattered = (torch.arange(signs.shape[-1], device=hidden.device).double() + 0.5).sqrt() * 1e3
        return (signs @ scattered).frac()

    def threshold(self, budget: float) -> float:
        """Gives what a share `budget` of such numbers is above."""
        return 1 - budget


class Spared(Mixed):
    """The mixture that keeps to a budget."""

    def __init__(self, name: str, mixture: Mixture, gate: Gate, note: str) -> None:
        """Takes the mixture with this gate.

        Args:
            name: What reports call it.
            mixture: Has a controller.
            gate: Says where experts are read.
            note: What it is.
        """
        super().__init__(name, replace(mixture, gate=gate, budget=BUDGET))
        self.note = note


def spared(mixture: Mixture) -> list[Spared]:
    """Gives the mixture under its own gate, and under one that knows nothing; none where it may not be spared."""
    if mixture.gate is None or mixture.safe is not None:
        return []
    random = RandomGate(mixture.gate.hidden_size)
    share = f"{BUDGET:.0%} of the tokens"
    return [
        Spared(f"pcm-budget-{BUDGET:g}", mixture, mixture.gate, f"mixed at {share}, where its gate says so"),
        Spared(f"pcm-budget-{BUDGET:g}-random", mixture, random, f"mixed at {share}, anywhere"),
    ]
