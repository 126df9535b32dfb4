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
DISTANCE = 0.5
"""How far what people like to read lies from how they write, on an axis: a standard deviation, in intensities."""


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


def intensities(texts: Sequence[ReadText], poles: Sequence[tuple[int, int | None]], before: Belief) -> Belief:
    """What is believed of the intensities `(J,)` that speak out of some texts; texts that are not there say nothing.

    Args:
        texts: As base and experts read them.
        poles: Of each axis, places among the experts.
        before: What is believed before any text; axes behind the last of `poles` stay as they are.
    """
    count = len(poles)
    precision = torch.linalg.inv(before.covariance[:count, :count])
    start = before.mean[:count]
    mean = start.clone()
    hessian = precision
    for _ in range(ROUNDS if texts else 0):
        slopes, curvatures = zip(*(_told(text, text.directions(poles), mean) for text in texts), strict=True)
        hessian = precision + torch.stack(curvatures).sum(0)
        step = torch.linalg.solve(hessian, torch.stack(slopes).sum(0) - precision @ (mean - start))
        mean = mean + step / step.abs().max().clamp(min=1)  # at most one intensity at a time: far away it overshoots
        if bool(step.abs().max() < 1e-6):
            break
    covariance = before.covariance.clone()
    if texts:
        covariance[:count, :count] = torch.linalg.inv(hessian) + DISTANCE**2 * torch.eye(count, dtype=torch.float64)
    return Belief(torch.cat([mean, before.mean[count:]]), covariance)


def _told(text: ReadText, directions: Tensor, mean: Tensor) -> tuple[Tensor, Tensor]:
    """Slope `(J,)` and curvature `(J, J)` of a text's log-probability in the intensities."""
    chances = (text.base + torch.tensordot(mean.to(directions.dtype), directions, 1)).softmax(-1)  # (T, V)
    expected = (directions * chances).sum(-1)  # (J, T)
    said = directions[:, torch.arange(len(text.tokens)), text.tokens]  # (J, T)
    squares = torch.einsum("itv,jtv,tv->ij", directions, directions, chances)
    return (said - expected).sum(-1).double(), (squares - expected @ expected.T).double()
