"""One pass of a model of transformers: what it is given, what it keeps, and its last hidden states.

Knows positions, masks and caches. Does not know experts or rows.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from torch import Tensor, nn
from transformers import Cache, DynamicCache, PreTrainedModel


def fresh_cache(model: PreTrainedModel) -> DynamicCache:
    """A new cache, of the kinds of layers this model has."""
    return DynamicCache(config=model.config)


def arguments(input_ids: Tensor, attention_mask: Tensor, cache: Cache | None) -> dict[str, Any]:
    """A model's arguments, with positions counted over real tokens only.

    Args:
        input_ids: (R, T), the tokens that the cache does not hold yet.
        attention_mask: (R, S), over cached and new tokens, padding on the left.
        cache: Filled further in place; None reads without one.

    Raises:
        ValueError: If the mask does not cover cached and new tokens.
    """
    cached = 0 if cache is None else cache.get_seq_length()
    covered = (input_ids.shape[0], cached + input_ids.shape[1])
    if attention_mask.shape != covered:
        raise ValueError(
            f"attention_mask must cover cached and new tokens, {covered}, "
            f"got {tuple(attention_mask.shape)}; to read step by step, start with cache=bank.empty_cache()"
        )
    positions = (attention_mask.long().cumsum(dim=-1) - 1).clamp(min=0)[:, cached:]  # (R, T)
    return {
        "input_ids": input_ids,
        "attention_mask": attention_mask,
        "position_ids": positions,
        "past_key_values": cache,
        "use_cache": cache is not None,
    }


@contextmanager
def last_hidden(trunk: nn.Module) -> Iterator[list[Tensor]]:
    """Catches the trunk's last hidden states (R, T, H), which a model with a head does not give."""
    states: list[Tensor] = []
    handle = trunk.register_forward_hook(lambda module, inputs, output: states.append(output.last_hidden_state))
    try:
        yield states
    finally:
        handle.remove()
