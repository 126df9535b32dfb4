"""What a response is worth, from what the judges say of it: the reward that a controller learns from.

Pure functions of tensors. Knows neither models nor texts, nor what is learned from it.
"""

from collections.abc import Callable

import torch
from torch import Tensor

Worth = Callable[[Tensor, Tensor, Tensor, float], Tensor]
"""From scores (S, D), those to be beaten (S, D), asked (S, K) and τ to a worth (S,).

D is K + 1 with quality last, or K where nobody judges quality, which then is 1.
"""


def relative_rewards(raw: Tensor, reference: Tensor, temperature: float = 1.0) -> Tensor:
    """Gives σ((r(y) − r(y_ref)) / τ) (N, D): at τ = 1 the Bradley–Terry probability of beating the reference.

    Args:
        raw: scores of the responses (N, D).
        reference: scores of a base answer to the same prompts (N, D).
        temperature: τ in nats, above 0; the higher it is, the longer does more pay.
    """
    return torch.sigmoid((raw - reference) / temperature)


def utility(relative: Tensor, quality: Tensor, asked: Tensor) -> Tensor:
    """Gives r̄_quality · Σ_k λ_k r̄_k with λ = asked (N,), in [0, Σ λ].

    After 2407.04181 (the mean over the asked dimensions), times a quality: what is wrong is worth nothing. λ is not
    normalised: half an intensity is worth half the effort, which the price of leaving the base measures.

    Args:
        relative: r̄ of each dimension (N, K); read only where it is asked for.
        quality: r̄ of the answer itself (N,).
        asked: how much each dimension is asked for (N, K).
    """
    return quality * (asked * relative).sum(-1)


def relative_worth(scores: Tensor, beaten: Tensor, asked: Tensor, temperature: float) -> Tensor:
    """Gives the `utility` (S,) of the chances of beating an answer, in [0, Σ λ].

    Args:
        scores: of the judges, quality last (S, D).
        beaten: of the answer that responses are measured against (S, D).
        asked: how much each dimension is asked for (S, K).
        temperature: of the chances, see `relative_rewards`.
    """
    count, relative = asked.shape[-1], relative_rewards(scores, beaten, temperature)
    return utility(relative[:, :count], relative[:, count:].prod(-1), asked)  # a product of nothing is 1


def raw_worth(scores: Tensor, beaten: Tensor, asked: Tensor, temperature: float) -> Tensor:
    """Gives (r_quality + Σ_k λ_k r_k) / τ (S,): the scores as they are, added up and without a bound.

    To compare with (2407.04181 finds them worse): each judge has a unit of its own, and the one with the largest
    decides. A product as in `utility` would have no meaning, since scores are negative too. An answer to be beaten
    would be the same for both responses of a pair and is left out.

    Args:
        scores: of the judges, quality last (S, D).
        beaten: not used.
        asked: how much each dimension is asked for (S, K).
        temperature: τ, what the scores are divided by.
    """
    count = asked.shape[-1]
    return (scores[:, count:].sum(-1) + (asked * scores[:, :count]).sum(-1)) / temperature


WORTHS: dict[str, Worth] = {"relative": relative_worth, "raw": raw_worth}


def worth_named(name: str) -> Worth:
    """Gives the worth called so.

    Args:
        name: one of `WORTHS`.

    Raises:
        ValueError: if there is none of this name.
    """
    if name not in WORTHS:
        raise ValueError(f"a worth must be one of {', '.join(WORTHS)}, got {name!r}")
    return WORTHS[name]
