"""From readings to one distribution: the only function in which experts, controller and rule meet.

Decoding calls it for one token, training for all tokens of a response, so the two cannot drift apart.
Knows log-probabilities. Does not know caches, texts or how a token is chosen.
"""

import torch
from torch import Tensor

from decoding.rules import Rule, uniform_log_weights
from pcm.behaviour import behaviour
from pcm.controller import Controller


def mix(
    rule: Rule,
    controller: Controller | None,
    hidden: Tensor,
    base_logprobs: Tensor,
    expert_logprobs: Tensor,
    asked: Tensor,
    features: Tensor | None = None,
    undecided: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """Gives the mixed distribution and the log-weights it was mixed with.

    Args:
        rule: mixing rule, see `decoding.rules`.
        controller: whom to believe; None is the uniform mixture over the asked experts.
        hidden: the state of the controller's trunk (..., H).
        base_logprobs: log-probabilities of the base (..., V).
        expert_logprobs: log-probabilities of the experts (..., K, V).
        asked: how much each expert is asked for (..., K).
        features: `behaviour` of these log-probabilities (..., K, F) where the caller has it already.
        undecided: true where nothing is preferred (...): there the mixture is uniform whatever the controller says.

    Returns:
        Mixed log-probabilities (..., V) and log-weights (..., K), -inf where an expert is not asked.
    """
    if controller is None:
        log_weights = uniform_log_weights(asked)
    else:
        features = behaviour(base_logprobs, expert_logprobs, asked) if features is None else features
        log_weights = controller(hidden, features, asked)
        if undecided is not None:
            log_weights = torch.where(undecided.unsqueeze(-1), uniform_log_weights(asked), log_weights)
    log_weights = log_weights.to(base_logprobs.dtype)
    return rule(base_logprobs, expert_logprobs, log_weights), log_weights
