"""Draws what every expert of a run earned over its updates, and says whether that had come to rest.

    python -m experts.plateau --run build/miniature/specialists

Knows the logs of `experts.train` and intervals. Does not know what is true, nor how experts are trained. An expert
earns the mark that it learns from (`total` in the logs): what its own rewards and quality pay, less penalties. It is on
a plateau where the last third of its updates earned no more than the third before it, as far as that can be told from
the noise of single updates, or more by less than a hundredth.

The learning rate of a run falls to zero, and whoever takes smaller steps comes to rest. A plateau says that these
updates had no more to give, not that more of them would not.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jsonargparse import ArgumentParser
from rich.console import Console
from rich.table import Table

from decoding.mistakes import exit_status
from evaluation.intervals import Estimate, difference
from evaluation.pictures import path_plot
from evaluation.plots import save_plot
from experts.logs import read_logs, smoothed

SMALL = 0.01
"""The part of a mark that is too little to train on for."""


class Standing(NamedTuple):
    """Where an expert's training ended."""

    mark: float  # mean of the last third of the updates
    gain: Estimate  # of the last third over the middle one, with its 95 % interval

    @property
    def verdict(self) -> str:
        """`plateau`, or else where it was going: `rising` or `falling`."""
        if self.gain.low <= 0 <= self.gain.high or abs(self.gain.mean) < SMALL * abs(self.mark):
            return "plateau"
        return "rising" if self.gain.mean > 0 else "falling"


def standing(marks: Sequence[float]) -> Standing:
    """Where a training ended, from its mean mark at each update.

    The thirds are compared update by update, so a slope that both have does not widen the interval.

    Raises:
        ValueError: if there are too few updates.
    """
    third = len(marks) // 3
    if third < 2:
        raise ValueError(f"there must be at least 6 updates to compare the last third with another, got {len(marks)}")
    before, last = np.array(marks[-2 * third : -third]), np.array(marks[-third:])
    return Standing(float(last.mean()), difference(last, before))


def plateau(run: Path, output: Path | None = None, window: int = 10) -> dict[str, Standing]:
    """Draws the curves, prints a table and gives where each expert's training ended.

    Args:
        run: the output folder of `experts.train`.
        output: image to write; `plateau.png` in the run's folder if none is given.
        window: updates in a row whose mean is one point of a curve.

    Raises:
        ValueError: if there are no logs, too few updates, or more experts than a picture can tell apart.
    """
    marks = {name: [metrics["total"] for metrics in updates.values()] for name, updates in read_logs(run).items()}
    found = {name: standing(of_one) for name, of_one in marks.items()}
    curves = {name: smoothed(list(enumerate(of_one, 1)), window)[::window] for name, of_one in marks.items()}
    save_plot(path_plot(curves, f"update (means of {window})", "mark"), output or run / "plateau.png")
    table = Table("expert", "mark", "gain", "95 % interval", "", box=None, pad_edge=False, collapse_padding=True)
    for name, one in found.items():
        interval = f"{one.gain.low:+.3f} to {one.gain.high:+.3f}"
        table.add_row(name, f"{one.mark:.3f}", f"{one.gain.mean:+.3f}", interval, one.verdict)
    Console().print(table)
    return found


def main(arguments: list[str] | None = None) -> int:
    """Runs the command and gives its exit status: a mistake is one line on standard error."""
    parser = ArgumentParser(description="Draws what every expert of a run earned, and says who is on a plateau.")
    parser.add_function_arguments(plateau, as_positional=False)
    settings = parser.parse_args(arguments).as_dict()
    return exit_status(lambda: plateau(**settings))


if __name__ == "__main__":
    raise SystemExit(main())
