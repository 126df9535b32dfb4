"""The whole command, on a bundle whose answers are nonsense: it scores them zero, and must not stumble."""

import json
from pathlib import Path

import pytest

import comparison.cases as cases
import comparison.intensities.__main__ as command
from experts.miniature.corpus import Prompt
from mixture import Mixture

SHORT = [Prompt([{"role": "user", "content": text}], "the rain") for text in ("What is it?", "Rain?", "be kind")]
FILES = ("report.json", "report.md", "intensities-0.png", "intensities-1.png")


@pytest.fixture
def arguments(tiny_bundle: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    monkeypatch.setattr(cases.corpus, "prompts", lambda split: SHORT if split == "test" else [])
    return ["--bundle", str(tiny_bundle), "--quick", "--max_new_tokens", "4"]


def test_every_level_of_every_dimension_is_answered_once(
    arguments: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    assert command.main([*arguments, "--output", str(tmp_path)]) == 0
    assert "pcm-anchored at temperature 1" in " ".join(capsys.readouterr().out.split())
    first = [(tmp_path / name).read_bytes() for name in FILES]
    asked = {path.parent.name for path in tmp_path.rglob("answers/*/pcm-anchored/*/t1-s0.jsonl")}
    assert asked == {
        f"{name}{level}" for name in ("friendly", "unfriendly", "concise") for level in ("=0.25", "=0.5", "=0.75", "")
    }
    monkeypatch.setattr(Mixture, "step", None)  # nothing is decoded again
    assert command.main([*arguments, "--output", str(tmp_path)]) == 0
    assert [(tmp_path / name).read_bytes() for name in FILES] == first
    report = json.loads(first[0])
    assert set(report["temperatures"]["0"]) == {"pcm-anchored", "fixed-uniform"}
    assert report["settings"]["judge"] == "gold"


def test_a_missing_bundle_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    assert command.main(["--bundle", str(tmp_path / "none"), "--output", str(tmp_path)]) == 1
    assert capsys.readouterr().err.strip().count("\n") == 0
