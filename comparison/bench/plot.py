"""Time against the number of experts, legible in black and white.

Knows rows of numbers. Does not know how they came about.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.figure import Figure

Row = Mapping[str, Any]
LOOKS = {
    "soup": ("-", "", "black"),
    "floor": ("--", "", "black"),
    "bank": ("-", "o", "black"),
    "bank+controller": ("-", "s", "0.4"),
    "bank+gate": ("--", "s", "0.4"),
    "peft-mixed": (":", "^", "black"),
    "peft-loop": (":", "v", "0.4"),
    "separate": (":", "D", "0.4"),
}
"""Line, marker and shade of each method that is drawn: told apart by shape, not by colour."""


def cost_plot(rows: Sequence[Row], phase: str = "decode") -> Figure:
    """Gives a figure with one panel for each batch size, every method at its fastest in the figure's precision.

    Args:
        rows: Of one precision.
        phase: "prefill" or "decode".

    Raises:
        ValueError: If there is no row of this phase.
    """
    shown = [row for row in rows if row["phase"] == phase]
    if not shown:
        raise ValueError(f"a plot must show rows of the phase {phase!r}, got none")
    batches = sorted({row["batch"] for row in shown})
    figure = Figure(figsize=(3.4 * len(batches) + 1.6, 3.6), layout="constrained")
    panels = figure.subplots(1, len(batches), squeeze=False)[0]
    for axes, batch in zip(panels, batches, strict=True):
        for name, (line, marker, shade) in LOOKS.items():
            found = curve([row for row in shown if row["batch"] == batch], name)
            if found:
                axes.plot(*zip(*found, strict=True), line, marker=marker, color=shade, label=name, linewidth=1.2)
        axes.set_title(f"batch {batch}", fontsize=10)
        axes.set_xlabel("experts")
        axes.set_yscale("log")
        axes.set_xticks(sorted({row["experts"] for row in shown if row["batch"] == batch}))
        axes.grid(color="0.85", linewidth=0.7)
        axes.set_axisbelow(True)
    panels[0].set_ylabel(f"{phase}, ms per token")
    figure.legend(*panels[0].get_legend_handles_labels(), frameon=False, fontsize=8, loc="outside right center")
    return figure


def curve(rows: Sequence[Row], name: str) -> list[tuple[int, float]]:
    """Gives a method's time at each number of experts, by its fastest engine, fewest experts first."""
    best: dict[int, float] = {}
    for row in rows:
        if row["name"] == name:
            best[row["experts"]] = min(row["ms_per_token"], best.get(row["experts"], float("inf")))
    return sorted(best.items())
