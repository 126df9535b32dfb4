"""Draws the learned reward of every expert against its KL to the base, and says where over-optimisation begins.

    python -m experts.over_optimisation --run build/experts --gold my_package.judges:politeness
    python -m experts.over_optimisation --run build/experts --gold '{"polite": "my_package.judges:politeness"}'

Knows the logs that `experts.train` leaves. Does not know what is true: a gold score comes from a function, which is
asked about the sample answers in `answers.jsonl` (log one every update for a fine curve). As training moves an expert
away from its base, the learned reward goes on rising while gold turns round (arXiv 2210.10760); there it begins.
"""

from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import matplotlib as mpl
from jsonargparse import ArgumentParser
from matplotlib import pyplot
from rich.console import Console
from rich.table import Table

from decoding.jsonl import read_rows
from decoding.mistakes import exit_status
from experts.logs import Points, read_logs, smoothed
from experts.text_rewards import Function

Gold = Function | Mapping[str, Function]
"""What scores prompts with answers: one function for all experts, or one for each expert that it speaks of."""


class Curve(NamedTuple):
    """What was measured of one expert, scores over KL in nats per response, in the order of the updates."""

    learned: Points
    gold: Points


def read_curves(run: Path, gold: Gold | None = None) -> dict[str, Curve]:
    """The curves of all experts of a run.

    Args:
        run: the output folder of `experts.train`.
        gold: scores prompts with answers.

    Raises:
        ValueError: if there are no logs, or gold speaks of an expert that is not there.
    """
    logged = read_logs(run)
    if isinstance(gold, Mapping) and (unknown := sorted(set(gold) - set(logged))):
        raise ValueError(f"gold must speak of the experts {sorted(logged)}, got {unknown}")
    golden = {} if gold is None else gold_points(run / "answers.jsonl", gold)
    return {
        name: Curve([(update["kl"], update["reward"]) for update in updates.values()], golden.get(name, []))
        for name, updates in logged.items()
    }


def gold_points(answers: Path, gold: Gold) -> dict[str, Points]:
    """The gold score of every logged answer beside its own KL, by expert; none of those that gold does not speak of."""
    rows = read_rows(answers, dict)
    latest = {(row["expert"], row["update"], row["prompt"]): row for row in rows}  # a resumed run logs some again
    by_expert: dict[str, list[Any]] = defaultdict(list)
    for row in sorted(latest.values(), key=lambda row: row["update"]):
        by_expert[row["expert"]].append(row)
    judges = gold if isinstance(gold, Mapping) else dict.fromkeys(by_expert, gold)
    return {name: _judged(kept, judges[name]) for name, kept in by_expert.items() if name in judges}


def _judged(rows: list[Any], gold: Function) -> Points:
    """The points of one expert's logged answers."""
    scores = gold([[{"role": "user", "content": row["prompt"]}] for row in rows], [row["answer"] for row in rows])
    return [(float(row["kl"]), float(score)) for row, score in zip(rows, scores, strict=True)]


def turning_point(points: Points) -> float | None:
    """The KL at which the score is highest, or None if it rises to the end."""
    if not points:
        return None
    best = max(range(len(points)), key=lambda number: points[number][1])
    return None if best == len(points) - 1 else points[best][0]


def draw(curves: dict[str, Curve], output: Path, window: int) -> None:
    """Writes one panel per expert into an image."""
    mpl.use("agg")
    figure, panels = pyplot.subplots(1, len(curves), figsize=(3.2 * len(curves), 3), sharey=True, squeeze=False)
    for panel, (name, curve) in zip(panels[0], curves.items(), strict=True):
        for label, points in curve._asdict().items():
            if points:
                panel.scatter(*zip(*points, strict=True), s=4, alpha=0.3)
                panel.plot(*zip(*smoothed(points, window), strict=True), label=label)
        if (begins := turning_point(smoothed(curve.gold, window))) is not None:
            panel.axvline(begins, linestyle=":", color="grey")
        panel.set(title=name, xlabel="KL to the base, nats")
    panels[0][0].set_ylabel("score")
    panels[0][0].legend()
    figure.savefig(output, bbox_inches="tight", dpi=150)
    pyplot.close(figure)


def over_optimisation(
    run: Path, gold: str | dict[str, str] | None = None, output: Path | None = None, window: int = 10
) -> None:
    """Draws the curves and prints a table.

    Args:
        run: the output folder of `experts.train`.
        gold: `package.module:function` of prompts and answers, which gives the true scores; or one for each expert by
            its name, where every expert has a dimension of its own.
        output: image to write; `over_optimisation.png` in the run's folder if none is given.
        window: updates, or logged answers, whose mean is drawn.
    """
    judges = {name: Function(source) for name, source in gold.items()} if isinstance(gold, dict) else gold
    curves = read_curves(run, Function(judges) if isinstance(judges, str) else judges)
    draw(curves, output or run / "over_optimisation.png", window)
    table = Table("expert", "largest KL", "learned there", "gold is highest at KL", box=None)
    for name, curve in curves.items():
        kl, learned = max(smoothed(curve.learned, window))
        begins = turning_point(smoothed(curve.gold, window))
        told = "not measured" if not curve.gold else "still rising" if begins is None else f"{begins:.2f}"
        table.add_row(name, f"{kl:.2f}", f"{learned:.3f}", told)
    Console().print(table)


def main(arguments: list[str] | None = None) -> int:
    """Runs the command and gives its exit status: a mistake is one line on standard error."""
    parser = ArgumentParser(description="Draws learned reward against KL for every expert of a run.")
    parser.add_function_arguments(over_optimisation, as_positional=False)
    settings = parser.parse_args(arguments).as_dict()
    return exit_status(lambda: over_optimisation(**settings))


if __name__ == "__main__":
    raise SystemExit(main())
