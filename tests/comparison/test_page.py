import pytest
from rich.console import Console
from scripted import DIMENSIONS, SETTINGS, good_outcomes

from comparison.page import Sheet, page, sheets
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
    assert "| cold | 0.850 [0.850, 0.850] | 0.500 [0.500, 0.500] | 0.920 [0.920, 0.920] |" in text
    assert "| fixed-uniform | 0.180 [0.180, 0.180] | 1.000 [1.000, 1.000] |" in text
    assert "| held-out | 0.995 | 0.981 |" in text
    assert text.count("| yes |") == 8
    assert len(list(sheets(report))) == 6


def test_a_report_without_a_reader_has_no_table_of_it():
    report = report_of(good_outcomes(), DIMENSIONS, "pcm-anchored", None, SETTINGS)
    assert "phrasings" not in page(report)
