"""Standings for people: a table for each temperature.

Knows the report's shape. Does not know how a number came about.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from comparison.page import Sheet, shown_estimate

Report = Mapping[str, Any]
HEADER = (
    "controller",
    "utility",
    "quality",
    "beyond uniform",
    "beyond uniform by its own rule",
    "minus the first",
    "share of its gain",
    "training seeds",
)


def sheets(report: Report) -> Iterator[Sheet]:
    """Gives the tables of a report."""
    for temperature, found in report["temperatures"].items():
        uniform = shown_estimate(found["uniform"])
        rows = [row(name, one) for name, one in found["controllers"].items()]
        title = (
            f"Controllers at temperature {temperature}; the uniform mixture, by the first one's rule, has {uniform}."
        )
        yield Sheet(title, list(HEADER), rows)


def row(name: str, standing: Report) -> list[str]:
    """Gives one line of the table."""
    shown = [shown_estimate(standing[key]) for key in ("utility", "quality", "gain", "own_gain", "minus_first")]
    kept = "" if standing["kept"] is None else shown_estimate(standing["kept"])
    return [name, *shown, kept, ", ".join(f"{one:.3f}" for one in standing["members"])]


def page(report: Report) -> str:
    """Gives the whole report in Markdown."""
    settings = report["settings"]
    told = (
        f"{settings['prompts']} questions, {len(settings['preferences'])} preferences, {settings['seeds']} decoding "
        f"seeds at temperature 1, judged by {settings['judge']}. 95 % intervals over questions, paired."
    )
    return "\n".join(["# Controllers\n", f"{told}\n", *(sheet.markdown() for sheet in sheets(report))])
