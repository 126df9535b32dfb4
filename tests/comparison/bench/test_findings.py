import json

import pytest
import torch
from tiny_findings import SETTINGS, row

from comparison.bench.findings import Findings, load_rows, machine, processor
from comparison.bench.plot import cost_plot, curve
from comparison.bench.tables import best_sheet, page


@pytest.fixture
def found():
    rows = [row("soup", 2.0, experts=3), row("bank", 3.0, experts=3), row("bank", 2.5, "packed", 3), row("bank", 4.0)]
    taken = {("mixture", "eager"): [4.0, 2.0, 6.0], ("soups", "eager"): [8.0, 4.0, 3.0]}
    left_out = ["separate models of 16 experts: they need 9 GB"]
    return Findings(SETTINGS, machine(torch.device("cpu")), rows, load_rows(taken, 8, "float32"), left_out, 12.4)


def test_findings_are_written_as_they_are(found, tmp_path):
    found.write(tmp_path / "bench.json")
    read = json.loads((tmp_path / "bench.json").read_text())
    assert read["rows"] == found.rows
    assert read["load"] == found.load
    assert read["machine"]["torch"] == torch.__version__
    assert set(read) == {"settings", "machine", "rows", "load", "profile", "left_out", "minutes"}
    assert Findings.read(tmp_path / "bench.json") == found


def test_the_rate_of_a_load_is_paired_by_round_with_the_fastest_mixture():
    taken = {
        ("mixture", "eager"): [4.0, 4.0, 4.0],
        ("mixture", "packed"): [2.0, 1.0, 9.0],
        ("soups", "eager"): [4.0, 4.0, 3.0],
    }
    eager, packed, soups = load_rows(taken, 8, "float32")
    assert soups["rate_over_mixture"] == 0.5
    assert packed["rate_over_mixture"] == 1.0
    assert packed["requests_per_second"] == 4.0
    assert eager["spread"] == 0.0


def test_the_processor_is_told_by_its_name(tmp_path):
    (tmp_path / "cpuinfo").write_text("processor\t: 0\nmodel name\t: Abacus 3000\nmodel name\t: Abacus 3000\n")
    assert processor(tmp_path / "cpuinfo") == "Abacus 3000"
    assert processor(tmp_path / "nothing") != "Abacus 3000"


def test_the_page_tells_conditions_cells_load_and_what_is_missing(found):
    text = page(found)
    assert "the shape tiny, adapters of rank 16" in text
    assert "12 minutes" in text
    assert "| bank | 3 | packed | 2.50 ± 0.25 | 1.50 | – | 3 |" in text
    assert "| soups | eager | float32 | 4.00 ± 2.50 | 2.00 | 0.50 |" in text
    assert "- separate models of 16 experts: they need 9 GB" in text
    assert text.endswith("GB\n")


def test_each_is_shown_at_its_best():
    rows = [
        row("soup", 2.0, experts=3),
        row("soup", 1.0, experts=3, dtype="bfloat16"),
        row("bank", 3.0, experts=3, ratio_to_soup=1.4),
        row("bank", 2.5, experts=3, dtype="bfloat16", engine="packed", ratio_to_soup=2.6),
        row("bank", 0.1, experts=3, phase="prefill"),
        row("soup", 5.0, experts=3, batch=8),
        row("bank", 4.0, experts=3, batch=8, dtype="bfloat16"),
    ]
    assert best_sheet(rows).rows == [
        ["3", "1", "packed bfloat16", "2.50", "eager bfloat16", "1.00", "2.60"],  # timed together: the paired ratio
        ["3", "8", "eager bfloat16", "4.00", "eager float32", "5.00", "0.80"],
    ]


def test_a_curve_is_a_method_s_fastest_engine_at_each_number_of_experts(found):
    assert curve(found.rows, "bank") == [(3, 2.5), (6, 4.0)]
    assert curve(found.rows, "peft-loop") == []


def test_the_plot_has_a_panel_for_each_batch_and_a_line_for_each_method(found):
    rows = [*found.rows, row("soup", 1.0, experts=3, batch=8), row("bank", 0.1, experts=3, phase="prefill")]
    panels = cost_plot(rows).axes
    assert [panel.get_title() for panel in panels] == ["batch 1", "batch 8"]
    lines = {line.get_label(): line.get_ydata().tolist() for line in panels[0].get_lines()}
    assert lines == {"soup": [2.0], "bank": [2.5, 4.0]}


def test_nothing_cannot_be_plotted(found):
    with pytest.raises(ValueError, match="rows of the phase 'prefill', got none"):
        cost_plot(found.rows, "prefill")
