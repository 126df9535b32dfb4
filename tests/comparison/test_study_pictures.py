"""What a report's pictures show of many methods."""

from typing import Any

from comparison.study_pictures import front_plot


def line(worth: float, held: bool = True) -> dict[str, Any]:
    """A method of which more or less can be had, held against the reference or being it."""
    return {"points": {"a": [worth, 0.1], "b": [0.1, worth]}, "hypervolume": {"mean": worth}} | (
        {"reference_minus_ours": {}} if held else {}
    )


def test_a_front_shows_the_reference_and_the_best_of_each_kind():
    methods = {
        "soup-a": line(0.2),
        "soup-b": line(0.3),
        "pcm-ours": line(0.4, held=False),
        "pcm-best": line(0.9),
        "pcm-other": line(0.5),
        "fixed": line(0.1),
    }
    axes = front_plot({"dimensions": ["warm", "cold"], "methods": methods}).axes[0]
    assert [shown.get_label() for shown in axes.lines] == ["pcm-ours", "pcm-best", "soup-b", "fixed"]
