"""The findings for people, as tables.

Knows rows of numbers. Does not know how they came about.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from comparison.page import Sheet, shown_estimate

Report = Mapping[str, Any]


def sheets(report: Report) -> Iterator[Sheet]:
    """Gives all tables that there is something for."""
    if report["rows"]:
        yield timing_sheet(report)
    if report["gold"]:
        yield gold_sheet(report)
    if report["claims"]:
        yield claims_sheet(report)


def figures(report: Report) -> str:
    """Gives all tables in Markdown."""
    return "\n".join(sheet.markdown() for sheet in sheets(report))


def timing_sheet(report: Report) -> Sheet:
    """Gives one line for each way."""
    settings = report["settings"]
    rows = [
        [
            row["way"],
            str(row["trainees"]),
            f"{row['seconds']:.2f} ± {row['spread']:.2f}",
            f"{row['before']:.1f}",
            f"{row['minutes']:.1f}",
            f"{row['joint_share']:.2f}",
        ]
        for row in report["rows"]
    ]
    title = (
        f"Training {len(settings['dimensions'])} experts, {settings['prompts_per_update']} answers of each in an "
        f"update, {settings['updates']} updates, threads {settings['threads']}: seconds of an update of all of them, "
        "and until they are ready for the first one."
    )
    return Sheet(title, ["way", "runs", "seconds", "before", "whole, minutes", "joint ÷ it"], rows)


def gold_sheet(report: Report) -> Sheet:
    """Gives what the experts of each way, and the base, score."""
    rows = [
        [
            way,
            *(shown_estimate(entry[measure][key]) for measure in entry for key in ("mean", "joint_minus")),
            f"{last_nats(report['told'], way):.2f}",
        ]
        for way, entry in report["gold"].items()
    ]
    title = (
        f"{report['settings']['questions']} questions that training never saw, at temperature 1, read by the gold "
        "judge; mean over experts, differences paired by question. Nats are KL to the base in a response, as the last "
        "update found them in its own answers."
    )
    return Sheet(title, ["way", "own dimension", "joint − it", "quality", "joint − it", "nats"], rows)


def last_nats(told: Mapping[str, Sequence[Mapping[str, Any]]], way: str) -> float:
    """Gives the mean over a way's experts of their KL to the base in the last update; nothing is nearer than the base.

    Args:
        told: What every run told of each of its updates, by way and run.
        way: The first word of its runs' names.
    """
    last = [updates[-1] for run, updates in told.items() if run.split()[0] == way]
    nats = [number for update in last for number in update.get("kl", [update.get("objective/kl")])]
    return sum(nats) / max(1, len(nats))


def claims_sheet(report: Report) -> Sheet:
    """Gives what is asked of the joint training, and whether it holds; a difference holds where it may be zero."""
    rows = [
        [line["claim"], f"{line['value']:.3f}", f"{line['bound']:.3f}", "yes" if line["holds"] else "NO"]
        for line in report["claims"]
    ]
    return Sheet("What is asked of the joint training.", ["claim", "value", "bound", "holds"], rows)
