"""Compares every way of personalising an answer, and says in words and pictures which is best and how sure that is.

    python compare.py                                       the shipped bundle, the main methods, a few questions
    python compare.py --config configs/miniature/compare.yaml
    python compare.py --base MODEL --experts '{"warm": "DIR", "short": "DIR"}' --scorers '["classifier:DIR"]'
                      --prompts TEST.jsonl --validation OTHER.jsonl

Leaves report.json, report.md, report.html, utility.png and responses.jsonl. Interrupt it as you like: the same command
goes on.

Departures from published comparisons (arXiv 2407.04181, 2310.11564): (1) the soup is the exact sum of the updates, and
is checked; what averages A and B apart is labelled so; (2) every hyper-parameter of every method, temperature included,
is chosen on validation questions by learned rewards, never by the judge; (3) intervals over questions, Holm's
correction over all pairs, differences at equal length.
"""

from collections.abc import Sequence
from dataclasses import replace
from multiprocessing import parent_process
from pathlib import Path

from jsonargparse import ActionConfigFile
from rich.console import Console

from bundle import SHIPPED
from comparison.archive import Archive
from comparison.cases import Case, case_of, require_preferences, with_preferences, with_questions, with_users
from comparison.chain import runs
from comparison.combinations import Combination, label
from comparison.command import bars, command_parser, exit_status
from comparison.costs import measured
from comparison.decoding import Decoded
from comparison.fronts import front, sweep
from comparison.judged import win_rates
from comparison.lineup import Entry, lineup, only, some_of
from comparison.other_controllers import other_controllers
from comparison.page import show
from comparison.roles import language_judge, remembering, roles
from comparison.scorers import Scorer
from comparison.shares import answer_in_shares, place_of, share_of
from comparison.static import StaticSoup
from comparison.study import Plan, Results, Study
from comparison.study_files import write
from comparison.study_report import Report, study_report
from comparison.study_sheets import sheets
from comparison.study_told import sentences
from comparison.trained import trained
from comparison.yardsticks import BestOf, Demonstrations, InContext
from experts.names import listed

QUICK = ("base", "prompt-preference", "soup-uniform", "fixed-logit", "fixed-anchored", "pcm-*")
MAIN = (*QUICK, "prompt-*", "soup-best*", "static-pcm", "specialist")
QUICK_QUESTIONS = (8, 4)
BEST_OF = 8
TEMPERATURES = (1.0, 0.5, 0.0)


