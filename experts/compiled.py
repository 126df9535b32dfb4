"""A trunk's forward pass, compiled, in the plain one's place for as long as somebody reads through it.

Knows torch's compiler and a model's trunk. Does not know experts or rows.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from types import MethodType
from typing import Any

import torch
from torch import nn
from torch._dynamo import config as dynamo


class CompiledPass:
    """One trunk's forward pass, compiled once it is called.

    Args:
        trunk: A model without its head.
        settings: Those of `torch.compile`.

    Raises:
        ValueError: If the trunk's forward pass is wrapped, as by a device map of accelerate.
    """

    def __init__(self, trunk: nn.Module, **settings: Any) -> None:
        if "forward" in vars(trunk):
            raise ValueError(f"a trunk to be compiled must have its own forward pass, got {trunk.forward}")
        self._forward = torch.compile(type(trunk).forward, **settings)

    @contextmanager
    def instead(self, trunk: nn.Module) -> Iterator[None]:
        """Lets the trunk run the compiled pass, unless a gradient is wanted: only what is inside hears of it."""
        if torch.is_grad_enabled():
            yield
            return
        trunk.forward = MethodType(self._forward, trunk)  # type: ignore[method-assign]
        try:
            # A layer that is adapted later must not run the graph of the one without an adapter.
            with dynamo.patch(skip_nnmodule_hook_guards=False):
                yield
        finally:
            del trunk.forward
