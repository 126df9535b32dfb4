"""Measures whether half a wish has half the effect: each dimension alone, asked for from nothing to all of it.

    python -m comparison.intensities [--bundle bundles/miniature] [--output build/intensities] [--quick]

Leaves report.json, report.md, a picture for each temperature and all answers. Interrupt it as you like: the same
command goes on. Knows which methods are swept and where everything lies. Does not know how an answer is made.
"""

from functools import partial
from pathlib import Path

from bundle import SHIPPED
from comparison.archive import Archive
from comparison.cases import Case, bundle_case, with_questions
from comparison.chain import answer_all, draws, score_all
from comparison.command import bars, command_parser, exit_status, write_report
from comparison.intensities.curves import Report, curves_of, preferences
from comparison.intensities.page import page, picture, sheets
from comparison.methods import Base, Expert, Method, Mixed, controlled_name
from comparison.page import show
from comparison.roles import remembering, roles
from evaluation.plots import save_plot

FIXED = "fixed-uniform"
QUICK_PROMPTS = 8


def sweep(
    bundle: str = SHIPPED,
    output: Path = Path("build/intensities"),
    prompts: str | None = None,
    scorer: str | None = None,
    seeds: int = 1,
    test_prompts: int = 72,
    max_new_tokens: int = 112,
    quick: bool = False,
) -> Report:
    """Asks for a quarter, a half, three quarters and all of each dimension, and gives the scores.

    Args:
        bundle: A bundle's folder, or its id on the Hugging Face hub.
        output: The folder for reports and answers; what an earlier run left there is not done again.
        prompts: JSONL of your own questions, rows {"messages": [...]}, or a dataset's folder or hub id, perhaps with
            its split behind a colon; the miniature world's if not given.
        scorer: gold, learned or classifier:FOLDER; gold on questions of the miniature world if not given.
        seeds: Answers drawn at temperature 1.
        test_prompts: The most questions.
        max_new_tokens: The most tokens of an answer.
        quick: Only a few questions: whether everything works.

    Raises:
        FileNotFoundError: If there is no such bundle or file.
        ValueError: If the bundle is damaged, or nothing can score the answers.
    """
    planned = draws(seeds)
    case = with_questions(bundle_case(bundle), prompts, None, (QUICK_PROMPTS if quick else test_prompts, 0))
    judging, _ = roles(case, None if scorer is None else [scorer])
    judge = remembering(judging, case, output, max_new_tokens)
    asked, (methods, swept) = preferences(case.mixture.names), _methods(case)
    archive = Archive.of(output, [one.messages for one in case.prompts], case.identity, max_new_tokens)
    with bars() as progress:
        answer_all(methods, asked, planned, archive, max_new_tokens, progress)
        outcomes = score_all(methods, asked, planned, archive, case.prompts, judge, progress)
    found = {
        f"{temperature:g}": curves_of(
            {name: one[temperature] for name, one in outcomes.items()}, swept, case.mixture.names
        )
        for temperature in planned
    }
    settings = {
        "bundle": case.identity,
        "prompts": len(case.prompts),
        "seeds": seeds,
        "judge": judging.partition(":")[0],
    }
    report = {"settings": settings | {"max_new_tokens": max_new_tokens}, "temperatures": found}
    write(report, swept[0], output)
    return report


def _methods(case: Case) -> tuple[list[Method], list[str]]:
    """Everybody who answers, and the names of those that are asked for every level."""
    fixed = Mixed(FIXED, case.mixture.uniform())
    swept: list[Method] = [fixed]
    if case.mixture.pcm is not None:
        swept = [Mixed(controlled_name(case.mixture), case.mixture), fixed]
    alone = [Expert(case.mixture, name) for name in case.mixture.names]
    return [Base(case.mixture), *alone, *swept], [one.name for one in swept]


def write(report: Report, method: str, output: Path) -> None:
    """Writes report.json, report.md and the pictures of one method into a folder."""
    write_report(report, page(report), output)
    for temperature in report["temperatures"]:
        save_plot(picture(report, temperature, method), output / f"intensities-{temperature}.png")


def main(arguments: list[str] | None = None) -> int:
    """Runs the command and gives its exit status: a mistake is one line on standard error."""
    given = command_parser(sweep, "python -m comparison.intensities").parse_args(arguments)
    work = partial(sweep, **vars(given))
    return exit_status(lambda: show(sheets(work())), "stopped; what is finished is kept: the same command goes on")


if __name__ == "__main__":
    raise SystemExit(main())
