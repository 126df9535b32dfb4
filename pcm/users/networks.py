"""What networks that read a user's choices share: batches of users, an encoder of sets of choices, and the training.

Knows numbers of answers. Does not know what a network makes of the choices, nor texts.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits
from torch.nn.utils.rnn import pad_sequence

MOST = 20  # choices that are shown at once in training


class Chosen(NamedTuple):
    """One user's choices: how the two answers differ on every axis, and which one was preferred."""

    differences: Tensor  # (N, J)
    outcomes: Tensor  # (N,) 1 where the first was preferred, ½ in a tie, 0 where the second was


class Everybody(NamedTuple):
    """The choices of several users side by side."""

    differences: Tensor  # (U, N, J)
    outcomes: Tensor  # (U, N)
    mask: Tensor  # (U, N) 1 where a choice counts

    @classmethod
    def of(cls, users: Sequence[Chosen]) -> "Everybody":
        """Users with unequal numbers of choices."""
        differences, mask = padded([chosen.differences.float() for chosen in users])
        return cls(differences, pad_sequence([chosen.outcomes.float() for chosen in users], batch_first=True), mask)

    def drawn(self, count: int, generator: torch.Generator) -> "Everybody":
        """Some of the users."""
        places = torch.randint(len(self.mask), (count,), generator=generator)
        return Everybody(*(part[places] for part in self))


class Shown(NamedTuple):
    """Choices of several users, some to learn each from and some to foresee."""

    known: Tensor  # (B, N, J) differences, the preferred answer first
    mask: Tensor  # (B, N) 1 where a choice is known
    asked: Tensor  # (B, N, J) differences
    outcomes: Tensor  # (B, N)
    asked_mask: Tensor  # (B, N) 1 where a choice is to be foreseen

    def surprise(self, tastes: Tensor) -> Tensor:
        """Negative log-probability of what is to be foreseen under tastes `(B, J)`, nats for each user `(B,)`."""
        margins = (self.asked * tastes[:, None]).sum(-1)
        return (binary_cross_entropy_with_logits(margins, self.outcomes, reduction="none") * self.asked_mask).sum(-1)


def preferred_first(differences: Tensor, outcomes: Tensor) -> Tensor:
    """Differences `(..., J)` with the preferred answer first, zero in a tie; outcomes are `(...)`."""
    return differences.float() * (2 * outcomes.float() - 1)[..., None]


def shown(users: Everybody, generator: torch.Generator) -> Shown:
    """A batch in which of every user some choices, none to all but one, are known and others to be foreseen."""
    shuffled = (torch.rand(users.mask.shape, generator=generator) + 2 * (1 - users.mask)).argsort(dim=1)
    differences = users.differences.gather(1, shuffled[..., None].expand_as(users.differences))
    outcomes, mask = users.outcomes.gather(1, shuffled), users.mask.gather(1, shuffled)
    most = (mask.sum(-1) - 1).clamp(0, MOST)
    counts = (torch.rand(most.shape, generator=generator) * (most + 1)).floor()[:, None]  # (B, 1)
    places = torch.arange(mask.shape[1])
    known, asked = mask * (places < counts), mask * (places >= counts) * (places < counts + MOST)
    return Shown(preferred_first(differences, outcomes), known, differences, outcomes, asked)


def padded(rows: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
    """Rows `(N_b, J)` of unequal lengths as one tensor `(B, N, J)`, and 1 where it counts `(B, N)`."""
    lengths = torch.tensor([len(row) for row in rows])
    whole = pad_sequence(list(rows), batch_first=True)
    return whole, (torch.arange(whole.shape[1])[None] < lengths[:, None]).float()


class ChoiceEncoder(nn.Module):
    """Reads a set of choices, whatever their order: the mean of what each says, and how many there are.

    Args:
        axes: Of taste, J.
        size: Numbers that come out.
        width: Of the layers.
    """

    def __init__(self, axes: int, size: int, width: int = 64) -> None:
        super().__init__()
        self.each = nn.Sequential(nn.Linear(axes, width), nn.GELU(), nn.Linear(width, width), nn.GELU())
        self.all = nn.Sequential(nn.Linear(width + 1, width), nn.GELU(), nn.Linear(width, size))

    def forward(self, known: Tensor, mask: Tensor) -> Tensor:
        """What the choices `(B, N, J)`, preferred answer first, say together `(B, size)`."""
        counts = mask.sum(-1, keepdim=True)  # (B, 1)
        mean = (self.each(known) * mask[..., None]).sum(1) / counts.clamp(min=1)
        return self.all(torch.cat([mean, counts.log1p()], dim=-1))


def fitted(
    network: nn.Module, batch: Callable[[], Shown], loss: Callable[[Shown, int], Tensor], steps: int, rate: float
) -> None:
    """Trains the network in place, the rate falling to zero along a cosine.

    Args:
        network: To train.
        batch: Gives the next batch.
        loss: Of a batch at a step, nats.
        steps: How many.
        rate: AdamW's highest.
    """
    optimiser = torch.optim.AdamW(network.parameters(), lr=rate, weight_decay=1e-2)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps)
    network.train()
    for step in range(steps):
        optimiser.zero_grad()
        loss(batch(), step).backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimiser.step()
        schedule.step()
    network.eval()
