"""Holds controllers of the same experts against each other: training seeds, ablations, experts that came later.

    python -m comparison.controllers --controllers '{"ours": "bundles/miniature", "other": "build/other"}'

Names that differ behind a slash alone (`ours/1`, `ours/2`) are training seeds of one variant and are taken together.
Leaves report.json, report.md and all answers. Interrupt it as you like: the same command goes on. Knows the order of
things and where everything lies. Does not know how an answer is made.
"""

from pathlib import Path

from jsonargparse import ActionConfigFile

from comparison.archive import Archive
from comparison.cases import Case, bundle_case, with_preferences, with_questions
from comparison.chain import Draws, answer_all, draws, score_all
from comparison.combinations import label
from comparison.command import bars, command_parser, exit_status, write_report
from comparison.controllers.family import UNIFORM, Family, variants
from comparison.controllers.page import page, sheets
from comparison.controllers.standing import Report, standings
from comparison.outcomes import Outcome
from comparison.page import show
from comparison.roles import remembering, roles
from comparison.scorers import Scorer
from evaluation.intervals import estimate
from experts.names import listed

QUICK_PROMPTS = 8


def controllers(
    controllers: dict[str, str],
    output: Path = Path("build/controllers"),
    preferences: list[str] | str | None = None,
    prompts: str | None = None,
    scorer: str | None = None,
    seeds: int = 1,
    test_prompts: int = 216,
    max_new_tokens: int = 112,
    quick: bool = False,
) -> Report:
    """Compares the controllers of bundles that have the same base and experts, and gives the report.

    Args:
        controllers: A bundle's folder or hub id for each name; the first is what the others are held against.
        output: The folder for reports and answers; what an earlier run left there is not done again.
        preferences: Names of dimensions joined by +, such as friendly=0.5+concise; one pole of each axis in every way
            if not given.
        prompts: JSONL of your own questions, rows {"messages": [...]}, or a dataset's folder or hub id, perhaps with
            its split behind a colon; the miniature world's if not given.
        scorer: gold, learned or classifier:FOLDER; gold on questions of the miniature world if not given.
        seeds: Answers drawn at temperature 1.
        test_prompts: The most questions.
        max_new_tokens: The most tokens of an answer.
        quick: Only a few questions: whether everything works.

    Raises:
        FileNotFoundError: If a bundle or file is not there.
        ValueError: If the bundles do not belong together, or nothing can score the answers.
    """
    planned, family = draws(seeds), Family.read(controllers)
    limits = (QUICK_PROMPTS if quick else test_prompts, 0)
    case = with_questions(bundle_case(next(iter(controllers.values()))), prompts, None, limits)
    case = with_preferences(case, listed(preferences))
    judging, _ = roles(case, None if scorer is None else [scorer])
    judge = remembering(judging, case, output, max_new_tokens)
    archive = Archive.of(output, [one.messages for one in case.prompts], case.identity, max_new_tokens)
    outcomes = _outcomes(case, family, judge, planned, archive, max_new_tokens)
    report: Report = {
        "settings": {
            "controllers": {name: identity for name, (_, identity) in family.members.items()},
            "prompts": len(case.prompts),
            "preferences": [label(asked) for asked in case.preferences],
            "seeds": seeds,
            "judge": judging.partition(":")[0],
            "max_new_tokens": max_new_tokens,
        },
        "temperatures": {f"{temperature:g}": _entry(outcomes, family, temperature) for temperature in planned},
    }
    write_report(report, page(report), output)
    return report


def _outcomes(
    case: Case, family: Family, judge: Scorer, planned: Draws, archive: Archive, max_new_tokens: int
) -> dict[str, dict[float, Outcome]]:
    """What everybody's answers are worth, those of the uniform mixture under each rule among them."""
    everybody = list({one.name: one for one in (*family.uniform().values(), *family.methods().values())}.values())
    with bars() as progress:
        answer_all(everybody, case.preferences, planned, archive, max_new_tokens, progress)
        return score_all(everybody, case.preferences, planned, archive, case.prompts, judge, progress)


def _entry(outcomes: dict[str, dict[float, Outcome]], family: Family, temperature: float) -> Report:
    """The report's numbers at one temperature."""
    uniform = outcomes[UNIFORM][temperature]
    members = {name: outcomes[method.name][temperature] for name, method in family.methods().items()}
    own = {name: outcomes[method.name][temperature] for name, method in family.uniform().items()}
    return {
        "uniform": estimate(uniform.utility()).as_dict(),
        "controllers": standings(uniform, members, variants(members), own),
    }


def main(arguments: list[str] | None = None) -> int:
    """Runs the command and gives its exit status: a mistake is one line on standard error."""
    parser = command_parser(controllers, "python -m comparison.controllers")
    parser.add_argument("--config", action=ActionConfigFile, help="YAML file with any of these settings")
    given = parser.parse_args(arguments)
    settings = {name: value for name, value in vars(given).items() if name != "config"}
    return exit_status(
        lambda: show(sheets(controllers(**settings))), "stopped; what is finished is kept: the same command goes on"
    )


if __name__ == "__main__":
    raise SystemExit(main())
