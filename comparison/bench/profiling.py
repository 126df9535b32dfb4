"""Where the time of one decoding step goes: operations by their own time, and how many are dispatched.

Knows torch's profiler. Does not know methods beyond their name.
"""

from collections.abc import Callable, Mapping, Sequence
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


def profile_row(entries: Sequence[Any], turns: int) -> dict[str, Any]:
    """Gives what a turn dispatches and which operations take most, each without those it calls.

    Args:
        entries: From `profiled`.
        turns: Over how many turns.

    Returns:
        `dispatched` operations and `ms` of a turn, and the longest `operations` with their `calls`, `own_ms`, `share`.
    """
    own = {entry.key: entry.self_device_time_total or entry.self_cpu_time_total for entry in entries}
    if any(entry.self_device_time_total for entry in entries):
        own = {entry.key: entry.self_device_time_total for entry in entries}
    total = sum(own.values()) or 1.0
    calls = {entry.key: entry.count for entry in entries}
    operations = [
        {"operation": key, "calls": calls[key] / turns, "own_ms": own[key] / turns / 1000, "share": own[key] / total}
        for key in sorted(own, key=lambda key: own[key], reverse=True)[:LONGEST]
    ]
    dispatched = sum(entry.count for entry in entries if entry.key.startswith(("aten::", "mkldnn::")))
    return {"dispatched": dispatched / turns, "ms": total / turns / 1000, "operations": operations}


def profile_sheet(row: Mapping[str, Any]) -> Sheet:
    """Gives a profile as a table.

    Args:
        row: From `profile_row`, with what was profiled: `name`, `experts`, `batch`, `dtype` and `engine`.
    """
    title = (
        f"{row['name']}, {row['experts']} experts, batch {row['batch']}, {row['dtype']}, {row['engine']}: "
        f"{row['dispatched']:.0f} operations dispatched for each token, {row['ms']:.2f} ms."
    )
    lines = [
        [f"`{one['operation']}`", f"{one['calls']:.0f}", f"{one['own_ms']:.3f}", f"{100 * one['share']:.1f} %"]
        for one in row["operations"]
    ]
    return Sheet(title, ["operation", "calls", "own ms", "share"], lines)
