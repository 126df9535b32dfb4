"""What every expert's answers earn, and how the prices move: of nats to the base, and of what an expert is held to.

Knows marked answers. Does not know models, optimisers or how a loss is computed.
"""

import torch
from torch import Tensor, nn

from experts.exam import Answers, Exam
from experts.ppo import (
    Trajectories,
    adaptive_kl,
    centred,
    explained_variance,
    gae,
    held_back,
    raised_prices,
    shaped_rewards,
    whiten,
)
from experts.references import expected_chances


class Ledger(nn.Module):
    """KL coefficients and prices of K experts, and what answers earn at them.

    Args:
        exam: where the answers were marked.
        kl_coefficient: reward lost per nat of KL to the base, at the start.
        kl_target: nats per response the coefficients steer to.
        kl_rate: how strongly they steer.
        hold_rate: how fast the price of moving what an expert shall leave alone rises, see `ppo.raised_prices`.
        hold_gain: what comes to the price of a rollout for how far it moved that itself.
        trace: lambda of the advantage estimate.
    """

    kl_coefficients: Tensor  # (K,)
    prices: Tensor  # (K, D)

    def __init__(
        self,
        exam: Exam,
        *,
        kl_coefficient: float,
        kl_target: float,
        kl_rate: float,
        hold_rate: float,
        hold_gain: float,
        trace: float,
    ) -> None:
        super().__init__()
        self.exam, self.count = exam, len(exam.bank.names)
        self.kl_target, self.kl_rate, self.hold_rate, self.hold_gain = kl_target, kl_rate, hold_rate, hold_gain
        self.trace = trace
        dtype = exam.bank.base.dtype
        self.register_buffer("kl_coefficients", torch.full((self.count,), kl_coefficient, dtype=dtype))
        self.register_buffer("prices", torch.zeros(exam.held.shape, dtype=dtype))

    @torch.no_grad()
    def trajectories(self, answers: Answers, values: Tensor) -> Trajectories:
        """The answers with their values `(R, T)`, advantages and returns."""
        beyond = self.earned(answers) - self.expected(answers)
        marks = centred(beyond.to(values.dtype), answers.experts, self.count)
        per_nat = self.kl_coefficients[answers.experts]
        rewards = shaped_rewards(marks, answers.logprobs, answers.base_logprobs, answers.mask, per_nat)
        advantages, returns = gae(rewards, values, answers.mask, trace=self.trace)
        return Trajectories(
            answers.prompt_ids,
            answers.prompt_mask,
            answers.tokens,
            answers.mask,
            answers.experts,
            answers.logprobs,
            values,
            whiten(advantages, answers.mask, answers.experts, self.count),
            returns,
        )

    def earned(self, answers: Answers) -> Tensor:
        """The mark of each answer less what it pays for moving what is held, `(R,)`."""
        return answers.total - self.held_back(answers)

    def held_back(self, answers: Answers) -> Tensor:
        """What each answer pays for moving what is held, `(R,)`."""
        return held_back(self._raised(answers, self.hold_gain), answers.chances, answers.experts)

    def expected(self, answers: Answers) -> Tensor:
        """What the other answers of its expert would have earned beside each answer's reference, `(R,)`."""
        chances = expected_chances(answers.scores, answers.beaten, self.count, self.exam.reward_temperature)
        worth = self.exam.worth(answers.experts, answers.prompt_numbers)
        return (worth * chances).sum(-1) - held_back(self._raised(answers, self.hold_gain), chances, answers.experts)

    def foreseen(self, answers: Answers) -> Tensor:
        """The share of the variance of what answers earned that was expected, `(K,)`."""
        expected, earned = self.expected(answers)[:, None], self.earned(answers)[:, None]
        return explained_variance(expected, earned, torch.ones_like(earned), answers.experts, self.count)

    def close(self, answers: Answers, kl: Tensor) -> None:
        """Moves coefficients and prices after a rollout whose mean KL to the base was `(K,)` nats per response."""
        self.kl_coefficients.copy_(adaptive_kl(self.kl_coefficients, kl, self.kl_target, self.kl_rate))
        self.prices.copy_(self._raised(answers, self.hold_rate))

    def _raised(self, answers: Answers, rate: float) -> Tensor:
        """The prices of what is held `(K, D)`, raised by what these answers moved."""
        held = self.exam.held.to(self.prices.device)
        return raised_prices(self.prices, answers.chances, held, answers.experts, rate)
