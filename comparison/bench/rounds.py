"""Timing in turn: one round runs everybody once, A, B, C, then A, B, C again, so that drift hits all alike.

Knows callables and clocks. Does not know what they compute.
"""

import time
from collections.abc import Callable, Collection, Hashable, Iterator, Mapping
from typing import TypeVar

Key = TypeVar("Key", bound=Hashable)

FEWEST_ROUNDS = 3
"""However long they take: a median of two is a mean."""


def rounds(
    runs: Mapping[Key, Callable[[], None]],
    most: int,
    seconds: float,
    clock: Callable[[], float] = time.perf_counter,
    few: Collection[Key] = (),
) -> Iterator[dict[Key, float]]:
    """Gives, round after round, how many seconds each run took.

    Args:
        runs: By name, in the order of a round; each waits until its device has finished.
        most: The most rounds.
        seconds: No round starts after this many seconds, except the first three.
        clock: Seconds since whenever.
        few: Those that run in the first three rounds only.

    Raises:
        ValueError: If fewer than three rounds are wanted.
    """
    if most < FEWEST_ROUNDS:
        raise ValueError(f"there must be at least {FEWEST_ROUNDS} rounds, got {most}")
    began = clock()
    for number in range(most):
        if number >= FEWEST_ROUNDS and clock() - began > seconds:
            return
        yield {key: timed(run, clock) for key, run in runs.items() if number < FEWEST_ROUNDS or key not in few}


def timed(run: Callable[[], None], clock: Callable[[], float] = time.perf_counter) -> float:
    """Gives how many seconds a run takes."""
    began = clock()
    run()
    return clock() - began
