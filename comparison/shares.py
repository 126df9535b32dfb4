"""Shares of a comparison: lines answered by several processes or machines, into the folder that one report is made of.

Knows processes. Does not know what a line is or how it is answered.
"""

import gc
import os
import signal
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context
from multiprocessing.connection import Connection
from threading import Thread
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
    place, count = place_of(share)
    return list(lines[place - 1 :: count])


def place_of(share: str) -> tuple[int, int]:
    """Gives K and N of a share K/N.

    Raises:
        ValueError: If it is no share.
    """
    place, _, count = share.partition("/")
    if not (place.isdecimal() and count.isdecimal() and 1 <= int(place) <= int(count)):
        raise ValueError(f"a share must be K/N with K from 1 to N, got {share!r}")
    return int(place), int(count)


def answer_in_shares(answer: Callable[..., object], settings: Mapping[str, Any], lines: int, workers: int) -> None:
    """Lets processes answer all lines, side by side; each has its part of this process's threads.

    Args:
        answer: Called with the settings and a `share`; a function that a new process can import.
        settings: Of the comparison.
        lines: How many there are.
        workers: How many processes.

    Raises:
        OSError: If a process is killed, or cannot begin.
    """
    count = min(lines, SHARES_EACH * workers)
    threads = max(1, torch.get_num_threads() // workers)
    context = get_context("spawn")
    theirs, ours = context.Pipe(duplex=False)
    pool = ProcessPoolExecutor(workers, context, initializer=_begin, initargs=(threads, theirs))
    try:
        with bars() as progress:
            shares = [f"{place}/{count}" for place in range(1, count + 1)]
            running = [pool.submit(_answered, answer, {**settings, "share": share}) for share in shares]
            for done in progress.track(as_completed(running), total=count, description="answering in shares"):
                done.result()
        pool.shutdown()
    except BrokenProcessPool as problem:
        raise OSError("a process that answers was killed, perhaps for want of memory: try fewer workers") from problem
    finally:
        ours.close()  # whoever still answers ends
        pool.shutdown(wait=False, cancel_futures=True)


def _begin(threads: int, parent: Connection) -> None:
    """Prepares a process that answers: it says nothing, and ends at once when it is interrupted or left alone."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    torch.set_num_threads(threads)
    quiet()
    Thread(target=_end_with, args=(parent,), daemon=True).start()


def _end_with(parent: Connection) -> None:
    """Ends this process when the other end is closed, by hand or because its process is no more."""
    try:
        parent.recv()
    except EOFError:
        os._exit(1)  # what is finished was written whole


def _answered(answer: Callable[..., object], settings: Mapping[str, Any]) -> None:
    """Answers a share, and leaves none of its models in memory."""
    answer(**settings)
    gc.collect()
