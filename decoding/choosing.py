"""Choosing one token for each request from its mixed distribution.

Knows which requests of a batch are drawn alike, log-probabilities and random generators. Does not know how the
distribution was mixed, nor what a setting means: `sampling.py` and `stopping.py` do.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from transformers import LogitsProcessorList, PreTrainedTokenizerBase, StoppingCriteriaList
from transformers.generation import MaxLengthCriteria

from decoding.history import History
from decoding.sampling import Sampling, processors
from decoding.stopping import endings


@dataclass(frozen=True)
class Group:
    """Requests of one batch that are drawn alike, and what was made ready for them.

    Args:
        rows: Their places in the batch (b).
        greedy: Whether they take the most probable token.
        processors: What happens to their log-probabilities.
        generators: One for each of them; none where nothing is drawn.
        endings: What ends their responses by themselves.
        limit: What ends them otherwise.
    """

    rows: list[int]
    greedy: bool
    processors: LogitsProcessorList
    generators: list[torch.Generator]
    endings: StoppingCriteriaList
    limit: MaxLengthCriteria


def grouped(
    samplings: Sequence[Sampling],
    generators: Sequence[torch.Generator],
    stop_ids: Sequence[int],
    tokenizer: PreTrainedTokenizerBase | None = None,
) -> list[Group]:
    """Gives the groups of requests that are drawn alike; together they are the batch.

    Args:
        samplings: One for each request (B).
        generators: One for each request, on the device of its log-probabilities; unused at temperature 0.
        stop_ids: Tokens that end a response.
        tokenizer: Needed where a sampling speaks of texts.

    Raises:
        ValueError: If there is not one generator per request, or a bias or stop text is no text of this tokenizer.
    """
    if not all(sampling.greedy for sampling in samplings) and len(generators) != len(samplings):
        raise ValueError(f"there must be one generator per request ({len(samplings)}), got {len(generators)}")
    alike: list[tuple[Sampling, list[int]]] = []
    for row, sampling in enumerate(samplings):
        rows = next((rows for known, rows in alike if known == sampling), None)
        if rows is None:
            alike.append((sampling, [row]))
        else:
            rows.append(row)
    return [
        Group(
            rows,
            sampling.greedy,
            processors(sampling, tokenizer),
            [] if sampling.greedy else [generators[row] for row in rows],
            endings(sampling, stop_ids, tokenizer),
            MaxLengthCriteria(sampling.max_new_tokens),
        )
        for sampling, rows in alike
    ]


def choose(logprobs: Tensor, history: History, groups: Sequence[Group]) -> Tensor:
    """One token per request.

    Each request draws from its own generator, so that it samples the same tokens whoever stands beside it in the batch.

    Args:
        logprobs: (B, V), the mixed distribution, untempered.
        history: What each request has read and written.
        groups: From `grouped`.

    Returns:
        Token ids, (B,).

    Raises:
        ValueError: If a row of `logprobs` is no distribution.
    """
    # The maximum carries a NaN through, and is -inf where no token is possible.
    if not bool(logprobs.amax(dim=-1).isfinite().all()):
        raise ValueError("logprobs must hold a finite maximum for every request, got NaN or infinities only")
    seen = history.tokens  # (B, S)
    chosen = torch.empty(logprobs.shape[0], dtype=torch.long, device=logprobs.device)  # (B,)
    for group in groups:
        scores = group.processors(seen[group.rows], logprobs[group.rows])  # type: ignore[arg-type]  # (b, V)
        chosen[group.rows] = scores.argmax(dim=-1) if group.greedy else _drawn(scores, group.generators)
    return chosen


def ended(response: Tensor, groups: Sequence[Group]) -> tuple[Tensor, Tensor]:
    """Whether each response ends by itself with its last token, and whether its length limit is reached; (B,) each.

    Args:
        response: What was chosen so far (B, n), the new tokens included.
        groups: From `grouped`.
    """
    stopped = torch.zeros(response.shape[0], dtype=torch.bool, device=response.device)  # (B,)
    full = stopped.clone()
    for group in groups:
        written = response[group.rows]  # (b, n)
        stopped[group.rows] = group.endings(written, None)  # type: ignore[arg-type]
        full[group.rows] = group.limit(written, None)  # type: ignore[arg-type]
    return stopped, full


def _drawn(scores: Tensor, generators: Sequence[torch.Generator]) -> Tensor:
    """One draw of each row by its own generator: (b, V) to (b,)."""
    pairs = zip(torch.softmax(scores, dim=-1), generators, strict=True)
    return torch.cat([torch.multinomial(row, 1, generator=generator) for row, generator in pairs])
