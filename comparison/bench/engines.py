"""Engines: what computes a model's layers, the same for a soup and for a bank, so that each is timed at its best.

    eager      torch as it is
    packed     oneDNN's own layout of every weight, made once (`experts.packed`); CPU only
    compiled   torch.compile of the feed-forward blocks. Whole models are not compiled: a bank catches hidden states
               with a hook that is new in every pass, and graphs of 30 layers take longer than the benchmark
    int8       8-bit weights by torchao, if that is installed

Knows models and their linear layers. Does not know adapters or who is timed.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from typing import cast

import torch
from torch import nn
from transformers import PreTrainedModel

from experts.packed import pack, require_packable


def int8(model: PreTrainedModel) -> None:
    """Turns the weights of every linear layer into 8-bit integers with one scale for each output."""
    from torchao.quantization import Int8WeightOnlyConfig, quantize_

    quantize_(model, Int8WeightOnlyConfig())


def compiled(model: PreTrainedModel) -> None:
    """Compiles the feed-forward blocks of a model, one graph for all layers and any number of rows."""
    from torch._dynamo import config as dynamo

    dynamo.recompile_limit = 256  # all models of a run share one forward function
    dynamo.skip_nnmodule_hook_guards = False  # else a bank would run the graph of a model without adapters
    for layer in cast(nn.ModuleList, model.base_model.layers):
        cast(nn.Module, layer.mlp).compile(dynamic=True)


def unchanged(model: PreTrainedModel) -> None:
    """Leaves a model as it is."""


@dataclass(frozen=True)
class Engine:
    """One way of computing.

    Args:
        name: Of the engine.
        weights: Changes a model's weights in place, before adapters hang on it.
        code: Changes how a model runs, after adapters hang on it.
    """

    name: str
    weights: Callable[[PreTrainedModel], object] = unchanged
    code: Callable[[PreTrainedModel], None] = unchanged


ENGINES: Mapping[str, Engine] = {
    engine.name: engine
    for engine in (
        Engine("eager"),
        Engine("packed", weights=pack),
        Engine("compiled", code=compiled),
        Engine("int8", weights=int8),
    )
}


def engine_named(name: str, device: torch.device, dtype: torch.dtype) -> Engine:
    """Gives the engine of this name.

    Raises:
        ValueError: If there is no such engine, or it cannot run on this device, in this precision or installation.
    """
    if name not in ENGINES:
        raise ValueError(f"an engine must be one of {', '.join(ENGINES)}, got {name!r}")
    if name == "packed":
        require_packable(device, dtype)
    if name == "int8" and find_spec("torchao") is None:
        raise ValueError("8-bit weights need torchao, got none: pip install torchao")
    return ENGINES[name]
