"""Sections of a page that are written by a command, between `<!-- name -->` and `<!-- /name -->`. Knows texts alone."""

from pathlib import Path


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
