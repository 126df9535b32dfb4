"""The expert bank: a frozen base and the experts' adapters on it, read in one pass.

Knows models of transformers, rows and caches. Does not know weights, rules or how an expert was trained.

The base stays as it was: adapters hang on its layers as forward hooks that do nothing outside the bank's own passes,
so it can be saved, generate by itself, and carry a second bank (reward models) at the same time.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor, nn
from transformers import Cache, PreTrainedModel
from transformers.pytorch_utils import Conv1D

from experts.adapters import (
    CONFIG_FILE,
    DOWN,
    UP,
    WEIGHTS_FILE,
    Adapter,
    AdapterConfig,
    read_adapter,
    write_adapter,
)
from experts.compiled import CompiledPass
from experts.hub import located
from experts.passes import arguments, fresh_cache, last_hidden
from experts.rows import Reading, Rows, RowsOutput
from experts.stacked import Layout, Routing, StackedAdapter
from experts.targets import Factors, fitting, fresh, names_of, targeted

__all__ = ["AdapterConfig", "ExpertBank", "Reading", "Rows", "RowsOutput"]


class ExpertBank(nn.Module):
    """A frozen base with K experts, each an ordinary LoRA adapter (arXiv 2106.09685).

    Args:
        base: A causal language model, or a trunk without a head; its parameters are frozen and its dropout is off.
    """

    def __init__(self, base: PreTrainedModel) -> None:
        """Starts without any expert."""
        super().__init__()
        self.base = base.requires_grad_(False)
        self.base.eval()
        self.names: list[str] = []
        self.configs: dict[str, AdapterConfig] = {}
        self._routing = Routing()
        self._compiled: CompiledPass | None = None
        # A module's name may not hold dots, so slashes stand for them.
        self._layers = nn.ModuleDict()

    @classmethod
    def load(cls, base: PreTrainedModel, sources: Mapping[str, str | Path]) -> "ExpertBank":
        """Reads experts from ordinary PEFT folders, in the order given.

        Args:
            base: As for the bank itself.
            sources: For each name a folder, or a hub id `owner/name` or `owner/name@revision`.

        Raises:
            ValueError: If a folder holds something other than plain LoRA, does not fit the base, or changes nothing.
            FileNotFoundError: If there is no such folder or repository.
        """
        bank = cls(base)
        for name, source in sources.items():
            adapter = _trained(name, source)
            bank.add(name, adapter.config, adapter.state)
        return bank

    def save(self, name: str, folder: str | Path) -> None:
        """Writes an expert as an ordinary PEFT folder."""
        config = self._config_of(name)
        write_adapter(folder, Adapter(config, self.state_of(name)), fan_in_fan_out=self.fan_in_fan_out)

    def add(
        self,
        name: str,
        config: AdapterConfig,
        state: Mapping[str, Tensor] | None = None,
        generator: torch.Generator | None = None,
    ) -> None:
        """Adds an expert, after those that are there.

        Args:
            name: New and without dots.
            config: Its adapter's shape and targets.
            state: `<module>.lora_A.weight` (r, in) and `<module>.lora_B.weight` (out, r); module names may lack or have
                the trunk's prefix (`model.`). None starts fresh: A random as in PEFT, B zero, so nothing changes yet.
            generator: Draws a fresh A; None is torch's own generator.

        Raises:
            ValueError: If the name is taken, or the state does not fit the targets and the base.
        """
        if not name or "." in name or name in self.names:
            raise ValueError(f"an expert's name must be new and without dots, got {name!r} beside {self.names}")
        self._hang(name, config, self._factors(config, state, generator))
        self.names.append(name)

    def replace(self, name: str, source: str | Path | Adapter) -> None:
        """Puts another adapter in an expert's place; its number and the other experts stay.

        The expert's parameters are new ones, which an optimiser of the old does not know. A cache that is alive holds
        what the old adapter read: read on with it only after `empty_cache`; rows of the other experts may go on.

        Args:
            name: The expert.
            source: A PEFT folder or hub id as in `load`, or an adapter in memory. An error leaves the old one in place.

        Raises:
            ValueError: If no expert has this name, or as in `load`.
            FileNotFoundError: If there is no such folder or repository.
        """
        self._config_of(name)
        adapter = source if isinstance(source, Adapter) else _trained(name, source)
        factors = self._factors(adapter.config, adapter.state, None)
        self._unhang(name)
        self._hang(name, adapter.config, factors)

    def remove(self, name: str) -> None:
        """Removes an expert; those after it move up by one, so caches that are alive belong to nobody."""
        self._config_of(name)
        self._unhang(name)
        self.names.remove(name)

    def parameters_of(self, name: str) -> list[nn.Parameter]:
        """The expert's own parameters, shared with nobody."""
        self._config_of(name)
        return [factor for _, layer in self._adapted(name) for factor in (layer.down[name], layer.up[name])]

    def state_of(self, name: str) -> dict[str, Tensor]:
        """The expert's factors themselves: `<module>.lora_A.weight` (r, in) and `<module>.lora_B.weight` (out, r)."""
        self._config_of(name)
        state: dict[str, Tensor] = {}
        for module, layer in self._adapted(name):
            state |= {module + DOWN: layer.down[name].detach(), module + UP: layer.up[name].detach()}
        return state

    def scaling(self, name: str, module: str) -> float:
        """What the expert's update `B A x` of this module is multiplied with."""
        return self._config_of(name).scaling_of(*names_of(self.base, module))

    @property
    def fan_in_fan_out(self) -> bool:
        """Whether the base's adapted layers store their weights as (in, out)."""
        modules = [self.base.get_submodule(key.replace("/", ".")) for key in self._layers]
        return any(isinstance(module, Conv1D) for module in modules)

    def empty_cache(self) -> Cache:
        """A new cache for `read` and `forward_rows`, of the kinds of layers this base has."""
        return fresh_cache(self.base)

    def rows(self, asked: Tensor) -> Rows:
        """Gives who reads requests that ask for experts (B, K)."""
        return Rows.of(asked)

    def read(
        self, input_ids: Tensor, attention_mask: Tensor, rows: Rows, cache: Cache | None = None, logits_to_keep: int = 0
    ) -> Reading:
        """Reads each request by the base and by the experts that have a row.

        Args:
            input_ids: (B, T), the tokens that the cache does not hold yet.
            attention_mask: (B, S), over cached and new tokens, padding on the left.
            rows: The same for the whole life of a cache.
            cache: From `empty_cache`, filled further in place; None reads without one.
            logits_to_keep: Return only this many last positions, T'; 0 returns all.

        Returns:
            Logits (B, T', V) and (B, T', K, V), with the base's where an expert has no row.

        Raises:
            ValueError: If the rows do not start with one base row per request, or shapes disagree.
        """
        rows.require_base(input_ids.shape[0])
        output = self.forward_rows(
            input_ids[rows.requests],
            attention_mask[rows.requests],
            rows.experts,
            cache=cache,
            hidden=True,
            logits_to_keep=logits_to_keep,
        )
        return output.by_request(rows, len(self.names))

    def forward_rows(
        self,
        input_ids: Tensor,
        attention_mask: Tensor,
        experts: Tensor,
        cache: Cache | None = None,
        hidden: bool = False,
        logits_to_keep: int = 0,
    ) -> RowsOutput:
        """Reads rows, each with its expert, in one pass over the base's weights.

        Args:
            input_ids: (R, T), the tokens that the cache does not hold yet.
            attention_mask: (R, S), over cached and new tokens, padding on the left.
            experts: (R,), sorted; -1 is the base.
            cache: From `empty_cache`, filled further in place; None reads without one.
            hidden: Also return the last hidden states, after the final norm.
            logits_to_keep: Compute only this many last positions, T'; 0 computes all.

        Returns:
            Logits (R, T', V), hidden states (R, T', H) if asked for, and the cache.

        Raises:
            ValueError: If the base has no head, experts are unsorted or unknown, or shapes disagree.
        """
        if self.base.get_output_embeddings() is None:
            raise ValueError(f"forward_rows needs a base with a language-model head, got {type(self.base).__name__}")
        inputs = arguments(input_ids, attention_mask, cache)
        with self._routed(input_ids, experts), last_hidden(self.base.base_model) as states:
            output = self.base(**inputs, logits_to_keep=logits_to_keep)
        kept = states[0][:, -logits_to_keep:] if hidden else None
        return RowsOutput(output.logits, kept, cache)

    def forward_hidden(self, input_ids: Tensor, attention_mask: Tensor, experts: Tensor) -> Tensor:
        """Last hidden states (R, T, H) after the final norm, without any head; arguments as in `forward_rows`."""
        with self._routed(input_ids, experts):
            return self.base.base_model(**arguments(input_ids, attention_mask, None)).last_hidden_state

    def compile(self, **settings: Any) -> None:
        """Compiles the passes over the trunk that want no gradient; they give the same, faster once they are warm.

        One graph each is made for a prompt, for a first step and for all steps after it, again for every new grouping
        of rows (which experts, how many rows each): it pays where the same groupings come again and again.

        Args:
            settings: Those of `torch.compile`.

        Raises:
            ValueError: If the trunk's forward pass is wrapped, as by a device map of accelerate.
        """
        self._compiled = CompiledPass(self.base.base_model, **settings)

    def train(self, mode: bool = True) -> "ExpertBank":
        """Sets training mode, but not for the base: it is frozen, and dropout would make every reading differ."""
        super().train(mode)
        self.base.eval()
        return self

    @contextmanager
    def _routed(self, input_ids: Tensor, experts: Tensor) -> Iterator[None]:
        """Leads each row of the pass inside to its expert."""
        if experts.shape != input_ids.shape[:1]:
            raise ValueError(
                f"experts must name one expert per row, ({input_ids.shape[0]},), got {tuple(experts.shape)}"
            )
        order = experts.tolist()
        if order != sorted(order) or (order and not -1 <= order[0] <= order[-1] < len(self.names)):
            raise ValueError(f"experts must be sorted and from -1 (base) to {len(self.names) - 1}, got {order}")
        compiled = nullcontext() if self._compiled is None else self._compiled.instead(self.base.base_model)
        with self._routing.along(Layout.of(order, self.names, input_ids.device)), compiled:
            yield

    def _config_of(self, name: str) -> AdapterConfig:
        """The expert's configuration, or a clear error."""
        if name not in self.configs:
            raise ValueError(f"an expert must be one of {self.names}, got {name!r}")
        return self.configs[name]

    def _factors(
        self, config: AdapterConfig, state: Mapping[str, Tensor] | None, generator: torch.Generator | None
    ) -> Factors:
        """The factors of an adapter that fits this base, fresh ones without a state."""
        modules = targeted(self.base, config)
        if state is None:
            return fresh(self.base, modules, config, generator)
        return fitting(self.base, state, modules, config)

    def _hang(self, name: str, config: AdapterConfig, factors: Factors) -> None:
        """Puts copies of the factors beside the base's layers."""
        self.configs[name] = config
        for module, pair in factors.items():
            place = next(self.base.get_submodule(module).parameters()).device
            down, up = (factor.detach().to(place, self._dtype, copy=True) for factor in pair)
            self._layer(module).add(name, down, up, self.scaling(name, module))

    def _unhang(self, name: str) -> None:
        """Takes an expert's factors away."""
        for _, layer in self._adapted(name):
            layer.remove(name)
        del self.configs[name]

    def _layer(self, module: str) -> StackedAdapter:
        """The adapters of the base's module of this name, hung onto it the first time."""
        key = module.replace(".", "/")
        if key not in self._layers:
            layer = StackedAdapter(self._routing)
            self.base.get_submodule(module).register_forward_hook(layer.update)
            self._layers[key] = layer
        return cast(StackedAdapter, self._layers[key])

    def _adapted(self, name: str) -> list[tuple[str, StackedAdapter]]:
        """The module names and layers that this expert adapts."""
        layers = ((key.replace("/", "."), cast(StackedAdapter, layer)) for key, layer in self._layers.items())
        return [(module, layer) for module, layer in layers if name in layer.down]

    @property
    def _dtype(self) -> torch.dtype:
        """What adapters are kept in: the base's own, but at least float32, since half precision trains badly."""
        return torch.promote_types(self.base.dtype, torch.float32)


def _trained(name: str, source: str | Path) -> Adapter:
    """The adapter of a folder or hub id, if it changes something."""
    adapter = read_adapter(located(source, (CONFIG_FILE, WEIGHTS_FILE)))
    if adapter.is_silent:
        raise ValueError(f"expert {name!r} must change some logit, got zeros in A or B of every module: is it trained?")
    return adapter
