import json
import math

import pytest
from safetensors.torch import load_file

from comparison.bench.training import __main__ as command
from comparison.bench.training.__main__ import main
from comparison.bench.training.timing import JOINT, SINGLE


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        (["--updates", "4"], "at least 3 updates must be timed, got 4 with 2 to warm up"),
        (["--warm_up", "-1"], "got 20 with -1 to warm up"),
        (["--trl", "no/such/python"], "trl must be the python of an environment with trl 1.12"),
        (["--rewards", "no/such/folder", "--dimensions", "friendly"], "there must be a reward model in"),
    ],
)
def test_a_mistake_is_one_line_before_anybody_trains(world, tmp_path, capsys, monkeypatch, wrong, told):
    monkeypatch.setattr(command, "started", lambda *_: pytest.fail("somebody trains"))
    given = ["--config", str(world / "experts.yaml"), "--rewards", str(world / "rewards")]
    assert main([*given, "--output", str(tmp_path / "none"), *wrong]) == 1
    error = capsys.readouterr().err
    assert told in error
    assert error.count("\n") == 1
    assert not (tmp_path / "none").exists()


def test_an_earlier_measurement_is_not_trained_over(world, tmp_path, capsys):
    (tmp_path / "training.json").write_text("{}")
    assert main(["--config", str(world / "experts.yaml"), "--output", str(tmp_path)]) == 1
    assert "output must be a new folder" in capsys.readouterr().err


@pytest.mark.slow
def test_both_ways_of_ours_are_timed_in_turn_and_end_with_the_same_experts(world, tmp_path, capsys):
    output = tmp_path / "training"
    given = ["--config", str(world / "experts.yaml"), "--rewards", str(world / "rewards"), "--output", str(output)]
    assert main([*given, "--updates", "4", "--warm_up", "1", "--questions", "2", "--threads", "1"]) == 0
    report = json.loads((output / "training.json").read_text())
    joint, single = report["rows"]
    assert (joint["way"], joint["trainees"], single["way"], single["trainees"]) == (JOINT, 1, SINGLE, 2)
    assert len(joint["each_round"]) == len(single["each_round"]) == 3  # the first one warms up
    assert 0 < single["joint_share"] < math.inf
    assert [line["claim"] for line in report["claims"]] == [
        "joint ÷ single, seconds",
        "joint − single, gold own",
        "joint − single, gold quality",
    ]
    assert report["trl"] == {}
    assert {name: len(turns) for name, turns in report["told"].items()} == {
        "joint all": 4,
        "single concise": 4,
        "single friendly": 4,
    }
    shown = capsys.readouterr().out
    assert "Training 2 experts" in shown
    assert "What is asked of the joint training" in shown
    for name in ("concise", "friendly"):
        folders = (output / "joint" / name, output / "single" / name / name)
        ours, alone = (load_file(folder / "adapter_model.safetensors") for folder in folders)
        assert ours.keys() == alone.keys()
        assert max(float((ours[key] - alone[key]).abs().max()) for key in ours) < 1e-4
        assert any(ours[key].any() for key in ours if "lora_B" in key)
