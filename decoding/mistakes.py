"""How a command ends: a mistake of whoever runs it is one line on standard error, with no traceback.

Knows exceptions and exit statuses. Does not know what a command does.
"""

import sys
from collections.abc import Callable


def exit_status(work: Callable[[], object], *others: type[Exception], stopped: str | None = None) -> int:
    """Does the work of a command and gives its exit status: 0, 1 after a mistake or 130 after an interruption.

    Args:
        work: Everything that may go wrong.
        others: What is a mistake besides values that do not fit and files that cannot be used.
        stopped: What to say to whoever interrupts it; without it an interruption goes on upwards.
    """
    mistakes: tuple[type[Exception], ...] = (ValueError, OSError, *others)
    try:
        work()
    except KeyboardInterrupt:
        if stopped is None:
            raise
        sys.stderr.write(f"{stopped}\n")
        return 130
    except mistakes as problem:
        sys.stderr.write(f"{' '.join(str(problem).split())}\n")
        return 1
    return 0
