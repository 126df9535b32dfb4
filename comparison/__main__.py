"""Compares every way of personalising an answer on questions that training never saw, judged by the gold judge.

    python -m comparison [--bundle bundles/miniature] [--output build/comparison] [--seeds 3] [--quick]

Leaves report.json, report.md, utility.png and all answers. Interrupt it as you like: the same command goes on.
Composes: knows bundle, world, methods and scorer. Where it departs from the paper (arXiv 2407.04181): (1) a
programmatic gold judge instead of a large model; (2) every method at temperature 1 and at 0, because much of what looks
like a better method is sharpening; (3) intervals over questions; (4) the experts alone are reported.
"""

from functools import partial
from pathlib import Path

import bundle as bundles
from comparison.archive import Archive
from comparison.cases import world_phrase
from comparison.chain import answer_all, draws, score_all
from comparison.combinations import combinations
from comparison.command import bars, command_parser, exit_status, write_report
from comparison.distance import alone
from comparison.methods import Expert, all_methods, controlled_name
from comparison.page import page, sheets, show
from comparison.reading import accuracies
from comparison.report import Report, report_of
from comparison.scorers import GoldScorer
from evaluation.intervals import Estimate
from evaluation.plots import dot_plot, save_plot
from experts.miniature.corpus import prompts
from mixture import Mixture

QUICK_PROMPTS = 24


def compare(
    bundle: str = bundles.SHIPPED,
    output: Path = Path("build/comparison"),
    seeds: int = 3,
    quick: bool = False,
    max_new_tokens: int = 112,
) -> Report:
    """Compares all methods that a bundle can be used as, and gives the report.

    Args:
        bundle: A bundle's folder, or its id on the Hugging Face hub.
        output: The folder for report, plot and answers; what an earlier run left there is not done again.
        seeds: How many answers are drawn at temperature 1.
        quick: Only the first few questions: whether everything works, not what is best.
        max_new_tokens: The most tokens of an answer.

    Raises:
        FileNotFoundError: If there is no such bundle.
        ValueError: If the bundle is damaged or has no controller.
    """
    planned = draws(seeds)
    folder = bundles.locate(bundle)
    identity = bundles.sha256(folder / bundles.MANIFEST)
    questions = prompts("test")[: QUICK_PROMPTS if quick else None]
    mixture = Mixture.load(folder)
    preferences = combinations(mixture.dimensions)
    methods = all_methods(mixture, world_phrase("train"), world_phrase("test"))
    archive = Archive.of(output, [one.messages for one in questions], identity, max_new_tokens)
    with bars() as progress:
        answer_all(methods, preferences, planned, archive, max_new_tokens, progress)
        scorer = GoldScorer(mixture.names)
        outcomes = score_all(methods, preferences, planned, archive, questions, scorer, progress)
        experts = [one for one in methods if isinstance(one, Expert)]
        nats = {one.dimension: alone(one, planned, archive, max_new_tokens) for one in experts}
    reader = None if mixture.reader is None else accuracies(mixture.reader, preferences)
    settings = {"bundle": identity, "prompts": len(questions), "preferences": len(preferences)}
    settings |= {"seeds": seeds, "max_new_tokens": max_new_tokens}
    report = report_of(outcomes, mixture.dimensions, controlled_name(mixture), reader, settings, nats)
    write(report, output)
    return report


def write(report: Report, output: Path) -> None:
    """Writes report.json, report.md and utility.png into a folder."""
    write_report(report, page(report), output)
    utility = {
        f"temperature {temperature}": {
            name: Estimate(**entries[temperature]["utility"]) for name, entries in report["methods"].items()
        }
        for temperature in report["acceptance"]
    }
    save_plot(
        dot_plot(utility, "utility (quality × mean score on what is asked), 95 % intervals"), output / "utility.png"
    )


def main(arguments: list[str] | None = None) -> int:
    """Runs the command and gives its exit status: a mistake is one line on standard error."""
    given = command_parser(compare, "python -m comparison").parse_args(arguments)
    work = partial(compare, given.bundle, given.output, given.seeds, given.quick, given.max_new_tokens)
    return exit_status(lambda: show(sheets(work())), "stopped; what is finished is kept: the same command goes on")


if __name__ == "__main__":
    raise SystemExit(main())
