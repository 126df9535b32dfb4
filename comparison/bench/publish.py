"""Writes the figures of the page about cost from a benchmark, so that no number there was typed by hand.

    python -m comparison.bench --profile                     measures into build/cost
    python -m comparison.bench.publish --take build/cost     keeps the figures in docs/results, and fills docs/cost.md
    python -m comparison.bench.publish --check

Knows where the figures begin and end. Does not know how they were measured.
"""

import shutil
import sys
from pathlib import Path

from comparison.bench.claims import claims_sheet, engines_sheet
from comparison.bench.findings import Findings
from comparison.bench.profiling import profile_sheet
from comparison.bench.tables import best_sheet, conditions, load_sheet
from comparison.command import command_parser
from comparison.marked import rewrite
from comparison.page import Sheet

SECTION = "cost"
TYPICAL_EXPERTS = 6


def figures_of(findings: Findings) -> str:
    """Gives everything that the page shows of a benchmark, in Markdown."""
    claims = [claims_sheet(findings.rows, dtype) for dtype in findings.settings["dtypes"]]
    sheets: list[Sheet] = [*claims, engines_sheet(findings.rows, TYPICAL_EXPERTS), best_sheet(findings.rows)]
    if findings.load:
        sheets.append(load_sheet(findings))
    parts = [conditions(findings), *_tables(sheets)]
    if findings.profile:
        parts += ["### Where the time of one step goes", *_tables([profile_sheet(row) for row in findings.profile])]
    if findings.left_out:
        parts += ["### Left out", "\n".join(f"- {line}" for line in findings.left_out)]
    return "\n\n".join(parts)


def publish(
    page: Path = Path("docs/cost.md"),
    results: Path = Path("docs/results"),
    take: Path | None = None,
    check: bool = False,
) -> bool:
    """Rewrites the page's figures, and tells whether they were up to date.

    Args:
        page: Has a place for them.
        results: Where figures are kept under version control, as bench.json and plots.
        take: A new benchmark's folder, which is copied there first.
        check: Write nothing; the exit status is 1 if something would change.

    Raises:
        FileNotFoundError: If there is no benchmark.
        ValueError: If the page has no place for figures.
    """
    source = results if take is None else take
    up_to_date = rewrite(page, SECTION, figures_of(Findings.read(source / "bench.json")), check)
    if take is not None and not check:
        results.mkdir(parents=True, exist_ok=True)
        for found in (take / "bench.json", *sorted(take.glob("cost-*.png"))):
            shutil.copyfile(found, results / found.name)
    return up_to_date


def main(arguments: list[str] | None = None) -> int:
    """Runs the command and gives its exit status."""
    given = command_parser(publish, "python -m comparison.bench.publish").parse_args(arguments)
    if publish(given.page, given.results, given.take, given.check) or not given.check:
        return 0
    sys.stderr.write(f"{given.page} must show the figures of {given.results}: run python -m comparison.bench.publish\n")
    return 1


def _tables(sheets: list[Sheet]) -> list[str]:
    """The tables that have lines, without the empty line at their end."""
    return [sheet.markdown().rstrip("\n") for sheet in sheets if sheet.rows]


if __name__ == "__main__":
    raise SystemExit(main())
