"""An ablation for people: what each variant changes, how it stands, and a picture.

Knows the report's shape. Does not know how a number came about.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from matplotlib.figure import Figure

from comparison.controllers.page import sheets as standings
from comparison.page import Sheet
from evaluation.intervals import Estimate
from evaluation.plots import dot_plot

Report = Mapping[str, Any]


def sheets(report: Report) -> Iterator[Sheet]:
    """Gives the tables of a report."""
    yield changes_sheet(report["training"])
    yield from standings(report)


def changes_sheet(training: Report) -> Sheet:
    """Gives what each variant changes, and how many times it was trained."""
    rows = [
        [name, said(changes) or "nothing", str(training["seeds"].get(name, 1))]
        for name, changes in training["variants"].items()
    ]
    title = f"What each variant changes of {training['config']}"
    if training["common"]:
        title += f", with {said(training['common'])} for all"
    return Sheet(f"{title}.", ["variant", "changes", "training seeds"], rows)


def said(changes: Report) -> str:
    """Gives settings in one line."""
    return ", ".join(f"`{name}: {value}`" for name, value in changes.items())


def picture(report: Report) -> Figure:
    """Gives one line for each variant: its utility beyond the uniform mixture, with its interval, by temperature."""
    series = {
        f"temperature {temperature}": {name: Estimate(**one["gain"]) for name, one in found["controllers"].items()}
        for temperature, found in report["temperatures"].items()
    }
    return dot_plot(series, "utility beyond the uniform mixture")


def page(report: Report) -> str:
    """Gives the whole report in Markdown."""
    settings = report["settings"]
    told = (
        f"{settings['prompts']} questions, {len(settings['preferences'])} preferences, {settings['seeds']} decoding "
        f"seeds at temperature 1, judged by {settings['judge']}. 95 % intervals over questions, paired; they do not "
        "hold what another training seed would change, which the last column shows where there are several."
    )
    drawn = "![Utility beyond the uniform mixture](gain.png)"
    return "\n".join(["# Ablation\n", f"{told}\n", f"{drawn}\n", *(sheet.markdown() for sheet in sheets(report))])
