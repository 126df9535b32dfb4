"""Times what a mixture costs, beside soups, PEFT and separate models, in one process and in turn.

    python -m comparison.bench [--shape 135m] [--dtypes '[float32, bfloat16]'] [--engines '[eager, packed]'] [--quick]

Leaves bench.json, bench.md and a plot for each precision, cost-DTYPE.png; with --profile also profile.md. Interrupt it
as you like: what is measured is kept. Weights are random, since time depends on shapes and not on what was learned.
The methods: `soup`, one merged model; `bank`, the mixture as it is used, every expert asked for; `floor`, the bare base
fed as many rows as the bank; `bank-pass` and `bank+controller`, the bank's bare pass without any loop, and with a
controller; `peft-loop`, `peft-mixed` and `separate`, other ways to exactly the bank's distribution.
"""

import os
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import torch
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from comparison.bench.findings import Findings, machine
from comparison.bench.lineup import ADAPTER_RANK
from comparison.bench.measure import Effort
from comparison.bench.plot import cost_plot
from comparison.bench.profiling import profile_sheet
from comparison.bench.run import LoadPlan, Plan, measure, measure_load, profile_step, settings_of
from comparison.bench.shapes import SHAPES
from comparison.bench.tables import page, sheets
from comparison.command import command_parser, exit_status
from comparison.page import show
from evaluation.plots import save_plot

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float64": torch.float64}
LARGEST_PREFILL = {"cpu": 640, "cuda": 65536}
"""Tokens over all rows; above it a processor of two cores takes seconds for each method."""
TURNS = 3
"""Timed together, so that every round holds one turn of three at which the gate opens, no more and no less."""
QUICK_EXPERTS = (1, 3)
QUICK_LOAD = LoadPlan(requests=8, preferences=4, experts=4, each=2, prompt_tokens=8, new_tokens=4)


def bench(
    output: Path = Path("build/cost"),
    shape: str | None = None,
    device: str | None = None,
    dtypes: Sequence[str] | None = None,
    engines: Sequence[str] | None = None,
    experts: Sequence[int] = (6, 3, 1, 2, 4, 8, 16),
    overheads: Sequence[int] = (3, 6),
    batches: Sequence[int] = (1, 8, 32),
    prompt_tokens: int = 64,
    rounds: int = 12,
    seconds: float = 12.0,
    slowest: float = 2.0,
    minutes: float = 25.0,
    threads: int | None = None,
    quick: bool = False,
    profile: bool = False,
) -> Findings:
    """Times every way of serving preferences, and gives the findings.

    Args:
        output: The folder for tables, plots and numbers.
        shape: Of the base: tiny, 135m, 1b or 8b; 135m on a CPU and 1b on CUDA when not given.
        device: Such as cpu or cuda; CUDA where there is one when not given.
        dtypes: Precisions of the weights among float32, bfloat16 and float64; when not given, float32 and bfloat16 on
            a CPU, bfloat16 on CUDA. The mixed-preference load runs in the first one.
        engines: What computes soup, floor and bank, among eager, packed (CPU only), compiled and int8 (needs torchao);
            when not given, eager and packed on a CPU, eager on CUDA. Compiling takes minutes for every bank.
        experts: How many experts the banks have, all of them asked for, in the order in which they are measured.
        overheads: For which of them the bare pass and the controller are timed as well.
        batches: How many requests are answered at once.
        prompt_tokens: Of every prompt.
        rounds: The most rounds of one cell; every round runs each method once, but those that are not ours run in the
            first three only.
        seconds: A cell with three rounds starts no further one after this time.
        slowest: A way that is not ours and takes more seconds for one turn of a cell is left out of the cell.
        minutes: About how long everything may take; what there is no time for is listed.
        threads: Of torch on a CPU; its own choice when not given.
        quick: One and three experts, batch 1, three rounds, a small load: whether everything works.
        profile: Also profile decoding steps, into profile.md.

    Raises:
        ValueError: If something cannot be measured on this machine.
    """
    if threads is not None:
        torch.set_num_threads(threads)
    place = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
    plan = Plan(
        shape=known(shape or ("135m" if place.type == "cpu" else "1b")),
        device=place,
        dtypes=precisions(dtypes or (("float32", "bfloat16") if place.type == "cpu" else ("bfloat16",))),
        engines=tuple(engines or (("eager", "packed") if place.type == "cpu" else ("eager",))),
        experts=QUICK_EXPERTS if quick else tuple(experts),
        overheads=(3,) if quick else tuple(overheads),
        batches=(1,) if quick else tuple(batches),
        effort=Effort(prompt_tokens, 3 if quick else rounds, seconds, TURNS, LARGEST_PREFILL[place.type], slowest),
        load=QUICK_LOAD if quick else LoadPlan(),
        minutes=minutes,
    )
    findings = Findings(settings_of(plan) | {"rank": ADAPTER_RANK}, machine(place))
    keep(plan, findings, output, profile)
    return findings


def keep(plan: Plan, findings: Findings, output: Path, profile: bool) -> None:
    """Measures, and writes what there is even when it is interrupted."""
    output.mkdir(parents=True, exist_ok=True)
    began = time.perf_counter()
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    try:
        with Progress(*columns, console=Console(stderr=True)) as progress:
            measure(plan, findings, progress)
            measure_load(plan, findings, progress)
        if profile:
            profile_step(plan, findings)
    finally:
        findings.minutes = (time.perf_counter() - began) / 60
        write(findings, output)


def write(findings: Findings, output: Path) -> None:
    """Writes numbers, tables and plots."""
    findings.write(output / "bench.json")
    (output / "bench.md").write_text(page(findings), encoding="utf-8")
    if findings.profile:
        tables = [profile_sheet(row).markdown() for row in findings.profile]
        (output / "profile.md").write_text("\n".join(["# Profile\n", *tables]), encoding="utf-8")
    for dtype in findings.settings["dtypes"]:
        rows = [row for row in findings.rows if row["dtype"] == dtype]
        if any(row["phase"] == "decode" for row in rows):
            save_plot(cost_plot(rows), output / f"cost-{dtype}.png")


def known(shape: str) -> str:
    """Gives the shape itself.

    Raises:
        ValueError: If there is no such shape.
    """
    if shape not in SHAPES:
        raise ValueError(f"a shape must be one of {', '.join(SHAPES)}, got {shape!r}")
    return shape


def precisions(names: Sequence[str]) -> tuple[torch.dtype, ...]:
    """Gives the dtypes of these names.

    Raises:
        ValueError: If one is unknown.
    """
    if unknown := [name for name in names if name not in DTYPES]:
        raise ValueError(f"dtypes must be among {', '.join(DTYPES)}, got {unknown}")
    return tuple(DTYPES[name] for name in names)


def main(arguments: list[str] | None = None) -> int:
    """Runs the command and gives its exit status: a mistake is one line on standard error."""
    given = command_parser(bench, "python -m comparison.bench").parse_args(arguments)
    os.environ.setdefault("KINETO_LOG_LEVEL", "6")  # the profiler's own messages would break the progress bar
    work = partial(bench, **vars(given))
    return exit_status(lambda: show(sheets(work())), f"stopped; what was measured is in {given.output}")


if __name__ == "__main__":
    raise SystemExit(main())
