"""The exam every expert sits at each update: the same prompts, answered at temperature one, marked against the base.

Knows prompts, reference answers, reward models and length budgets. Does not know how experts learn from their marks.
"""

import hashlib
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from decoding.answered import Answered
from experts import ranks
from experts.bank import ExpertBank
from experts.objectives import shares as shares_of
from experts.prompts import pad_left
from experts.references import References, beats_reference
from experts.rewards import QUALITY, Rewards
from experts.rollout import base_logprobs, sample_by_length


class Marks(NamedTuple):
    """What responses are worth, one row for each of them; D rewards."""

    own: Tensor  # (R,) chance of beating the reference in the expert's own dimension
    quality: Tensor  # (R,) chance of beating it in quality, NaN where nothing judges quality
    total: Tensor  # (R,) what the expert is to learn from
    chances: Tensor  # (R, D) chance of beating it in each reward; one half where it was not judged
    scores: Tensor  # (R, D) of each reward, NaN where it was not judged
    beaten: Tensor  # (R, D) the reference's scores


class Answers(NamedTuple):
    """Marked responses, one row per prompt and expert, expert-major."""

    prompt_numbers: Tensor  # (R,)
    experts: Tensor  # (R,)
    prompt_ids: Tensor  # (R, P) padded on the left
    prompt_mask: Tensor  # (R, P)
    tokens: Tensor  # (R, T) padded on the right
    mask: Tensor  # (R, T)
    logprobs: Tensor  # (R, T) under the expert, nats
    base_logprobs: Tensor  # (R, T) under the base, nats
    hidden: Tensor  # (R, T, H) the state each token was chosen from
    ended: Tensor  # (R,) bool
    own: Tensor  # these six as in `Marks`
    quality: Tensor
    total: Tensor
    chances: Tensor
    scores: Tensor
    beaten: Tensor

    @property
    def kl(self) -> Tensor:
        """One-sample KL to the base of each response, `(R,)`, nats."""
        return ((self.logprobs - self.base_logprobs) * self.mask).sum(-1)

    def gathered(self, experts: int, pad_id: int) -> "Answers":
        """The answers of all processes, expert-major again; hidden states stay where they are.

        Args:
            experts: how many there are, K.
            pad_id: fills what others' prompts and answers are longer by.
        """
        if ranks.count() == 1:
            return self
        by_field = {name: ranks.gathered(getattr(self, name), experts) for name in self._fields if name not in _PLACED}
        return Answers(
            **by_field,
            prompt_ids=ranks.gathered(self.prompt_ids, experts, pad_id, on_left=True),
            prompt_mask=ranks.gathered(self.prompt_mask, experts, on_left=True),
            tokens=ranks.gathered(self.tokens, experts, pad_id),
            hidden=self.hidden[:0],
        )

    @property
    def lengths(self) -> Tensor:
        """Tokens of each response, the end included, `(R,)`."""
        return self.mask.sum(-1)


_PLACED = ("prompt_ids", "prompt_mask", "tokens", "hidden")  # not every process's rows may simply be laid below


