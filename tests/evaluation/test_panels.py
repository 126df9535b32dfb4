import pytest

from evaluation.panels import panel_plot

GOLD = {"tone": {"ours": [[(0.0, 1.0), (2.0, 3.0)], [(0.0, 3.0), (4.0, 5.0)]], "theirs": [[(0.0, 1.0), (1.0, 1.0)]]}}


def test_repetitions_are_thin_and_their_mean_is_thick():
    figure = panel_plot({"gold": GOLD, "learned": GOLD}, "nats")
    lines = figure.axes[0].get_lines()
    assert [list(map(tuple, line.get_xydata())) for line in lines[:3]] == [
        [(0.0, 1.0), (2.0, 3.0)],
        [(0.0, 3.0), (4.0, 5.0)],
        [(0.0, 2.0), (3.0, 4.0)],
    ]
    assert lines[2].get_linewidth() > 2 * lines[0].get_linewidth()
    assert len(lines) == 4  # one repetition alone is its own mean
    assert len({line.get_marker() for line in lines[2:]}) == 2
    assert [axes.get_lines()[-1].get_linestyle() for axes in figure.axes] == ["-", "--"]
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["ours", "theirs"]
    assert [axes.get_ylabel() for axes in figure.axes] == ["gold", "learned"]


def test_more_than_can_be_told_apart_is_refused():
    crowd = {"tone": {str(number): [[(0.0, 0.0)]] for number in range(4)}}
    with pytest.raises(ValueError, match=r"1 to 3 series, got 1 rows, 1 panels and 4 series"):
        panel_plot({"gold": crowd}, "nats")
    with pytest.raises(ValueError, match="got 0 rows, 0 panels"):
        panel_plot({}, "nats")
