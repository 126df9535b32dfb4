from pathlib import Path

import pytest
from PIL import Image

from evaluation.intervals import Estimate
from evaluation.plots import LOOKS, dot_plot, save_plot

SERIES = {
    "temperature 1": {"base": Estimate(0.4, 0.35, 0.44), "mixture": Estimate(0.7, 0.68, 0.73)},
    "temperature 0": {"base": Estimate(0.5, 0.45, 0.55), "mixture": Estimate(0.8, 0.78, 0.83)},
}


def test_equal_numbers_give_equal_files(tmp_path: Path):
    for name in ("one.png", "two.png"):
        save_plot(dot_plot(SERIES, "utility"), tmp_path / name)
    assert (tmp_path / "one.png").read_bytes() == (tmp_path / "two.png").read_bytes()
    with Image.open(tmp_path / "one.png") as picture:
        assert picture.mode == "P"  # a palette: a third of the file
        assert picture.convert("RGB").getpixel((0, 0)) == (255, 255, 255)


def test_every_method_is_named_and_every_dot_sits_at_its_mean():
    axes = dot_plot(SERIES, "utility").axes[0]
    assert [tick.get_text() for tick in axes.get_yticklabels()] == ["base", "mixture"]
    assert [list(bars.lines[0].get_xdata()) for bars in axes.containers] == [[0.4, 0.7], [0.5, 0.8]]
    assert [bars.get_label() for bars in axes.containers] == list(SERIES)


def test_a_legend_stands_only_where_there_is_something_to_tell_apart():
    assert dot_plot(SERIES, "utility").axes[0].get_legend() is not None
    assert dot_plot({"temperature 1": SERIES["temperature 1"]}, "utility").axes[0].get_legend() is None


def test_series_are_told_apart_without_colours():
    assert len({marker for marker, _, _ in LOOKS}) == len(LOOKS)
    with pytest.raises(ValueError, match="must show 1 to 4 series, got 0"):
        dot_plot({}, "utility")
