import pytest
from rich.console import Console
from scripted import DIMENSIONS, SETTINGS, good_outcomes

from comparison.page import Sheet, bars_page, page, sheets
from comparison.report import report_of

READER = {"held-out": {"alone": 0.995, "combined": 0.981}, "unseen": {"alone": 0.5, "combined": 0.25}}


@pytest.fixture
def report():
    return report_of(good_outcomes(), DIMENSIONS, "pcm-anchored", READER, SETTINGS)


def test_a_sheet_reads_the_same_on_a_page_and_in_a_terminal():
    sheet = Sheet("Heights.", ["hill", "metres"], [["one", "10"], ["two", "20"]])
    assert sheet.markdown() == "Heights.\n\n| hill | metres |\n| --- | ---: |\n| one | 10 |\n| two | 20 |\n"
    console = Console(width=60)
    with console.capture() as shown:
        console.print(sheet.rich())
    assert [word in shown.get() for word in ("Heights.", "hill", "metres", "one", "20")] == [True] * 5


def test_the_page_shows_every_table(report):
    text = page(report)
    assert "| pcm-anchored | 0.730 [0.730, 0.730] | 0.900 [0.900, 0.900] | 0.800 [0.800, 0.800] |" in text
    assert (
        "| cold | 0.930 [0.930, 0.930] | 0.500 [0.500, 0.500] | 0.984 [0.984, 0.984] | -0.016 [-0.016, -0.016] |  |"
        in text
    )
    assert "| fixed-uniform | 0.180 [0.180, 0.180] | 1.000 [1.000, 1.000] |" in text
    assert "| held-out | 0.995 | 0.981 |" in text
    assert text.count("| yes |") == 10
    assert len(list(sheets(report))) == 6


def test_bars_stand_beside_what_was_reached_at_each_temperature(report):
    report["acceptance"] = {"1": report["acceptance"]["1"], "0": [dict(line) for line in report["acceptance"]["1"]]}
    report["acceptance"]["0"][0] |= {"value": 0.9, "holds": False}
    text = bars_page(report)
    assert "| claim | bar | T = 1 | T = 0 |" in text
    assert "| quality of the base | 0.95 | 1.000 ✓ | 0.900 ✗ |" in text
    assert "| held-out | 0.995 | 0.981 |" in text
    assert "Each expert alone at temperature 1" in text


def test_a_report_without_a_reader_has_no_table_of_it():
    report = report_of(good_outcomes(), DIMENSIONS, "pcm-anchored", None, SETTINGS)
    assert "phrasings" not in page(report)
