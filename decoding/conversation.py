"""Turn conversations into the token ids that a model shall continue.

Knows a tokenizer's chat template and padding. Does not know models.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from transformers import BatchEncoding, PreTrainedTokenizerBase

Conversation = Sequence[Mapping[str, str]]
"""Turns with the keys role and content, the last one to be answered."""

ROLES = ("system", "user", "assistant")


def encode(tokenizer: PreTrainedTokenizerBase, conversations: Sequence[Conversation]) -> tuple[Tensor, Tensor]:
    """Gives token ids and mask, padded on the left, (B, T) each.

    Control tokens that a person typed inside a message are read as ordinary text: nobody can speak for another role.

    Args:
        tokenizer: With a chat template and a padding token.
        conversations: One for each request.

    Raises:
        ValueError: If a turn has an unknown role, or the last one is empty.
    """
    on_left = {"padding_side": "left"}
    padded = _rendered(tokenizer, conversations, padding=True, return_tensors="pt", tokenizer_kwargs=on_left)
    return padded["input_ids"], padded["attention_mask"]


def encode_prompts(tokenizer: PreTrainedTokenizerBase, conversations: Sequence[Conversation]) -> list[Tensor]:
    """Gives the token ids of each conversation alone, (P,) each: a row of `encode` without what pads it.

    Args:
        tokenizer: With a chat template; it needs nothing to pad with.
        conversations: At least one.

    Raises:
        ValueError: As `encode`.
    """
    return [torch.tensor(ids) for ids in _rendered(tokenizer, conversations)["input_ids"]]


def with_system(text: str, conversation: Conversation) -> Conversation:
    """Gives the conversation behind a system message, joined with one that is there already."""
    if conversation[0]["role"] == "system":
        return [{"role": "system", "content": f"{conversation[0]['content']} {text}"}, *conversation[1:]]
    return [{"role": "system", "content": text}, *conversation]


def require_room(attention_mask: Tensor, max_new_tokens: int | Tensor, window: int) -> None:
    """Refuses prompts that do not fit the model's window together with their responses.

    Args:
        attention_mask: Of the prompts (B, T).
        max_new_tokens: The most that a response may have: of all, or of each (B,).
        window: What the model can read, in tokens.

    Raises:
        ValueError: If one of them does not fit.
    """
    prompts = attention_mask.sum(dim=-1)  # (B,)
    responses = torch.as_tensor(max_new_tokens, device=prompts.device).expand_as(prompts)
    longest = int((prompts + responses).argmax())
    if int(prompts[longest] + responses[longest]) > window:
        raise ValueError(
            f"prompt and response must fit the model's window of {window} tokens together, "
            f"got a prompt of {int(prompts[longest])} tokens and up to {int(responses[longest])} new ones"
        )


def _rendered(
    tokenizer: PreTrainedTokenizerBase, conversations: Sequence[Conversation], **settings: Any
) -> BatchEncoding:
    """The conversations as a model reads them that shall answer; the settings are those of `apply_chat_template`."""
    for conversation in conversations:
        _require_turns(conversation)
    rendered: BatchEncoding = tokenizer.apply_chat_template(  # type: ignore[assignment]  # it is one with return_dict
        [[dict(turn) for turn in conversation] for conversation in conversations],
        add_generation_prompt=True,
        sanitize_control_tokens=True,
        return_dict=True,
        **settings,
    )
    return rendered


def _require_turns(conversation: Conversation) -> None:
    """Refuses what a chat template would silently render as something else."""
    if not conversation or not conversation[-1]["content"].strip():
        raise ValueError("a prompt must hold some text, got an empty one")
    for turn in conversation:
        if turn["role"] not in ROLES:
            raise ValueError(f"a turn's role must be one of {', '.join(ROLES)}, got {turn['role']!r}")
