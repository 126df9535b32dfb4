"""The bench of users: how well each way knows them after some answers, and whether texts for their profiles please.

    python -m pcm.users bench

Writes users.json, users.md and a plot. Composes: knows the order of things, not how any of them works.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.progress import track

from comparison.page import show
from comparison.users.findings import AT, COUNTS, Findings, page, sheets
from comparison.users.followed import Weights, followed, true_weights
from comparison.users.lineup import lineup, log_of
from comparison.users.methods import Linear, Method
from comparison.users.simulated import Kind, User, drawn
from comparison.users.trial import curves, doubted, interviewed
from comparison.users.world import Pairs, World
from evaluation.pictures import line_plot
from evaluation.plots import save_plot
from mixture import Mixture

ODD: tuple[Kind, ...] = ("inconsistent", "drifting", "coin")


def bench(
    bundle: Path,
    output: Path,
    *,
    users: int = 200,
    log_users: int = 100,
    each: int = 40,
    seeds: int = 3,
    answers: int = 3,
) -> None:
    """Run everything and write it down.

    Args:
        bundle: A bundle of the miniature world.
        output: The folder that gets what was found.
        users: Simulated users of each seed; none of them is in the log.
        log_users: Users of the log that bases are learned from.
        each: Choices of each of these.
        seeds: Of users, answers and noise.
        answers: Of the base to each question, every two a pair.
    """
    world, mixture, found = World(bundle), Mixture.load(bundle), Findings()
    for seed in range(seeds):
        log_pairs, pool, held_out = (world.pairs(split, answers, seed) for split in ("train", "validation", "test"))
        log = log_of(drawn(log_users, len(world.axes.poles), 1000 + seed), log_pairs, each, seed)
        known = (~log.isnan()).any(1)
        methods = lineup(log_pairs.rows(known), log[known])
        people = drawn(users, len(world.axes.poles), seed)
        _foresee(found, methods, people, pool, held_out, seed)
        profiles = _profiles(world, _ours(methods), people, pool, seed)
        found.followed.append(followed(mixture, world, people, profiles))
    settings = {"users": users, "log_users": log_users, "each": each, "seeds": seeds}
    _write(output, found.report(settings))


def _ours(methods: Sequence[Method]) -> Linear:
    """The first line: the dimensions' axes, active questions, a prior from the log."""
    assert isinstance(methods[0], Linear)
    return methods[0]


def _foresee(
    found: Findings, methods: Sequence[Method], people: Sequence[User], pool: Pairs, held_out: Pairs, seed: int
) -> None:
    """Every line on these users, and ours on the same users when they answer oddly."""
    ours = _ours(methods)
    found.doubted.setdefault("steady", []).append(doubted(ours, people, pool, COUNTS[-1], seed))
    for method in track(methods, description=f"Learning tastes, seed {seed}"):
        found.lines.setdefault(method.name, []).append(curves(method, people, pool, held_out, COUNTS, seed))
    for kind in ODD:
        these = [User(user.taste, kind) for user in people]
        line = found.lines.setdefault(f"{ours.name}, {kind} users", [])
        line.append(curves(ours, these, pool, held_out, COUNTS, seed))
        found.doubted.setdefault(kind, []).append(doubted(ours, these, pool, COUNTS[-1], seed))


def _profiles(
    world: World, learner: Linear, people: Sequence[User], pool: Pairs, seed: int
) -> dict[str, list[Weights]]:
    """Numeric preferences for every user: learned from their choices, the average of the log's users, and the truth."""
    learned: list[Weights] = []
    for place, user in enumerate(people):
        asked, outcomes = interviewed(learner, user, pool, AT, seed + place)
        learned.append(world.axes.weights(learner.before.after(pool.features["axes"][asked], outcomes)))
    average: list[Weights] = [world.axes.weights(learner.before)] * len(people)
    return {"learned": learned, "average": average, "true": [true_weights(user, world) for user in people]}


def _write(output: Path, report: Mapping[str, Any]) -> None:
    output.mkdir(parents=True, exist_ok=True)
    (output / "users.json").write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    (output / "users.md").write_text(page(report) + "\n", encoding="utf-8")
    areas = {name: line["area"] for name, line in report["lines"].items() if not name.endswith("users")}
    series = {name: {count: numbers["mean"] for count, numbers in area.items()} for name, area in areas.items()}
    save_plot(line_plot(series, "answers", "area under the curve"), output / "users.png")
    show(sheets(report))
