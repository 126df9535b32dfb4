"""What one step of a mixture says, and what many steps make.

Knows tensors. Does not know who computed them.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

NEARLY_ONE = 1e-3
"""Nats by which a distribution's sum may be off: rounding alone, in any precision and vocabulary."""


@dataclass(frozen=True)
class Step:
    """What comes next, and why.

    Args:
        logprobs: The mixture's log-probabilities of the next token, in nats (B, V).
        log_weights: Of the experts, -inf where one is not asked (B, K).
        base_logprobs: Under the base (B, V).
        expert_logprobs: Under each expert; the base's where one is not asked (B, K, V).
    """

    logprobs: Tensor
    log_weights: Tensor
    base_logprobs: Tensor
    expert_logprobs: Tensor

    @classmethod
    def of_base(cls, base_logprobs: Tensor, experts: int) -> "Step":
        """Gives the step at which nobody reads but the base (B, V); K is `experts`."""
        nobody = base_logprobs.new_full((len(base_logprobs), experts), -torch.inf)
        everybody = base_logprobs.unsqueeze(1).expand(-1, experts, -1)
        return cls(base_logprobs, nobody, base_logprobs, everybody)

    def only(self, mixed: Tensor) -> "Step":
        """Gives the step in which the other requests than `mixed` (B,), bool, hear the base alone."""
        chosen = mixed.unsqueeze(-1)  # (B, 1)
        spoken = torch.where(chosen, self.logprobs, self.base_logprobs)
        return replace(self, logprobs=spoken, log_weights=self.log_weights.masked_fill(~chosen, -torch.inf))

    def require_numbers(self, names: Sequence[str]) -> None:
        """Refuses a distribution that is none.

        Args:
            names: Of the experts, in their order (K).

        Raises:
            ValueError: If a NaN came out; it says of whom.
        """
        if not bool(self.logprobs.isnan().any()):
            return
        broken = [name for place, name in enumerate(names) if bool(self.expert_logprobs[:, place].isnan().any())]
        guilty = "the base" if bool(self.base_logprobs.isnan().any()) else ", ".join(broken) or "the controller"
        raise ValueError(f"log-probabilities must be numbers, got NaN from {guilty}")

    def require_distribution(self) -> None:
        """Refuses what a mixing rule of one's own may give by mistake: the named rules are tested.

        Raises:
            ValueError: If the log-probabilities have another shape than the base's, or do not sum to one.
        """
        if self.logprobs.shape != self.base_logprobs.shape:
            shapes = f"{tuple(self.base_logprobs.shape)}, got {tuple(self.logprobs.shape)}"
            raise ValueError(f"a mixing rule must give the log-probabilities of every token, {shapes}")
        furthest = float(self.logprobs.logsumexp(dim=-1).abs().max())
        if not furthest < NEARLY_ONE:
            raise ValueError(f"a mixing rule must give probabilities that sum to one, got a log-sum of {furthest:.3g}")


@dataclass(frozen=True)
class Rollout:
    """Sampled responses as tensors, for training.

    Args:
        tokens: Padding after the end (B, n).
        mask: 1 where a token counts, the end token included (B, n).
        logprobs: Of the tokens under the untempered mixture, in nats (B, n).
    """

    tokens: Tensor
    mask: Tensor
    logprobs: Tensor

    @classmethod
    def empty(cls, input_ids: Tensor) -> "Rollout":
        """Gives the rollout to prompts (B, T) of which nothing is written yet."""
        nothing = input_ids[:, :0]
        return cls(nothing, nothing, nothing.to(torch.float32))

    def extended(self, stage: "Rollout", places: Sequence[int], pad_id: int) -> "Rollout":
        """Gives the rollout with a stage (b, s) behind it, of the requests at these places; the others have ended."""
        kept = torch.tensor(places, device=self.tokens.device)
        columns = []
        for ours, theirs, nothing in (
            (self.tokens, stage.tokens, pad_id),
            (self.mask, stage.mask, 0),
            (self.logprobs, stage.logprobs, 0.0),
        ):
            wide = theirs.new_full((len(ours), theirs.shape[-1]), nothing).index_copy(0, kept, theirs)
            columns.append(torch.cat([ours.to(wide), wide], dim=-1))
        return Rollout(*columns)

    @classmethod
    def of(cls, written: Iterable[tuple[Tensor, Tensor, Tensor]]) -> "Rollout":
        """Gives the rollout of these columns, each what a turn of the loop has `written`."""
        return cls(*(torch.stack(column, dim=-1) for column in zip(*written, strict=True)))
