"""Everybody trains in turn: one round is one update of the joint run, of each single run and of each run by TRL.

Knows ways, their trainees and where their experts lie. Does not know what a turn computes.
"""

import json
import math
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from comparison.bench.rounds import rounds, timed
from comparison.bench.training.plan import Settings, our_settings, trl_settings
from comparison.bench.training.timing import JOINT, SINGLE, TRL, Who
from comparison.bench.training.turns import Trainee

ALL = "all"
MODULE = "comparison.bench.training"


@dataclass(frozen=True)
class Entry:
    """Somebody who trains.

    Args:
        python: Interpreter of its environment.
        module: What it runs.
        settings: What it is told.
        experts: Where it leaves each expert, by dimension.
    """

    python: str
    module: str
    settings: Settings
    experts: Mapping[str, Path]


def entries(shared: Settings, output: Path, trl: Path | None, learning_rate: float | None) -> dict[Who, Entry]:
    """Gives everybody who trains, in the order of a round.

    Args:
        shared: Those of `plan.shared_settings`.
        output: Folder that gets everything.
        trl: Python of TRL's environment; without it nobody trains by TRL.
        learning_rate: Of TRL's, if it is another one.
    """
    dimensions = shared["dimensions"]
    found = {(JOINT, ALL): _ours(shared, dimensions, output / JOINT)}
    found |= {(SINGLE, name): _ours(shared, [name], output / SINGLE / name) for name in dimensions}
    if trl is not None:
        for name in dimensions:
            folder = output / TRL / name
            settings = trl_settings(shared, name, folder, learning_rate)
            found[TRL, name] = Entry(str(trl.absolute()), f"{MODULE}.trl_trainee", settings, {name: folder})
    return found


def _ours(shared: Settings, dimensions: Sequence[str], output: Path) -> Entry:
    settings = our_settings(shared, dimensions, output)
    return Entry(sys.executable, f"{MODULE}.our_trainee", settings, {name: output / name for name in dimensions})


def experts_of(everybody: Mapping[Who, Entry]) -> dict[str, dict[str, Path]]:
    """Gives for each way the folder of each of its experts."""
    found: dict[str, dict[str, Path]] = {}
    for (way, _), entry in everybody.items():
        found.setdefault(way, {}).update(entry.experts)
    return found


@contextmanager
def started(everybody: Mapping[Who, Entry], output: Path, threads: int) -> Iterator[dict[Who, Trainee]]:
    """Gives a trainee for each, its imports done; whatever happens, all processes end.

    Args:
        everybody: Those of `entries`.
        output: Gets `settings/` and `logs/`.
        threads: Of torch in each process; only one of them computes at a time.

    Raises:
        ChildProcessError: If somebody cannot import what it needs.
    """
    environment = {"OMP_NUM_THREADS": str(threads), "HF_HUB_OFFLINE": "1", "TRL_EXPERIMENTAL_SILENCE": "1"}
    (output / "settings").mkdir(parents=True, exist_ok=True)
    with ExitStack() as stack:
        trainees = {}
        for who, entry in everybody.items():
            name = "-".join(who)
            told = output / "settings" / f"{name}.json"
            told.write_text(json.dumps(entry.settings, indent=1) + "\n", encoding="utf-8")
            command = [entry.python, "-m", entry.module, str(told)]
            trainees[who] = Trainee(name, command, output / "logs" / f"{name}.log", environment)
            stack.callback(trainees[who].stop)
        for trainee in trainees.values():
            trainee.arrive()
        yield trainees


def race(trainees: Mapping[Who, Trainee], updates: int, on_turn: Callable[[Who], None]) -> Iterator[dict[Who, float]]:
    """Gives the seconds of everybody's turn, round after round: first of building, then of each update.

    Args:
        trainees: Started.
        updates: How many there are; after them, everybody saves its experts.
        on_turn: Told whose turn begins.

    Raises:
        ChildProcessError: If somebody does not train to its end.
    """
    runs: dict[Who, Callable[[], None]] = {who: partial(_turn, who, one, on_turn) for who, one in trainees.items()}
    yield {who: timed(run) for who, run in runs.items()}
    yield from rounds(runs, updates, math.inf)
    for trainee in trainees.values():
        trainee.finish()


def _turn(who: Who, trainee: Trainee, on_turn: Callable[[Who], None]) -> None:
    on_turn(who)
    trainee.turn()


def versions(trainees: Mapping[Who, Trainee]) -> dict[str, Any]:
    """Gives the versions that TRL's trainees run under; nothing without them."""
    return next((trainee.told[0] for (way, _), trainee in trainees.items() if way == TRL), {})
