"""Where the time of one decoding step goes: operations by their own time, and how many are dispatched.

Knows torch's profiler. Does not know methods beyond their name.
"""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch.profiler import ProfilerActivity, profile

from comparison.page import Sheet

LONGEST = 15
"""Operations that are listed."""


def profiled(turn: Callable[[], None], device: torch.device, turns: int) -> Sequence[Any]:
    """Gives the profiler's entries, one for each operation, over some turns of a warm server."""
    activities = [ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if device.type == "cuda" else [])]
    with profile(activities=activities) as profiler:
        for _ in range(turns):
            turn()
    return profiler.key_averages()


def profile_sheet(title: str, entries: Sequence[Any], turns: int) -> Sheet:
    """Gives the operations that take most, each without those it calls.

    Args:
        title: What was profiled.
        entries: From `profiled`.
        turns: Over how many turns.
    """
    own = {entry.key: entry.self_device_time_total or entry.self_cpu_time_total for entry in entries}
    if any(entry.self_device_time_total for entry in entries):
        own = {entry.key: entry.self_device_time_total for entry in entries}
    total = sum(own.values()) or 1.0
    calls = {entry.key: entry.count for entry in entries}
    longest = sorted(own, key=lambda key: own[key], reverse=True)[:LONGEST]
    rows = [
        [f"`{key}`", f"{calls[key] / turns:.0f}", f"{own[key] / turns / 1000:.3f}", f"{100 * own[key] / total:.1f} %"]
        for key in longest
    ]
    dispatched = sum(entry.count for entry in entries if entry.key.startswith(("aten::", "mkldnn::")))
    told = f"{title}: {dispatched / turns:.0f} operations dispatched for each token, {total / turns / 1000:.2f} ms."
    return Sheet(told, ["operation", "calls", "own ms", "share"], rows)
