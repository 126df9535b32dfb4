"""Whole fine-tuned models as experts: the base and its K offspring, read one after another.

Knows models of transformers with one vocabulary, rows and caches. Does not know weights, rules or adapters.

An adapter is cheaper in every way (`ExpertBank`); this is for experts that exist as whole models only. Memory holds
K + 1 models. A model runs for the requests that ask for it, in their own pass, and reads nothing for the others.
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NoReturn, cast

import torch
from torch import LongTensor, Tensor, nn
from transformers import AutoModelForCausalLM, Cache, PreTrainedModel
from transformers.cache_utils import CacheLayerMixin

from experts.hub import is_pinned, split_revision
from experts.passes import arguments, fresh_cache, last_hidden
from experts.probe import refuse_silent_experts
from experts.rows import Reading, Rows, RowsOutput

__all__ = ["CacheOfEach", "WholeModels", "read_model"]


class CacheOfEach(Cache):
    """The caches of the base and of each expert, in this order; its length is the base's, and its rows are theirs.

    Args:
        parts: One cache for the base and one for each of the K experts. A part without rows stays empty.
    """

    def __init__(self, parts: Sequence[Cache]) -> None:
        """Shares the parts' layers: what is done to all layers, such as `crop`, is done in every part."""
        super().__init__(layers=[layer for part in parts for layer in part.layers])
        self.parts = list(parts)

    def batch_select_indices(self, indices: Tensor) -> None:
        """Keeps these rows, counted over all parts."""
        for part, mine in self._own(indices):
            part.batch_select_indices(mine)

    def reorder_cache(self, beam_idx: LongTensor) -> None:
        """Puts row `beam_idx[r]` into place r, counted over all parts; a row stays in its part."""
        for part, mine in self._own(beam_idx):
            part.reorder_cache(cast(LongTensor, mine))

    def _own(self, rows: Tensor) -> list[tuple[Cache, Tensor]]:
        """Each part that has rows, with those of the given ones that are its own, by their places in it."""
        found, start = [], 0
        for part in self.parts:
            count = _rows_of(part)
            mine = rows[(rows >= start) & (rows < start + count)] - start
            start += count
            if count:
                found.append((part, mine))
        return found


def _rows_of(cache: Cache) -> int:
    """How many rows a cache holds; none as long as nothing was read."""
    keys = (layer.keys for layer in cache.layers if isinstance(layer, CacheLayerMixin))
    return next((len(key) for key in keys if key is not None), 0)


