"""A warning comes when a collapse stays, once, and says what to do."""

from pcm.collapse import CollapseWatch, complaints

HEALTHY = {"weights/evenness": 0.8, "weights/moved": 0.1, "share/friendly": 0.9, "weights/friendly": 0.01}


def test_a_healthy_controller_is_left_alone():
    assert complaints(HEALTHY) == {}
    assert complaints({}) == {}


def test_each_collapse_is_named_with_what_to_do():
    told = complaints({**HEALTHY, "weights/evenness": 0.04, "weights/moved": 0.001, "share/concise": 0.02})
    assert list(told) == ["weights/evenness", "weights/moved", "share/concise"]
    assert told["weights/evenness"].startswith("the weights have collapsed onto one expert: their entropy is 4.0% of")
    assert "Lower learning_rate or eta" in told["weights/evenness"]
    assert "only 0.10% of the tokens" in told["weights/moved"]
    assert "Raise learning_rate or eta" in told["weights/moved"]
    assert told["share/concise"].startswith(
        "concise is not heard where it is asked for: it gets 2.0% of an equal share"
    )


def test_only_what_lasts_is_told_and_only_once():
    watch, bad = CollapseWatch(patience=3), {"weights/moved": "nothing moves"}
    assert [watch.hear(one) for one in (bad, bad, {}, bad, bad)] == [[]] * 5
    assert watch.hear(bad) == ["nothing moves"]
    assert watch.hear(bad) == []
