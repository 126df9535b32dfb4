"""Trains what is not trained yet, some at a time, each as a process with a log of its own.

Knows processes and cores. Does not know what they do.
"""

import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from threading import Event

from comparison.ablation.plan import Run
from experts.miniature.__main__ import ENVIRONMENT


def train(runs: Sequence[Run], workers: int, done: Callable[[Run], object] = lambda run: None) -> None:
    """Runs what is not done yet; what was interrupted goes on from its last checkpoint.

    Args:
        runs: All of them.
        workers: Processes at a time; they share the cores.
        done: Told of each run that has ended well, or had before.

    Raises:
        ValueError: If one ends without its bundle, once those beside it have ended; what waited is not begun. Or if
            there are no workers.
    """
    if workers < 1:
        raise ValueError(f"workers must be at least 1, got {workers}")
    threads, failed = max(1, (os.cpu_count() or 1) // workers), Event()

    def begin(run: Run) -> None:
        if not failed.is_set():
            try:
                finish(run, threads, done)
            except BaseException:
                failed.set()
                raise

    pool = ThreadPoolExecutor(workers)
    try:
        waiting = [pool.submit(begin, run) for run in runs]
        for one in wait(waiting, return_when=FIRST_EXCEPTION).done:
            one.result()
    finally:
        pool.shutdown(cancel_futures=True)


def finish(run: Run, threads: int, done: Callable[[Run], object]) -> None:
    """Runs one to its end.

    Args:
        run: What to run.
        threads: Cores it may compute on, unless the environment says otherwise.
        done: Told of it at the end.

    Raises:
        ValueError: If it ends without its bundle.
    """
    if not run.done:
        environment = {**ENVIRONMENT, "OMP_NUM_THREADS": str(threads), **os.environ}
        command = [sys.executable, *run.arguments()]
        with run.log.open("a", encoding="utf-8") as log:
            ended = subprocess.run(command, check=False, env=environment, stdout=log, stderr=subprocess.STDOUT)
        if ended.returncode or not run.done:
            raise ValueError(f"the training {run.name} must leave {run.bundle}, it ended without: see {run.log}")
    done(run)
