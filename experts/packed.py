"""Linear weights in oneDNN's own layout, made once: faster products on a CPU, above all of many rows in bfloat16.

Dense weights are brought into that layout in every call, which in bfloat16 takes longer than the product. Knows linear
layers. Does not know adapters: a packed layer stays an `nn.Linear`, so they hang on it as on any other.
"""

from typing import TypeVar

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from experts.precision import knows_bfloat16

Model = TypeVar("Model", bound=PreTrainedModel)


class PackedLinear(nn.Linear):
    """A linear layer whose weight lies in oneDNN's layout; its dense weight is empty, and no gradient passes it.

    Args:
        dense: The layer whose weight is packed.
    """

    packed: Tensor

    def __init__(self, dense: nn.Linear) -> None:
        super().__init__(dense.in_features, dense.out_features, bias=False, device="meta")
        self.weight = nn.Parameter(dense.weight.new_empty(0), requires_grad=False)
        self.bias = dense.bias
        self.register_buffer("packed", torch.ops.mkldnn._reorder_linear_weight(dense.weight.detach()), persistent=False)

    def forward(self, inputs: Tensor) -> Tensor:
        """Gives inputs (..., in) times the weight, plus the bias where there is one, (..., out)."""
        return torch.ops.mkldnn._linear_pointwise(inputs, self.packed, self.bias, "none", [], "")


def pack(model: Model) -> Model:
    """Gives the model itself, every linear layer of it packed, the head included; done before experts are added.

    It can be read as before, but neither trained nor saved.

    Raises:
        ValueError: If it is not on a CPU, or in another precision than float32 and bfloat16.
    """
    require_packable(model.device, model.dtype)
    for name, module in list(model.named_modules()):
        if isinstance(module, nn.Linear):
            model.set_submodule(name, PackedLinear(module))
    return model


def is_packed(model: nn.Module) -> bool:
    """Whether some layer of a model is packed."""
    return any(isinstance(module, PackedLinear) for module in model.modules())


def require_packable(device: torch.device, dtype: torch.dtype) -> None:
    """Refuses what oneDNN has no layout for.

    Raises:
        ValueError: If it is not for a CPU, in another precision than float32 and bfloat16, or in one that this CPU's
            vectors do not know.
    """
    if device.type != "cpu" or dtype not in (torch.float32, torch.bfloat16):
        raise ValueError(f"packed weights need a CPU and float32 or bfloat16, got {device.type} and {dtype}")
    if dtype == torch.bfloat16 and not knows_bfloat16():
        raise ValueError(
            "packed bfloat16 weights need a CPU with AVX-512 or AVX-NE-CONVERT, got one without: take float32"
        )
