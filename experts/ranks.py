"""Processes that train together: who reads which rows, and how what they found comes together.

Knows torch's collectives and the order of rows. Does not know what a row is. A process alone sends nothing, and gets
back what it gave, bit for bit.
"""

from collections.abc import Iterable

import torch
from torch import Tensor, distributed, nn
from torch.nn.functional import pad


def count() -> int:
    """How many processes train together."""
    return distributed.get_world_size() if distributed.is_available() and distributed.is_initialized() else 1


def number() -> int:
    """Which of them this one is, from zero."""
    return distributed.get_rank() if count() > 1 else 0


def share(rows: int) -> slice:
    """The consecutive rows that this process answers for.

    Raises:
        ValueError: if the rows do not divide evenly.
    """
    if rows % count():
        raise ValueError(f"prompts_per_update must be a multiple of the {count()} processes, got {rows}")
    each = rows // count()
    return slice(number() * each, (number() + 1) * each)


def added(tensor: Tensor) -> Tensor:
    """The sum of the processes' tensors, of any one shape."""
    if count() > 1:
        distributed.all_reduce(tensor)
    return tensor


def gathered(rows: Tensor, groups: int, fill: float = 0, on_left: bool = False) -> Tensor:
    """The rows of all processes `(groups * n * processes, ...)`, group by group, in each by the process's number.

    Args:
        rows: `(groups * n,)` or `(groups * n, T)`, where `n` is the same everywhere; `T` becomes the largest.
        groups: how many groups the rows lie in.
        fill: what widens narrow rows.
        on_left: where it is put.
    """
    if count() == 1:
        return rows
    if rows.dim() > 1:
        missing = _largest(rows.shape[1], rows.device) - rows.shape[1]
        rows = pad(rows, (missing, 0) if on_left else (0, missing), value=fill)
    sent = rows.to(torch.uint8) if rows.dtype is torch.bool else rows.contiguous()
    parts = [torch.empty_like(sent) for _ in range(count())]
    distributed.all_gather(parts, sent)
    by_group = [part.unflatten(0, (groups, -1)) for part in parts]  # (groups, n, ...)
    return torch.cat(by_group, dim=1).flatten(0, 1).to(rows.dtype)


def add_gradients(parameters: Iterable[nn.Parameter]) -> None:
    """Gives every parameter the sum of its gradients over the processes, in one message; none counts as zero."""
    if count() == 1:
        return
    parameters = list(parameters)
    for parameter in parameters:
        if parameter.grad is None:
            parameter.grad = torch.zeros_like(parameter)
    gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
    total = added(torch.cat([gradient.flatten() for gradient in gradients]))
    for gradient, part in zip(gradients, total.split([gradient.numel() for gradient in gradients]), strict=True):
        gradient.copy_(part.view_as(gradient))


def _largest(width: int, device: torch.device) -> int:
    largest = torch.tensor(width, device=device)
    distributed.all_reduce(largest, distributed.ReduceOp.MAX)
    return int(largest)
