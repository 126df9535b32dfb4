"""Nobody trains on for a process that is no more."""

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PARENT = """
import os, sys, time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from experts.workers import end_with_parent

def work(note):
    Path(note).write_text(str(os.getpid()))
    time.sleep(600)

if __name__ == "__main__":
    with ProcessPoolExecutor(1, get_context("spawn"), end_with_parent) as pool:
        pool.submit(work, sys.argv[1]).result()
"""


def until(holds, seconds=30.0):
    """Whether something comes to hold in time."""
    last = time.monotonic() + seconds
    while not (held := holds()) and time.monotonic() < last:
        time.sleep(0.05)
    return held


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="needs /proc to see a process end")
def test_a_worker_ends_when_its_parent_is_killed(tmp_path):
    script, note = tmp_path / "parent.py", tmp_path / "worker"
    script.write_text(PARENT)
    with subprocess.Popen([sys.executable, script, note], env={"PYTHONPATH": str(ROOT)}) as parent:
        assert until(lambda: note.exists() and note.read_text())
        worker = Path("/proc") / note.read_text()
        assert worker.exists()
        parent.send_signal(signal.SIGKILL)
    assert until(lambda: not worker.exists() or "\nState:\tZ" in (worker / "status").read_text())
