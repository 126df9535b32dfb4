"""What a run logged of its experts, read again from the CSV files of `experts.train`.

Knows files and columns. Does not know what a metric means.
"""

import csv
from collections import defaultdict
from pathlib import Path

import numpy as np

Points = list[tuple[float, float]]
"""Where on a curve, and how high."""
Metrics = dict[str, float]
"""By name, as `JointPPO` logs them."""


def read_logs(run: Path) -> dict[str, dict[int, Metrics]]:
    """The metrics of every expert at each update, counted from zero and in order.

    A run that went on from a checkpoint logs some updates again; the later numbers count.

    Args:
        run: the output folder of `experts.train`.

    Raises:
        ValueError: if there are no logs.
    """
    found: dict[str, dict[int, Metrics]] = defaultdict(lambda: defaultdict(dict))
    for path in sorted(run.glob("logs/version_*/metrics.csv"), key=lambda path: int(path.parent.name.split("_")[1])):
        with path.open(encoding="utf-8") as file:
            for row in csv.DictReader(file):
                for column, value in row.items():
                    name, _, metric = column.rpartition("/")
                    if name and value:
                        found[name][int(row["step"])][metric] = float(value)
    if not found:
        raise ValueError(f"{run} must hold logs/version_*/metrics.csv, got none: has experts.train run?")
    return {name: dict(sorted(updates.items())) for name, updates in found.items()}


def smoothed(points: Points, window: int) -> Points:
    """Means over `window` neighbouring points, in the order given; all points in one if there are fewer."""
    width = min(window, len(points))
    columns = np.array(points).reshape(-1, 2).T
    means = [np.convolve(column, np.full(width, 1 / width), mode="valid") for column in columns] if width else columns
    return [(float(x), float(y)) for x, y in zip(*means, strict=True)]