class Exam:
    """Prompts with everything that is needed to mark answers to them."""

    def __init__(
        self,
        bank: ExpertBank,
        rewards: Rewards,
        references: References,
        prompts: Sequence[Tensor],
        end_id: int,
        pad_id: int,
        *,
        shares: Tensor | None = None,
        held: Tensor | None = None,
        least_budget: int = 48,
        most_budget: int = 96,
        quality_weight: float = 2.0,
        missing_end_penalty: float = 1.0,
        repetition_penalty: float = 1.0,
        reward_temperature: float = 1.0,
        leniency: float = 0.0,
    ) -> None:
        """Marks `own + quality_weight * quality - missing_end_penalty * (1 - ended) - repetition_penalty * repeated`.

        Args:
            bank: base with one adapter per dimension.
            rewards: those that the shares speak of, and one for quality unless its weight is zero.
            references: the base's answer to each prompt.
            prompts: token ids `(P,)` of each prompt.
            end_id: the token that ends a response.
            pad_id: fills what follows.
            shares: part of each reward in each expert's own mark for each prompt `(K, N, D)`; without them an expert is
                paid by the reward of its name.
            held: rewards that each expert shall not move although it is not paid for them `(K, D)`, bool; none without.
            least_budget: tokens; each response draws its own budget between the two, so that experts learn to end.
            most_budget: tokens.
            quality_weight: without quality, an expert for short answers learns to say nothing.
            missing_end_penalty: lost by a response that does not end within its budget.
            repetition_penalty: lost per share of a response's tokens that say again what it said before; what repeats
                itself is likely, and a reward model takes it for good.
            reward_temperature: divides all scores, so that more of what is asked pays longer; above 1 for rewards that
                are sure of themselves.
            leniency: what is taken from the quality of every reference, in nats: an answer may lose that much before
                its quality counts as a half.

        Raises:
            ValueError: if an expert has no reward, references and prompts differ in number, or held in shape, or the
                temperature is not above 0.
        """
        shares = _of_their_own(bank.names, rewards.names, len(prompts)) if shares is None else shares
        if shares.shape != (sizes := (len(bank.names), len(prompts), len(rewards.names))):
            raise ValueError(f"shares must be for experts, prompts and rewards {sizes}, got {tuple(shares.shape)}")
        if quality_weight and QUALITY not in rewards.names:
            raise ValueError(f"there must be a reward called {QUALITY!r} or quality_weight 0, got {quality_weight}")
        if len(references.scores) != len(prompts):
            raise ValueError(f"each of {len(prompts)} prompts must have a reference, got {len(references.scores)}")
        if not 1 <= least_budget <= most_budget:
            raise ValueError(f"budgets must satisfy 1 <= least <= most, got {least_budget} and {most_budget}")
        if not reward_temperature > 0:
            raise ValueError(f"reward_temperature must be above 0, got {reward_temperature}")
        self.bank, self.rewards, self.references, self.prompts = bank, rewards, references, prompts
        self.shares = shares
        self.held = torch.zeros(sizes[0], sizes[2], dtype=torch.bool) if held is None else held
        if self.held.shape != (sizes[0], sizes[2]):
            raise ValueError(f"held must be for experts and rewards {sizes[::2]}, got {tuple(self.held.shape)}")
        self.end_id, self.pad_id = end_id, pad_id
        self.least_budget, self.most_budget = least_budget, most_budget
        self.quality_weight, self.missing_end_penalty = quality_weight, missing_end_penalty
        self.repetition_penalty = repetition_penalty
        self.reward_temperature, self.leniency = reward_temperature, leniency

    @property
    def identity(self) -> str:
        """Tells these prompts, what pays an answer to each, and what the rewards are made of, from others."""
        told = [prompt.tolist() for prompt in self.prompts], self.shares.tolist(), self.rewards.version
        return hashlib.sha256(repr(told).encode()).hexdigest()

    @torch.no_grad()
    def sit(self, prompt_numbers: Tensor, generators: Sequence[torch.Generator], share: slice = slice(None)) -> Answers:
        """Every expert's marked answer to every prompt of the share.

        Args:
            prompt_numbers: `(n,)`.
            generators: one per expert; an expert's answers depend on no other expert's draws.
            share: which of the prompts to answer; draws are made for all, so an answer depends on no share.
        """
        count, device = len(self.bank.names), prompt_numbers.device
        draws = self._draw(len(prompt_numbers), generators, share)
        prompt_numbers = prompt_numbers[share]
        ids, mask = pad_left([self.prompts[number] for number in prompt_numbers.tolist()], self.pad_id)
        prompt_ids, prompt_mask = ids.to(device).repeat(count, 1), mask.to(device).repeat(count, 1)
        experts = torch.arange(count, device=device).repeat_interleave(len(prompt_numbers))
        budgets, uniforms = (draw.to(device) for draw in draws)
        responses = sample_by_length(
            self.bank, prompt_ids, prompt_mask, experts, budgets, uniforms, self.end_id, self.pad_id
        )
        tokens, kept = responses.tokens, responses.mask
        numbers = prompt_numbers.repeat(count)
        texts = Answered.joined(prompt_ids, prompt_mask, tokens, kept)
        return Answers(
            numbers,
            experts,
            prompt_ids,
            prompt_mask,
            tokens,
            kept,
            responses.logprobs,
            base_logprobs(self.bank, prompt_ids, prompt_mask, tokens, kept),
            responses.hidden,
            responses.ended,
            *self._mark(texts, experts, numbers, responses.ended),
        )

    def _draw(self, rows: int, generators: Sequence[torch.Generator], share: slice) -> tuple[Tensor, Tensor]:
        """Length budgets `(R,)` with uniform numbers `(R, T)`, of the share of each expert's rows."""
        budgets, uniforms = [], []
        for generator in generators:
            drawn = torch.randint(self.least_budget, self.most_budget + 1, (rows,), generator=generator)
            budgets.append(drawn[share])
            uniforms.append(torch.rand(rows, self.most_budget, generator=generator, dtype=torch.float64)[share])
        return torch.cat(budgets), torch.cat(uniforms)

    def worth(self, experts: Tensor, numbers: Tensor) -> Tensor:
        """What a chance of beating the reference in each reward is worth in an answer's mark, `(R, D)`.

        Args:
            experts: of each answer `(R,)`.
            numbers: of its prompt `(R,)`.
        """
        return self._shares_of(experts, numbers) + self.quality_weight * self._is_quality(experts.device)

    def _mark(self, texts: Answered, experts: Tensor, numbers: Tensor, ended: Tensor) -> Marks:
        """Marks of the responses to the prompts of these numbers `(R,)`."""
        shares, is_quality = self._shares_of(experts, numbers), self._is_quality(experts.device)  # (R, D), (D,)
        needed = (shares > 0) | self.held.to(experts.device)[experts] | (is_quality > 0)
        with torch.autocast(shares.device.type, enabled=False):  # the references were scored without it too
            scores = self.rewards.score(texts, needed=needed)
        beaten = self.references.scores.to(scores)[numbers] - self.leniency * is_quality.to(scores)
        chances = torch.where(needed, beats_reference(scores, beaten, self.reward_temperature), 0.5)
        own = (shares * chances).sum(-1).to(chances.dtype)
        quality = (is_quality * chances).sum(-1) if QUALITY in self.rewards.names else torch.full_like(own, torch.nan)
        repeated = texts.left_aligned().repeats() / texts.answer_lengths.clamp(min=1)
        penalties = self.missing_end_penalty * (~ended).to(own.dtype) + self.repetition_penalty * repeated
        total = (self.worth(experts, numbers) * chances).sum(-1).to(chances.dtype) - penalties
        return Marks(own, quality, total, chances, torch.where(needed, scores, torch.nan), beaten)

    def _shares_of(self, experts: Tensor, numbers: Tensor) -> Tensor:
        """The part of each reward in each answer's own mark, `(R, D)`."""
        return self.shares.to(experts.device)[experts, numbers]

    def _is_quality(self, device: torch.device) -> Tensor:
        """1 for the reward for quality, 0 for the others, `(D,)`."""
        return torch.tensor([float(name == QUALITY) for name in self.rewards.names], device=device)


def _of_their_own(experts: Sequence[str], rewards: Sequence[str], prompts: int) -> Tensor:
    """Shares of experts that are each paid by the reward of their name.

    Raises:
        ValueError: if there is no expert, or one without a reward.
    """
    missing = set(experts) - set(rewards)
    if not experts or missing:
        raise ValueError(f"every expert must have a reward, got {experts} but none for {sorted(missing)}")
    return shares_of({name: (name,) for name in experts}, rewards, [()] * prompts)
