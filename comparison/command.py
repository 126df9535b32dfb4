"""A function's parameters as a command's options: `--name value`, and `--name` alone for a yes or no.

Knows signatures, docstrings and exit statuses. Does not know what a command does.
"""

import inspect
from collections.abc import Callable
from typing import Any

import docstring_parser
from jsonargparse import ArgumentParser
from rich.console import Console
from transformers.utils import logging


def command_parser(function: Callable[..., Any], prog: str) -> ArgumentParser:
    """Gives the parser of the command that is called `prog`; texts, types and defaults are those of the function."""
    documented = docstring_parser.parse(function.__doc__ or "")
    told = {entry.arg_name: entry.description for entry in documented.params}
    parameters = inspect.signature(function).parameters
    flags = {name for name, parameter in parameters.items() if parameter.annotation is bool}
    parser = ArgumentParser(prog=prog, description=documented.short_description)
    parser.add_function_arguments(function, as_positional=False, skip={*flags})
    for name in sorted(flags):  # a bare flag, where the parser of functions would want `--name true`
        parser.add_argument(f"--{name}", action="store_true", help=told[name])
    return parser


def exit_status(work: Callable[[], object], stopped: str) -> int:
    """Does the work of a command and gives its exit status: a mistake is one line on standard error.

    Args:
        work: Everything that may go wrong.
        stopped: What to say to whoever interrupts it.
    """
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    errors = Console(stderr=True)
    try:
        work()
    except KeyboardInterrupt:
        errors.print(stopped, markup=False, soft_wrap=True)
        return 130
    except (ValueError, OSError) as problem:
        errors.print(str(problem), markup=False, soft_wrap=True)
        return 1
    return 0