def compare(
    output: Path = Path("build/compare"),
    bundle: str = SHIPPED,
    base: str | None = None,
    experts: dict[str, str] | None = None,
    opposites: dict[str, str] | None = None,
    rule: str = "anchored",
    methods: list[str] | str | None = None,
    preferences: list[str] | str | None = None,
    sweeps: list[str] | str | None = None,
    users: list[str] | str | None = None,
    prompts: str | None = None,
    validation: str | None = None,
    scorers: list[str] | str | None = None,
    seeds: int = 1,
    temperatures: list[float] | None = None,
    test_prompts: int = 24,
    validation_prompts: int = 8,
    max_new_tokens: int = 112,
    reference: str | None = None,
    specialists: Path | None = None,
    policy: Path | None = None,
    controllers: dict[str, str] | None = None,
    gradient_steps: dict[str, int] | None = None,
    judge_url: str | None = None,
    judge_model: str | None = None,
    judge_key: str | None = None,
    quick: bool = False,
    workers: int = 1,
    share: str | None = None,
) -> Report:
    """Compares methods and gives the report, which is empty for a share.

    Args:
        output: The folder for reports and answers; what an earlier run left there is not done again.
        bundle: A bundle's folder, or its id on the Hugging Face hub; not read if base and experts are given.
        base: Folder or hub id of your own causal language model.
        experts: PEFT folder or hub id of each of its experts, by the name of its dimension.
        opposites: The other pole of each of your dimensions that has one, by name.
        rule: The mixing rule of the tempered mixture of your own experts.
        methods: Names or patterns, such as base,soup-*, or * for all; the main ones if not given.
        preferences: Names of dimensions joined by +, such as friendly=0.5+concise; one pole of each axis in every way
            if not given.
        sweeps: Two or three dimensions joined by +, such as friendly+concise, of which more and less is asked for, all
            ways: gives a front for each method that hears half a wish.
        users: Whose profiles are the preferences instead, by name or file.
        prompts: JSONL of your own questions, rows {"messages": [...]}, or a dataset's folder or hub id, perhaps with
            its split behind a colon; the miniature world's if not given.
        validation: Other questions, on which choices are made.
        scorers: gold, learned or classifier:FOLDER; the first judges the report, the first that is not gold chooses.
        seeds: Answers drawn at each temperature above 0.
        temperatures: Of the sweep; 1, 0.5 and 0 if not given.
        test_prompts: The most questions of the report.
        validation_prompts: The most questions for choices.
        max_new_tokens: The most tokens of an answer.
        reference: The method that the report holds against all others; the controller's mixture if not given.
        specialists: Folder with a PEFT adapter trained for each preference, named like friendly+concise.
        policy: PEFT adapter of one policy trained on all preferences, which it reads in its prompt.
        controllers: Folder or hub id of other bundles with the same base and experts, by names such as pcm-published:
            their controllers are compared too.
        gradient_steps: That went into experts, controller, specialist, policy, and other controllers by their names,
            all of a kind together: for the table of costs.
        judge_url: Of an OpenAI-compatible endpoint whose model judges pairs as well, such as http://localhost:8000/v1.
        judge_model: As the endpoint calls it.
        judge_key: Name of the environment variable that holds its key, if it wants one.
        quick: A few methods on a few questions: whether everything works, not what is best.
        workers: Processes that answer side by side, each with its part of the cores: on two cores, two are faster than
            one with both. A script that asks for several needs a main guard.
        share: K/N answers the Kth of N shares of the methods, in one process, and makes no report, for several machines
            that write into one folder; the command without it then makes the report.

    Raises:
        FileNotFoundError: If a model or file is not there.
        ValueError: If something does not fit together.
    """
    given = locals().copy()
    if workers < 1:
        raise ValueError(f"workers must be at least 1, got {workers}")
    if share is not None:
        place_of(share)
    limits = QUICK_QUESTIONS if quick else (test_prompts, validation_prompts)
    case = with_questions(case_of(bundle, base, experts, opposites, rule), prompts, validation, limits)
    case = with_users(with_preferences(case, listed(preferences)), listed(users))
    sweeping = [tuple(one.split("+")) for one in listed(sweeps) or ()]
    for one in sweeping:
        require_preferences(sweep(one), case.mixture.names)
    plan = Plan(tuple(temperatures or TEMPERATURES), seeds, max_new_tokens)
    spoken = language_judge(case, output, judge_url, judge_model, judge_key)
    judging, choosing = roles(case, listed(scorers))
    judge = remembering(judging, case, output, max_new_tokens)
    chooser = None if choosing is None else remembering(choosing, case, output, max_new_tokens)
    tested, validated = _archives(case, plan, choosing, output)
    everything = _lineup(case, chooser, validated, max_new_tokens)
    everything += trained(case.mixture, case.phrase, specialists, policy)
    everything += other_controllers(None if base else bundle, controllers or {}, [entry.name for entry in everything])
    _require_trained(gradient_steps or {}, everything)
    entries = only(everything, listed(methods) or some_of(everything, QUICK if quick else MAIN))
    held = _reference(entries, reference)
    _require_graded(entries, sweeping)
    study = Study(case, plan, judge, chooser, tested, validated, bars(hidden=parent_process() is not None))
    if share is not None:
        with study.progress:
            _answer(study, share_of(entries, share), sweeping)
        return {}
    if workers > 1:
        answer_in_shares(compare, given, len(entries), workers)
    with study.progress:
        results = study.run(entries)
        fronts = {label(swept): _front(study, swept, entries, results, held) for swept in sweeping}
        rates = None if spoken is None else win_rates(results, held, case.prompts, spoken, study.progress)
    costs = _costs(entries, results, tested, gradient_steps or {})
    settings = _settings(case, plan, judging, choosing)
    report = study_report(results, entries, case.mixture.names, held, settings, costs)
    report["fronts"] = fronts
    report["language_judge"] = None if spoken is None else {"model": judge_model, "win_rates": rates, **spoken.told}
    write(report, results, case, output)
    return report


def _answer(study: Study, entries: list[Entry], sweeping: Sequence[Combination]) -> None:
    """Answers everything of these lines that a report needs."""
    choices = study.run(entries).choices
    for swept in sweeping:
        _between(study, swept).swept([entry for entry in entries if entry.graded], choices)


def _between(study: Study, swept: Combination) -> Study:
    """The study of the preferences between the dimensions that are swept."""
    return replace(study, case=replace(study.case, preferences=sweep(swept)))


def _front(study: Study, swept: Combination, entries: list[Entry], results: Results, reference: str) -> Report:
    """What each method that hears half a wish reaches between the dimensions that are swept."""
    graded = [entry for entry in entries if entry.graded]
    return front(_between(study, swept).swept(graded, results.choices), swept, reference)


