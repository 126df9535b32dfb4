"""The study for people: tables and a picture.

Knows the report's shape. Does not know how a number came about.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from matplotlib.figure import Figure

from comparison.ensembles.arms import SINGLE
from comparison.ensembles.courses import TOGETHER
from comparison.page import Sheet, shown_estimate
from evaluation.panels import panel_plot

Report = Mapping[str, Any]
POOLED = "95 % intervals over questions, training seeds pooled"


def sheets(report: Report) -> Iterator[Sheet]:
    """Gives the tables of a report."""
    yield claims_sheet(report)
    yield ends_sheet(report)
    yield differences_sheet(report)
    yield equal_sheet(report)
    yield peaks_sheet(report)
    yield judges_sheet(report)


def claims_sheet(report: Report) -> Sheet:
    """Gives what the lower bound is said to do, and whether the whole interval says so."""
    rows = [[one["claim"], shown_estimate(one), "yes" if one["holds"] else "NO"] for one in report["claims"]]
    return Sheet(
        f"What the lower bound is asked to show, over dimensions; {POOLED}.", ["claim", "value", "holds"], rows
    )


def ends_sheet(report: Report) -> Sheet:
    """Gives what each arm's experts are worth after the last update."""
    rows = []
    for name, arm, entry in _standings(report):
        end = entry["end"]
        shown = [shown_estimate(end["gold"]), *(f"{end[what]['mean']:.3f}" for what in ("quality", "score", "learned"))]
        rows.append([f"{name}: {arm}", *shown, f"{end['nats']['mean']:.1f}"])
    header = ["expert", "gold utility", "quality", "score", "learned", "nats"]
    return Sheet(f"After the last update; {POOLED}.", header, rows)


def differences_sheet(report: Report) -> Sheet:
    """Gives how much more gold utility each ensemble has than the single reward model after the last update."""
    rows = [
        [f"{name}: {arm}", shown_estimate(entry["minus_single"]), _signed(entry["by_seed"])]
        for name, arm, entry in _standings(report)
        if arm != SINGLE
    ]
    title = f"Gold utility beyond single after the last update; {POOLED}, paired."
    return Sheet(title, ["expert", "difference", "by training seed"], rows)


def equal_sheet(report: Report) -> Sheet:
    """Gives how much more gold utility each ensemble has than the single reward model at equal KL to the base."""
    rows = [
        [
            f"{name}: {arm}",
            *(shown_estimate(entry["at_equal_nats"][where]) for where in ("over_the_range", "at_its_end")),
            f"{entry['at_equal_nats']['reach']:.1f}",
            _signed(entry["at_equal_nats"]["by_seed"]),
        ]
        for name, arm, entry in _standings(report)
        if arm != SINGLE
    ]
    title = f"Gold utility beyond single at equal KL to the base, on the range that both reached; {POOLED}."
    return Sheet(title, ["expert", "over the range", "at its end", "nats there", "by training seed"], rows)


def peaks_sheet(report: Report) -> Sheet:
    """Gives where each arm's gold utility was highest, and how far the end lies below."""
    rows = []
    for name, by_arm in report["dimensions"].items():
        for arm, entry in by_arm.items():
            top = entry["peak"]
            shown = [f"{top['update']}", f"{top['nats']:.1f}", shown_estimate(top["gold"]), shown_estimate(top["fall"])]
            rows.append([f"{name}: {arm}", *shown])
    title = f"Where gold utility was highest, which favours noise in every arm alike; {POOLED}."
    return Sheet(title, ["expert", "update", "nats", "gold utility there", "the end lies below by"], rows)


def judges_sheet(report: Report) -> Sheet:
    """Gives how often the reward models are right on held-out pairs."""
    rows = [
        [name, *(" ".join(f"{found[what]:.3f}" for found in by_seed) for what in ("single", "ensemble"))]
        for name, by_seed in report["judges"].items()
    ]
    title = "Held-out pairs of which the reward models are right, one number for each training seed."
    return Sheet(title, ["reward", "first member", "mean of all"], rows)


def _standings(report: Report) -> Iterator[tuple[str, str, Report]]:
    """Every dimension and their mean, with every arm's entry."""
    for name, by_arm in [*report["dimensions"].items(), (TOGETHER, report[TOGETHER])]:
        for arm, entry in by_arm.items():
            yield name, arm, entry


def _signed(numbers: list[float]) -> str:
    return " ".join(f"{number:+.3f}" for number in numbers)


def picture(report: Report) -> Figure:
    """Gives gold utility above and learned reward below, over KL to the base, a column for each dimension."""
    rows = {
        label: {
            name: {arm: _paths(entry["course"], what) for arm, entry in by_arm.items()}
            for name, by_arm in report["dimensions"].items()
        }
        for label, what in (("gold utility", "gold"), ("learned reward", "learned"))
    }
    return panel_plot(rows, "KL to the base, nats in an answer")


def _paths(course: Report, what: str) -> list[list[tuple[float, float]]]:
    """The points of each seed."""
    return [list(zip(*pair, strict=True)) for pair in zip(course["nats"], course[what], strict=True)]


def page(report: Report) -> str:
    """Gives the whole report in Markdown."""
    return f"# Ensembles\n\n{figures(report)}"


def figures(report: Report) -> str:
    """Gives what was measured and all tables, in Markdown."""
    settings = report["settings"]
    told = (
        f"Experts were trained for {settings['updates']} updates of PPO with no price on KL, each paid the mean of its "
        f"arm's rewards for its dimension and for quality: by one reward model, by the mean of {settings['members']}, "
        f"or by their mean less {settings['lower_bound']:g} standard deviations. Every reward model learned from "
        f"{settings['pairs_per_reward']} pairs. {settings['seeds']} training seeds; {settings['questions']} questions "
        "that training never saw, answered at temperature 1 and judged by the world's gold judge. Gold utility is "
        "quality times the score on the expert's dimension. Learned is the mean chance of beating the base's answer "
        "that the arm's own rewards give. Intervals are over questions: how other training seeds would come out is "
        "told by the differences of each seed."
    )
    return "\n".join([f"{told}\n", *(sheet.markdown() for sheet in sheets(report))])
