import json

import pytest

from experts.over_optimisation import main, read_curves, smoothed, turning_point
from experts.text_rewards import Function


def length(prompts, answers):
    """A gold judge that likes four words best."""
    return [-abs(len(answer.split()) - 4) for answer in answers]


@pytest.fixture
def run(tmp_path):
    """Nine updates of one expert, the third logged twice; its answers grow by a word in each, its KL by a nat."""
    for version, steps in (("2", range(3)), ("10", range(2, 9))):
        folder = tmp_path / "logs" / f"version_{version}"
        folder.mkdir(parents=True)
        lost = version == "2"  # its last update ran again
        lines = [f"{step},{99 if lost and step == 2 else step}.0,{step / 10}" for step in steps]
        (folder / "metrics.csv").write_text("\n".join(["step,ant/kl,ant/reward", *lines]))
    rows = [
        {"update": update + 1, "expert": "ant", "prompt": "w1", "answer": "w " * update, "kl": update}
        for update in [*range(9), 2]
    ]
    (tmp_path / "answers.jsonl").write_text("\n".join(map(json.dumps, rows)))
    return tmp_path


def test_a_resumed_run_counts_every_update_once(run):
    curve = read_curves(run, Function("test_over_optimisation:length"))["ant"]
    assert curve.learned == [(step, step / 10) for step in range(9)]
    assert curve.gold == [(update, -abs(update - 4)) for update in range(9)]


def shouting(prompts, answers):
    """A gold judge of another dimension."""
    return [float(len(answer)) for answer in answers]


def test_each_expert_has_the_gold_of_its_own_dimension(run, capsys):
    (run / "logs" / "version_11").mkdir()
    (run / "logs" / "version_11" / "metrics.csv").write_text("step,bee/kl,bee/reward\n0,7.0,0.5\n")
    with (run / "answers.jsonl").open("a") as file:
        file.write("\n" + json.dumps({"update": 1, "expert": "bee", "prompt": "w1", "answer": "w w", "kl": 7.0}))
    length, shouting = (Function(f"test_over_optimisation:{name}") for name in ("length", "shouting"))
    curves = read_curves(run, {"ant": length, "bee": shouting})
    assert curves["ant"].gold[0] == (0.0, -4.0)
    assert curves["bee"].gold == [(7.0, 3.0)]
    assert read_curves(run, {"bee": shouting})["ant"].gold == []
    with pytest.raises(ValueError, match=r"gold must speak of the experts \['ant', 'bee'\], got \['cat'\]"):
        read_curves(run, {"cat": length})
    main(["--run", str(run), "--gold", '{"ant": "test_over_optimisation:length"}', "--window", "1"])
    words = capsys.readouterr().out.split()
    assert words[-9:] == ["ant", "8.00", "0.800", "4.00", "bee", "7.00", "0.500", "not", "measured"]


def test_experts_that_were_added_later_stand_beside_the_first(run):
    (run / "logs" / "version_11").mkdir()
    (run / "logs" / "version_11" / "metrics.csv").write_text("step,bee/kl,bee/reward\n0,7.0,0.5\n")
    curves = read_curves(run)
    assert curves["bee"].learned == [(7.0, 0.5)]
    assert len(curves["ant"].learned) == 9


def test_over_optimisation_begins_where_gold_turns_round():
    points = [(float(kl), -abs(kl - 4.0)) for kl in range(9)]
    assert turning_point(smoothed(points, 3)) == pytest.approx(4.0)
    assert turning_point(points[:5]) is None
    assert turning_point([]) is None


def test_smoothing_takes_means_over_neighbours():
    points = [(0.0, 1.0), (1.0, 2.0), (2.0, 6.0)]
    assert smoothed(points, 2) == [(0.5, 1.5), (1.5, 4.0)]
    assert smoothed(points, 9) == [(1.0, pytest.approx(3.0))]
    assert smoothed([], 9) == []


def test_the_command_draws_and_tells(run, capsys):
    main(["--run", str(run), "--gold", "test_over_optimisation:length", "--window", "3"])
    assert (run / "over_optimisation.png").stat().st_size > 1000
    words = capsys.readouterr().out.split()
    assert words[-4:] == ["ant", "7.00", "0.700", "4.00"]


def test_a_folder_without_logs_is_named(tmp_path):
    with pytest.raises(ValueError, match=r"must hold logs/version_\*/metrics\.csv, got none"):
        read_curves(tmp_path)


def test_a_run_without_logs_is_one_line(tmp_path, capsys):
    assert main(["--run", str(tmp_path / "nowhere")]) == 1
    assert capsys.readouterr().err == (
        f"{tmp_path}/nowhere must hold logs/version_*/metrics.csv, got none: has experts.train run?\n"
    )
