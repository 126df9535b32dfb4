"""Samples responses of many experts in one pass of the bank, rows grouped by expert.

Knows the bank's forward pass, its cache and when a row has ended. Does not know rewards or training. Sampling is at
temperature one without truncation, as policy gradients need it. The randomness is given as uniform numbers, one per
row and token, so a row's response depends on nothing but its own prompt, expert and numbers: not on which rows run
beside it nor on when finished rows are dropped.
"""

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy, pad

from experts.bank import ExpertBank


class Responses(NamedTuple):
    """Sampled responses, padded on the right."""

    tokens: Tensor  # (R, T)
    mask: Tensor  # (R, T) one where the token counts, the end included
    logprobs: Tensor  # (R, T) nats
    hidden: Tensor  # (R, T, H) the state each token was chosen from
    ended: Tensor  # (R,) bool: whether the response ended by itself

    def widened(self, width: int, pad_id: int) -> "Responses":
        """The same responses padded to `width` tokens."""
        missing = (0, width - self.tokens.shape[1])
        return Responses(
            tokens=pad(self.tokens, missing, value=pad_id),
            mask=pad(self.mask, missing),
            logprobs=pad(self.logprobs, missing),
            hidden=pad(self.hidden, (0, 0, *missing)),
            ended=self.ended,
        )


def inverse_sample(logprobs: Tensor, uniforms: Tensor) -> Tensor:
    """The first token `(R,)` whose cumulative probability exceeds the row's uniform number in [0, 1).

    Args:
        logprobs: `(R, V)`.
        uniforms: `(R,)`.
    """
    cumulative = logprobs.exp().cumsum(-1)
    threshold = uniforms.to(cumulative.dtype)[:, None] * cumulative[:, -1:]
    tokens = torch.searchsorted(cumulative, threshold, right=True)[:, 0]
    return tokens.clamp(max=logprobs.shape[-1] - 1)


@torch.no_grad()
def sample_responses(
    bank: ExpertBank,
    prompt_ids: Tensor,
    prompt_mask: Tensor,
    experts: Tensor,
    budgets: Tensor,
    uniforms: Tensor,
    end_id: int,
    pad_id: int,
    dropped_share: float = 0.125,
) -> Responses:
    """One response per row, sampled until it ends or its budget is spent.

    Args:
        bank: base with experts.
        prompt_ids: `(R, P)`, padded on the left.
        prompt_mask: `(R, P)`.
        experts: sorted expert number of each row, -1 for the base, `(R,)`.
        budgets: most tokens of each row, `(R,)`, at least one.
        uniforms: `(R, T)` in [0, 1), `T` at least the largest budget.
        end_id: the token that ends a response.
        pad_id: fills the positions after the end.
        dropped_share: finished rows leave the computation once they are this share of it.
    """
    state = _Sampling(bank, prompt_ids, prompt_mask, experts)
    responses = _empty(bank, budgets, pad_id, len(experts))
    for position in range(responses.tokens.shape[1]):
        rows = state.rows
        logprobs, hidden = state.read()
        tokens = inverse_sample(logprobs, uniforms[rows, position])
        running = state.running
        responses.tokens[rows, position] = torch.where(running, tokens, pad_id)
        responses.mask[rows, position] = running.to(responses.mask.dtype)
        responses.logprobs[rows, position] = logprobs.gather(1, tokens[:, None])[:, 0] * running
        responses.hidden[rows, position] = hidden.to(responses.hidden.dtype)  # another one in mixed precision
        responses.ended[rows] |= running & (tokens == end_id)
        state.running = running & (tokens != end_id) & (position + 1 < budgets[rows])
        if not state.running.any():
            break
        state.append(tokens)
        state.drop_finished(dropped_share)
    longest = int(responses.mask.sum(-1).max())
    cut = {name: getattr(responses, name)[:, :longest] for name in ("tokens", "mask", "logprobs", "hidden")}
    return responses._replace(**cut)


class _Sampling:
    """The rows still in the computation: their cache, mask, next input, and which of them are running."""

    def __init__(self, bank: ExpertBank, prompt_ids: Tensor, prompt_mask: Tensor, experts: Tensor) -> None:
        self.bank, self.ids, self.mask, self.experts = bank, prompt_ids, prompt_mask, experts
        self.cache = bank.empty_cache()
        self.rows = torch.arange(len(experts), device=experts.device)
        self.running = torch.ones_like(self.rows, dtype=torch.bool)

    def read(self) -> tuple[Tensor, Tensor]:
        """Log-probabilities of the next token `(A, V)` with the states they come from `(A, H)`, of `A` active rows."""
        output = self.bank.forward_rows(
            self.ids, self.mask, self.experts, cache=self.cache, hidden=True, logits_to_keep=1
        )
        assert output.hidden is not None
        logits = output.logits[:, -1]
        return logits.to(torch.promote_types(logits.dtype, torch.float32)).log_softmax(-1), output.hidden[:, -1]

    def append(self, tokens: Tensor) -> None:
        """Makes the chosen tokens `(A,)` the next input."""
        self.ids = tokens[:, None]
        self.mask = torch.cat([self.mask, self.mask.new_ones(len(tokens), 1)], dim=1)

    def drop_finished(self, share: float) -> None:
        """Removes finished rows once they are at least this share of the active ones; removing copies the cache."""
        finished = len(self.running) - int(self.running.sum())
        if finished < max(1, share * len(self.running)):
            return
        kept = self.running.nonzero()[:, 0]
        self.cache.batch_select_indices(kept)
        self.ids, self.mask, self.experts = self.ids[kept], self.mask[kept], self.experts[kept]
        self.rows, self.running = self.rows[kept], self.running[kept]


