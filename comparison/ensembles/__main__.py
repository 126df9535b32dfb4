"""Measures whether the lower bound of an ensemble of reward models resists over-optimisation.

    python -m comparison.ensembles --config configs/miniature/ensembles.yaml [--quick]

For each seed it trains weak reward models on few pairs (arXiv 2210.10760: the fewer, the sooner gold turns round), then
in one run of PPO without a price on KL an expert for each dimension and arm: paid by a single reward model, by an
ensemble's mean, by its lower bound `mean - beta std` (2401.16635). Snapshots of all of them answer held-out questions,
and the gold judge says what is left. Leaves report.json, report.md and a picture. Interrupt it as you like: the same
command goes on. Knows the order of things. Does not know how anything is trained or measured.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from jsonargparse import ActionConfigFile
from rich.console import Console

from comparison.command import bars, command_parser, exit_status, write_report
from comparison.ensembles.answers import Run, kept_answers
from comparison.ensembles.arms import arms_of
from comparison.ensembles.courses import Report, courses_of, report_of
from comparison.ensembles.page import page, picture, sheets
from comparison.ensembles.plan import QUICK, Plan
from comparison.ensembles.training import train_arms, train_judges
from comparison.page import show
from comparison.scorers import GoldScorer
from evaluation.plots import save_plot
from experts.miniature import corpus


def ensembles(
    base: Path,
    pairs: Path,
    prompts: Path,
    output: Path = Path("build/ensembles"),
    dimensions: Sequence[str] = ("informative", "friendly"),
    members: int = 3,
    lower_bound: float = 1.0,
    seeds: int = 3,
    pairs_per_reward: int = 300,
    held_out_pairs: int = 100,
    updates: int = 50,
    prompts_per_update: int = 16,
    snapshot_every: int = 10,
    learning_rate: float = 0.006,
    questions: int = 72,
    max_new_tokens: int = 112,
    quick: bool = False,
) -> Report:
    """Trains all arms under every seed, measures them on the way, and gives the report.

    Args:
        base: The folder of the base model.
        pairs: The folder of labelled pairs, of each dimension and of quality.
        prompts: JSONL of training questions.
        output: The folder for reports and for what every seed trained; what an earlier run left there is kept.
        dimensions: Of the miniature world; an expert of each arm is trained for each.
        members: Reward models of every ensemble; the single arm has the first.
        lower_bound: Standard deviations between mean and reward in the last arm.
        seeds: How many training seeds, from 0.
        pairs_per_reward: Pairs that a reward model learns from, drawn anew for each seed.
        held_out_pairs: Pairs on which the scale of its scores is fitted.
        updates: Of PPO.
        prompts_per_update: Every expert answers each of them once.
        snapshot_every: Updates between two measurements.
        learning_rate: Of PPO at the start.
        questions: Held-out questions at most, answered at temperature 1.
        max_new_tokens: The most tokens of an answer.
        quick: Hardly anything of everything, in a folder of its own: whether all of it works.

    Raises:
        FileNotFoundError: If a file is not there.
        ValueError: If there are too few pairs, or a setting is out of range.
    """
    plan = Plan(
        base, pairs, prompts, output, tuple(dimensions), arms_of(members, lower_bound), seeds, pairs_per_reward,
        held_out_pairs, updates, prompts_per_update, snapshot_every, learning_rate, questions, max_new_tokens,
    )  # fmt: skip
    plan = replace(plan, **QUICK, output=output / "quick") if quick else plan
    runs, judges = [], []
    for seed in range(plan.seeds):
        Console().rule(f"training seed {seed + 1} of {plan.seeds}")
        judges.append(train_judges(plan, seed))
        train_arms(plan, seed)
        runs.append(_measured(plan, seed))
    courses = courses_of(runs, plan.dimensions, [arm.name for arm in plan.arms])
    report = {"settings": plan.settings(), "judges": _worth(judges)} | report_of(courses, plan.measured)
    write(report, plan.output)
    return report


def _measured(plan: Plan, seed: int) -> Run:
    """What the experts of a seed answer at every snapshot, judged."""
    questions, judge = corpus.prompts("test")[: plan.questions], GoldScorer(plan.dimensions)
    with bars() as progress:
        bar = progress.add_task("answering", total=len(plan.measured))
        return kept_answers(plan, seed, questions, judge, lambda: progress.advance(bar))


def _worth(judges: Sequence[Mapping[str, Any]]) -> Report:
    """How often the reward models of each seed are right on held-out pairs, by reward."""
    return {
        name: [
            {"single": found[name]["members"][0]["accuracy"], "ensemble": found[name]["accuracy"]} for found in judges
        ]
        for name in judges[0]
    }


def write(report: Report, output: Path) -> None:
    """Writes report.json, report.md and the picture into a folder."""
    write_report(report, page(report), output)
    save_plot(picture(report), output / "over-optimisation.png")


def main(arguments: list[str] | None = None) -> int:
    """Runs the command and gives its exit status: a mistake is one line on standard error."""
    parser = command_parser(ensembles, "python -m comparison.ensembles")
    parser.add_argument("--config", action=ActionConfigFile, help="YAML file with any of these settings")
    given = parser.parse_args(arguments)
    settings = {name: value for name, value in vars(given).items() if name != "config"}
    return exit_status(
        lambda: show(sheets(ensembles(**settings))), "stopped; what is finished is kept: the same command goes on"
    )


if __name__ == "__main__":
    raise SystemExit(main())
