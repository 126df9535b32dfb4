"""The whole benchmark in order: precisions, numbers of experts, phases, batch sizes; then the load, then a profile.

Knows plans, cells and findings. Does not know files or the command line.
"""

import gc
import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import partial

import torch
from rich.progress import Progress

from comparison.bench.engines import ENGINES, engine_named
from comparison.bench.findings import Findings, Row, load_rows
from comparison.bench.lineup import Material, Shelf, rival_servers
from comparison.bench.load import Load, LoadServer, load_servers
from comparison.bench.measure import PHASES, Bench, Effort
from comparison.bench.profiling import profile_row, profiled
from comparison.bench.rounds import FEWEST_ROUNDS, rounds
from comparison.bench.servers import AnyServer
from comparison.bench.shapes import SHAPES

PROFILED_TURNS = 4
CELLS_SHARE = 0.6
"""Of a plan's minutes; the others are for the load, whose rounds are long, and for the profile."""


@dataclass(frozen=True)
class LoadPlan:
    """How large the mixed-preference load is.

    Args:
        requests: All at once.
        preferences: How many different ones.
        experts: In the bank.
        each: How many experts a preference asks for.
        prompt_tokens: Of a prompt.
        new_tokens: Of an answer.
    """

    requests: int = 32
    preferences: int = 8
    experts: int = 6
    each: int = 3
    prompt_tokens: int = 16
    new_tokens: int = 32


@dataclass(frozen=True)
class Plan:
    """What is measured.

    Args:
        shape: Name of the base's shape.
        device: Where.
        dtypes: Precisions of the weights, one after the other; the load runs in the first one.
        engines: What computes soup, floor and bank; the other methods are eager.
        experts: How many experts the banks have.
        overheads: For which of them the bare pass and the controller are timed.
        batches: How many requests at once.
        effort: How much of each.
        load: The mixed-preference load.
        minutes: About how long everything may take. A precision that has used up its share is measured no further,
            except for the decoding of the smallest batch; what is left out is listed.
    """

    shape: str
    device: torch.device
    dtypes: tuple[torch.dtype, ...]
    engines: tuple[str, ...]
    experts: tuple[int, ...]
    overheads: tuple[int, ...]
    batches: tuple[int, ...]
    effort: Effort
    load: LoadPlan
    minutes: float = math.inf

    def __post_init__(self) -> None:
        """Refuses what cannot be measured, before anything is."""
        if not self.experts or min(self.experts) < 1:
            raise ValueError(f"a bank must have at least one expert, got {list(self.experts)}")
        if not self.batches or min(self.batches) < 1:
            raise ValueError(f"a batch must have at least one request, got {list(self.batches)}")
        if self.effort.rounds < FEWEST_ROUNDS:
            raise ValueError(f"a cell must have at least {FEWEST_ROUNDS} rounds, got {self.effort.rounds}")
        for dtype in self.dtypes:
            for name in self.engines:
                engine_named(name, self.device, dtype)

    @property
    def vocabulary(self) -> int:
        """How many tokens there are."""
        return int(SHAPES[self.shape]["vocab_size"])

    @property
    def share(self) -> float:
        """Seconds that the cells of one precision may take."""
        return 60 * self.minutes * CELLS_SHARE / len(self.dtypes)

    def cells(self) -> list[tuple[str, int]]:
        """Gives phases and batch sizes in the order they are measured."""
        return [(phase, batch) for phase in PHASES for batch in self.batches]


def measure(plan: Plan, findings: Findings, progress: Progress) -> None:
    """Measures every cell of a plan into the findings, which are whole after every round.

    Args:
        plan: What is measured.
        findings: Rows are added to them.
        progress: Shows how far it is.
    """
    task = progress.add_task("building", total=len(plan.dtypes) * len(plan.experts) * len(plan.cells()))
    for dtype in plan.dtypes:
        material = Material.random(plan.shape, dtype, plan.device, max(plan.experts))
        shelves = [Shelf.of(material, ENGINES[name]) for name in plan.engines]
        ends = time.perf_counter() + plan.share
        for experts in plan.experts:
            for cell in _measure_bank(plan, material, shelves, experts, ends, findings):
                progress.update(task, description=f"{told(dtype)}, {experts} experts, {cell}", advance=1)
            gc.collect()  # models and their hooks hold each other: without it the next bank is built beside this one


def _measure_bank(
    plan: Plan, material: Material, shelves: Sequence[Shelf], experts: int, ends: float, findings: Findings
) -> Iterator[str]:
    """Measures every cell of a bank of so many experts, and tells which one comes; the first one in any case."""
    dtype = told(material.base.dtype)
    servers, left_out = _servers(plan, material, shelves, experts)
    findings.left_out += [f"{dtype}: {line}" for line in left_out]
    bench = Bench(plan.device, plan.vocabulary, plan.effort)
    for phase, batch in plan.cells():
        yield f"{phase} of {batch}"
        if time.perf_counter() < ends or (phase, batch) == plan.cells()[0]:
            _measure_cell(bench, servers, (phase, batch), findings, dtype)
        else:
            findings.left_out.append(f"{dtype}: {phase} of {batch} beside {experts} experts: no time left")


