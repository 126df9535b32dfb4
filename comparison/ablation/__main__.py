"""Trains a controller and its variants, each changed in one thing, and holds them against each other.

    python -m comparison.ablation --config configs/miniature/ablation.yaml
    python -m comparison.ablation --config configs/miniature/ablation.yaml --quick   # whether everything works

Leaves report.json, report.md, gain.png, and for each training its settings, log, curves and bundle. Interrupt it as you
like: the same command goes on. Trainings see the learned rewards alone; the gold judge is asked at the end, for the
report. Knows the order of things. Does not know what a setting means nor how an answer is made.
"""

from pathlib import Path
from typing import Any

import yaml
from jsonargparse import ActionConfigFile

from comparison.ablation.page import page, picture, sheets
from comparison.ablation.plan import plan
from comparison.ablation.runs import train
from comparison.command import bars, command_parser, exit_status, write_report
from comparison.controllers.__main__ import controllers
from comparison.controllers.standing import Report
from comparison.page import show
from evaluation.plots import save_plot

QUICK = {
    "trainer.max_epochs": 1,
    "data.iterations": 2,
    "data.pairs": 4,
    "data.validation_pairs": 4,
    "model.max_new_tokens": 16,
}


def ablation(
    training: Path,
    variants: dict[str, dict[str, Any]],
    training_seeds: dict[str, int] | None = None,
    common: dict[str, Any] | None = None,
    output: Path = Path("build/ablation"),
    workers: int = 1,
    preferences: list[str] | str | None = None,
    prompts: str | None = None,
    scorer: str | None = None,
    seeds: int = 1,
    test_prompts: int = 48,
    max_new_tokens: int = 112,
    quick: bool = False,
) -> Report:
    """Trains what is not trained yet, compares all of it, and gives the report.

    Args:
        training: Configuration of pcm.train that the variants start from.
        variants: For each name what it changes, by the options' names, such as {model.beta: 0.0}; the first is what the
            others are held against, and changes nothing if it is the default.
        training_seeds: How many times a variant is trained, by its name; once if not given.
        common: What is changed for all of them, to cut the training short perhaps.
        output: The folder for everything; what an earlier run left there is not done again.
        workers: Trainings at a time, which share the cores.
        preferences: As in comparison.controllers.
        prompts: As in comparison.controllers.
        scorer: As in comparison.controllers.
        seeds: Answers drawn at temperature 1.
        test_prompts: The most questions.
        max_new_tokens: The most tokens of an answer.
        quick: Trainings of two tiny steps and a few questions, in a folder of their own: whether everything works.

    Raises:
        FileNotFoundError: If a configuration or bundle is not there.
        ValueError: If a training fails, or nothing can score the answers.
    """
    changed, repeated = common or {}, training_seeds or {}
    if quick:
        output = output / "quick"
        changed = {**changed, **QUICK, "model.references": str(output / "references.safetensors")}
        max_new_tokens = QUICK["model.max_new_tokens"]
    runs = plan(yaml.safe_load(training.read_text("utf-8")), variants, repeated, changed, output)
    with bars() as progress:
        task = progress.add_task("trainings", total=len(runs))
        train(runs, workers, lambda _: progress.advance(task))
    trained = {run.name: str(run.bundle) for run in runs}
    found = controllers(
        trained, output / "controllers", preferences, prompts, scorer, seeds, test_prompts, max_new_tokens, quick
    )
    told = {"config": str(training), "common": changed, "variants": variants, "seeds": repeated}
    report: Report = {"training": told, **found}
    write_report(report, page(report), output)
    save_plot(picture(report), output / "gain.png")
    return report


def main(arguments: list[str] | None = None) -> int:
    """Runs the command and gives its exit status: a mistake is one line on standard error."""
    parser = command_parser(ablation, "python -m comparison.ablation")
    parser.add_argument("--config", action=ActionConfigFile, help="YAML file with any of these settings")
    given = parser.parse_args(arguments)
    settings = {name: value for name, value in vars(given).items() if name != "config"}
    return exit_status(
        lambda: show(sheets(ablation(**settings))), "stopped; what is finished is kept: the same command goes on"
    )


if __name__ == "__main__":
    raise SystemExit(main())
