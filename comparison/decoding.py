"""From conversations to texts, many at once: the one loop that serves every method.

Knows a mixture and how to batch. Does not know methods, preferences or scores.
"""

import hashlib
import json
from collections.abc import Sequence
from functools import partial
from itertools import islice

import torch
from torch import Tensor

from decoding.conversation import Conversation, require_room
from decoding.history import History
from decoding.loop import decode
from decoding.sampling import Sampling
from decoding.step import Rollout
from mixture import Mixture

BATCH = 216
"""Requests side by side."""
STAGE = 8
"""Tokens after which the requests that have ended leave the batch."""


def answers(
    mixture: Mixture, conversations: Sequence[Conversation], asked: Tensor, sampling: Sampling, seed: tuple[object, ...]
) -> list[str]:
    """Gives the text of one answer to each conversation.

    Args:
        mixture: Answers.
        conversations: What to answer (B).
        asked: How much each expert is asked for (B, K).
        sampling: How tokens are drawn.
        seed: Together with a conversation it decides that conversation's draws, whoever stands beside it.

    Raises:
        ValueError: If a conversation and its answer do not fit the model's window.
    """
    texts = [""] * len(conversations)
    for places in batches(conversations):
        input_ids, mask = mixture.encode([conversations[place] for place in places])  # (b, T)
        generators = [_generator(drawn(*seed, conversations[place]), mixture) for place in places]
        tokens = in_stages(mixture, input_ids, mask, asked[places], sampling, generators)
        for place, written in zip(places, tokens, strict=True):
            text = mixture.tokenizer.decode(written, skip_special_tokens=True, clean_up_tokenization_spaces=False)
            texts[place] = str(text)
    return texts


def in_stages(
    mixture: Mixture,
    input_ids: Tensor,
    mask: Tensor,
    asked: Tensor,
    sampling: Sampling,
    generators: Sequence[torch.Generator],
) -> list[list[int]]:
    """Gives the tokens of each answer: exactly what one `mixture.rollout` gives, at half its cost.

    Answers end at very different lengths, and a rollout carries everybody to the end of the longest. Here those that
    have ended leave every few tokens, and the state goes on with the others.

    Args:
        mixture: Answers.
        input_ids: Prompts, padded on the left (B, T).
        mask: 1 where a token counts (B, T).
        asked: How much each expert is asked for (B, K).
        sampling: How tokens are drawn.
        generators: One for each request; they go on from stage to stage.

    Raises:
        ValueError: If a prompt and its answer do not fit the model's window.
    """
    require_room(mask, sampling.max_new_tokens, mixture.window)
    written: list[list[int]] = [[] for _ in generators]
    running, unread = list(range(len(generators))), input_ids  # places of the requests, (b, t) tokens to read
    state, history = mixture.start(mask, asked.to(input_ids.device)), History.of(input_ids, mask)
    while True:
        among = [generators[place] for place in running]
        turns = decode(
            partial(mixture.step, state),
            unread,
            sampling,
            among,
            mixture.stop_ids,
            mixture.tokenizer.pad_token_id,
            mixture.tokenizer,
            history,
        )
        emitted = list(islice(turns, STAGE))
        stage, last = Rollout.of(emitted), emitted[-1]
        for place, tokens, counts in zip(running, stage.tokens, stage.mask, strict=True):
            written[place] += tokens[counts.bool()].tolist()
        going = last.going.nonzero().squeeze(-1).tolist()  # rows
        if not going:
            break
        running, unread = [running[row] for row in going], last.tokens[going].unsqueeze(-1)
        state, history = state.narrowed(going), last.history.narrowed(going)
    return written


def batches(conversations: Sequence[Conversation]) -> list[list[int]]:
    """Gives the places of the conversations that are answered together: short with short, to save padding."""
    turns = {len(conversation) for conversation in conversations}
    alike = [[place for place, one in enumerate(conversations) if len(one) == count] for count in sorted(turns)]
    return [group[start : start + BATCH] for group in alike for start in range(0, len(group), BATCH)]


def drawn(*parts: object) -> int:
    """Gives a seed that is a fingerprint of these parts, equal on every machine."""
    digest = hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).digest()
    return int.from_bytes(digest[:7], "big")


def _generator(seed: int, mixture: Mixture) -> torch.Generator:
    return torch.Generator(device=mixture.bank.base.device).manual_seed(seed)