class WholeModels(nn.Module):
    """A base with K experts, each a whole model over the same vocabulary. Satisfies `experts.reading.Bank`.

    The experts may differ from the base in width and depth, not in tokens.

    Args:
        base: A causal language model; its parameters are frozen and its dropout is off.
    """

    def __init__(self, base: PreTrainedModel) -> None:
        """Starts without any expert."""
        super().__init__()
        self.base = _frozen(base)
        self.names: list[str] = []
        self.pinned: dict[str, str] = {}
        """The experts that were read from the hub at a commit, `owner/name@commit`."""
        self._experts = nn.ModuleDict()

    @classmethod
    def load(cls, base: PreTrainedModel, sources: Mapping[str, str | Path]) -> "WholeModels":
        """Reads experts from folders or hub ids (`owner/name`, `owner/name@revision`), in the order given.

        Raises:
            ValueError: As in `add`.
        """
        models = cls(base)
        for name, source in sources.items():
            models.add(name, source)
        return models

    def add(self, name: str, model: PreTrainedModel | str | Path) -> None:
        """Adds an expert, after those that are there.

        Args:
            name: New and without dots.
            model: The model, or its folder or hub id (`owner/name@revision`), read in the base's dtype and device.

        Raises:
            ValueError: If the name is taken, the vocabulary differs from the base's, or the expert changes no logit.
        """
        if not name or "." in name or name in self.names:
            raise ValueError(f"an expert's name must be new and without dots, got {name!r} beside {self.names}")
        self._experts[name] = self._fitting(name, model)
        if is_pinned(model):
            self.pinned[name] = model
        self.names.append(name)

    def save(self, name: str, folder: str | Path) -> None:
        """Writes an expert's model, which `from_pretrained` reads; the tokenizer is not the bank's to write.

        Raises:
            ValueError: If no expert has this name.
        """
        if name not in self.names:
            raise ValueError(f"an expert must be one of {self.names}, got {name!r}")
        self._model(name).save_pretrained(folder)

    def empty_cache(self) -> CacheOfEach:
        """A new cache for `read`, one part for each model."""
        return CacheOfEach([fresh_cache(model) for model in self._readers()])

    def rows(self, asked: Tensor) -> Rows:
        """Gives who reads requests that ask for experts (B, K)."""
        return Rows.of(asked)

    def read(
        self, input_ids: Tensor, attention_mask: Tensor, rows: Rows, cache: Cache | None = None, logits_to_keep: int = 0
    ) -> Reading:
        """Reads as `ExpertBank.read` does, base and experts one model after another; arguments and result as there.

        Raises:
            ValueError: If the rows do not start with one base row per request, name experts that are not there, or
                shapes disagree.
        """
        rows.require_base(input_ids.shape[0])
        if rows.pairs and rows.pairs[-1][0] >= len(self.names):
            raise ValueError(f"rows must name experts up to {len(self.names) - 1}, got {rows.pairs[-1][0]}")
        parts = self._parts(cache)
        logits: list[Tensor] = []  # (rows of one model, T', V) each
        with last_hidden(self.base.base_model) as states:
            for expert, model in enumerate(self._readers(), start=-1):
                mine = rows.requests[rows.experts == expert]
                if len(mine):
                    text, mask = (tensor[mine].to(model.device) for tensor in (input_ids, attention_mask))
                    output = model(**arguments(text, mask, parts[expert + 1]), logits_to_keep=logits_to_keep)
                    logits.append(output.logits.to(self.base.device))
        hidden = states[0][:, -logits_to_keep:]
        return RowsOutput(torch.cat(logits), hidden, cache).by_request(rows, len(self.names))

    def compile(self, *args: object, **settings: object) -> NoReturn:
        """Refuses: only passes that share one base are worth their graphs.

        Raises:
            ValueError: Always.
        """
        raise ValueError(f"only adapters on one base can be compiled, got {type(self).__name__}")

    def train(self, mode: bool = True) -> "WholeModels":
        """Stays in evaluation mode: whole experts are read here and trained elsewhere."""
        return super().train(False)

    def _readers(self) -> Iterator[PreTrainedModel]:
        """The base, then the experts in order."""
        yield self.base
        for name in self.names:
            yield self._model(name)

    def _parts(self, cache: Cache | None) -> Sequence[Cache | None]:
        """Each model's own cache, base first."""
        if cache is None:
            return [None] * (len(self.names) + 1)
        if not isinstance(cache, CacheOfEach) or len(cache.parts) != len(self.names) + 1:
            raise ValueError(f"a cache must come from this bank's empty_cache(), got {cache}")
        return cache.parts

    def _fitting(self, name: str, model: PreTrainedModel | str | Path) -> PreTrainedModel:
        """The model, read if it is not yet, frozen and found to fit the base."""
        if isinstance(model, str | Path):
            model = read_model(model, self.base.dtype, self.base.device)
        ours, theirs = (_vocabulary(each) for each in (self.base, model))
        if ours != theirs:
            raise ValueError(f"expert {name!r} must have the base's vocabulary of {ours} tokens, got {theirs}")
        trial = WholeModels(self.base)
        trial._experts[name] = _frozen(model)
        trial.names.append(name)
        refuse_silent_experts(trial)
        return model

    def _model(self, name: str) -> PreTrainedModel:
        """The expert of this name."""
        model = self._experts[name]
        assert isinstance(model, PreTrainedModel)
        return model


def _frozen(model: PreTrainedModel) -> PreTrainedModel:
    """The model itself, without gradients and without dropout."""
    model.requires_grad_(False).eval()
    return model


def read_model(source: str | Path, dtype: torch.dtype, device: torch.device | str = "cpu") -> PreTrainedModel:
    """Gives the model of a folder or hub id (`owner/name`, `owner/name@revision`), read from safetensors only.

    Args:
        source: A folder that exists comes first.
        dtype: Of its weights in memory.
        device: Where to put it.
    """
    where, revision = split_revision(source)
    model: PreTrainedModel = AutoModelForCausalLM.from_pretrained(
        where, revision=revision or "main", dtype=dtype, use_safetensors=True
    )
    nn.Module.to(model, device)
    return model


def _vocabulary(model: PreTrainedModel) -> int:
    """How many tokens the model knows, V."""
    return int(model.config.get_text_config().vocab_size)
