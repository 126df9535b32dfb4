"""The pictures of a comparison.

Knows the report's shape. Does not know how a number came about.
"""

from collections.abc import Mapping
from typing import Any

from matplotlib.figure import Figure

from comparison.study_told import Report, ranked
from evaluation.intervals import Estimate
from evaluation.pictures import line_plot, matrix_plot, path_plot, point_plot, svg
from evaluation.plots import dot_plot

SHOWN = 8
"""Lines in one picture: more cannot be told apart."""


def utility_plot(report: Report) -> Figure:
    """Gives the utility of every method with its interval, the best one first."""
    shown = {name: Estimate(**report["methods"][name]["utility"]) for name in ranked(report)}
    return dot_plot({"utility": shown}, "utility (quality × mean score on what is asked), 95 % intervals")


def pictures(report: Report) -> dict[str, str]:
    """Gives the pictures as SVG, by their titles."""
    order, methods = ranked(report), report["methods"]
    top = [name for name in order if name != report["reference"]][: SHOWN - 1]
    top = [name for name in order if name in (*top, report["reference"])]
    by_preference = {n: {p.replace("+", "\n"): v["mean"] for p, v in methods[n]["by_preference"].items()} for n in top}
    swept = {n: {t: v["utility"]["mean"] for t, v in methods[n]["by_temperature"].items()} for n in top}
    places = {name: (methods[name]["quality"]["mean"], methods[name]["preference"]["mean"]) for name in order}
    front = [name for name in order if methods[name]["on_front"]]
    drawn = {
        "Utility of every method, with 95 % intervals": utility_plot(report),
        "Utility under each preference": line_plot(by_preference, "preference", "utility"),
        "Utility against temperature": line_plot(swept, "temperature", "utility"),
        "Quality against what is asked; the front is joined": point_plot(
            places, "quality", "score on what is asked", front
        ),
        "Who beats whom": matrix_plot(order, _shares(report, order), "row beats column, % (ties half)"),
    }
    speed = {n: methods[n]["cost"].get("milliseconds_per_token") for n in order}
    if costs := {n: (ms, methods[n]["utility"]["mean"]) for n, ms in speed.items() if ms is not None}:
        drawn["Utility against cost"] = point_plot(costs, "milliseconds per token", "utility")
    drawn |= {f"Front: {swept.replace('+', ' and ')}": front_plot(one) for swept, one in flat_fronts(report).items()}
    return {title: svg(figure) for title, figure in drawn.items()}


def front_plot(found: Mapping[str, Any]) -> Figure:
    """Gives the ways from one dimension to the other: of the reference, and of the best soup, mixture and so on."""
    methods = found["methods"]
    order = sorted(methods, key=lambda name: ("reference_minus_ours" in methods[name], -_commanded(methods[name])))
    reference, *others = order
    of_each_kind: dict[str, str] = {}
    for name in others:
        of_each_kind.setdefault(name.partition("-")[0], name)
    paths = {name: list(methods[name]["points"].values()) for name in (reference, *of_each_kind.values())}
    return path_plot(paths, *(f"quality × {name}" for name in found["dimensions"]))


def flat_fronts(report: Report) -> dict[str, Mapping[str, Any]]:
    """Gives the fronts of two dimensions: those that paper can hold."""
    return {swept: one for swept, one in report.get("fronts", {}).items() if len(one["dimensions"]) == 2}


def _commanded(entry: Mapping[str, Any]) -> float:
    return float(entry["hypervolume"]["mean"])


def _shares(report: Report, order: list[str]) -> list[list[float]]:
    """Points of the row against the column as a share of their matches, in this order."""
    known = report["matches"]
    place = {name: number for number, name in enumerate(known["names"])}

    def share(row: str, column: str) -> float:
        wins, losses = known["wins"][place[row]][place[column]], known["wins"][place[column]][place[row]]
        ties = known["ties"][place[row]][place[column]]
        return (wins + ties / 2) / (wins + losses + ties) if row != column else 0.0

    return [[share(row, column) for column in order] for row in order]
