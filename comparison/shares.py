"""Shares of a comparison: lines answered by several processes or machines, into the folder that one report is made of.

Knows processes. Does not know what a line is or how it is answered.
"""

import signal
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing import get_context
from typing import Any, TypeVar

import torch

from comparison.command import bars, quiet

T = TypeVar("T")
SHARES_EACH = 4
"""Shares for each process, so that whoever is done early takes another one."""


def share_of(lines: Sequence[T], share: str) -> list[T]:
    """Gives the lines of a share.

    Args:
        lines: All of them, in the same order for everybody.
        share: K/N is the Kth of N.

    Raises:
        ValueError: If it is no share.
    """
    place, _, count = share.partition("/")
    if not (place.isdecimal() and count.isdecimal() and 1 <= int(place) <= int(count)):
        raise ValueError(f"a share must be K/N with K from 1 to N, got {share!r}")
    return list(lines[int(place) - 1 :: int(count)])


def answer_in_shares(answer: Callable[..., object], settings: Mapping[str, Any], lines: int, workers: int) -> None:
    """Lets processes answer all lines, side by side; each has its part of this process's threads.

    Args:
        answer: Called with the settings and a `share`; a function that a new process can import.
        settings: Of the comparison.
        lines: How many there are.
        workers: How many processes.
    """
    count = min(lines, SHARES_EACH * workers)
    threads = max(1, torch.get_num_threads() // workers)
    pool = ProcessPoolExecutor(workers, get_context("spawn"), initializer=_begin, initargs=(threads,))
    try:
        with bars() as progress:
            shares = [f"{place}/{count}" for place in range(1, count + 1)]
            running = [pool.submit(answer, **{**settings, "share": share}) for share in shares]
            for done in progress.track(as_completed(running), total=count, description="answering in shares"):
                done.result()
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


def _begin(threads: int) -> None:
    """Prepares a process that answers: it says nothing, and ends at once when it is interrupted."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    torch.set_num_threads(threads)
    quiet()
