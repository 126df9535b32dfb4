import json
import re
from pathlib import Path

import pytest
from tiny_findings import SETTINGS, row

from comparison.bench.claims import claims_sheet, engines_sheet
from comparison.bench.findings import Findings, load_rows
from comparison.bench.publish import figures_of, main, publish

ROOT = Path(__file__).parents[3]
BEGIN, END = "<!-- cost -->", "<!-- /cost -->"
MACHINE = {"processor": "Abacus", "device": "cpu", "threads": 2, "torch": "2", "transformers": "5", "peft": "0"}
PROFILE = {
    "name": "bank", "experts": 3, "engine": "eager", "dtype": "float32", "batch": 1, "dispatched": 12.0, "ms": 3.0,
    "operations": [{"operation": "aten::bmm", "calls": 4.0, "own_ms": 1.5, "share": 0.5}],
}  # fmt: skip


ROWS = [
    row("soup", 2.0), row("floor", 4.0, ratio_to_floor=1.0), row("bank", 5.0, ratio_to_floor=1.3),
    row("bank-pass", 4.0), row("soup", 2.5, "packed"), row("floor", 3.0, "packed", ratio_to_floor=1.0),
    row("bank", 3.6, "packed", ratio_to_floor=1.1), row("bank-pass", 3.0, "packed"),
    row("bank+controller", 4.5, "packed"), row("bank+gate", 2.7, "packed"),
    row("peft-loop", 36.0), row("peft-mixed", 18.0),
    row("bank", 1.0, batch=8), row("bank", 1.0, dtype="bfloat16"),
]  # fmt: skip


@pytest.fixture
def found():
    taken = {("mixture", "eager"): [4.0, 2.0, 6.0], ("soups", "eager"): [8.0, 4.0, 3.0]}
    load = load_rows(taken, 8, "float32")
    return Findings(SETTINGS, MACHINE, [*ROWS], load, ["separate: no memory"], 12.4, [PROFILE])


@pytest.fixture
def files(found, tmp_path):
    (tmp_path / "new").mkdir()
    found.write(tmp_path / "new" / "bench.json")
    (tmp_path / "new" / "cost-float32.png").write_bytes(b"plot")
    (tmp_path / "page.md").write_text(f"# Cost\n\n{BEGIN}\n{END}\n\nThe end.\n")
    return ["--page", str(tmp_path / "page.md"), "--results", str(tmp_path / "kept")]


def test_every_claim_is_told_of_the_fastest_engines():
    (line,) = claims_sheet(ROWS, "float32").rows
    assert line == ["6", "3.60 packed", "3.00 packed", "1.20", "5.00", "1.20", "1.25", "0.75"]


def test_claims_are_paired_by_rounds_whatever_the_engine():
    rows = [row("floor", 2.0, "packed", each_round=[2.0, 2.0, 4.0]), row("bank", 6.0, each_round=[3.0, 6.0, 12.0])]
    rows.append(row("peft-mixed", 30.0, each_round=[30.0]))  # fewer rounds than ours
    (line,) = claims_sheet(rows, "float32").rows
    assert line == ["6", "6.00 eager", "2.00 packed", "3.00", "10.00", "–", "–", "–"]


def test_each_engine_is_shown_where_soup_floor_and_bank_are_there():
    sheet = engines_sheet([*ROWS, row("bank", 9.0, experts=2)], experts=5)
    assert sheet.rows == [
        ["eager float32", "2.00", "4.00", "5.00", "1.30"],
        ["packed float32", "2.50", "3.00", "3.60", "1.10"],
    ]
    assert sheet.title.startswith("One decoding step of 6 experts")
    assert engines_sheet([], experts=6).rows == []


def test_the_page_holds_claims_load_profile_and_what_is_missing(found):
    figures = figures_of(found)
    for told in ("best PEFT ÷ bank", "requests per second", "`aten::bmm`", "separate: no memory", "Abacus, 2 threads"):
        assert told in figures
    assert "### Where the time" not in figures_of(Findings(SETTINGS, MACHINE))


def test_a_new_benchmark_is_kept_and_shown(files, tmp_path, capsys):
    take = ["--take", str(tmp_path / "new")]
    before = (tmp_path / "page.md").read_text()
    assert main([*files, *take, "--check"]) == 1
    assert "run python -m comparison.bench.publish" in capsys.readouterr().err
    assert (tmp_path / "page.md").read_text() == before
    assert not (tmp_path / "kept").exists()
    assert main([*files, *take]) == 0
    assert sorted(path.name for path in (tmp_path / "kept").iterdir()) == ["bench.json", "cost-float32.png"]
    assert (tmp_path / "page.md").read_text().endswith(f"{END}\n\nThe end.\n")
    assert main([*files, "--check"]) == 0
    kept = json.loads((tmp_path / "kept" / "bench.json").read_text())
    assert kept == json.loads((tmp_path / "new" / "bench.json").read_text())


def test_the_page_about_cost_shows_the_figures_that_are_kept():
    if not (ROOT / "docs" / "results" / "bench.json").exists():
        pytest.skip("there are no figures yet")
    assert publish(ROOT / "docs" / "cost.md", ROOT / "docs" / "results", check=True), "run comparison.bench.publish"


def test_the_page_names_commands_that_exist():
    text = (ROOT / "docs" / "cost.md").read_text("utf-8")
    modules = set(re.findall(r"python -m (comparison[\w.]*)", text))
    assert modules == {"comparison.bench", "comparison.bench.publish"}
