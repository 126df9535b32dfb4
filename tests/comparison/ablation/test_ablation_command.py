"""The whole command: with trainings that are bundles already, and for once with real ones."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from tiny_bundle import tiny_controller

import comparison.ablation.__main__ as command
import comparison.cases as cases
from bundle import read_manifest
from comparison.ablation.page import page, picture, said
from comparison.ablation.plan import Run
from experts.miniature.corpus import Prompt
from mixture import Mixture

ROOT = Path(__file__).parents[3]
SHORT = [Prompt([{"role": "user", "content": text}], "the rain") for text in ("What is it?", "Rain?", "be kind")]


def arguments(folder: Path, training: dict[str, Any], variants: dict[str, Any], *more: str) -> list[str]:
    """The command line of an ablation of a training."""
    (folder / "training.yaml").write_text(yaml.safe_dump(training))
    settings = {"training": str(folder / "training.yaml"), "variants": variants, "output": str(folder / "out")}
    (folder / "ablation.yaml").write_text(yaml.safe_dump(settings))
    return ["--config", str(folder / "ablation.yaml"), *more]


def test_the_command_trains_compares_and_leaves_a_report_with_a_picture(
    tiny_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    trained: list[Run] = []

    def train(runs: list[Run], workers: int, done: Any) -> None:
        for number, run in enumerate(runs):
            mixture = Mixture.load(tiny_bundle)
            replace(mixture, pcm=tiny_controller(32, seed=number)).save(run.bundle, {"training": run.name})
            done(run)
        trained.extend(runs)

    monkeypatch.setattr(command, "train", train)
    monkeypatch.setattr(cases.corpus, "prompts", lambda split: SHORT if split == "test" else [])
    training = {"model": {"bundle": str(tiny_bundle)}, "trainer": {"default_root_dir": "build/pcm"}}
    variants = {"default": {}, "unpriced": {"model.beta": 0.0}}
    words = arguments(tmp_path, training, variants, "--max_new_tokens", "4", "--training_seeds", '{"default": 2}')
    assert command.main([*words, "--preferences", "friendly+concise,unfriendly"]) == 0
    assert "unpriced" in capsys.readouterr().out
    assert [run.config["model"]["seed"] for run in trained] == [0, 1, 0]
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    assert report["training"]["variants"] == variants
    assert list(report["temperatures"]["0"]["controllers"]) == ["default", "unpriced"]
    assert len(report["temperatures"]["0"]["controllers"]["default"]["members"]) == 2
    written = (tmp_path / "out" / "report.md").read_text()
    assert "| default | nothing | 2 |" in written
    assert "| unpriced | `model.beta: 0.0` | 1 |" in written
    assert (tmp_path / "out" / "gain.png").read_bytes()[1:4] == b"PNG"


def report() -> dict[str, Any]:
    """Two variants, whose gains can be read off by eye."""
    estimate = {"mean": 0.5, "low": 0.4, "high": 0.6}
    found = {
        name: {
            **dict.fromkeys(("utility", "quality", "own_gain", "minus_first"), estimate),
            "gain": {"mean": gain, "low": gain - 0.1, "high": gain + 0.1},
            "kept": None,
            "members": [0.5],
        }
        for name, gain in (("default", 0.3), ("blind", 0.1))
    }
    training = {"config": "pcm.yaml", "common": {"trainer.max_epochs": 2}, "seeds": {}}
    return {
        "training": {**training, "variants": {"default": {}, "blind": {"model.behaviour": False}}},
        "settings": {"prompts": 3, "preferences": ["warm"], "seeds": 1, "judge": "gold"},
        "temperatures": {t: {"uniform": estimate, "controllers": found} for t in ("1", "0")},
    }


def test_the_picture_has_a_line_for_each_variant_and_a_dot_for_each_temperature():
    (axes,) = picture(report()).axes
    assert [label.get_text() for label in axes.get_yticklabels()] == ["default", "blind"]
    assert [container.get_label() for container in axes.containers] == ["temperature 1", "temperature 0"]
    for container in axes.containers:
        dots, _, (bars,) = container.lines
        assert list(dots.get_xdata()) == [0.3, 0.1]
        assert [round(float(end[0]), 6) for end in bars.get_segments()[1]] == [0.0, 0.2]


def test_the_page_says_what_each_variant_changes():
    text = page(report())
    assert "of pcm.yaml, with `trainer.max_epochs: 2` for all." in text
    assert "| blind | `model.behaviour: False` | 1 |" in text
    assert "![Utility beyond the uniform mixture](gain.png)" in text
    assert said({}) == ""


@pytest.mark.slow
def test_a_quick_ablation_trains_for_real(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Every switch that is not elsewhere tried from the command: blind, raw scores and stored pairs."""
    monkeypatch.setattr(cases.corpus, "prompts", lambda split: SHORT if split == "test" else [])
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    rows = "".join(json.dumps({"messages": prompt.messages}) + "\n" for prompt in SHORT * 2)
    (tmp_path / "prompts.jsonl").write_text(rows)
    training = yaml.safe_load((ROOT / "configs" / "miniature" / "pcm.yaml").read_text())
    training["model"]["bundle"] = str(ROOT / "bundles" / "miniature")
    training["data"] |= dict.fromkeys(("train", "validation"), str(tmp_path / "prompts.jsonl"))
    pairs = {"model.objective": "dpo", "model.stored": str(tmp_path / "pairs")}
    variants = {"default": {}, "other": {**pairs, "model.worth": "raw", "model.behaviour": False}}
    words = arguments(tmp_path, training, variants, "--quick", "--preferences", "friendly+concise")
    assert command.main([*words, "--workers", "2"]) == 0
    found = {folder.name.split("-")[0]: folder for folder in (tmp_path / "out" / "quick" / "runs").iterdir()}
    told = {name: read_manifest(folder / "bundle").provenance["pcm"] for name, folder in found.items()}
    assert [told["default"][name] for name in ("objective", "worth", "stored", "behaviour")] == [
        "rebel", "relative", False, True,
    ]  # fmt: skip
    assert [told["other"][name] for name in ("objective", "worth", "stored", "behaviour")] == [
        "dpo",
        "raw",
        True,
        False,
    ]
    assert len(list((tmp_path / "pairs").glob("*.safetensors"))) == 2
    assert (tmp_path / "out" / "quick" / "gain.png").exists()
    before = {name: (folder / "log.txt").read_bytes() for name, folder in found.items()}
    assert command.main(words) == 0  # nothing is trained again
    assert before == {name: (folder / "log.txt").read_bytes() for name, folder in found.items()}
