import pytest

from comparison.choices import choose


def test_one_coordinate_after_the_other_reaches_the_top_of_a_hill():
    asked = []

    def worth(settings):
        asked.append(dict(settings))
        return -((settings["a"] - 2) ** 2) - (settings["b"] - 1) ** 2

    found = choose({"a": 1.0, "b": 0.0, "c": 5.0}, {"a": (1.0, 2.0, 3.0), "b": (0.0, 1.0)}, worth)
    assert found.settings == {"a": 2.0, "b": 1.0, "c": 5.0}
    assert found.worth == 0.0
    assert asked == [settings for settings, _ in found.tried]
    assert len(asked) == 1 + 2 + 1 + 2  # nothing is asked twice
    assert found.as_dict()["tried"][0] == {"settings": {"a": 1.0, "b": 0.0, "c": 5.0}, "worth": -2.0}


def test_the_search_goes_round_until_no_setting_alone_can_be_set_better():
    """Searched once at the start's temperature, a soup was worse at its own than one that was not tuned at all."""

    def worth(settings):
        best_scale = 1.0 + settings["temperature"]  # where it is cooler, less is more
        return -abs(settings["scale"] - best_scale) - 2 * settings["temperature"]

    grid = {"scale": (1.0, 1.5, 2.0), "temperature": (1.0, 0.5, 0.0)}
    found = choose({"temperature": 1.0, "scale": 1.0}, grid, worth)
    assert found.settings == {"temperature": 0.0, "scale": 1.0}
    assert len(found.tried) == len({tuple(sorted(settings.items())) for settings, _ in found.tried})


def test_what_is_no_better_changes_nothing():
    assert choose({"a": 2.0}, {"a": (1.0, 2.0, 3.0)}, lambda settings: 0.5).settings == {"a": 2.0}
    assert choose({"a": 1.0}, {"a": (2.0,)}, lambda settings: 1e-12 * settings["a"]).settings == {"a": 1.0}


def test_a_setting_without_a_start_is_refused():
    with pytest.raises(ValueError, match=r"must have a start, got none for \['b'\]"):
        choose({"a": 1.0}, {"b": (1.0,)}, lambda settings: 0.0)
