"""A function's parameters as a command's options: `--name value`, and `--name` alone for a yes or no.

Knows signatures and docstrings. Does not know what a command does.
"""

import inspect
from collections.abc import Callable
from typing import Any

import docstring_parser
from jsonargparse import ArgumentParser


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
