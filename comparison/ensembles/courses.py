"""From answers to a report: where each arm's experts go, where they end, and who is better at equal distance.

Knows arrays and intervals. Does not know models, files or how a number is shown.

Intervals are over questions, the training seeds of a question pooled: they say how sure the numbers are of these
experts, not how other training seeds would come out. The differences of each seed stand beside them for that.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from comparison.ensembles.arms import LOWER_BOUND, SINGLE, expert_name
from comparison.scorers import Array
from evaluation.intervals import Estimate, difference, estimate, estimate_of

Report = dict[str, Any]
Answered = Mapping[int, Sequence[Mapping[str, Any]]]
"""The rows of one seed by update, as `answers.kept_answers` gives them."""
GRID = 21
"""Places between the base and the furthest that both arms went, at which their curves are compared."""
TOGETHER = "all"
"""What the mean over dimensions is called."""


@dataclass(frozen=True)
class Course:
    """What one arm's expert was worth on its way from the base, each array of questions, updates, seeds (N, U, S).

    Args:
        nats: KL to the base.
        learned: The mean chance of beating the base that it was paid.
        quality: Gold.
        score: Gold, on its dimension.
    """

    nats: Array
    learned: Array
    quality: Array
    score: Array

    @property
    def gold(self) -> Array:
        """Gives the gold utility, quality times score (N, U, S)."""
        return self.quality * self.score

    @classmethod
    def of(cls, runs: Sequence[Answered], expert: str, dimension: str) -> "Course":
        """Gives the course of an expert from its answers.

        Args:
            runs: Of each seed, with the same questions and updates.
            expert: Its name.
            dimension: That it was trained for.
        """
        by_seed = []
        for run in runs:
            told = [sorted((r for r in rows if r["expert"] == expert), key=_question) for rows in run.values()]
            by_seed.append([[(*(r[k] for k in _TOLD), r["dimensions"][dimension]) for r in rows] for rows in told])
        numbers = np.array(by_seed, dtype=np.float64)  # (S, U, N, 4)
        return cls(*numbers.transpose(3, 2, 1, 0))


_TOLD = ("nats", "learned", "quality")


def _question(row: Mapping[str, Any]) -> int:
    return int(row["question"])


def courses_of(
    runs: Sequence[Answered], dimensions: Iterable[str], arms: Sequence[str]
) -> dict[str, dict[str, Course]]:
    """Gives the course of every expert, by dimension and arm."""
    return {name: {arm: Course.of(runs, expert_name(name, arm), name) for arm in arms} for name in dimensions}


def report_of(courses: Mapping[str, Mapping[str, Course]], updates: Sequence[int]) -> Report:
    """Gives every number of the study.

    Args:
        courses: By dimension and arm, `single` among them.
        updates: At which they were measured, 0 the first.
    """
    arms = next(iter(courses.values()))
    together = {arm: [by_arm[arm] for by_arm in courses.values()] for arm in arms}
    singles = together[SINGLE]
    overall = {arm: standing(some, singles) for arm, some in together.items()}
    return {
        "dimensions": {
            name: {
                arm: standing([course], [by_arm[SINGLE]])
                | {"peak": peak(course, updates), "course": course_means(course)}
                for arm, course in by_arm.items()
            }
            for name, by_arm in courses.items()
        },
        TOGETHER: overall,
        "claims": claims(overall[LOWER_BOUND]),
    }


def standing(ours: Sequence[Course], singles: Sequence[Course]) -> Report:
    """Gives where an arm's experts end, and how that compares with the single reward model's.

    Args:
        ours: One course for each dimension.
        singles: Those of the single reward model, in the same order.
    """
    at_end = {what: _ends(ours, what) for what in ("gold", "quality", "score", "learned", "nats")}
    apart = at_end["gold"] - _ends(singles, "gold")  # (N, D, S)
    return {
        "end": {what: estimate(values).as_dict() for what, values in at_end.items()},
        "minus_single": difference(at_end["gold"], _ends(singles, "gold")).as_dict(),
        "by_seed": apart.mean(axis=(0, 1)).tolist(),
        "at_equal_nats": equal_nats(ours, singles),
    }


def _ends(courses: Sequence[Course], what: str) -> Array:
    """One of the numbers after the last update (N, D, S)."""
    return np.stack([getattr(course, what)[:, -1] for course in courses], axis=1)


def equal_nats(ours: Sequence[Course], theirs: Sequence[Course]) -> Report:
    """Gives how much more gold ours have at equal KL to the base: over the range that both reached, and at its end.

    Each seed's and dimension's curve of mean gold over mean KL is interpolated by straight lines; the differences are
    averaged. The interval draws questions anew, and with them the curves.

    Args:
        ours: One course for each dimension.
        theirs: Of the arm they are held against, in the same order.
    """
    values = np.stack([_points(ours), _points(theirs)], axis=1)  # (N, 2 arms, D, 2, U, S)
    means = values.mean(axis=0)
    return {
        "over_the_range": estimate_of(lambda one: float(_gaps(one).mean()), values).as_dict(),
        "at_its_end": estimate_of(lambda one: float(_gaps(one)[..., -1].mean()), values).as_dict(),
        "by_seed": _gaps(means).mean(axis=(0, 2)).tolist(),
        "reach": float(np.mean([common_grid(*pair)[-1] for pair in _pairs_of_nats(means)])),
    }


def _points(courses: Sequence[Course]) -> Array:
    """KL and gold (N, D, 2, U, S)."""
    return np.stack([np.stack([course.nats, course.gold], axis=1) for course in courses], axis=1)


def _gaps(means: Array) -> Array:
    """Differences at equal KL (D, S, GRID) of means over questions (2 arms, D, 2, U, S)."""
    ours, theirs = np.moveaxis(means, -1, 2)  # (D, S, 2, U) each
    pairs = zip(ours.reshape(-1, *ours.shape[2:]), theirs.reshape(-1, *theirs.shape[2:]), strict=True)
    return np.array([gaps_at_equal_nats(*one, *other) for one, other in pairs]).reshape(*ours.shape[:2], GRID)


def _pairs_of_nats(means: Array) -> list[tuple[Array, Array]]:
    ours, theirs = np.moveaxis(means[:, :, 0], -1, 2)  # (D, S, U) each
    return list(zip(ours.reshape(-1, ours.shape[-1]), theirs.reshape(-1, theirs.shape[-1]), strict=True))


def gaps_at_equal_nats(nats: Array, gold: Array, their_nats: Array, their_gold: Array) -> Array:
    """Gives how much higher a curve of gold over KL lies than another at every place of their common grid (GRID,).

    Args:
        nats: KL at each point of a curve (U,), in any order.
        gold: Its gold there (U,).
        their_nats: Likewise of the other (U').
        their_gold: Likewise (U').
    """
    grid = common_grid(nats, their_nats)
    return interpolated(grid, nats, gold) - interpolated(grid, their_nats, their_gold)


def common_grid(nats: Array, their_nats: Array) -> Array:
    """Gives places with equal distances (GRID,), from the larger of the least KLs to the smaller of the largest."""
    return np.linspace(max(nats.min(), their_nats.min()), min(nats.max(), their_nats.max()), GRID)


def interpolated(places: Array, nats: Array, gold: Array) -> Array:
    """Gives the gold at KLs between points: on the straight line between neighbours by KL.

    Args:
        places: Where (M,).
        nats: Of the points (U,); an expert may come back towards the base.
        gold: Of the points (U,).
    """
    order = np.argsort(nats, kind="stable")
    return np.interp(places, nats[order], gold[order])


def peak(course: Course, updates: Sequence[int]) -> Report:
    """Gives where the gold of an arm was highest, and how far the end lies below that.

    The highest of some noisy points lies above the truth, and the end so far below it, in every arm alike.

    Args:
        course: Of an arm on one dimension.
        updates: At which it was measured.
    """
    gold = course.gold
    best = int(gold.mean(axis=(0, 2)).argmax())
    return {
        "update": updates[best],
        "nats": float(course.nats[:, best].mean()),
        "gold": estimate(gold[:, best]).as_dict(),
        "fall": difference(gold[:, best], gold[:, -1]).as_dict(),
    }


def course_means(course: Course) -> Report:
    """Gives the means over questions of each seed at every update (S, U), for pictures."""
    return {what: getattr(course, what).mean(axis=0).T.tolist() for what in ("nats", "gold", "learned")}


def claims(lower_bound: Report) -> list[Report]:
    """Gives what the lower bound is said to do, over dimensions; it holds where the whole interval is above zero."""
    found = {
        "after the last update": lower_bound["minus_single"],
        "at equal KL": lower_bound["at_equal_nats"]["over_the_range"],
    }
    return [
        {"claim": f"more gold than a single reward model {where}", **gap, "holds": Estimate(**gap).low > 0}
        for where, gap in found.items()
    ]
