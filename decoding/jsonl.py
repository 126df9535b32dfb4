"""Rows of a JSONL file, read so that a mistake is told with its line.

Knows lines and JSON. Does not know what a row means: whoever reads says it.
"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

Row = TypeVar("Row")
SHOWN = 60


def read_rows(path: str | Path, parse: Callable[[Any], Row]) -> list[Row]:
    """Gives every row of a JSONL file; empty lines are none.

    Args:
        path: In UTF-8.
        parse: Makes a row of its JSON value; what it raises is a mistake of the line.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If a line cannot be read, with its number.
    """
    found = []
    lines = Path(path).read_text(encoding="utf-8").split("\n")  # a text may hold other marks that end lines
    for number, line in enumerate(lines, 1):
        if line.strip():
            try:
                found.append(parse(json.loads(line)))
            except json.JSONDecodeError as problem:
                raise ValueError(f"line {number} of {path} must be JSON, got {line[:SHOWN]!r}") from problem
            except (KeyError, TypeError, AttributeError) as problem:
                told = f"line {number} of {path} must have what is read of it ({problem}), got {line[:SHOWN]!r}"
                raise ValueError(told) from problem
            except ValueError as problem:
                raise ValueError(f"line {number} of {path}: {problem}") from problem
    return found
