"""What a controller reads the text with: the base's own hidden states, or a small language model of its own.

Knows token ids, masks and caches. Does not know experts or weights. Both trunks have one interface, so that a
controller, its training and decoding never ask which one it is.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from transformers import (
    AutoConfig,
    AutoModel,
    AutoTokenizer,
    Cache,
    DynamicCache,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)

from decoding.dimension import Dimension


class Texts(NamedTuple):
    """Prompts with their responses, as they are read once the responses are there."""

    input_ids: Tensor  # (S, L) prompt and response without its last token, padded on both sides
    attention_mask: Tensor  # (S, L)
    asked: Tensor  # (S, K) how much each dimension is asked for
    counts: Tensor  # (S, n) bool, where a response token counts; position L - n + t is read before token t

    def only(self, chosen: Tensor) -> "Texts":
        """Gives the responses where `chosen` (S,) is true."""
        return Texts(*(tensor[chosen] for tensor in self))


class BaseStates(nn.Module):
    """The base's own hidden states, which are there anyway and cost nothing.

    Args:
        hidden_size: size H of the base's states.
    """

    def __init__(self, hidden_size: int) -> None:
        super().__init__()
        self.hidden_size = hidden_size
        self.window: int | None = None
        """The most tokens of prompt and response together; None leaves it to the base."""

    def empty_cache(self) -> Cache | None:
        """Gives the cache of requests of which nothing is read yet: none, for the base has its own."""
        return None

    def read(
        self, base_hidden: Tensor, input_ids: Tensor, attention_mask: Tensor, asked: Tensor, cache: Cache | None = None
    ) -> Tensor:
        """Gives the states (B, T', H) at the last positions: the base's.

        Args:
            base_hidden: the base's states at these positions (B, T', H').
            input_ids: tokens that the cache does not hold yet (B, T).
            attention_mask: 1 where a token counts, over cached and new ones (B, S).
            asked: how much each dimension is asked for (B, K).
            cache: filled further; None reads without one.
        """
        return base_hidden

    def reread(self, texts: Texts, base_hidden: Tensor) -> Tensor:
        """Gives the states (N, H) before each response token that counts, request by request, with gradient.

        Args:
            texts: what was said.
            base_hidden: the base's states at these tokens (N, H').
        """
        return base_hidden


class OwnModel(nn.Module):
    """A small language model of the controller's own, after 2407.04181; it is trained with the controller.

    What is asked for stands in front of the text, as the descriptions of the asked dimensions. That is our reading:
    the paper does not say how the preference enters its model. Intensities do not enter here.

    Args:
        model: without a head; reads the base's token ids. Its dropout stays off: a rollout must be what is read again.
        prefixes: token ids of each dimension's description (K).

    Raises:
        ValueError: if the prefixes leave the model no room for a text.
    """

    def __init__(self, model: PreTrainedModel, prefixes: Sequence[Sequence[int]]) -> None:
        super().__init__()
        self.model = model.eval()
        self.prefixes = tuple(tuple(ids) for ids in prefixes)
        self.hidden_size = int(model.config.get_text_config().hidden_size)
        room = int(model.config.get_text_config().max_position_embeddings)
        longest = sum(len(ids) for ids in self.prefixes)
        self.window: int | None = room - longest
        if room <= longest:
            raise ValueError(f"the trunk must have room for more than the {longest} tokens of its prefixes, got {room}")

    def train(self, mode: bool = True) -> "OwnModel":
        """Sets training mode, but not for the model: dropout would make every reading differ."""
        super().train(mode)
        self.model.eval()
        return self

    def empty_cache(self) -> Cache | None:
        """Gives a new cache of this model's kind."""
        return DynamicCache(config=self.model.config)

    def read(
        self, base_hidden: Tensor, input_ids: Tensor, attention_mask: Tensor, asked: Tensor, cache: Cache | None = None
    ) -> Tensor:
        """Gives the model's own states (B, T', H); the base's are counted, not read. See `BaseStates`."""
        return self._states(input_ids, attention_mask, asked, cache)[:, -base_hidden.shape[1] :]

    def reread(self, texts: Texts, base_hidden: Tensor) -> Tensor:
        """Gives the model's own states (N, H); see `BaseStates`."""
        states = self._states(texts.input_ids, texts.attention_mask, texts.asked, None)
        return states[:, -texts.counts.shape[1] :][texts.counts]

    def prefix(self, asked: Tensor) -> tuple[Tensor, Tensor]:
        """Gives what stands in front of each text and its mask, padded on the left (B, P) each.

        Args:
            asked: how much each dimension is asked for (B, K).

        Raises:
            ValueError: if there is not one prefix for each dimension.
        """
        if asked.shape[-1] != len(self.prefixes):
            raise ValueError(f"there must be a prefix for each of {asked.shape[-1]} experts, got {len(self.prefixes)}")
        rows = [[i for ids, wanted in zip(self.prefixes, row, strict=True) if wanted for i in ids] for row in asked > 0]
        width = max((len(row) for row in rows), default=0)
        ids = torch.tensor([[0] * (width - len(row)) + row for row in rows], dtype=torch.long, device=asked.device)
        mask = torch.tensor([[0] * (width - len(row)) + [1] * len(row) for row in rows], device=asked.device)
        return ids.view(len(rows), width), mask.view(len(rows), width).long()

    def _states(self, input_ids: Tensor, attention_mask: Tensor, asked: Tensor, cache: Cache | None) -> Tensor:
        """The last hidden states at all new positions, the prefix's among them where it is new."""
        prefix, prefix_mask = self.prefix(asked)
        begun = cache is not None and cache.get_seq_length() > 0
        new = input_ids if begun else torch.cat((prefix, input_ids), dim=-1)
        mask = torch.cat((prefix_mask, attention_mask.long()), dim=-1)
        positions = (mask.cumsum(-1) - 1).clamp(min=0)[:, mask.shape[1] - new.shape[1] :]
        output = self.model(
            input_ids=new,
            attention_mask=mask,
            position_ids=positions,
            past_key_values=cache,
            use_cache=cache is not None,
        )
        return output.last_hidden_state


