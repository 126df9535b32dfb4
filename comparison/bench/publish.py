"""Writes the figures of the page about cost from a benchmark, so that no number there was typed by hand.

    python -m comparison.bench --profile                     measures into build/cost
    python -m comparison.bench.publish --take build/cost     keeps the figures in docs/results, and fills docs/cost.md
    python -m comparison.bench.publish --check

Knows where the figures begin and end. Does not know how they were measured.
"""

from pathlib import Path

from comparison.bench.claims import claims_sheet, engines_sheet
from comparison.bench.findings import Findings
from comparison.bench.profiling import profile_sheet
from comparison.bench.tables import best_sheet, conditions, load_sheet
from comparison.marked import exit_status_of, keep, rewrite
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
        keep((take / "bench.json", *sorted(take.glob("cost-*.png"))), results)
    return up_to_date


def main(arguments: list[str] | None = None) -> int:
    """Runs the command and gives its exit status."""
    return exit_status_of(publish, "python -m comparison.bench.publish", arguments)


def _tables(sheets: list[Sheet]) -> list[str]:
    """The tables that have lines, without the empty line at their end."""
    return [sheet.markdown().rstrip("\n") for sheet in sheets if sheet.rows]


if __name__ == "__main__":
    raise SystemExit(main())
