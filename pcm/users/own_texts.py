"""A taste read off a user's own texts: the intensities under which the mixture would most likely have written them.

Nothing is trained (HyPerAlign, arXiv 2505.00038, whose hypotheses about a style are here the experts themselves). With
`d_a` half the difference of an axis' two experts' log-probabilities (or an expert less the base, where there is no
opposite), a text has under the anchored rule `log p(y) = Σ_t [log p_base + s·d − log Z(s)](y_t)`: concave in the
intensities s, so Newton's method finds the one maximum and its curvature how sure it is. Knows log-probabilities. Does
not know models or texts.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from pcm.users.belief import Belief

ROUNDS = 30  # of Newton's method, which mostly needs five
TASTE = 3.5
"""Logits of taste that an intensity amounts to: people write less extremely than experts who learned nothing else.

The slope of tastes in intensities, over sixty users of the miniature world with forty choices and five texts each."""
DISTANCE = 0.5
"""How far what people like to read lies from how they write: a standard deviation, in logits of taste."""


class ReadText(NamedTuple):
    """One text as base and experts read it."""

    tokens: Tensor  # (T,) what stands there
    base: Tensor  # (T, V) log-probabilities of what could have stood there
    experts: Tensor  # (K, T, V) under each expert

    def directions(self, poles: Sequence[tuple[int, int | None]]) -> Tensor:
        """What each axis changes at a full intensity `(J, T, V)`, in nats; poles are places among the experts."""
        pairs = [(self.experts[a], self.base) if b is None else (self.experts[a], self.experts[b]) for a, b in poles]
        halves = [1.0 if b is None else 0.5 for _, b in poles]
        return torch.stack([half * (plus - minus) for half, (plus, minus) in zip(halves, pairs, strict=True)])


def intensities(texts: Sequence[ReadText], poles: Sequence[tuple[int, int | None]], spread: float) -> Belief:
    """What is believed of the intensities `(J,)` that some texts were written with.

    Args:
        texts: As base and experts read them.
        poles: Of each axis, places among the experts.
        spread: Standard deviation of intensities before any text.
    """
    precision = torch.eye(len(poles), dtype=torch.float64) / spread**2
    mean, hessian = torch.zeros(len(poles), dtype=torch.float64), precision
    for _ in range(ROUNDS if texts else 0):
        slopes, curvatures = zip(*(_told(text, text.directions(poles), mean) for text in texts), strict=True)
        hessian = precision + torch.stack(curvatures).sum(0)
        step = torch.linalg.solve(hessian, torch.stack(slopes).sum(0) - precision @ mean)
        mean = mean + step / step.abs().max().clamp(min=1)  # at most one intensity at a time: far away it overshoots
        if bool(step.abs().max() < 1e-6):
            break
    return Belief(mean, torch.linalg.inv(hessian))


def taste_of(texts: Sequence[ReadText], poles: Sequence[tuple[int, int | None]], before: Belief) -> Belief:
    """What own texts let one believe of a taste: that it goes where the texts go, about as far.

    Args:
        texts: As base and experts read them; none say nothing.
        poles: Of each axis, places among the experts.
        before: What is believed before any text; axes behind the last of `poles` stay as they are.
    """
    if not texts:
        return before
    count = len(poles)
    written = intensities(texts, poles, float(before.deviation[:count].mean()) / TASTE)
    mean, covariance = before.mean.clone(), before.covariance.clone()
    mean[:count] = TASTE * written.mean
    covariance[:count, :count] = TASTE**2 * written.covariance + DISTANCE**2 * torch.eye(count, dtype=torch.float64)
    return Belief(mean, covariance)


def _told(text: ReadText, directions: Tensor, mean: Tensor) -> tuple[Tensor, Tensor]:
    """Slope `(J,)` and curvature `(J, J)` of a text's log-probability in the intensities."""
    chances = (text.base + torch.tensordot(mean.to(directions.dtype), directions, 1)).softmax(-1)  # (T, V)
    expected = (directions * chances).sum(-1)  # (J, T)
    said = directions[:, torch.arange(len(text.tokens)), text.tokens]  # (J, T)
    squares = torch.einsum("itv,jtv,tv->ij", directions, directions, chances)
    return (said - expected).sum(-1).double(), (squares - expected @ expected.T).double()
