"""The bench of users: how well each way knows them after some answers, and whether texts for their profiles please.

    python -m pcm.users bench

Writes users.json, users.md and a plot. Composes: knows the order of things, not how any of them works.
"""

import json
import random
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.progress import track

from comparison.page import show
from comparison.users.ablation import ablation
from comparison.users.bundled import text_reader
from comparison.users.findings import AT, COUNTS, Findings, page, sheets
from comparison.users.followed import followed
from comparison.users.lineup import chosen_by, lineup, log_of
from comparison.users.methods import Linear, Method, Written
from comparison.users.simulated import Kind, User, drawn, writings
from comparison.users.trial import curves, doubted, interviews
from comparison.users.wishes import believed, chosen, wishes
from comparison.users.world import Pairs, World
from evaluation.pictures import line_plot
from evaluation.plots import save_plot
from mixture import Mixture
from pcm.users.belief import Belief
from pcm.users.evidence import OwnText
from pcm.users.own_texts import taste_of
from pcm.users.ways import Log

KINDS: tuple[Kind, ...] = ("steady", "inconsistent", "drifting", "coin")
UNPLOTTED = ("users", "prior from the log", "PReF, random questions")
"""Ends of the names of lines that a plot has no room for."""
OWN_TEXTS = 5
"""That each user wrote."""


def bench(
    bundle: Path,
    output: Path,
    *,
    users: int = 200,
    log_users: int = 100,
    each: int = 40,
    seeds: int = 3,
    answers: int = 3,
    questions: int = 216,
    ablations: int = 10,
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
        questions: The most of each split.
        ablations: Seeds of the ablation of PReF's start and penalty.
    """
    world, mixture, found = World(bundle), Mixture.load(bundle), Findings()
    before = Belief.before(len(world.axes.names))
    ours = Linear("dimensions", "axes", before)
    for seed in range(seeds):
        splits = ("train", "validation", "test")
        log_pairs, pool, held_out = (world.pairs(split, answers, seed, questions) for split in splits)
        choices = log_of(drawn(log_users, len(world.axes.poles), 1000 + seed), log_pairs, each, seed)
        if seed == 0 and ablations:
            sizes = {"axes": len(world.axes.poles), "log_users": log_users, "each": each, "seeds": ablations}
            found.ablation = ablation(log_pairs, pool, held_out, **sizes)
        known = (~choices.isnan()).any(1)
        asked, choices = log_pairs.rows(known), choices[known]
        log = Log(chosen_by(asked, choices), world.axes, before, mixture.reader, seed)
        people = drawn(users, len(world.axes.poles), seed)
        written = Written(
            "own texts, then choices", "axes", before, by_texts=_by_texts(mixture, ours, people, world, seed)
        )
        _foresee(found, [*lineup(asked, choices, log), written], people, pool, held_out, seed)
        _foresee_odd(found, ours, people, pool, held_out, seed)
        told = interviews(ours, people, pool, AT, seed)
        beliefs = {
            "learned": [believed(ours, one, pool) for one in told],
            "texts": [written.by_texts[user] for user in people],
            "average": [log.population()] * len(people),
        }
        wanted = wishes(world.axes, people, beliefs, seed)
        found.followed.append(followed(mixture, world, people, wanted, [chosen(one, pool) for one in told]))
    settings = {"users": users, "log_users": log_users, "each": each, "seeds": seeds, "ablations": ablations}
    _write(output, found.report(settings))


def _foresee(
    found: Findings, methods: Sequence[Method], people: Sequence[User], pool: Pairs, held_out: Pairs, seed: int
) -> None:
    """Every line on these users."""
    for method in track(methods, description=f"Learning tastes, seed {seed}"):
        told = interviews(method, people, pool, COUNTS[-1], seed)
        found.lines.setdefault(method.name, []).append(curves(method, people, told, pool, held_out, COUNTS))


def _foresee_odd(
    found: Findings, ours: Linear, people: Sequence[User], pool: Pairs, held_out: Pairs, seed: int
) -> None:
    """Our line on the same users when they answer oddly, and how many of each kind are doubted."""
    for kind in KINDS:
        these = [User(user.taste, kind) for user in people]
        told = interviews(ours, these, pool, COUNTS[-1], seed)
        found.doubted.setdefault(kind, []).append(doubted(ours, told, pool))
        if kind != "steady":
            line = found.lines.setdefault(f"{ours.name}, {kind} users", [])
            line.append(curves(ours, these, told, pool, held_out, COUNTS))


def _by_texts(mixture: Mixture, ours: Linear, people: Sequence[User], world: World, seed: int) -> dict[User, Belief]:
    """What is believed of users by what they wrote, before any choice."""
    read, rng, found = text_reader(mixture), random.Random(f"own texts {seed}"), {}
    for user in track(people, description="Reading users' own texts"):
        texts = read([OwnText(text) for text in writings(user, world.axes.poles, OWN_TEXTS, rng)])
        found[user] = taste_of(texts, world.axes.places, ours.before)
    return found


def _write(output: Path, report: Mapping[str, Any]) -> None:
    output.mkdir(parents=True, exist_ok=True)
    (output / "users.json").write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    (output / "users.md").write_text(page(report) + "\n", encoding="utf-8")
    areas = {name: line["area"] for name, line in report["lines"].items() if not name.endswith(UNPLOTTED)}
    series = {name: {count: numbers["mean"] for count, numbers in area.items()} for name, area in areas.items()}
    save_plot(line_plot(series, "answers", "area under the curve"), output / "users.png")
    show(sheets(report))
