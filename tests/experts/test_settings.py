"""A folder is gone on with in the settings it was begun with: nothing there is taken for what others would make."""

import json
import re
from functools import wraps
from pathlib import Path

import pytest
import yaml

import experts.reward_training as reward_command
import experts.train as train_command
from experts.train import RECORD

GIVEN = {
    "base": "base",
    "prompts": "prompts.jsonl",
    "rewards": {"ant": "words:threes", "bee": "words:fives"},
    "ppo": {"learning_rate": 0.004},
}


@pytest.fixture(autouse=True)
def trained(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, object]]:
    """What would have been trained."""
    calls: list[dict[str, object]] = []
    for module, what in ((train_command, "train_experts"), (reward_command, "train_rewards")):
        noted = wraps(getattr(module, what))(
            lambda **given: calls.append(given) or {}
        )  # the parser reads what it wraps
        monkeypatch.setattr(module, what, noted)
    return calls


def command(folder: Path, *further: str, **changed: object) -> int:
    """Runs the command into `folder/experts` with some settings changed, and gives its exit status."""
    path = folder / "given.yaml"
    path.write_text(yaml.safe_dump(GIVEN | {"output": str(folder / "experts")} | changed))
    return train_command.main(["--config", str(path), *further])


def finish(folder: Path, *names: str) -> None:
    """Leaves finished experts."""
    for name in names:
        (folder / "experts" / name).mkdir(parents=True)
        (folder / "experts" / name / "adapter_config.json").write_text("{}")


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"ppo": {"learning_rate": 0.001}}, "got ppo.learning_rate 0.001 where it was 0.004: give"),
        ({"rewards": GIVEN["rewards"] | {"bee": "words:threes"}}, "got rewards.bee words:threes where it was words:fi"),
        (
            {"prompts": "others.jsonl"},
            "got prompts others.jsonl where it was prompts.jsonl: give the same settings, or",
        ),
        (
            {"held": {"ant": ["bee"]}},
            r"got held.ant \['bee'\] where it was not given: give the same settings, or anoth",
        ),
    ],
)
def test_a_run_does_not_go_on_in_other_settings(tmp_path, trained, capsys, changed, told):
    command(tmp_path)
    finish(tmp_path, "ant")
    record = (tmp_path / "experts" / RECORD).read_text()
    assert command(tmp_path, **changed) == 1
    assert re.search(f"experts must be gone on with in the settings it was begun with, {told}", capsys.readouterr().err)
    assert len(trained) == 1
    assert (tmp_path / "experts" / RECORD).read_text() == record


def test_a_setting_that_is_no_longer_given_differs_too(tmp_path, capsys):
    command(tmp_path, held={"ant": ["bee"]})
    finish(tmp_path, "ant")
    assert command(tmp_path) == 1
    assert re.search(r"got held.ant not given where it was \['bee'\]", capsys.readouterr().err)


def test_what_changes_no_expert_may_change(tmp_path, trained):
    command(tmp_path)
    finish(tmp_path, "ant")
    command(tmp_path, "--guards.patience", "9", "--devices", "2", "--save_every", "1", "--dimensions", "ant")
    assert len(trained) == 2


def test_settings_may_change_until_an_expert_is_there(tmp_path, trained):
    command(tmp_path)
    command(tmp_path, prompts="others.jsonl")
    assert len(trained) == 2
    assert yaml.safe_load((tmp_path / "experts" / RECORD).read_text())["prompts"] == "others.jsonl"
    assert [path.name for path in (tmp_path / "experts").iterdir()] == [RECORD]


def test_an_expert_that_is_added_may_have_settings_of_its_own(tmp_path, trained, capsys):
    command(tmp_path, "--dimensions", "ant")
    finish(tmp_path, "ant")
    command(tmp_path, "--dimensions", "bee", prompts="others.jsonl")
    finish(tmp_path, "bee")
    command(tmp_path, "--dimensions", "ant")  # the record is of the other now, and stays so
    assert command(tmp_path, "--dimensions", "bee") == 1
    assert re.search(r"got prompts prompts\.jsonl where it was others\.jsonl", capsys.readouterr().err)
    assert len(trained) == 3


def test_a_setting_that_the_record_does_not_know_was_at_its_default(tmp_path, trained, capsys):
    command(tmp_path)
    finish(tmp_path, "ant")
    record = tmp_path / "experts" / RECORD
    older = yaml.safe_load(record.read_text())
    del older["ppo"]["hold_gain"]
    record.write_text(yaml.safe_dump(older))
    command(tmp_path)
    assert command(tmp_path, "--ppo.hold_gain", "3") == 1
    assert re.search(r"got ppo.hold_gain 3.0 where it was 2.0", capsys.readouterr().err)
    assert len(trained) == 2


def test_finished_reward_models_are_not_taken_for_those_of_other_settings(tmp_path, trained, capsys):
    (tmp_path / "pairs").mkdir()
    (tmp_path / "pairs" / "ant.jsonl").write_text("{}\n")
    given = ["--base", "base", "--pairs", str(tmp_path / "pairs"), "--output", str(tmp_path / "rewards")]
    reward_command.main(given)
    (tmp_path / "rewards" / "ant").mkdir()
    (tmp_path / "rewards" / "ant" / "metrics.json").write_text(json.dumps({}))
    reward_command.main([*given, "--members", "3", "--workers", "1"])
    assert reward_command.main([*given, "--epochs", "2"]) == 1
    assert re.search(r"rewards must be gone on with .* got epochs 2.0 where it was 1.0", capsys.readouterr().err)
    assert len(trained) == 2
    kept = yaml.safe_load((tmp_path / "rewards" / reward_command.RECORD).read_text())
    assert kept["members"] == 3  # there is more to train than there was
