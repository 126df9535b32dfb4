"""Pictures of estimates, legible in black and white.

Knows names and numbers with intervals. Knows no model, no text.
"""

from collections.abc import Mapping
from io import BytesIO
from pathlib import Path

from matplotlib.figure import Figure
from PIL import Image

from evaluation.intervals import Estimate

LOOKS = (("o", "black", "black"), ("s", "black", "white"), ("^", "0.4", "0.4"), ("D", "0.4", "white"))
"""Marker, edge and filling of each series: told apart by shape, not by colour."""

COLOURS = 64
"""Of a picture: enough for grey and a few hues with their edges."""


def dot_plot(series: Mapping[str, Mapping[str, Estimate]], label: str) -> Figure:
    """Gives a figure with one line for each name, and on it one dot with its interval for each series.

    Args:
        series: For each series, estimates by name; the names of the first one are the lines, from top to bottom.
        label: Of the axis.

    Raises:
        ValueError: If there is no series, or there are more than the looks can tell apart.
    """
    if not 1 <= len(series) <= len(LOOKS):
        raise ValueError(f"a plot must show 1 to {len(LOOKS)} series, got {len(series)}")
    names = list(next(iter(series.values())))
    figure = Figure(figsize=(7, 1.2 + 0.34 * len(names)), layout="constrained")
    axes = figure.add_subplot()
    for number, ((title, estimates), look) in enumerate(zip(series.items(), LOOKS, strict=False)):
        marker, edge, filling = look
        shown = [estimates[name] for name in names]
        heights = [place + 0.24 * (number - (len(series) - 1) / 2) for place in range(len(names))]
        reach = [[one.mean - one.low for one in shown], [one.high - one.mean for one in shown]]
        axes.errorbar(
            [one.mean for one in shown], heights, xerr=reach, label=title, linestyle="none", marker=marker,
            color=edge, markerfacecolor=filling, markersize=5, capsize=3, linewidth=1.1,
        )  # fmt: skip
    axes.set_yticks(range(len(names)), names)
    axes.invert_yaxis()
    axes.grid(axis="x", color="0.85", linewidth=0.7)
    axes.set_axisbelow(True)
    axes.set_xlabel(label)
    if len(series) > 1:  # one alone is named by the axis, and a legend would look like one more dot
        axes.legend(frameon=False, loc="best")
    return figure


def save_plot(figure: Figure, path: Path) -> None:
    """Writes a PNG that holds nothing but the picture, in few colours: equal numbers give equal files, small ones."""
    with BytesIO() as drawn:
        figure.savefig(drawn, format="png", dpi=160)
        Image.open(drawn).convert("RGB").quantize(COLOURS, dither=Image.Dither.NONE).save(path, optimize=True)
