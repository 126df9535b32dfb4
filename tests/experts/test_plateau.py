"""Whether a training had come to rest, on curves whose course is known."""

import random

import pytest

from evaluation.intervals import Estimate
from experts.plateau import Standing, main, plateau, standing

LONG = "elementary+informative+unfriendly"  # the table must not cut it
NOISE = random.Random(0)
RISING = [1 + 0.01 * update + NOISE.gauss(0, 0.1) for update in range(120)]
FLAT = [min(1 + 0.05 * update, 2) + NOISE.gauss(0, 0.1) for update in range(120)]


@pytest.fixture
def run(tmp_path):
    """A run of two experts, logged in two parts of which the second begins three updates before the end of the first.

    What the first part says of these updates is far from what counts.
    """
    for version, updates in (("2", range(50)), ("10", range(47, 120))):
        folder = tmp_path / "logs" / f"version_{version}"
        folder.mkdir(parents=True)
        lost = range(47, 50) if version == "2" else ()
        rows = [(update, 99 if update in lost else RISING[update], FLAT[update]) for update in updates]
        lines = [f"0,{update},{rising},{flat},0.5" for update, rising, flat in rows]
        (folder / "metrics.csv").write_text("\n".join([f"epoch,step,{LONG}/total,bee/total,bee/reward", *lines]))
    return tmp_path


def test_a_rising_curve_is_told_from_a_flat_one(run):
    found = plateau(run)
    assert {name: one.verdict for name, one in found.items()} == {LONG: "rising", "bee": "plateau"}
    assert found[LONG].mark == pytest.approx(sum(RISING[80:]) / 40)
    assert found[LONG].gain.mean == pytest.approx((sum(RISING[80:]) - sum(RISING[40:80])) / 40)
    assert found[LONG].gain.low < 0.4 < found[LONG].gain.high
    assert found["bee"].gain.low < 0 < found["bee"].gain.high


def test_a_slope_that_both_thirds_have_does_not_widen_the_interval():
    gain = standing([0.01 * update for update in range(90)]).gain
    assert gain == Estimate(*[pytest.approx(0.3)] * 3)


@pytest.mark.parametrize(
    ("gain", "verdict"),
    [
        ((0.1, 0.05, 0.15), "rising"),
        ((0.1, -0.05, 0.25), "plateau"),  # may be noise
        ((0.019, 0.015, 0.023), "plateau"),  # is more than noise, but less than a hundredth of 2
        ((-0.1, -0.15, -0.05), "falling"),
    ],
)
def test_only_a_gain_that_is_sure_and_large_enough_is_one(gain, verdict):
    assert Standing(2.0, Estimate(*gain)).verdict == verdict


def test_the_command_draws_and_tells(run, capsys):
    main(["--run", str(run), "--output", str(run / "curve.png"), "--window", "20"])
    assert (run / "curve.png").stat().st_size > 1000
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert [(line[0], line[-1]) for line in lines[1:]] == [(LONG, "rising"), ("bee", "plateau")]


def test_too_few_updates_are_refused():
    with pytest.raises(ValueError, match=r"at least 6 updates .* got 5"):
        standing([1.0] * 5)


def test_a_run_without_logs_is_one_line(tmp_path, capsys):
    assert main(["--run", str(tmp_path / "nowhere")]) == 1
    assert capsys.readouterr().err == (
        f"{tmp_path}/nowhere must hold logs/version_*/metrics.csv, got none: has experts.train run?\n"
    )
