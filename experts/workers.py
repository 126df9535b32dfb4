"""Processes that work for another one, and end where it does. Knows processes, not what they work on."""

import os
from multiprocessing import parent_process
from threading import Thread


def end_with_parent() -> None:
    """Lets this process end when the one that started it is no more, however that ended: for a pool's `initializer`.

    A pool's process asks for the next task only when it is done with the last one. Left alone in a long training, it
    would go on, and write beside whoever was started again.
    """
    Thread(target=_wait_and_end, daemon=True).start()


def _wait_and_end() -> None:
    if parent := parent_process():
        parent.join()
        os._exit(1)
