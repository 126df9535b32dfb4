"""Writes a page's figures from the report, so that no number there was typed by hand.

    python -m comparison.readme --take build/results       python -m comparison.readme --check
    python -m comparison.readme --take build/compare --readme docs/comparison.md --report docs/results/all/report.json

Knows where the section begins and ends. Does not know what stands in it.
"""

import json
from pathlib import Path

from comparison.marked import exit_status_of, keep, rewrite
from comparison.study_page import summary
from comparison.study_pictures import flat_fronts

SECTION = "results"
KEPT = ("report.json", "report.md", "utility.png")


def update_readme(
    readme: Path = Path("README.md"),
    report: Path = Path("docs/results/report.json"),
    take: Path | None = None,
    check: bool = False,
) -> bool:
    """Rewrites the section of results, and tells whether it was up to date.

    Args:
        readme: The page with the section.
        report: What `compare.py` wrote.
        take: The folder of a comparison, whose report and pictures are kept beside `report` first.
        check: Write nothing; the exit status is 1 if something would change.

    Raises:
        FileNotFoundError: If one of the files is not there.
        ValueError: If the README has no section of results.
    """
    if take is not None and not check:
        fronts = flat_fronts(json.loads((take / report.name).read_text(encoding="utf-8")))
        keep((take / name for name in (*KEPT, *(f"front-{swept}.png" for swept in fronts))), report.parent)
    return rewrite(readme, SECTION, summary(json.loads(report.read_text(encoding="utf-8"))), check)


def main(arguments: list[str] | None = None) -> int:
    """Runs the command and gives its exit status."""
    return exit_status_of(update_readme, "python -m comparison.readme", arguments)


if __name__ == "__main__":
    raise SystemExit(main())
