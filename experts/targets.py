"""Targets: which layers of a base an adapter reaches, and which factors belong there.

Knows linear layers, their names and sizes. Does not know rows or how factors are applied.
"""

import math
from collections.abc import Mapping

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel
from transformers.pytorch_utils import Conv1D

from experts.adapters import COPY, DOWN, UP, AdapterConfig

Factors = dict[str, tuple[Tensor, Tensor]]
"""For each module name, down (r, in) and up (out, r)."""


def targeted(base: PreTrainedModel, config: AdapterConfig) -> dict[str, nn.Module]:
    """The base's linear layers that this adapter reaches, by name; names count with and without the trunk's prefix.

    Raises:
        ValueError: If nothing is reached, or something that is no linear layer.
    """
    trunk = "" if base.base_model is base else f"{base.base_model_prefix}."
    if config.target_modules == "all-linear":
        # As in PEFT the head is left out: it is not part of the trunk.
        found = {f"{trunk}{name}": part for name, part in base.base_model.named_modules() if is_linear(part)}
    else:
        found = {name: part for name, part in base.named_modules() if _reaches(config, base, name)}
    if wrong := sorted(name for name, part in found.items() if not is_linear(part)):
        raise ValueError(f"target_modules must be Linear or Conv1D layers, got {wrong} by {config.target_modules!r}")
    if not found:
        raise ValueError(f"target_modules must name layers of {type(base).__name__}, got {config.target_modules!r}")
    return found


def names_of(base: PreTrainedModel, module: str) -> tuple[str, ...]:
    """What a module is called by the base, and by a model with a head around it where the base is a bare trunk."""
    return (module, f"{base.base_model_prefix}.{module}") if base.base_model is base else (module,)


def fresh(
    base: PreTrainedModel, modules: Mapping[str, nn.Module], config: AdapterConfig, generator: torch.Generator | None
) -> Factors:
    """Factors that change nothing yet, as PEFT starts them: A Kaiming-uniform, B zero."""
    factors: Factors = {}
    for name, module in modules.items():
        (inputs, outputs), rank = widths(module), config.rank_of(*names_of(base, name))
        down = torch.empty(rank, inputs)
        nn.init.kaiming_uniform_(down, a=math.sqrt(5), generator=generator)
        factors[name] = (down, torch.zeros(outputs, rank))
    return factors


def fitting(
    base: PreTrainedModel, state: Mapping[str, Tensor], modules: Mapping[str, nn.Module], config: AdapterConfig
) -> Factors:
    """The state's factors by the base's own module names.

    Raises:
        ValueError: If a tensor belongs nowhere (it would silently do nothing), is missing, or has the wrong shape.
    """
    renamed = {_own_name(base, key, modules): tensor for key, tensor in state.items() if not key.endswith(COPY)}
    wanted = {name + suffix for name in modules for suffix in (DOWN, UP)}
    if renamed.keys() != wanted:
        raise ValueError(
            f"an adapter's tensors must match its target modules, got {sorted(renamed.keys() - wanted)[:3]} too many "
            f"and {sorted(wanted - renamed.keys())[:3]} missing"
        )
    factors: Factors = {}
    for name, module in modules.items():
        (inputs, outputs), rank = widths(module), config.rank_of(*names_of(base, name))
        down, up = renamed[name + DOWN], renamed[name + UP]
        if down.shape != (rank, inputs) or up.shape != (outputs, rank):
            raise ValueError(
                f"{name} must have factors {(rank, inputs)} and {(outputs, rank)}, "
                f"got {tuple(down.shape)} and {tuple(up.shape)}"
            )
        factors[name] = (down, up)
    _require_same_base(modules, {_own_name(base, key, modules): state[key] for key in state if key.endswith(COPY)})
    return factors


def _require_same_base(modules: Mapping[str, nn.Module], copies: Mapping[str, Tensor]) -> None:
    """Refuses factors that were trained over other weights than this base has."""
    for key, copy in copies.items():
        weight = modules[key.removesuffix(COPY)].get_parameter("weight")
        if copy.shape != weight.shape or not torch.equal(copy.to(weight), weight.to(copy.dtype).to(weight)):
            raise ValueError(f"an adapter must have been trained on this base, whose {key} is another one")


def is_linear(module: nn.Module) -> bool:
    """Whether it is a layer that low-rank factors can be added to."""
    return isinstance(module, nn.Linear | Conv1D)


def widths(module: nn.Module) -> tuple[int, int]:
    """A linear layer's input and output widths, read from its attributes since quantised weights are packed."""
    if isinstance(module, Conv1D):
        return module.nx, module.nf
    assert isinstance(module, nn.Linear)
    return module.in_features, module.out_features


def _reaches(config: AdapterConfig, base: PreTrainedModel, name: str) -> bool:
    """Whether the adapter names this module."""
    return any(config.targets(known_as) for known_as in names_of(base, name))


def _own_name(base: PreTrainedModel, key: str, modules: Mapping[str, nn.Module]) -> str:
    """The key as this base would call it: adapters trained with a head carry the trunk's prefix, bare trunks do not."""
    suffix = next((suffix for suffix in (DOWN, UP, COPY) if key.endswith(suffix)), "")
    module, prefix = key.removesuffix(suffix), f"{base.base_model_prefix}."
    for candidate in (module, module.removeprefix(prefix), prefix + module):
        if candidate in modules:
            return candidate + suffix
    return key
