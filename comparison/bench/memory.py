"""How much memory a server needs, counted in tensors.

Resident memory of a process cannot be reset, and a process for each method would spend the benchmark on loading, so
tensors are counted instead: what a server's modules hold, each storage once, plus what its caches hold, plus the
largest sum of allocations that are alive at one time within one pass, as torch's own allocator reports them (on CPU
through the profiler, on CUDA through its peak counter). What libraries take past that allocator, such as oneDNN's
scratch memory, is not seen; weights are counted for each server as if it stood alone.
Knows tensors and allocators. Does not know methods.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping

import psutil
import torch
from torch import Tensor, nn
from torch.profiler import ProfilerActivity, profile
from torch.utils._python_dispatch import is_traceable_wrapper_subclass
from transformers import Cache

_ALLOCATION = "[memory]"


def bytes_of(modules: Iterable[nn.Module]) -> int:
    """Gives the bytes of all tensors that modules hold in any attribute, each storage once."""
    sizes: dict[int, int] = {}
    for module in modules:
        for part in module.modules():
            for tensor in _tensors(vars(part)):
                place, size = _storage(tensor)
                sizes[place] = size
    return sum(sizes.values())


def cached_bytes(caches: Iterable[Cache]) -> int:
    """Gives the bytes of the keys and values in caches."""
    return sum(tensor.nbytes for cache in caches for layer in cache.layers for tensor in _tensors(vars(layer)))


def growth(run: Callable[[], object], device: torch.device) -> int:
    """Gives by how many bytes the tensors that are alive grow at most while something runs."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
        torch.cuda.reset_peak_memory_stats(device)
        before = torch.cuda.memory_allocated(device)
        run()
        return torch.cuda.max_memory_allocated(device) - before
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiler:
        run()
    assert profiler.profiler is not None
    events = profiler.profiler.kineto_results.events()
    changes = [(event.start_ns(), event.nbytes()) for event in events if event.name() == _ALLOCATION]
    return highest(change for _, change in sorted(changes))


def highest(changes: Iterable[int]) -> int:
    """Gives the largest running sum of some changes, at least 0."""
    alive = most = 0
    for change in changes:
        alive += change
        most = max(most, alive)
    return most


def free_bytes(device: torch.device) -> int:
    """Gives how much memory is still free on a device."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    return psutil.virtual_memory().available


def no_room(needed: int, device: torch.device, share: float = 0.5) -> str | None:
    """Gives why something should not be put into memory, None where it fits into a share of what is free."""
    free = free_bytes(device)
    if needed <= share * free:
        return None
    return f"they need {needed / 1e9:.1f} GB, {free / 1e9:.1f} GB are free"


def _tensors(held: object) -> Iterator[Tensor]:
    """The tensors in an object that is made of dictionaries, lists and tuples."""
    if is_traceable_wrapper_subclass(held):  # such as quantised weights: integers and their scales
        for name in held.__tensor_flatten__()[0]:
            yield from _tensors(getattr(held, name))
    elif isinstance(held, Tensor):
        yield held
    elif isinstance(held, Mapping):
        for value in held.values():
            yield from _tensors(value)
    elif isinstance(held, list | tuple):
        for value in held:
            yield from _tensors(value)


def _storage(tensor: Tensor) -> tuple[int, int]:
    """Where a tensor's memory is, and its size; oneDNN's packed tensors have no storage to ask."""
    if tensor.is_mkldnn:
        return id(tensor), tensor.numel() * tensor.element_size()
    storage = tensor.untyped_storage()
    return storage.data_ptr(), storage.nbytes()
