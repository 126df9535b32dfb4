"""What commands have in common: options from a function's parameters, bars, reports on disk and exit statuses.

An option is `--name value`, and `--name` alone for a yes or no. Does not know what a command does.
"""

import inspect
import json
from argparse import RawDescriptionHelpFormatter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import docstring_parser
from jsonargparse import ArgumentParser, DefaultHelpFormatter
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from transformers.utils import logging

from decoding import mistakes


class _Help(RawDescriptionHelpFormatter, DefaultHelpFormatter):
    """Keeps the ways to run a command one to a line."""


def command_parser(function: Callable[..., Any], prog: str) -> ArgumentParser:
    """Gives the parser of the command that is called `prog`.

    Texts, types and defaults are those of the function; what its module says first, and how it is run, stands above.
    """
    documented = docstring_parser.parse(function.__doc__ or "")
    told = {entry.arg_name: entry.description for entry in documented.params}
    parameters = inspect.signature(function).parameters
    flags = {name for name, parameter in parameters.items() if parameter.annotation is bool}
    says, *usage = (inspect.getdoc(inspect.getmodule(function)) or "").split("\n\n")
    parser = ArgumentParser(prog=prog, description="\n\n".join([says, *usage[:1]]), formatter_class=_Help)
    parser.add_function_arguments(function, as_group=False, as_positional=False, skip={*flags})
    for name in sorted(flags):  # a bare flag, where the parser of functions would want `--name true`
        parser.add_argument(f"--{name}", action="store_true", help=told[name])
    return parser


def bars(hidden: bool = False) -> Progress:
    """Gives the bars of a long command, on standard error, or hidden ones."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    return Progress(*columns, TimeElapsedColumn(), TimeRemainingColumn(), console=Console(stderr=True), disable=hidden)


def quiet() -> None:
    """Lets transformers speak of errors alone."""
    logging.set_verbosity_error()
    logging.disable_progress_bar()


def write_report(report: Mapping[str, Any], page: str, output: Path) -> None:
    """Writes report.json, on one line with six digits of each number, and the page as report.md, into a folder."""
    output.mkdir(parents=True, exist_ok=True)
    (output / "report.json").write_text(json.dumps(rounded(report)) + "\n", encoding="utf-8")
    (output / "report.md").write_text(page, encoding="utf-8")


def rounded(value: Any) -> Any:
    """Gives a JSON value whose fractions, wherever they stand in it, have six significant digits."""
    if isinstance(value, float):
        return float(f"{value:.6g}")
    if isinstance(value, Mapping):
        return {name: rounded(part) for name, part in value.items()}
    return [rounded(part) for part in value] if isinstance(value, list | tuple) else value


def exit_status(work: Callable[[], object], stopped: str) -> int:
    """Does the work of a command, transformers being quiet, and gives its exit status; see `decoding.mistakes`.

    Args:
        work: Everything that may go wrong.
        stopped: What to say to whoever interrupts it.
    """
    quiet()
    return mistakes.exit_status(work, stopped=stopped)
