"""Which trainings an ablation has, and that whatever is set otherwise is trained anew."""

import json
from pathlib import Path

import pytest
import yaml

from comparison.ablation.plan import SEEDS, Run, moved, overridden, plan

TRAINING = {
    "seed_everything": 7,
    "output": "build/somewhere",
    "model": {"bundle": "set by a test", "beta": 0.004, "references": "build/pcm/references.safetensors"},
    "data": {"pairs": 48},
    "trainer": {
        "max_epochs": 8,
        "default_root_dir": "build/pcm",
        "callbacks": [{"class_path": "ModelCheckpoint", "init_args": {"dirpath": "build/pcm/checkpoints"}}],
        "logger": [{"init_args": {"save_dir": "build/pcm", "name": "build/pcmore"}}],
    },
}
VARIANTS = {"default": {}, "unpriced": {"model.beta": 0.0}}


@pytest.fixture
def training(tmp_path: Path) -> dict:
    """The configuration, for a bundle that is nothing but a manifest."""
    (tmp_path / "bundle").mkdir()
    (tmp_path / "bundle" / "bundle.json").write_text("{}")
    return overridden(TRAINING, {"model.bundle": str(tmp_path / "bundle")})


def test_settings_are_changed_by_the_names_of_options_and_the_default_stays():
    changed = overridden(TRAINING, {"model.beta": 0.0, "model.trunk": {"model_type": "llama"}, "new.section.word": "x"})
    assert changed["model"]["beta"] == 0.0
    assert changed["model"]["trunk"] == {"model_type": "llama"}
    assert changed["new"] == {"section": {"word": "x"}}
    assert TRAINING["model"]["beta"] == 0.004
    assert overridden(TRAINING, {}) == TRAINING


def test_every_variant_is_trained_with_its_seeds_and_what_is_common(training, tmp_path):
    runs = plan(training, VARIANTS, {"default": 2}, {"trainer.max_epochs": 2}, tmp_path)
    assert [run.name for run in runs] == ["default/0", "default/1", "unpriced/0"]
    assert [run.config["trainer"]["max_epochs"] for run in runs] == [2, 2, 2]
    assert [run.config["model"]["beta"] for run in runs] == [0.004, 0.004, 0.0]
    for run, seed in zip(runs, (0, 1, 0), strict=True):
        assert run.config["seed_everything"] == run.config["model"]["seed"] == run.config["data"]["seed"] == seed
    assert len(SEEDS) == 3


def test_everything_of_a_run_lies_in_its_folder_but_what_all_share(training, tmp_path):
    (run, _) = plan(training, VARIANTS, {}, {}, tmp_path)
    trainer = run.config["trainer"]
    assert run.folder.parent == tmp_path / "runs"
    assert run.config["output"] == str(run.bundle)
    assert trainer["default_root_dir"] == str(run.folder)
    assert trainer["callbacks"][0]["init_args"]["dirpath"] == f"{run.folder}/checkpoints"
    assert trainer["logger"][0]["init_args"] == {"save_dir": str(run.folder), "name": "build/pcmore"}
    assert run.config["model"]["references"] == "build/pcm/references.safetensors"
    assert moved(3, "a", "b") == 3
    with pytest.raises(ValueError, match=r"must have a trainer\.default_root_dir"):
        plan({**training, "trainer": {}}, VARIANTS, {}, {}, tmp_path)


def test_whatever_is_set_otherwise_has_a_folder_of_its_own(training, tmp_path):
    def folder(**changed: object) -> str:
        return plan(training, {"default": {}}, {}, changed, tmp_path)[0].folder.name

    plain = folder()
    assert plain == folder()
    assert plain != folder(**{"model.beta": 0.1})
    Path(training["model"]["bundle"], "bundle.json").write_text(json.dumps({"other": "experts"}))
    assert plain != folder()


def test_prompts_and_judges_that_have_changed_are_trained_with_anew(training, tmp_path, monkeypatch):
    (tmp_path / "judges" / "warm").mkdir(parents=True)
    read = {
        "model.rewards": {"warm": str(tmp_path / "judges" / "warm"), "brief": "judge_of_a_test:brevity"},
        "data.train": str(tmp_path / "train.jsonl"),
        "model.references": str(tmp_path / "kept.safetensors"),
    }
    files = [
        tmp_path / "train.jsonl",
        tmp_path / "judges" / "warm" / "model.safetensors",
        tmp_path / "judge_of_a_test.py",
    ]
    for file in files:
        file.write_text("before")
    monkeypatch.syspath_prepend(tmp_path)

    def folder() -> str:
        return plan(training, {"default": {}}, {}, read, tmp_path)[0].folder.name

    found = [folder()]
    for file in files:
        file.write_text("after")
        found.append(folder())
    assert len(set(found)) == 4
    (tmp_path / "kept.safetensors").write_text("what the trainings themselves leave")
    assert folder() == found[-1]


def test_experts_that_are_in_no_bundle_yet_are_trained_for_too(training, tmp_path):
    adapter = tmp_path / "adapters" / "warm" / "adapter_model.safetensors"
    adapter.parent.mkdir(parents=True)
    adapter.write_text("before")
    own = {
        "base": "owner/name@main",
        "experts": {"warm": str(adapter.parent)},
        "descriptions": {"warm": "The answer is warm. " * 400},
    }

    def run() -> Run:
        return plan(training, {"default": {}}, {}, {"model.bundle": own}, tmp_path)[0]

    before = run()
    assert before.config["model"]["bundle"] == own
    adapter.write_text("after")
    assert run().folder != before.folder


def test_a_run_begins_anew_or_goes_on_from_its_last_checkpoint(training, tmp_path):
    (run, _) = plan(training, VARIANTS, {}, {}, tmp_path)
    fresh = run.arguments()
    assert fresh == ["-m", "pcm.train", "fit", "--config", str(run.folder / "training.yaml")]
    assert yaml.safe_load((run.folder / "training.yaml").read_text()) == run.config
    (run.folder / "checkpoints").mkdir()
    (run.folder / "checkpoints" / "best.ckpt").touch()
    assert run.arguments() == fresh
    (run.folder / "checkpoints" / "last.ckpt").touch()
    assert run.arguments() == [*fresh, "--ckpt_path", str(run.folder / "checkpoints" / "last.ckpt")]


@pytest.mark.parametrize(
    ("variants", "seeds", "said"),
    [
        ({}, {}, "at least one variant"),
        ({"de/fault": {}}, {}, "no slash.*got de/fault"),
        (VARIANTS, {"other": 2}, "of default, unpriced, got some of other"),
        (VARIANTS, {"unpriced": 0}, "at least one training seed, got 0 of unpriced"),
    ],
)
def test_a_plan_that_means_nothing_is_refused(training, tmp_path, variants, seeds, said):
    with pytest.raises(ValueError, match=said):
        plan(training, variants, seeds, {}, tmp_path)
