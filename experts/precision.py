"""Which precision is the faster one here. Knows devices, no models."""

import torch


def knows_bfloat16(device_type: str = "cpu") -> bool:
    """Whether a device multiplies in bfloat16; a CPU that does not takes some fifty times as long as in float32.

    Args:
        device_type: "cuda", or "cpu", where oneDNN must have such products for its vectors.
    """
    if device_type == "cuda":
        return torch.cuda.is_bf16_supported()
    return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())


def trains_in_bfloat16() -> bool:
    """Whether products of a training should be bfloat16 on what transformers trains on; the weights stay float32."""
    return knows_bfloat16("cuda" if torch.cuda.is_available() else "cpu")
