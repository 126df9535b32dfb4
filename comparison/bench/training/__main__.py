"""Times how long the experts take to train: all together, one after another, and one after another by TRL's PPO.

    python -m comparison.bench.training [--trl TRL_ENVIRONMENT/bin/python] [--updates 20] [--questions 108]

Leaves training.json with every round, the experts of each way, their settings and what they printed. In turn, in one
measurement: a round is one update of everybody, each in a process of its own that waits while others compute, so that
drift of the machine hits all alike. Starting processes and importing is counted for nobody, nor are the first rounds.
After the last one, the experts of each way answer questions that training never saw. Knows the order of things. Does
not know how anybody trains.
"""

import json
import time
from pathlib import Path
from typing import Any

import torch
from rich.progress import Progress

from comparison.bench.findings import machine
from comparison.bench.rounds import FEWEST_ROUNDS
from comparison.bench.training.gold import gold_claims, standings, worths
from comparison.bench.training.page import sheets
from comparison.bench.training.plan import Settings, shared_settings
from comparison.bench.training.race import Entry, entries, experts_of, race, started, versions
from comparison.bench.training.timing import Who, claims_of, rows_of
from comparison.command import bars, command_parser, exit_status
from comparison.page import show
from comparison.scorers import GoldScorer
from experts.miniature.corpus import prompts as questions_of
from experts.names import listed

REPORT = "training.json"


def bench_training(
    output: Path = Path("build/training"),
    config: Path = Path("configs/miniature/experts.yaml"),
    rewards: Path = Path("build/miniature/classifiers"),
    base: Path | None = None,
    prompts: Path | None = None,
    dimensions: list[str] | str | None = None,
    trl: Path | None = None,
    trl_learning_rate: float | None = None,
    updates: int = 20,
    warm_up: int = 2,
    questions: int = 108,
    threads: int | None = None,
) -> dict[str, Any]:
    """Times each way of training the experts, and gives the findings.

    Args:
        output: A new folder, for the findings and everybody's experts, settings and logs.
        config: YAML file of experts.train with everything that all ways share.
        rewards: The folder of reward models of experts.reward_training --evidence false, which transformers can read.
        base: The base's folder; the configuration's if not given.
        prompts: JSONL of prompts to train on; the configuration's if not given.
        dimensions: Which experts to train, a list or one,another; all that have a reward if not given.
        trl: The python of an environment with TRL 1.12; without it, only our own ways are timed.
        trl_learning_rate: For TRL alone; the configuration's if not given.
        updates: How many everybody does.
        warm_up: How many of them are not timed.
        questions: The most questions of the miniature world's test split that everybody's experts answer; 0 is none.
        threads: Of torch in each process; its own choice if not given.

    Raises:
        FileNotFoundError: If base, rewards or TRL's python are not there.
        ValueError: If the output is not new, or there are too few updates, or the settings do not suit all ways.
        ChildProcessError: If somebody does not train to its end.
    """
    if warm_up < 0 or updates - warm_up < FEWEST_ROUNDS:
        raise ValueError(f"at least {FEWEST_ROUNDS} updates must be timed, got {updates} with {warm_up} to warm up")
    if output.exists() and any(output.iterdir()):
        raise ValueError(f"output must be a new folder, got {output}, which holds something: name another one")
    if trl is not None and not trl.is_file():
        raise FileNotFoundError(f"trl must be the python of an environment with trl 1.12, got no file {trl}")
    threads = threads or torch.get_num_threads()
    shared = shared_settings(config, updates, listed(dimensions), base=base, prompts=prompts, rewards=rewards)
    everybody = entries(shared, output.absolute(), trl, trl_learning_rate)
    told = {name: shared[name] for name in ("dimensions", "prompts_per_update")}
    told |= {"updates": updates, "warm_up": warm_up, "questions": questions, "threads": threads, "shared": shared}
    report: dict[str, Any] = {"settings": told, "machine": machine(torch.device("cpu"))}
    report |= {"rows": [], "gold": {}, "claims": []}
    began = time.perf_counter()
    try:
        with bars() as progress:
            time_all(everybody, output, report, progress)
        if questions:
            judge(everybody, shared, questions, report)
    finally:
        report["minutes"] = (time.perf_counter() - began) / 60
        output.mkdir(parents=True, exist_ok=True)
        (output / REPORT).write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    return report


def time_all(everybody: dict[Who, Entry], output: Path, report: dict[str, Any], progress: Progress) -> None:
    """Trains everybody in turn; the report has every whole round, even when it is interrupted."""
    settings = report["settings"]
    updates, warm_up = settings["updates"], settings["warm_up"]
    bar = progress.add_task("starting", total=len(everybody) * (updates + 1))

    def on_turn(who: Who) -> None:
        progress.update(bar, description=" ".join(who), advance=1)

    with started(everybody, output, settings["threads"]) as trainees:
        report["trl"] = versions(trainees)
        turns = race(trainees, updates, on_turn)
        before, found = next(turns), []
        for each in turns:
            found.append(each)
            report["told"] = {" ".join(who): trainee.told[2:] for who, trainee in trainees.items()}
            if timed := found[warm_up:]:
                report |= {"rows": rows_of(timed, before, updates), "claims": claims_of(timed)}


def judge(everybody: dict[Who, Entry], shared: Settings, questions: int, report: dict[str, Any]) -> None:
    """Adds what everybody's experts are worth to the report."""
    asked = questions_of("test")[:questions]
    scorer, longest = GoldScorer(shared["dimensions"]), shared["exam"]["most_budget"]
    found = worths(shared["base"], experts_of(everybody), asked, scorer, longest, shared["ppo"]["seed"])
    report["settings"]["questions"] = len(asked)
    report["gold"] = standings(found)
    report["claims"] += gold_claims(report["gold"])


def main(arguments: list[str] | None = None) -> int:
    """Runs the command and gives its exit status: a mistake is one line on standard error."""
    given = command_parser(bench_training, "python -m comparison.bench.training").parse_args(arguments)
    return exit_status(
        lambda: show(sheets(bench_training(**given.as_dict()))), f"stopped; what was timed is in {given.output}"
    )


if __name__ == "__main__":
    raise SystemExit(main())
