from functools import partial

import pytest

from comparison.bench.rounds import rounds


class Clock:
    """Time that passes only when somebody works."""

    def __init__(self):
        self.now = 100.0
        self.order = []

    def __call__(self):
        return self.now

    def work(self, name, seconds):
        self.order.append(name)
        self.now += seconds


def runs(clock, **seconds):
    return {name: partial(clock.work, name, taken) for name, taken in seconds.items()}


def test_everybody_runs_once_in_every_round_in_the_same_order():
    clock = Clock()
    found = list(rounds(runs(clock, a=1.0, b=2.0, c=4.0), most=4, seconds=1000, clock=clock))
    assert "".join(clock.order) == "abcabcabcabc"
    assert found == [{"a": 1.0, "b": 2.0, "c": 4.0}] * 4


def test_some_run_in_the_first_three_rounds_only():
    clock = Clock()
    found = list(rounds(runs(clock, a=1.0, b=2.0), most=5, seconds=1000, clock=clock, few=["b"]))
    assert "".join(clock.order) == "abababaa"
    assert [set(each) for each in found] == [{"a", "b"}] * 3 + [{"a"}] * 2


def test_no_round_starts_after_the_time_is_up():
    clock = Clock()
    assert len(list(rounds(runs(clock, a=1.0, b=1.0), most=50, seconds=9, clock=clock))) == 5


def test_three_rounds_are_run_however_long_they_take():
    clock = Clock()
    assert len(list(rounds(runs(clock, a=60.0), most=50, seconds=1, clock=clock))) == 3


def test_fewer_than_three_rounds_are_refused():
    with pytest.raises(ValueError, match="at least 3 rounds, got 2"):
        next(rounds({}, most=2, seconds=1))


def test_finished_rounds_outlive_an_interruption():
    def interrupted():
        if len(clock.order) == 5:
            raise KeyboardInterrupt

    clock = Clock()
    timing = rounds(runs(clock, a=1.0, b=2.0) | {"c": interrupted}, most=9, seconds=99, clock=clock)
    kept = next(timing)
    clock.order.append("kept")
    with pytest.raises(KeyboardInterrupt):
        next(timing)
    assert kept == {"a": 1.0, "b": 2.0, "c": 0.0}
