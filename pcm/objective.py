"""What the controller is trained to make small: REBEL, and the reward it regresses on.

Pure functions of tensors. Knows neither models nor texts.
"""

import torch
from torch import Tensor


def rebel_loss(
    logprob_new_1: Tensor,
    logprob_old_1: Tensor,
    logprob_new_2: Tensor,
    logprob_old_2: Tensor,
    reward_1: Tensor,
    reward_2: Tensor,
    eta: float,
) -> Tensor:
    """Gives mean(((ln π/π_t)(y) − (ln π/π_t)(y') − η (R(y) − R(y')))²), REBEL's regression (2404.16767, equation 1).

    Zero where the change of the log-ratio explains the difference of the rewards exactly.

    Args:
        logprob_new_1: log π(y | x) in nats, summed over the tokens of the first response (P,); carries the gradient.
        logprob_old_1: log π_t(y | x) of the policy that drew it (P,).
        logprob_new_2: log π(y' | x) of the second response (P,).
        logprob_old_2: log π_t(y' | x) (P,).
        reward_1: reward of the first response (P,).
        reward_2: reward of the second response (P,).
        eta: nats of log-ratio for each unit of reward, above 0.

    Returns:
        The loss, a scalar.
    """
    ratio_difference = (logprob_new_1 - logprob_old_1) - (logprob_new_2 - logprob_old_2)
    return (ratio_difference - eta * (reward_1 - reward_2)).square().mean()


def relative_rewards(raw: Tensor, reference: Tensor) -> Tensor:
    """Gives the Bradley–Terry probability σ(r(y) − r(y_ref)) that a response beats the reference (N, D).

    Args:
        raw: scores of the responses (N, D).
        reference: scores of a base answer to the same prompts (N, D).
    """
    return torch.sigmoid(raw - reference)


def utility(relative: Tensor, quality: Tensor, asked: Tensor) -> Tensor:
    """Gives r̄_quality · Σ_k λ_k r̄_k with λ = asked / Σ asked (N,), in [0, 1].

    After 2407.04181 (the mean over the asked dimensions), times a quality: what is wrong is worth nothing.

    Args:
        relative: r̄ of each dimension (N, K); read only where it is asked for.
        quality: r̄ of the answer itself (N,).
        asked: how much each dimension is asked for (N, K), somewhere above zero in each row.
    """
    shares = asked / asked.sum(-1, keepdim=True)
    return quality * (shares * relative).sum(-1)
