"""Curves for people: tables and a picture.

Knows the report's shape. Does not know how a number came about.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from matplotlib.figure import Figure

from comparison.page import Sheet
from evaluation.pictures import line_plot

Report = Mapping[str, Any]


def sheets(report: Report) -> Iterator[Sheet]:
    """Gives the tables of a report: for each temperature and method its curves, then what holds of them."""
    for temperature, methods in report["temperatures"].items():
        for method, found in methods.items():
            yield curves_sheet(found["curves"], f"{method} at temperature {temperature}")
            yield claims_sheet(found["claims"], f"{method} at temperature {temperature}")


def curves_sheet(curves: Report, where: str) -> Sheet:
    """Gives the score on each dimension at each level, and the expert's alone."""
    levels = next(iter(curves.values()))["levels"]
    rows = [
        [name, *(f"{score['mean']:.3f}" for score in curve["scores"]), f"{curve['expert']['mean']:.3f}"]
        for name, curve in curves.items()
    ]
    title = f"Score on a dimension by how much of it alone is asked for: {where}. 0 is the base."
    return Sheet(title, ["dimension", *(f"{level:g}" for level in levels), "expert alone"], rows)


def claims_sheet(claims: list[Report], where: str) -> Sheet:
    """Gives what the curves must show."""
    rows = [
        [line["claim"], f"{line['value']:.3f}", f"{line['bound']:.2f}", "yes" if line["holds"] else "NO"]
        for line in claims
    ]
    return Sheet(f"Steps as a share of the whole range, reach as a share of the way to the expert: {where}.",
                 ["claim", "value", "bound", "holds"], rows)  # fmt: skip


def picture(report: Report, temperature: str, method: str) -> Figure:
    """Gives one line for each dimension over the levels, and the expert alone at the end."""
    curves = report["temperatures"][temperature][method]["curves"]
    series = {}
    for name, curve in curves.items():
        line = {f"{level:g}": score["mean"] for level, score in zip(curve["levels"], curve["scores"], strict=True)}
        series[name] = line | {"expert": curve["expert"]["mean"]}
    return line_plot(series, f"how much of it is asked for ({method}, temperature {temperature})", "score on it")


def page(report: Report) -> str:
    """Gives the whole report in Markdown."""
    settings = report["settings"]
    told = (
        f"{settings['prompts']} questions, {settings['seeds']} decoding seeds at temperature 1, judged by "
        f"{settings['judge']}; each dimension asked for alone. Bundle `{settings['bundle'][:12]}`."
    )
    return "\n".join(["# Intensities\n", f"{told}\n", *(sheet.markdown() for sheet in sheets(report))])
