"""The whole command, on a bundle whose answers are nonsense: it scores them zero, and must not stumble."""

import json
from pathlib import Path

import pytest

import comparison.__main__ as command
from comparison.command import write_report
from experts.miniature.corpus import Prompt
from mixture import Mixture

SHORT = [Prompt([{"role": "user", "content": text}], "the rain") for text in ("What is it?", "Rain?", "be kind")]
FILES = ("report.json", "report.md", "utility.png")


@pytest.fixture
def arguments(tiny_bundle: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    monkeypatch.setattr(command, "prompts", lambda split: SHORT if split == "test" else [])
    monkeypatch.setattr(command, "world_phrase", lambda split: lambda asked, rng: "be warm")  # the tiny window is small
    return ["--bundle", str(tiny_bundle), "--seeds", "2", "--quick", "--max_new_tokens", "6"]


def test_the_command_writes_the_same_report_again_without_decoding_again(
    arguments: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    assert command.main([*arguments, "--output", str(tmp_path)]) == 0
    assert "pcm-anchored" in capsys.readouterr().out
    first = [(tmp_path / name).read_bytes() for name in FILES]
    monkeypatch.setattr(Mixture, "step", None)
    assert command.main([*arguments, "--output", str(tmp_path)]) == 0
    assert [(tmp_path / name).read_bytes() for name in FILES] == first
    report = json.loads(first[0])
    assert list(report["methods"]) == [
        "base", "prompt-preference", "expert-friendly", "expert-unfriendly", "expert-concise", "soup-uniform",
        "fixed-uniform", "pcm-anchored", "pcm-text",
    ]  # fmt: skip
    assert report["methods"]["pcm-anchored"]["1"]["quality"] == {"mean": 0.0, "low": 0.0, "high": 0.0}
    assert set(report["reader"]) == {"held-out", "development", "unseen", "random letters"}


def test_an_interrupted_command_says_how_to_go_on(
    arguments: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    def stopped(*given: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Mixture, "step", stopped)
    assert command.main([*arguments, "--output", str(tmp_path)]) == 130
    assert "the same command goes on" in capsys.readouterr().err
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


def test_a_missing_bundle_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    assert command.main(["--bundle", str(tmp_path / "none"), "--output", str(tmp_path)]) == 1
    assert capsys.readouterr().err.strip().count("\n") == 0


def test_a_report_holds_six_digits_of_each_fraction_and_whatever_else_is_in_it(tmp_path: Path):
    report = {"page": [1 / 3, {"p": 1.23456789e-7}, (2.0, 10**9, "0.123456789", None, True)]}
    write_report(report, "# A page\n", tmp_path)
    told = (tmp_path / "report.json").read_text("utf-8")
    assert told == '{"page": [0.333333, {"p": 1.23457e-07}, [2.0, 1000000000, "0.123456789", null, true]]}\n'
    assert (tmp_path / "report.md").read_text("utf-8") == "# A page\n"
