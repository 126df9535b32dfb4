r"""Writes a page's figures from the report, so that no number there was typed by hand.

    python -m comparison.readme --take build/results       python -m comparison.readme --check
    python -m comparison.readme --section headline --page README.md
    python -m comparison.readme --take build/compare --page docs/comparison.md --report docs/results/all/report.json
    python -m comparison.readme --take build/comparison --section bars --report docs/results/bars/report.json
    python -m comparison.readme --take build/ensembles --section ensembles --page docs/experts.md \
        --report docs/results/ensembles/report.json
    python -m comparison.readme --take build/training --section training --page docs/experts.md \
        --report docs/results/training/training.json

Knows where the sections begin and end. Does not know what stands in them.
"""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal

from comparison.bench.training import page as training
from comparison.ensembles import page as ensembles
from comparison.marked import exit_status_of, keep, rewrite
from comparison.page import bars_page
from comparison.study_page import headline, summary
from comparison.study_pictures import flat_fronts

Section = Literal["headline", "results", "bars", "ensembles", "training"]
WRITERS: Mapping[Section, Callable[[Mapping[str, Any]], str]] = {
    "headline": headline,
    "results": summary,
    "bars": bars_page,
    "ensembles": ensembles.figures,
    "training": training.figures,
}
"""What `compare.py` reports, in short and in full, and what `python -m comparison` and its studies do."""
KEPT: Mapping[Section, tuple[str, ...]] = {
    "headline": ("report.json", "report.md", "utility.png"),
    "results": ("report.json", "report.md", "utility.png"),
    "bars": ("report.json",),
    "ensembles": ("report.json", "over-optimisation.png"),
    "training": ("training.json",),
}


def update_readme(
    page: Path = Path("docs/results.md"),
    report: Path = Path("docs/results/report.json"),
    take: Path | None = None,
    section: Section = "results",
    check: bool = False,
) -> bool:
    """Rewrites a section of figures, and tells whether it was up to date.

    Args:
        page: The page with the section.
        report: What `compare.py` wrote, or the command that the section belongs to.
        take: The folder of a comparison, whose report and pictures are kept beside `report` first.
        section: `headline` and `results` are what `compare.py` found, in short and in full; `bars` are what `python -m
            comparison` holds a bundle against; `ensembles` and `training` are the studies of `comparison.ensembles` and
            `comparison.bench.training`.
        check: Write nothing; the exit status is 1 if something would change.

    Raises:
        FileNotFoundError: If one of the files is not there.
        ValueError: If the page has no such section.
    """
    if take is not None and not check:
        fronts = flat_fronts(json.loads((take / report.name).read_text(encoding="utf-8")))  # none beside bars
        keep((take / name for name in (*KEPT[section], *(f"front-{swept}.png" for swept in fronts))), report.parent)
    return rewrite(page, section, WRITERS[section](json.loads(report.read_text(encoding="utf-8"))), check)


def main(arguments: list[str] | None = None) -> int:
    """Runs the command and gives its exit status."""
    return exit_status_of(update_readme, "python -m comparison.readme", arguments)


if __name__ == "__main__":
    raise SystemExit(main())
