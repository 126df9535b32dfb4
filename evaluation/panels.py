"""A picture of many curves in panels, legible in black and white: repetitions thin, their mean thick.

Knows names and numbers. Knows no model, no text.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

Paths = Sequence[Sequence[tuple[float, float]]]
"""Points (x, y) of each repetition, as many in every one."""
INKS: tuple[dict[str, Any], ...] = (
    {"color": "0.65", "marker": "o", "markerfacecolor": "0.65"},
    {"color": "0.35", "marker": "s", "markerfacecolor": "white"},
    {"color": "black", "marker": "^", "markerfacecolor": "black"},
)
"""Of each series: told apart by marker and grey."""
LINES = ("-", "--")
"""Of each row of panels."""


def panel_plot(rows: Mapping[str, Mapping[str, Mapping[str, Paths]]], across: str) -> Figure:
    """Gives a figure with a row of panels for each quantity and a column for each title.

    Args:
        rows: For each quantity (its label), by the panel's title, the repetitions of each named series.
        across: Label of the first coordinate, which the panels of a column share.

    Raises:
        ValueError: If there is nothing to show, or more than the styles can tell apart.
    """
    titles = list(next(iter(rows.values()), {}))
    series = {name for row in rows.values() for panel in row.values() for name in panel}
    if not titles or len(rows) > len(LINES) or not 1 <= len(series) <= len(INKS):
        raise ValueError(
            f"a plot must show 1 to {len(LINES)} rows of panels with 1 to {len(INKS)} series, got {len(rows)} rows, "
            f"{len(titles)} panels and {len(series)} series"
        )
    figure = Figure(figsize=(1.2 + 3.4 * len(titles), 0.6 + 2.5 * len(rows)), layout="constrained")
    grid = figure.subplots(len(rows), len(titles), sharex="col", sharey="row", squeeze=False)
    for axes_of_row, (up, panels), line in zip(grid, rows.items(), LINES, strict=False):
        for axes, title in zip(axes_of_row, titles, strict=True):
            _draw(axes, panels[title], line)
        axes_of_row[0].set_ylabel(up)
    for axes, title in zip(grid[0], titles, strict=True):
        axes.set_title(title, fontsize=10)
    for axes in grid[-1]:
        axes.set_xlabel(across)
    figure.legend(*grid[0][0].get_legend_handles_labels(), frameon=False, ncols=len(series), loc="outside lower center")
    return figure


def _draw(axes: Axes, series: Mapping[str, Paths], line: str) -> None:
    for (name, paths), ink in zip(series.items(), INKS, strict=False):
        for path in paths if len(paths) > 1 else ():
            axes.plot(*zip(*path, strict=True), linestyle=line, color=ink["color"], linewidth=0.5, alpha=0.45)
        mean = np.mean(np.array(paths, dtype=np.float64), axis=0)  # (points, 2)
        axes.plot(*mean.T, linestyle=line, linewidth=1.8, markersize=5, label=name, **ink)
    axes.grid(color="0.9", linewidth=0.7)
    axes.set_axisbelow(True)