def shorter_prompts(lengths: Tensor, worth: float = 0.25) -> Tensor:
    """Which prompts `(n,)` of these lengths are better read apart from the longer ones; none or one cut.

    Args:
        lengths: tokens of each prompt, `(n,)`.
        worth: share of all padded tokens that the best cut must save, or else all prompts count as short.
    """
    ordered = lengths.sort().values
    saved = torch.arange(1, len(ordered) + 1, device=lengths.device) * (ordered[-1] - ordered)  # by a cut after each
    if saved.max() < worth * len(ordered) * ordered[-1]:
        return torch.ones_like(lengths, dtype=torch.bool)
    return lengths <= ordered[saved.argmax()]


def sample_by_length(
    bank: ExpertBank,
    prompt_ids: Tensor,
    prompt_mask: Tensor,
    experts: Tensor,
    budgets: Tensor,
    uniforms: Tensor,
    end_id: int,
    pad_id: int,
) -> Responses:
    """The same as `sample_responses`, but rows with short prompts do not carry the padding of those with long ones."""
    short = shorter_prompts(prompt_mask.sum(-1))
    groups = [rows for rows in (short.nonzero()[:, 0], (~short).nonzero()[:, 0]) if len(rows)]
    parts = []
    for rows in groups:
        used = prompt_mask[rows].bool().any(0)
        prompts = prompt_ids[rows][:, used], prompt_mask[rows][:, used]
        parts.append(sample_responses(bank, *prompts, experts[rows], budgets[rows], uniforms[rows], end_id, pad_id))
    if len(parts) == 1:
        return parts[0]
    width = max(part.tokens.shape[1] for part in parts)
    place = torch.cat(groups).argsort()
    wide = [part.widened(width, pad_id) for part in parts]
    return Responses(*(torch.cat(tensors)[place] for tensors in zip(*wide, strict=True)))


def _empty(bank: ExpertBank, budgets: Tensor, pad_id: int, rows: int) -> Responses:
    shape, device = (rows, int(budgets.max())), budgets.device
    parameter = next(bank.base.parameters())
    return Responses(
        tokens=torch.full(shape, pad_id, device=device),
        mask=torch.zeros(shape, device=device, dtype=parameter.dtype),
        logprobs=torch.zeros(shape, device=device, dtype=parameter.dtype),
        hidden=torch.zeros(*shape, bank.base.config.hidden_size, device=device, dtype=parameter.dtype),
        ended=torch.zeros(rows, device=device, dtype=torch.bool),
    )


def token_logprobs(logits: Tensor, tokens: Tensor) -> Tensor:
    """Log-probabilities `(R, T)` of the tokens under logits `(R, T, V)`, nats."""
    logits = logits.to(torch.promote_types(logits.dtype, torch.float32))
    losses = cross_entropy(logits.flatten(0, 1), tokens.flatten(), reduction="none")
    return -losses.view_as(tokens)


def reread(
    bank: ExpertBank, prompt_ids: Tensor, prompt_mask: Tensor, tokens: Tensor, mask: Tensor, experts: Tensor
) -> tuple[Tensor, Tensor]:
    """Logits `(R, T, V)` and states `(R, T, H)` from which each token of a response would be chosen, with gradient.

    Args:
        bank: base with experts.
        prompt_ids: `(R, P)`, padded on the left.
        prompt_mask: `(R, P)`.
        tokens: the responses, `(R, T)`, padded on the right.
        mask: `(R, T)`.
        experts: sorted expert number of each row, -1 for the base, `(R,)`.
    """
    used = prompt_mask.bool().any(0)  # a padding column of every row costs nothing
    ids = torch.cat([prompt_ids[:, used], tokens[:, :-1]], dim=1)
    attended = torch.cat([prompt_mask[:, used], mask[:, :-1].to(prompt_mask.dtype)], dim=1)
    output = bank.forward_rows(ids, attended, experts, hidden=True, logits_to_keep=tokens.shape[1])
    assert output.hidden is not None
    return output.logits, output.hidden


@torch.no_grad()
def base_logprobs(
    bank: ExpertBank,
    prompt_ids: Tensor,
    prompt_mask: Tensor,
    tokens: Tensor,
    mask: Tensor,
    rows_at_once: int = 64,
) -> Tensor:
    """Log-probabilities `(R, T)` of sampled tokens under the base, zero where masked; arguments as in `reread`."""
    logprobs = torch.zeros(tokens.shape, device=tokens.device, dtype=mask.dtype)
    lengths = mask.sum(-1)
    for rows in (prompt_mask.sum(-1) + lengths).argsort(stable=True).split(rows_at_once):
        longest = int(lengths[rows].max())
        part, kept = tokens[rows, :longest], mask[rows, :longest]
        nobody = torch.full_like(rows, -1)
        logits, _ = reread(bank, prompt_ids[rows], prompt_mask[rows], part, kept, nobody)
        logprobs[rows, :longest] = token_logprobs(logits, part) * kept
    return logprobs
