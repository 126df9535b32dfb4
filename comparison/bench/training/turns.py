"""Training in turn: the bench says go, a trainee does one turn of its training and tells about it, then waits.

Knows processes, pipes and lines of JSON. Does not know what a turn computes. It imports nothing but Python's own
library, so that it runs in every environment.
"""

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[3]


class Turns:
    """What a trainee speaks with: a line when a turn is done, a line to go on."""

    def __init__(self) -> None:
        """Takes standard output for these lines alone: whatever else is printed goes to standard error."""
        self._lines = os.fdopen(os.dup(sys.stdout.fileno()), "w")
        os.dup2(sys.stderr.fileno(), sys.stdout.fileno())

    def done(self, **told: object) -> None:
        """Tells about the turn that is over, and waits for the next one.

        Raises:
            SystemExit: If nobody asks for it any more.
        """
        print(json.dumps(told), file=self._lines, flush=True)
        if not sys.stdin.readline():
            raise SystemExit("nobody asks for another turn")


class Trainee:
    """A process that trains in turn; it waits, and computes nothing, between its turns."""

    def __init__(self, name: str, command: Sequence[str], log: Path, environment: Mapping[str, str]) -> None:
        """Starts the process, which then imports what it needs.

        Args:
            name: What messages call it.
            command: Its command line.
            log: Gets everything it prints.
            environment: What is added to the variables of this process.
        """
        self.name, self._log = name, log
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("w", encoding="utf-8") as printed:
            self._process = subprocess.Popen(
                list(command),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=printed,
                text=True,
                cwd=ROOT,
                env={**os.environ, **environment},
            )
        self.told: list[dict[str, Any]] = []

    def arrive(self) -> None:
        """Waits until everything is imported; what it tells of that is the first of `told`.

        Raises:
            ChildProcessError: If it does not come that far.
        """
        self.told.append(self._heard())

    def turn(self) -> None:
        """Lets it do one turn; what it tells then is the last of `told`.

        Raises:
            ChildProcessError: If it ends instead.
        """
        self._go()
        self.told.append(self._heard())

    def finish(self) -> None:
        """Lets it do what is left, and end.

        Raises:
            ChildProcessError: If it fails.
        """
        self._go()
        if self._process.wait():
            raise self._failed()

    def stop(self) -> None:
        """Ends it, wherever it is."""
        self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            assert pipe is not None  # both are pipes
            with suppress(BrokenPipeError):
                pipe.close()

    def _go(self) -> None:
        assert self._process.stdin is not None  # it is a pipe
        try:
            self._process.stdin.write("go\n")
            self._process.stdin.flush()
        except BrokenPipeError as gone:
            raise self._failed() from gone

    def _heard(self) -> dict[str, Any]:
        assert self._process.stdout is not None  # it is a pipe
        line = self._process.stdout.readline()
        if not line:
            self._process.wait()
            raise self._failed()
        return dict(json.loads(line))

    def _failed(self) -> ChildProcessError:
        printed = self._log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
        last = printed[-1] if printed else "nothing"
        return ChildProcessError(f"{self.name} must train to its end, got {last!r}: {self._log} has all it printed")
