"""Users whose taste is known, because it was drawn; how they choose, and how they write.

Knows what answers truly are, in numbers. Does not know who tries to find their tastes out.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import torch
from torch import Tensor

from experts.miniature.grammar import POLES as STYLES
from experts.miniature.grammar import Speaker, Style
from experts.miniature.world import topics

Kind = Literal["steady", "inconsistent", "drifting", "coin"]
NOISE = 0.12
"""Of two answers whose worth differs by so much the better one is chosen with probability .73, as by labellers."""
INCONSISTENT = 4.0  # times the noise
STRONGEST = 2.0  # the strongest taste of an axis
DRIFT = 6  # choices, after which one axis has turned


@dataclass(frozen=True, eq=False)  # nobody is anybody else
class User:
    """A taste on the true axes, quality last, and a way of choosing by it.

    Args:
        taste: Worth of a unit of each axis `(J,)`.
        kind: Steady; inconsistent, four times as noisy; drifting, who turn round on an axis; or a coin.
    """

    taste: Tensor
    kind: Kind = "steady"

    def worth(self, axes: Tensor) -> Tensor:
        """What answers, or differences of answers, are worth to the user `(N,)`; axes are `(N, J)`."""
        return axes.double() @ self.taste

    def chooses(self, difference: Tensor, before: int, generator: torch.Generator) -> float:
        """Whether the first of two answers is chosen, 1 or 0.

        Args:
            difference: First minus second, on the true axes `(J,)`.
            before: How many choices were made before this one.
            generator: Of the noise.
        """
        taste = self.taste.clone()
        if self.kind == "drifting" and before < DRIFT:
            taste[int(taste[:-1].abs().argmax())] *= -1  # what they will want in the end is their taste
        noise = NOISE * (INCONSISTENT if self.kind == "inconsistent" else 1)
        likely = 0.5 if self.kind == "coin" else float((difference.double() @ taste / noise).sigmoid())
        return float(torch.rand((), generator=generator) < likely)


def writings(user: User, poles: Sequence[tuple[str, str | None]], count: int, rng: random.Random) -> list[str]:
    """Texts in the manner in which the user likes to be answered: the stronger a taste, the nearer to its pole.

    Args:
        user: Whose taste is on these axes.
        poles: Of the axes but quality.
        count: How many texts.
        rng: Of their subjects and words.
    """
    style = Style()
    for (pole, _), taste in zip(poles, user.taste.tolist(), strict=False):
        for axis, (low, high) in STYLES.items():
            if pole in (low, high):
                towards = max(-1.0, min(1.0, taste / STRONGEST)) * (1 if pole == high else -1)
                style = replace(style, **{axis: 0.5 + 0.45 * towards})
    return [Speaker(style, rng).answer(rng.choice(topics())) for _ in range(count)]


def drawn(count: int, axes: int, seed: int, kind: Kind = "steady") -> list[User]:
    """Users who want quality, and on each axis a pole, more or less, or nothing.

    Args:
        count: How many.
        axes: How many besides quality.
        seed: Of their tastes.
        kind: How they choose.
    """
    generator = torch.Generator().manual_seed(seed)
    intensities = 2 * torch.rand(count, axes, generator=generator, dtype=torch.float64) - 1
    cares = torch.rand(count, axes, generator=generator) < 0.75
    cares[torch.arange(count), torch.randint(axes, (count,), generator=generator)] = True
    # An axis runs from -½ to ½, quality from 0 to 1: twice the intensity weighs a whole axis like all of quality.
    tastes = torch.cat([STRONGEST * intensities * cares, torch.ones(count, 1, dtype=torch.float64)], dim=-1)
    return [User(taste, kind) for taste in tastes]
