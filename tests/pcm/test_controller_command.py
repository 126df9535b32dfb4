"""The training command: what a bundle tells of how its controller was made."""

import json
import re
import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
import yaml
from test_training import training

from bundle import read_manifest
from experts.reward_sources import told_of
from mixture import Mixture
from pcm.gate.head import Gate
from pcm.train import inherited, made_with, main, save_best

ROOT = Path(__file__).parents[2]
SETTINGS = {
    "bundle": "build/miniature/uniform",
    "train": "build/train.jsonl",
    "validation": "build/validation.jsonl",
    "references": "build/references.safetensors",
    "against": "base",
    "rule": "logit",
    "objective": "dpo",
    "worth": "raw",
    "form": "shared",
    "behaviour": False,
    "width": 64,
    "beta": 0.004,
    "trunk": None,
    "stored": None,
}


def test_provenance_holds_words_and_numbers_but_no_path():
    told = made_with(SETTINGS)
    words = {"against": "base", "rule": "logit", "objective": "dpo", "worth": "raw", "form": "shared"}
    assert told == {**words, "behaviour": False, "width": 64, "beta": 0.004, "trunk": "base", "stored": False}


@pytest.mark.parametrize(
    ("trunk", "said"), [("/somewhere/model", "trained"), ({"model_type": "llama"}, {"model_type": "llama"})]
)
def test_of_a_path_that_changes_what_is_learned_its_kind_is_told(trunk, said):
    told = made_with({**SETTINGS, "trunk": trunk, "stored": "build/pairs"})
    assert (told["trunk"], told["stored"]) == (said, True)
    assert "/" not in json.dumps(told)


def test_provenance_tells_an_ensemble_of_judges_from_a_single_one(tmp_path):
    for folder in ("one", "three", "three/member-2", "three/member-3"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "adapter_config.json").write_text("{}")
    one, three = str(tmp_path / "one"), str(tmp_path / "three")
    assert told_of("my.rewards:brevity") == "function"
    assert told_of(one) == told_of({"folder": three, "members": 1}) == "adapter"
    assert told_of(three) == {"kind": "ensemble", "members": 3, "lower_bound": 0.0}
    bounded = told_of({"folder": three, "members": 2, "lower_bound": 1.0})
    assert bounded == {"kind": "ensemble", "members": 2, "lower_bound": 1.0}


def test_the_page_s_early_stop_and_curves_elsewhere_are_options_of_the_command(monkeypatch, capsys):
    page = (ROOT / "docs" / "controller.md").read_text("utf-8")
    (command,) = re.findall(r"^(python -m pcm.train [^`]*?WandbLogger[^`]*)", page, flags=re.MULTILINE)
    words = command.replace("\\\n", " ").split()
    monkeypatch.chdir(ROOT)
    with pytest.raises(SystemExit) as ended:
        main([*words[3:], "--print_config"])
    assert not ended.value.code
    trainer = yaml.safe_load(capsys.readouterr().out)["trainer"]
    (stop,) = trainer["callbacks"]
    assert stop["class_path"].endswith("EarlyStopping")
    assert (stop["init_args"]["monitor"], stop["init_args"]["mode"]) == ("validation/reward", "max")
    assert trainer["logger"]["class_path"].endswith("WandbLogger")


def test_a_new_controller_does_not_inherit_how_another_ones_gate_and_curves_were_made():
    kept = {"reader": {"steps": 1500}, "soup": {"friendly": 1.0}}
    assert inherited({**kept, "pcm": {"beta": 0.1}, "gate": {"rounds": 3}, "intensities": {"answers": 9}}) == kept


@pytest.mark.parametrize("place", ["bundle", "new"])
def test_a_new_controller_s_bundle_has_the_questions_of_the_old_one_and_not_its_gate(tiny_bundle, tmp_path, place):
    folder = shutil.copytree(tiny_bundle, tmp_path / "bundle")
    with_gate = Mixture.load(folder)
    with_gate.gate = Gate(32)
    with_gate.save(folder, {"gate": {"rounds": 3}})
    (folder / "questions.jsonl").write_text("{}\n")
    module = training(with_gate.uniform())
    torch.save({"state_dict": module.state_dict()}, tmp_path / "best.ckpt")
    rewards = dict.fromkeys(with_gate.names, "my.rewards:brevity")
    settings = SimpleNamespace(**{**SETTINGS, "bundle": str(folder), "rewards": rewards})
    save_best(module, str(tmp_path / "best.ckpt"), SimpleNamespace(model=settings, output=tmp_path / place))
    assert (tmp_path / place / "questions.jsonl").read_text() == "{}\n"
    assert not (tmp_path / place / "pcm" / "gate").exists()
    assert read_manifest(tmp_path / place).provenance.keys() == {"pcm"}
