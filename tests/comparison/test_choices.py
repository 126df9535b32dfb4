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
    assert len(asked) == 1 + 2 + 1  # nothing is asked twice
    assert found.as_dict()["tried"][0] == {"settings": {"a": 1.0, "b": 0.0, "c": 5.0}, "worth": -2.0}


def test_what_is_no_better_changes_nothing():
    assert choose({"a": 2.0}, {"a": (1.0, 2.0, 3.0)}, lambda settings: 0.5).settings == {"a": 2.0}
    assert choose({"a": 1.0}, {"a": (2.0,)}, lambda settings: 1e-12 * settings["a"]).settings == {"a": 1.0}


def test_a_setting_without_a_start_is_refused():
    with pytest.raises(ValueError, match=r"must have a start, got none for \['b'\]"):
        choose({"a": 1.0}, {"b": (1.0,)}, lambda settings: 0.0)