def _servers(
    plan: Plan, material: Material, shelves: Sequence[Shelf], experts: int
) -> tuple[list[AnyServer], list[str]]:
    """Everybody who has to do with a bank of so many experts."""
    rivals, left_out = rival_servers(material, experts)
    ours = [server for shelf in shelves for server in shelf.servers(material, experts, experts in plan.overheads)]
    return [*ours, *rivals], left_out


def _measure_cell(
    bench: Bench, servers: Sequence[AnyServer], cell: tuple[str, int], findings: Findings, dtype: str
) -> None:
    """Measures one cell; every round replaces its rows by better ones."""
    before = len(findings.rows)
    for rows in bench.cell(servers, *cell):
        findings.rows[before:] = [row | {"dtype": dtype} for row in rows]
    findings.left_out += [f"{dtype}: {line}" for line in bench.left_out]
    if len(findings.rows) == before:
        findings.left_out.append(
            f"{dtype}: {cell[0]} of {cell[1]} beside {servers[0].experts} experts: more than "
            f"{bench.effort.largest_prefill} tokens over all rows"
        )


def measure_load(plan: Plan, findings: Findings, progress: Progress) -> None:
    """Measures the mixed-preference load into the findings, in the plan's first precision.

    Args:
        plan: What is measured.
        findings: Rows are added to them.
        progress: Shows how far it is.
    """
    dtype, shape = plan.dtypes[0], plan.load
    task = progress.add_task("load: building", total=plan.effort.rounds)
    tokens = (shape.prompt_tokens, shape.new_tokens)
    load = Load.random(shape.requests, shape.preferences, shape.experts, shape.each, tokens, plan.vocabulary)
    load = load.to(plan.device)
    material = Material.random(plan.shape, dtype, plan.device, shape.experts)
    servers: list[LoadServer] = []
    for name in plan.engines:
        if name != "compiled":
            found, left_out = load_servers(material, load, ENGINES[name])
            servers += found
            findings.left_out += [f"{told(dtype)}: {line}" for line in left_out]
    for rows in _load_rounds(servers, load, plan, told(dtype)):
        findings.load[:] = rows
        progress.update(task, description=f"load of {shape.requests} requests", advance=1)
    progress.update(task, completed=plan.effort.rounds)


def _load_rounds(servers: Sequence[LoadServer], load: Load, plan: Plan, dtype: str) -> Iterator[list[Row]]:
    """The load's rows after each round."""
    warm_up = load.beginning(new_tokens=2)
    for server in servers:
        server.answer(warm_up)
    runs = {(server.name, server.engine): partial(_answer, server, load, plan.device) for server in servers}
    taken: dict[tuple[str, str], list[float]] = {key: [] for key in runs}
    for each in rounds(runs, plan.effort.rounds, 4 * plan.effort.seconds):
        for key, seconds in each.items():
            taken[key].append(seconds)
        yield load_rows(taken, plan.load.requests, dtype)


def _answer(server: LoadServer, load: Load, device: torch.device) -> None:
    """Answers a load, and waits for the device."""
    server.answer(load)
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def profile_step(plan: Plan, findings: Findings) -> None:
    """Finds where the time of a decoding step goes, for soup, floor and bank in every engine.

    Args:
        plan: The bank has as many of its experts as come closest to six, in its first precision.
        findings: Profiles are added to them.
    """
    experts, dtype = min(plan.experts, key=lambda count: abs(count - 6)), plan.dtypes[0]
    material = Material.random(plan.shape, dtype, plan.device, experts)
    bench = Bench(plan.device, plan.vocabulary, plan.effort)
    for name in plan.engines:
        for server in Shelf.of(material, ENGINES[name]).servers(material, experts, overheads=False):
            contestant = bench.contestant(server, "decode", plan.batches[0])
            for _ in range(3):
                contestant.turn()
            told_of = {"name": server.name, "experts": experts, "engine": server.engine, "dtype": told(dtype)}
            row = profile_row(profiled(contestant.turn, plan.device, PROFILED_TURNS), PROFILED_TURNS)
            findings.profile.append({**told_of, "batch": plan.batches[0], **row})


def settings_of(plan: Plan) -> dict[str, object]:
    """Gives a plan as plain data."""
    plain = asdict(plan)
    return plain | {"device": str(plan.device), "dtypes": [told(dtype) for dtype in plan.dtypes]}


def told(dtype: torch.dtype) -> str:
    """Gives a precision's name."""
    return str(dtype).removeprefix("torch.")
