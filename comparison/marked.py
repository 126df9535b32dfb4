"""Sections of a page that are written by a command, between `<!-- name -->` and `<!-- /name -->`.

Knows texts, files of figures and the commands that publish them. Does not know what stands in a section.
"""

import shutil
from collections.abc import Callable, Iterable
from pathlib import Path

from comparison.command import command_parser
from decoding.mistakes import exit_status


def with_section(page: str, name: str, text: str) -> str:
    """Gives the page with this text as its section of this name.

    Raises:
        ValueError: If the page does not have exactly one such section.
    """
    begin, end = f"<!-- {name} -->", f"<!-- /{name} -->"
    if page.count(begin) != 1 or page.count(end) != 1 or page.index(begin) > page.index(end):
        raise ValueError(f"the page must hold {begin} and then {end}, once each, got neither or in another order")
    before, rest = page.split(begin)
    return f"{before}{begin}\n{text.strip()}\n{end}{rest.split(end)[1]}"


def rewrite(path: Path, name: str, text: str, check: bool) -> bool:
    """Rewrites a page's section, unless it is only to be checked, and tells whether it was up to date.

    Raises:
        FileNotFoundError: If there is no such page.
        ValueError: If it has no such section.
    """
    old = path.read_text(encoding="utf-8")
    new = with_section(old, name, text)
    if not check and new != old:
        path.write_text(new, encoding="utf-8")
    return new == old


def keep(files: Iterable[Path], results: Path) -> None:
    """Copies files of figures to where they are kept under version control."""
    results.mkdir(parents=True, exist_ok=True)
    for found in files:
        shutil.copyfile(found, results / found.name)


def exit_status_of(publish: Callable[..., bool], prog: str, arguments: list[str] | None) -> int:
    """Runs a command that publishes, and gives its exit status: 1 if it was only to check and is out of date.

    Args:
        publish: Tells whether everything was up to date; one of its parameters is `check`.
        prog: What the command is called.
        arguments: Of the command line; its own if not given.
    """
    given = command_parser(publish, prog).parse_args(arguments)

    def work() -> None:
        if not publish(**given.as_dict()) and given.check:
            raise ValueError(f"what is published must show the figures that are kept, got others: run {prog}")

    return exit_status(work)
