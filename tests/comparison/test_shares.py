"""Processes that answer side by side: everything is somebody's, and nobody goes on when one cannot."""

import os
import time
from multiprocessing import active_children
from pathlib import Path

import pytest

from comparison.shares import answer_in_shares, share_of


def note_down(folder: Path, share: str) -> None:
    (folder / share.replace("/", "-")).touch()


def fail_or_wait(folder: Path, share: str) -> None:
    """The first share fails when another process has begun to wait."""
    if not share.startswith("1/"):
        (folder / str(os.getpid())).touch()
        time.sleep(600)
    while not list(folder.iterdir()):
        time.sleep(0.05)
    raise ValueError(f"share {share} must not be")


def die(share: str) -> None:
    os._exit(9)


@pytest.mark.parametrize("count", [1, 3, 7])
def test_every_line_is_in_one_share(count: int):
    shares = [share_of("abcde", f"{place}/{count}") for place in range(1, count + 1)]
    assert sorted(line for share in shares for line in share) == list("abcde")
    assert max(map(len, shares)) - min(map(len, shares)) <= 1


def test_every_share_is_answered(tmp_path: Path):
    answer_in_shares(note_down, {"folder": tmp_path}, lines=3, workers=2)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["1-3", "2-3", "3-3"]


def test_where_one_fails_its_mistake_is_told_and_the_others_end(tmp_path: Path):
    with pytest.raises(ValueError, match="share 1/4 must not be"):
        answer_in_shares(fail_or_wait, {"folder": tmp_path}, lines=4, workers=2)
    waiting = {int(path.name) for path in tmp_path.iterdir()}
    assert waiting
    until = time.monotonic() + 20
    while waiting & {process.pid for process in active_children()}:
        assert time.monotonic() < until, "somebody still answers"
        time.sleep(0.05)


def test_a_process_that_was_killed_is_told_of_in_a_line():
    with pytest.raises(OSError, match="was killed, perhaps for want of memory: try fewer workers"):
        answer_in_shares(die, {}, lines=2, workers=1)
