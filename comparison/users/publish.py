"""Writes the figures of the page about users from the bench, so that no number there was typed by hand.

    python -m pcm.users bench                                measures into build/users
    python -m comparison.users.publish --take build/users    keeps the figures in docs/results, and fills docs/users.md
    python -m comparison.users.publish --check

Knows where figures are kept. Does not know how they were measured.
"""

import json
from pathlib import Path

from comparison.marked import exit_status_of, keep, rewrite
from comparison.users.findings import page

SECTION = "users"
FILES = ("users.json", "users.png")


def publish(
    target: Path = Path("docs/users.md"),
    results: Path = Path("docs/results"),
    take: Path | None = None,
    check: bool = False,
) -> bool:
    """Rewrites the page's figures, and tells whether they were up to date.

    Args:
        target: The page with a section for them.
        results: Where figures are kept under version control.
        take: A new bench's folder, whose figures are kept from now on.
        check: Write nothing; the exit status is 1 if something would change.

    Raises:
        FileNotFoundError: If there are no figures.
        ValueError: If the page has no section for them.
    """
    source = results if take is None else take
    told = page(json.loads((source / FILES[0]).read_text(encoding="utf-8")))
    up_to_date = rewrite(target, SECTION, told, check)
    if take is not None and not check:
        keep((take / name for name in FILES), results)
    return up_to_date


def main(arguments: list[str] | None = None) -> int:
    """Runs the command and gives its exit status."""
    return exit_status_of(publish, "python -m comparison.users.publish", arguments)


if __name__ == "__main__":
    raise SystemExit(main())
