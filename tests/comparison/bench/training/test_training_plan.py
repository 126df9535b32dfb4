import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from transformers import AutoTokenizer

from comparison.bench.training.plan import our_settings, ppo_config, require_plain, shared_settings, trl_settings
from comparison.bench.training.race import entries, experts_of
from comparison.bench.training.timing import JOINT, SINGLE, TRL

CONFIG = Path(__file__).parents[4] / "configs" / "miniature" / "experts.yaml"


def settings(world, config=CONFIG, updates=2, dimensions=None):
    given = {"base": world / "base", "prompts": world / "prompts.jsonl", "rewards": world / "rewards"}
    return shared_settings(config, updates, dimensions, **given)


def test_rewards_are_what_trl_is_given_whatever_the_configuration_says(world, tmp_path):
    lines = CONFIG.read_text().replace("exam:", "exam:\n  reward_temperature: 2.0\n  leniency: 3.0").splitlines()
    (tmp_path / "experts.yaml").write_text("\n".join([*lines, "lower_bound: 1.0"]))
    found = settings(world, config=tmp_path / "experts.yaml")
    assert found["lower_bound"] == 0.0
    assert {name: found["exam"][name] for name in ("reward_temperature", "leniency")} == {
        "reward_temperature": 1.0,
        "leniency": 0.0,
    }


def test_every_reward_but_quality_has_an_expert(world):
    assert settings(world)["dimensions"] == ["concise", "friendly"]
    assert settings(world, dimensions=["friendly"])["dimensions"] == ["friendly"]


def test_what_trl_cannot_do_is_done_by_nobody(world):
    shared = settings(world)
    assert shared["held"] is None
    assert shared["exam"]["repetition_penalty"] == 0
    assert shared["exam"]["missing_end_penalty"] == 0.5  # which TRL can


def test_the_settings_are_plain_data_of_the_configuration(world):
    shared = settings(world, updates=7)
    assert json.loads(json.dumps(shared)) == shared
    assert (shared["ppo"]["updates"], shared["ppo"]["learning_rate"], shared["rank"]) == (7, 0.004, 8)
    one = our_settings(shared, ["friendly"], world / "out")
    assert (one["dimensions"], one["output"]) == (["friendly"], str(world / "out"))
    assert shared["dimensions"] == ["concise", "friendly"]


def test_trl_trains_the_same(world):
    told = trl_settings(settings(world), "friendly", world / "out", None)
    assert told["rewards"] == [str(world / "rewards" / name) for name in ("friendly", "quality")]
    assert told["weights"] == [1.0, 2.0]
    assert told["lora"] == {"r": 8, "lora_alpha": 16, "target_modules": "all-linear"}
    assert len(told["prompts"]) == 48  # of two updates; there are more
    read = AutoTokenizer.from_pretrained(world / "base").decode(told["prompts"][3])
    assert "What is a volcano? A volcano is a mountain that opens. 3" in read
    ppo = told["ppo"]
    assert ppo["per_device_train_batch_size"] == ppo["local_rollout_forward_batch_size"] == 24
    assert ppo["total_episodes"] == 48
    assert (ppo["num_ppo_epochs"], ppo["num_mini_batches"], ppo["gradient_accumulation_steps"]) == (2, 2, 1)
    assert (ppo["response_length"], ppo["stop_token"], ppo["missing_eos_penalty"]) == (104, "eos", 0.5)
    assert (ppo["kl_coef"], ppo["lam"], ppo["vf_coef"], ppo["cliprange"]) == (0.06, 0.98, 0.1, 0.2)


def test_trl_may_have_a_learning_rate_of_its_own(world):
    shared = settings(world)
    assert ppo_config(shared, world, None)["learning_rate"] == 0.004
    assert ppo_config(shared, world, 0.001)["learning_rate"] == 0.001


def test_without_a_price_of_quality_nobody_is_paid_for_it(world):
    shared = settings(world)
    shared["exam"]["quality_weight"] = 0.0
    told = trl_settings(shared, "concise", world / "out", None)
    assert (told["rewards"], told["weights"]) == ([str(world / "rewards" / "concise")], [1.0])


def test_a_reward_model_that_only_we_can_read_is_refused(world, tmp_path):
    evident = tmp_path / "gnu"
    evident.mkdir()
    save_file({"base_model.model.score.weight": torch.ones(1, 69)}, evident / "adapter_model.safetensors")
    with pytest.raises(ValueError, match=r"must read the last state, \(1, 32\).*got \[\[1, 69\]\].*--evidence false"):
        require_plain(evident, world / "base")
    (evident / "member-2").mkdir()
    (evident / "member-2" / "adapter_config.json").write_text("{}")
    with pytest.raises(ValueError, match="must be one reward model, which TRL can be given, got an ensemble"):
        require_plain(evident, world / "base")
    with pytest.raises(FileNotFoundError, match=r"must be a reward model in .*cat: train it"):
        settings(world, dimensions=["cat"])


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("prompts_per_update: 5", "multiple of 2 minibatches for TRL, got 5"),
        ("objectives: {concise+friendly: [concise, friendly]}", "an expert for each reward in one folder"),
    ],
)
def test_what_trl_cannot_be_given_is_refused(world, tmp_path, line, told):
    lines = CONFIG.read_text().splitlines()
    kept = [one for one in lines if not one.startswith(line.split(":")[0])]
    (tmp_path / "config.yaml").write_text("\n".join([*kept, line]))
    with pytest.raises(ValueError, match=told):
        settings(world, config=tmp_path / "config.yaml")


def test_everybody_is_told_what_to_train_and_leaves_the_same_experts(world, tmp_path):
    ours = entries(settings(world), tmp_path, None, None)
    assert list(ours) == [(JOINT, "all"), (SINGLE, "concise"), (SINGLE, "friendly")]
    everybody = entries(settings(world), tmp_path, Path("trl/bin/python"), 0.002)
    assert list(everybody)[3:] == [(TRL, "concise"), (TRL, "friendly")]
    assert everybody[TRL, "friendly"].python == str(Path.cwd() / "trl/bin/python")
    assert everybody[TRL, "friendly"].settings["ppo"]["learning_rate"] == 0.002
    assert everybody[JOINT, "all"].settings["dimensions"] == ["concise", "friendly"]
    assert everybody[SINGLE, "friendly"].settings["dimensions"] == ["friendly"]
    found = experts_of(everybody)
    assert {way: sorted(folders) for way, folders in found.items()} == {
        way: ["concise", "friendly"] for way in (JOINT, SINGLE, TRL)
    }
    assert len({folder for folders in found.values() for folder in folders.values()}) == 6
    assert found[SINGLE]["friendly"] == Path(everybody[SINGLE, "friendly"].settings["output"]) / "friendly"
    assert found[TRL]["friendly"] == Path(everybody[TRL, "friendly"].settings["output"])
