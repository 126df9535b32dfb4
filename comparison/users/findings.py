"""What the bench of users found, over all its seeds, and how it is told.

Knows curves, shares and tables. Does not know how any of it was measured.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from comparison.page import Sheet, shown_estimate
from comparison.users.followed import Followed
from comparison.users.trial import Curves, answers_needed
from evaluation.intervals import estimate

COUNTS = (0, 1, 2, 3, 5, 7, 10, 15, 20)
AT = 10  # answers, after which profiles are followed
WISHES = {
    "learned": f"learned from {AT} choices",
    "texts": "learned from own texts",
    "average": "the average user's",
    "true": "the true one, in numbers",
    "true, in words": "the true one, in words",
    "base": "none: the base alone",
    "examples": f"none: the base, shown the {AT} chosen answers",
}
"""Kinds of wishes, as tables call them."""
GOAL = 0.80  # area under the curve that answers are counted to


@dataclass
class Findings:
    """One entry of every list for each seed.

    Args:
        lines: By way of learning, its users' curves.
        doubted: By kind of users, the share whose choices were doubted.
        followed: Answers for profiles.
        ablation: By what was left out of PReF, the area of each seed of its own.
    """

    lines: dict[str, list[Curves]] = field(default_factory=dict)
    doubted: dict[str, list[float]] = field(default_factory=dict)
    followed: list[Followed] = field(default_factory=list)
    ablation: dict[str, list[float]] = field(default_factory=dict)

    def report(self, settings: Mapping[str, Any]) -> dict[str, Any]:
        """Everything with its interval over users, as plain data."""
        return {
            "settings": {**settings, "goal": GOAL, "answers": AT},
            "lines": {name: _line(np.concatenate(by_seed)) for name, by_seed in self.lines.items()},
            "doubted": {kind: float(np.mean(shares)) for kind, shares in self.doubted.items()},
            "followed": _texts(self.followed),
            "ablation": {name: _spread(areas) for name, areas in self.ablation.items()},
        }


def _line(areas: Curves) -> dict[str, Any]:
    """Of one way of learning; areas are (seeds * users, C)."""
    by_count = zip(COUNTS, areas.T, strict=True)
    return {
        "area": {str(count): estimate(column).as_dict() for count, column in by_count},
        "answers_to_goal": answers_needed(areas.mean(0).tolist(), COUNTS, GOAL),
    }


def _spread(areas: list[float]) -> dict[str, float]:
    deviation = float(np.std(areas, ddof=1)) if len(areas) > 1 else float("nan")
    return {"mean": float(np.mean(areas)), "deviation": deviation}


def _texts(by_seed: list[Followed]) -> dict[str, Any]:
    together = Followed({kind: np.concatenate([one.worth[kind] for one in by_seed]) for kind in by_seed[0].worth})
    against = {}
    for other in (kind for kind in together.worth if kind != "learned"):
        difference, wins = together.against(other)
        against[other] = {"difference": difference.as_dict(), "win_rate": wins.as_dict()}
    worth = {kind: estimate(values).as_dict() for kind, values in together.worth.items()}
    gains = {kind: together.gain(kind) for kind in together.worth}
    return {"gain": gains, "worth": worth, "learned_against": against}


def sheets(report: Mapping[str, Any]) -> list[Sheet]:
    """What was found, as tables."""
    counts = ("0", "3", "5", str(AT), "20")
    lines = [
        [name, *(shown_estimate(line["area"][count]) for count in counts), _shown(line["answers_to_goal"])]
        for name, line in report["lines"].items()
    ]
    title = (
        f"What answers are worth for each wish, as a share of what the true one gains over the average user's; and "
        f"how much more they are worth for the wish learned from {AT} choices."
    )
    doubts = [[kind, f"{share:.0%}"] for kind, share in report["doubted"].items()]
    left_out = [[name, f"{area['mean']:.3f} ± {area['deviation']:.3f}"] for name, area in report["ablation"].items()]
    found = [
        Sheet("Choices foreseen: area under the curve after so many answers.", ["way", *counts, f"to {GOAL}"], lines),
        Sheet(title, ["wish", "share of the gain", "learned minus it", "learned wins"], _followed(report["followed"])),
        Sheet(f"Users whose {COUNTS[-1]} choices are doubted.", ["kind", "share"], doubts),
    ]
    seeds = report["settings"]["ablations"]
    title = f"PReF after {AT} answers to random questions, mean ± standard deviation over {seeds} seeds."
    return [*found, Sheet(title, ["left out", "area under the curve"], left_out)] if left_out else found


def _followed(told: Mapping[str, Any]) -> list[list[str]]:
    """A row for each kind of wish."""
    rows = []
    for kind, share in told["gain"].items():
        against = told["learned_against"].get(kind)
        beside = [shown_estimate(against[key]) for key in ("difference", "win_rate")] if against else ["", ""]
        rows.append([WISHES[kind], f"{share:.0%}", *beside])
    return rows


def page(report: Mapping[str, Any]) -> str:
    """What was found, as Markdown with the plot."""
    told = report["settings"]
    command = (
        f"python -m pcm.users bench --users {told['users']} --log_users {told['log_users']} --seeds {told['seeds']}"
    )
    settings = (
        f"{told['users']} users in each of {told['seeds']} runs; {told['log_users']} others gave {told['each']} "
        f"choices each to the log. 95 % intervals over users; `{command}` measures it again."
    )
    plot = "![Area under the curve after so many answers, one line for each way](results/users.png)"
    return "\n\n".join([settings, plot, *(sheet.markdown().rstrip() for sheet in sheets(report))])


def _shown(answers: float | None) -> str:
    return "never" if answers is None else f"{answers:.1f}"
