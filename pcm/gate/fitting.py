"""Fits a gate to answers of a mixture: at every token it sees what it will see when experts are spared.

How long ago the last step was mixed is drawn anew for every token and round, since it depends on a budget that nobody
has named yet. Knows tensors. Does not know who answered.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import mse_loss

from pcm.gate.head import LONGEST, QUANTILES, Gate


@dataclass(frozen=True)
class Answer:
    """One answer of the mixture, token by token.

    Args:
        hidden: The base's states (T, H).
        spread: Of the base's distributions (T, 2).
        divergence: KL(mixture‖base), nats (T,).
    """

    hidden: Tensor
    spread: Tensor
    divergence: Tensor

    def seen(self, generator: torch.Generator) -> tuple[Tensor, ...]:
        """What a gate sees of every token but the first, and what it is to foresee, all (T - 1, ...)."""
        places = torch.arange(1, len(self.divergence))
        ages = torch.randint(1, LONGEST + 1, places.shape, generator=generator).minimum(places)
        last = self.divergence[places - ages]
        return self.hidden[1:], self.spread[1:], last, ages.to(last), self.divergence[1:].log1p()


def fit(answers: Sequence[Answer], validation: Sequence[Answer], rounds: int, seed: int) -> tuple[Gate, float]:
    """Gives a gate, and the share of the variance over validation tokens that it foresees.

    Args:
        answers: To fit to.
        validation: To other prompts; what is foreseen of their tokens tells budgets from thresholds.
        rounds: Steps of AdamW, each over all tokens.
        seed: Of the gate's start and of the ages.

    Raises:
        ValueError: If no answer has two tokens.
    """
    answers, validation = ([one for one in some if len(one.divergence) > 1] for some in (answers, validation))
    if not answers or not validation:
        raise ValueError("a gate must be fitted to answers of two tokens or more, got none")
    generator = torch.Generator().manual_seed(seed)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        gate = Gate(answers[0].hidden.shape[-1])
    optimiser = torch.optim.AdamW(gate.parameters(), lr=3e-3, weight_decay=0.01)
    for _ in range(rounds):
        *seen, wanted = _together(answers, generator)
        loss = mse_loss(gate(*seen), wanted)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    gate.eval()
    *seen, wanted = _together(validation, generator)
    with torch.no_grad():
        foreseen = gate(*seen)
    gate.quantiles = foreseen.quantile(torch.linspace(0, 1, QUANTILES))
    return gate, float(1 - (foreseen - wanted).square().mean() / wanted.var())


def _together(answers: Sequence[Answer], generator: torch.Generator) -> tuple[Tensor, ...]:
    columns = zip(*(answer.seen(generator) for answer in answers), strict=True)
    return tuple(torch.cat(column).float() for column in columns)
