"""What training is made on: a folder or a hub id at its revision, and the device that Lightning chooses."""

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from test_rewards import word_tokenizer
from tiny_exam import tiny_base

import experts.train as command
from experts import hub, reward_training

PINNED = "someone/base@v1"


class Seen(Exception):  # noqa: N818 - not an error of ours
    """Ends a training that was seen to begin."""


@pytest.fixture
def world(tmp_path: Path) -> Path:
    """A folder with a base, prompts and pairs."""
    tiny_base().float().save_pretrained(tmp_path / "base")
    tokenizer = word_tokenizer()
    tokenizer.chat_template = "{% for message in messages %}{{ message.content }} {% endfor %}"
    tokenizer.save_pretrained(tmp_path / "base")
    (tmp_path / "prompts.jsonl").write_text(json.dumps({"messages": [{"role": "user", "content": "w1"}]}))
    (tmp_path / "pairs").mkdir()
    (tmp_path / "pairs" / "ant.jsonl").write_text("{}\n")
    return tmp_path


@pytest.fixture
def fetched(world: Path, monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """What would have been fetched from the hub; the answer is the folder that is here."""
    calls: list[dict[str, Any]] = []
    monkeypatch.setattr(
        hub, "snapshot_download", lambda name, **how: calls.append({"name": name, **how}) or world / "base"
    )
    return calls


def begin(world: Path, base: str | Path, monkeypatch: pytest.MonkeyPatch) -> torch.nn.Module:
    """The bank for which reference answers would be made, where Lightning chooses a device without memory."""
    chosen = SimpleNamespace(strategy=SimpleNamespace(root_device=torch.device("meta")))
    given: list[Any] = []

    def kept_references(*models: Any, **settings: Any) -> None:
        given.extend(models)
        raise Seen

    monkeypatch.setattr(command, "_trainer", lambda *given: chosen)
    monkeypatch.setattr(command, "kept_references", kept_references)
    rewards = {"ant": "test_text_rewards:fives", "bee": str(world / "base")}
    monkeypatch.setattr(command, "load_rewards", lambda *given: torch.nn.Linear(1, 1))
    with pytest.raises(Seen):
        command.train_experts(
            base, rewards, world / "prompts.jsonl", world / "experts",
            exam={"most_budget": 4, "quality_weight": 0.0}, ppo={"updates": 1, "seed": 0}, guards={},
        )  # fmt: skip
    return torch.nn.ModuleList(given[:2])


def test_reference_answers_are_made_where_the_experts_will_be_trained(world, monkeypatch):
    models = begin(world, world / "base", monkeypatch)
    assert {parameter.device.type for parameter in models.parameters()} == {"meta"}
    assert len(models) == 2  # the bank and what judges


def test_a_base_on_the_hub_is_read_at_its_revision(world, fetched, monkeypatch):
    bank = begin(world, PINNED, monkeypatch)[0]
    (call,) = fetched
    assert (call["name"], call["revision"]) == ("someone/base", "v1")
    assert {path.name for path in (world / "base").iterdir() if any(map(path.match, call["allow_patterns"]))} == {
        path.name for path in (world / "base").iterdir()
    }
    assert bank.base.config.hidden_size == 16


def test_reward_models_are_trained_on_a_base_of_the_hub_too(world, fetched, monkeypatch):
    submitted: list[Any] = []

    class Pool:
        def __init__(self, *given: Any, **how: Any) -> None: ...
        def __enter__(self) -> "Pool":
            return self

        def __exit__(self, *problem: object) -> None: ...
        def submit(self, *given: Any) -> None:
            submitted.append(given)
            raise Seen

    monkeypatch.setattr(reward_training, "ProcessPoolExecutor", Pool)
    with pytest.raises(Seen):
        reward_training.train_rewards(PINNED, world / "pairs", world / "rewards")
    assert world / "base" in submitted[0]
    assert [(call["name"], call["revision"]) for call in fetched] == [("someone/base", "v1")]


@pytest.mark.parametrize("base", ["nowhere", Path("someone/base")])
def test_a_base_that_is_nowhere_is_named(world, base, monkeypatch):
    with pytest.raises(FileNotFoundError, match=f"a base must be a folder, or a hub id .*, got {base}"):
        begin(world, base, monkeypatch)