def _require_graded(entries: list[Entry], sweeping: Sequence[Combination]) -> None:
    """Refuses sweeps that nobody would hear."""
    if sweeping and not any(entry.graded for entry in entries):
        raise ValueError(f"sweeps need a method that hears half a wish, got {', '.join(one.name for one in entries)}")


def _require_trained(steps: dict[str, int], everything: list[Entry]) -> None:
    """Refuses gradient steps of what nobody trained."""
    known = sorted({part for entry in everything if entry.cost for part in entry.cost.trained})
    if unknown := [part for part in steps if part not in known]:
        raise ValueError(f"gradient_steps must be those of {', '.join(known)}, got {', '.join(unknown)}")


def _costs(entries: list[Entry], results: Results, tested: Archive, steps: dict[str, int]) -> dict[str, Report]:
    """What cannot be read off answers: time, memory and training."""
    found: dict[str, Report] = {}
    for entry in entries:
        if entry.cost is None:
            continue
        found[entry.name] = {**entry.cost.as_dict(), "gradient_steps": entry.cost.steps(steps)}
        method = entry.make(results.structure(entry.name))
        if isinstance(method, Decoded):
            run = next(runs(method, list(results.chosen(entry.name).texts), {results.temperature(entry.name): [0]}))
            found[entry.name] |= measured(method, entry.cost, run, tested)
    return found


def _settings(case: Case, plan: Plan, judging: str, choosing: str | None) -> dict[str, object]:
    """What was compared, without times and paths."""
    return {
        "identity": case.identity,
        "prompts": len(case.prompts),
        "validation_prompts": len(case.validation),
        "preferences": len(case.preferences),
        "users": {user: label(asked) for user, asked in zip(case.users, case.preferences, strict=False)},
        "seeds": plan.seeds,
        "temperatures": list(plan.temperatures),
        "max_new_tokens": plan.max_new_tokens,
        "judge": judging.partition(":")[0],
        "chooser": "nobody" if choosing is None or not case.validation else choosing.partition(":")[0],
    }


def _lineup(case: Case, chooser: Scorer | None, validated: Archive, max_new_tokens: int) -> list[Entry]:
    """Everything that the case can be compared in."""
    best = None if chooser is None else BestOf(case.mixture, chooser, BEST_OF)
    shown = None
    if best is not None and case.demonstrations:
        shown = InContext(case.mixture, Demonstrations(best, case.demonstrations, max_new_tokens), max_new_tokens)
    static = None
    if case.mixture.pcm is not None and case.validation:
        static = StaticSoup(case.mixture, validated, max_new_tokens)
    return lineup(case.mixture, case.phrase, case.held_out, best, shown, static)


def _archives(case: Case, plan: Plan, choosing: str | None, output: Path) -> tuple[Archive, Archive]:
    """Where answers to the report's and to the validation questions are kept.

    Best-of-n answers by what chooses, whose reference answers depend on all questions together.
    """
    depends = case.identity, choosing, [one.messages for one in case.everything], plan.max_new_tokens
    tested, validated = ([one.messages for one in questions] for questions in (case.prompts, case.validation))
    return Archive.of(output, tested, *depends), Archive.of(output, validated, *depends)


def _reference(entries: list[Entry], wanted: str | None) -> str:
    """The method that is held against all others: the controller's, else a fixed mixture, else the first.

    Raises:
        ValueError: If the wanted one is not compared.
    """
    names = [entry.name for entry in entries]
    if wanted is not None:
        if wanted not in names:
            raise ValueError(f"the reference must be one of {', '.join(names)}, got {wanted}")
        return wanted
    leading = [name for start in ("pcm-", "fixed-") for name in names if name.startswith(start)]
    return leading[0] if leading else names[0]


def main(arguments: list[str] | None = None) -> int:
    """Runs the command and gives its exit status: a mistake is one line on standard error."""
    parser = command_parser(compare, "compare.py")
    parser.add_argument("--config", action=ActionConfigFile, help="YAML file with any of these settings")
    given = parser.parse_args(arguments)
    settings = {name: value for name, value in vars(given).items() if name != "config"}
    return exit_status(lambda: tell(compare(**settings)), "stopped; what is finished is kept: the same command goes on")


def tell(report: Report) -> None:
    """Prints what the report says, then its tables; nothing of a share."""
    if not report:
        return
    console = Console()
    for sentence in sentences(report):
        console.print(f"- {sentence}", markup=False)
    show(sheets(report))


if __name__ == "__main__":
    raise SystemExit(main())
