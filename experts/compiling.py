"""Whether passes can be fused here. Knows torch alone, and not what is fused."""

import torch
from torch._dynamo.exc import BackendCompilerFailed


def can_compile() -> bool:
    """Whether this machine has what `torch.compile` needs, a C++ compiler above all."""
    try:
        torch.compile(torch.neg)(torch.ones(1))
    except BackendCompilerFailed:
        return False
    return True
