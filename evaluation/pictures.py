"""More pictures of numbers, legible in black and white: lines, named points, a matrix.

Knows names and numbers. Knows no model, no text.
"""

import io
from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib
from matplotlib.figure import Figure

STYLES = tuple((marker, line) for line in ("-", "--", ":") for marker in ("o", "s", "^", "D"))
"""Marker and line of each series: told apart without colours."""
MOST_NAMES = 12
"""Names that have room beside their points."""
INK: dict[str, Any] = {"color": "black", "markerfacecolor": "white", "linewidth": 1, "markersize": 5}


def line_plot(series: Mapping[str, Mapping[str, float]], across: str, up: str) -> Figure:
    """Gives a figure with one line for each series over places that all of them name.

    Args:
        series: For each line, a value at each place; the places of the first one are the axis, from left to right.
        across: Label of the places.
        up: Label of the values.

    Raises:
        ValueError: If there is no series, or more than the styles can tell apart.
    """
    _require_distinct(len(series))
    places = list(next(iter(series.values())))
    figure = Figure(figsize=(7.5, 4.2), layout="constrained")
    axes = figure.add_subplot()
    for (name, values), (marker, line) in zip(series.items(), STYLES, strict=False):
        heights = [values[place] for place in places]
        axes.plot(range(len(places)), heights, label=name, marker=marker, linestyle=line, **INK)
    wide = max(len(line) for place in places for line in place.splitlines()) > 12
    axes.set_xticks(range(len(places)), places, rotation=20 * wide, ha="right" if wide else "center", fontsize=7)
    axes.set_xlabel(across)
    axes.set_ylabel(up)
    axes.grid(axis="y", color="0.88", linewidth=0.7)
    axes.legend(frameon=False, fontsize=8, loc="center left", bbox_to_anchor=(1, 0.5))
    return figure


def path_plot(paths: Mapping[str, Sequence[Sequence[float]]], across: str, up: str) -> Figure:
    """Gives a figure with one line for each path, through its points in their order.

    Args:
        paths: The points (x, y) of each.
        across: Label of the first coordinate.
        up: Label of the second.

    Raises:
        ValueError: If there is no path, or more than the styles can tell apart.
    """
    _require_distinct(len(paths))
    figure = Figure(figsize=(7.5, 5), layout="constrained")
    axes = figure.add_subplot()
    for (name, points), (marker, line) in zip(paths.items(), STYLES, strict=False):
        axes.plot(*zip(*points, strict=True), label=name, marker=marker, linestyle=line, **INK)
    axes.set_xlabel(across)
    axes.set_ylabel(up)
    axes.grid(color="0.9", linewidth=0.7)
    axes.set_axisbelow(True)
    axes.legend(frameon=False, fontsize=8, loc="center left", bbox_to_anchor=(1, 0.5))
    return figure


def point_plot(points: Mapping[str, tuple[float, float]], across: str, up: str, joined: Sequence[str] = ()) -> Figure:
    """Gives a figure with one named point for each entry; many of them have numbers, and their names at the side.

    Args:
        points: Places by name.
        across: Label of the first coordinate.
        up: Label of the second.
        joined: Names that a line goes through, by their first coordinate: a front.

    Raises:
        ValueError: If there are no points.
    """
    if not points:
        raise ValueError("a plot must show at least one point, got none")
    figure = Figure(figsize=(7.5, 5), layout="constrained")
    axes = figure.add_subplot()
    many = len(points) > MOST_NAMES
    for number, (name, (x, y)) in enumerate(points.items(), 1):
        fill = "black" if name in joined else "white"
        axes.plot(x, y, marker="o", color="black", markerfacecolor=fill, markersize=5, label=f"{number}  {name}")
        axes.annotate(f"{number}" if many else name, (x, y), xytext=(4, 3), textcoords="offset points", fontsize=7)
    if many:
        aside: dict[str, Any] = {
            "loc": "center left",
            "bbox_to_anchor": (1, 0.5),
            "handlelength": 0,
            "labelspacing": 0.2,
        }
        axes.legend(frameon=False, fontsize=7, markerscale=0, **aside)
    front = sorted(points[name] for name in joined)
    axes.plot([x for x, _ in front], [y for _, y in front], color="0.5", linewidth=1, linestyle="--")
    axes.margins(0.12)
    axes.set_xlabel(across)
    axes.set_ylabel(up)
    axes.grid(color="0.9", linewidth=0.7)
    axes.set_axisbelow(True)
    return figure


def matrix_plot(names: Sequence[str], shares: Sequence[Sequence[float]], label: str) -> Figure:
    """Gives a figure of a square of shares in [0, 1], dark where they are high, each written into its cell.

    Args:
        names: Of rows and columns (M).
        shares: (M, M).
        label: Above it.

    Raises:
        ValueError: If there is not one row and column for each name.
    """
    if not names or [len(row) for row in shares] != [len(names)] * len(names):
        raise ValueError(f"a matrix must have {len(names)} rows and columns, got {[len(row) for row in shares]}")
    side = 2.2 + 0.34 * len(names)
    figure = Figure(figsize=(side + 1, side), layout="constrained")
    axes = figure.add_subplot()
    axes.imshow(shares, cmap="Greys", vmin=0, vmax=1.3)  # the darkest cell stays light enough for its number
    for row, values in enumerate(shares):
        for column, value in enumerate(values):
            if row != column:
                colour = "white" if value > 0.8 else "black"
                axes.text(column, row, f"{100 * value:.0f}", ha="center", va="center", fontsize=7, color=colour)
    axes.set_xticks(range(len(names)), names, rotation=90, fontsize=8)
    axes.set_yticks(range(len(names)), names, fontsize=8)
    axes.set_title(label, fontsize=9)
    return figure


def _require_distinct(count: int) -> None:
    if not 1 <= count <= len(STYLES):
        raise ValueError(f"a plot must show 1 to {len(STYLES)} series, got {count}")


def svg(figure: Figure) -> str:
    """Gives the picture as text that a page can hold; equal numbers give equal texts."""
    written = io.StringIO()
    with matplotlib.rc_context({"svg.hashsalt": "medley", "svg.fonttype": "none"}):
        figure.savefig(written, format="svg", metadata={"Date": None, "Creator": None})
    text = written.getvalue()
    return text[text.index("<svg") :]