def described(tokenizer: PreTrainedTokenizerBase, dimensions: Sequence[Dimension]) -> list[list[int]]:
    """Gives the token ids of each dimension's description.

    Args:
        tokenizer: of the base.
        dimensions: the K dimensions.
    """
    return [tokenizer.encode(f"{one.description} ", add_special_tokens=False) for one in dimensions]


def own_model(
    source: str | Mapping[str, Any], tokenizer: PreTrainedTokenizerBase, dimensions: Sequence[Dimension], window: int
) -> OwnModel:
    """Gives a trunk from a trained causal language model, or a fresh one from a configuration.

    Args:
        source: folder or hub id of the model, which must have the base's tokenizer; or a configuration of transformers
            with its `model_type`, initialised at random. Vocabulary and positions are taken from the base unless given.
        tokenizer: of the base.
        dimensions: the K dimensions; their descriptions are what the trunk hears of the preference.
        window: of the base, in tokens.

    Raises:
        ValueError: if the model reads other tokens than the base.
    """
    prefixes = described(tokenizer, dimensions)
    if isinstance(source, str):
        require_same_tokens(source, tokenizer)
        return OwnModel(AutoModel.from_pretrained(source, dtype=torch.float32), prefixes)
    settings: dict[str, Any] = {"max_position_embeddings": window + sum(len(ids) for ids in prefixes)}
    settings |= {"vocab_size": len(tokenizer), **source}
    return OwnModel(AutoModel.from_config(AutoConfig.for_model(**settings)), prefixes)


def require_same_tokens(source: str, tokenizer: PreTrainedTokenizerBase) -> None:
    """Refuses a model whose token ids mean something else than the base's.

    Args:
        source: folder or hub id of the model.
        tokenizer: of the base.

    Raises:
        ValueError: if its tokenizer has another vocabulary.
    """
    theirs, ours = AutoTokenizer.from_pretrained(source).get_vocab(), tokenizer.get_vocab()
    if theirs != ours:
        differ = len(theirs.items() ^ ours.items())
        raise ValueError(
            f"a trunk must have the base's tokenizer, got one of {source} that differs in {differ} entries"
        )


def save_trunk(trunk: OwnModel, folder: Path) -> None:
    """Writes a trunk's model as a folder of transformers; its prefixes go into the controller's configuration.

    Args:
        trunk: what to write.
        folder: made if needed.
    """
    trunk.model.save_pretrained(folder)


def load_trunk(folder: Path, prefixes: Sequence[Sequence[int]]) -> OwnModel:
    """Reads what `save_trunk` wrote, in float32.

    Args:
        folder: where the model lies.
        prefixes: token ids of each dimension's description.
    """
    return OwnModel(AutoModel.from_pretrained(folder, dtype=torch.float32, use_safetensors=True), prefixes)
