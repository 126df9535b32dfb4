"""What was found: rows of numbers, the machine they are true of, and the file that keeps them.

    {"settings": {...}, "machine": {...}, "minutes": M, "left_out": ["...", ...],
     "rows": [{"name", "experts", "engine", "batch", "phase", "dtype", "ms_per_token", "spread", "ratio_to_soup",
               "ratio_to_floor", "peak_bytes", "rounds", "each_round": [ms, ...]}],
     "load": [{"name", "engine", "dtype", "seconds", "spread", "requests_per_second", "rate_over_mixture", "rounds"}],
     "profile": [{"name", "experts", "engine", "dtype", "batch", "dispatched", "ms",
                  "operations": [{"operation", "calls", "own_ms", "share"}]}]}

Knows plain data. Does not know servers.
"""

import json
import os
import platform
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch

from comparison.bench.summaries import median, paired_ratio, spread

Row = dict[str, Any]
PACKAGES = ("torch", "transformers", "peft", "torchao")


@dataclass
class Findings:
    """Everything one run found.

    Args:
        settings: What was asked for.
        machine: What it ran on.
        rows: Of the cells.
        load: Of the mixed-preference load.
        left_out: A line for everything that was not measured, with the reason.
        minutes: How long it took.
        profile: Where the time of one decoding step goes.
    """

    settings: Mapping[str, Any]
    machine: Mapping[str, Any]
    rows: list[Row] = field(default_factory=list)
    load: list[Row] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)
    minutes: float = 0.0
    profile: list[Row] = field(default_factory=list)

    def write(self, path: Path) -> None:
        """Writes them as JSON, one line for each row."""
        fields = (f"{json.dumps(name)}: {_in_lines(value)}" for name, value in asdict(self).items())
        path.write_text("{" + ",\n".join(fields) + "}\n", encoding="utf-8")

    @classmethod
    def read(cls, path: Path) -> "Findings":
        """Gives what `write` wrote.

        Raises:
            FileNotFoundError: If there is nothing.
        """
        return cls(**json.loads(path.read_text(encoding="utf-8")))


def _in_lines(value: object) -> str:
    """A value as JSON, each entry of a list in a line of its own."""
    if not isinstance(value, list):
        return json.dumps(value)
    return "[\n" + ",\n".join(json.dumps(entry) for entry in value) + "]"


def machine(device: torch.device) -> dict[str, Any]:
    """Gives what the numbers depend on beside the code."""
    return {
        "processor": processor(Path("/proc/cpuinfo")),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu",
        "instructions": torch.backends.cpu.get_cpu_capability(),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        **{package: _version(package) for package in PACKAGES},
    }


def processor(table: Path) -> str:
    """Gives the processor's name as Linux tells it, or what Python knows of it."""
    if table.is_file():
        for line in table.read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def load_rows(taken: Mapping[tuple[str, str], Sequence[float]], requests: int, dtype: str) -> list[Row]:
    """Gives one row for each way of answering a load.

    `rate_over_mixture` is how many requests it answers while the fastest mixture answers one.

    Args:
        taken: Seconds of each round, by method and engine.
        requests: In the load.
        dtype: Of the weights.
    """
    mixture = min((times for (name, _), times in taken.items() if name == "mixture"), key=median)
    return [
        {
            "name": name,
            "engine": engine,
            "dtype": dtype,
            "seconds": median(times),
            "spread": spread(times),
            "requests_per_second": requests / median(times),
            "rate_over_mixture": paired_ratio(mixture, times),
            "rounds": len(times),
        }
        for (name, engine), times in taken.items()
    ]


def _version(package: str) -> str | None:
    """The installed version of a package."""
    try:
        return version(package)
    except PackageNotFoundError:
        return None
