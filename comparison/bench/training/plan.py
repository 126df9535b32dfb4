"""What everybody trains: the settings of `experts.train`, made such that TRL can train the same, and told to TRL.

Knows settings as plain data. Does not know processes, clocks or how anybody trains.

What has no counterpart in TRL is switched off: prices of what an expert shall leave alone, and the penalty for
repetitions. All else of either side stays as it is: its own early stop, controller, baseline and value model.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from safetensors import safe_open
from transformers import AutoConfig, AutoTokenizer

from decoding.conversation import encode_prompts
from decoding.prompts import read_prompts
from experts.adapters import WEIGHTS_FILE
from experts.ensemble import member_folders
from experts.rewards import HEAD_WEIGHT, QUALITY, names_in
from experts.train import command_parser

Settings = dict[str, Any]


def shared_settings(config: Path, updates: int, dimensions: Sequence[str] | None, **given: Path | None) -> Settings:
    """Gives the arguments of `experts.train` from which everybody's are made, as plain data.

    Args:
        config: YAML file of `experts.train`.
        updates: How many there are.
        dimensions: Which experts to train; None is all that have a reward.
        given: What replaces the file's folders, where it is not None.

    Raises:
        ValueError: If the file speaks of what TRL cannot be given, or a reward model is none that both can read.
    """
    values = command_parser().parse_args(["--config", str(config)]).as_dict()
    values.pop("config")
    values |= {name: path for name, path in given.items() if path is not None}
    values |= {name: Path(values[name]).absolute() for name in ("base", "prompts")}
    if values["objectives"] or not isinstance(values["rewards"], Path):
        raise ValueError(f"{config} must train an expert for each reward in one folder, got objectives or sources")
    values["rewards"] = values["rewards"].absolute()
    values |= {"held": None, "wandb_project": None, "accelerator": "cpu", "devices": 1, "precision": "32-true"}
    values["ppo"] |= {"updates": updates}
    values["exam"] |= {"repetition_penalty": 0.0, "reward_temperature": 1.0, "leniency": 0.0}
    values["lower_bound"] = 0.0
    if values["prompts_per_update"] % values["ppo"]["minibatches"]:
        raise ValueError(
            f"prompts_per_update must be a multiple of {values['ppo']['minibatches']} minibatches for TRL, "
            f"got {values['prompts_per_update']}"
        )
    values["dimensions"] = list(dimensions or [name for name in names_in(values["rewards"]) if name != QUALITY])
    for name in paying(values, values["dimensions"]):
        require_plain(values["rewards"] / name, values["base"])
    return dict(json.loads(json.dumps(values, default=str)))


def paying(settings: Settings, dimensions: Sequence[str]) -> list[str]:
    """Gives the rewards that experts for these dimensions are paid by."""
    return [*dimensions, *([QUALITY] if settings["exam"]["quality_weight"] else [])]


def require_plain(reward: Path, base: Path) -> None:
    """Refuses a reward model that is not an adapter under a head that reads the last state alone.

    Raises:
        FileNotFoundError: If there is none.
        ValueError: If its head reads something else, or it is an ensemble.
    """
    if len(member_folders(reward)) > 1:
        raise ValueError(f"{reward} must be one reward model, which TRL can be given, got an ensemble")
    weights = reward / WEIGHTS_FILE
    if not weights.is_file():
        raise FileNotFoundError(f"there must be a reward model in {reward}: train it with experts.reward_training")
    size = AutoConfig.from_pretrained(base).get_text_config().hidden_size
    with safe_open(weights, framework="pt") as file:
        shapes = [file.get_slice(key).get_shape() for key in file.keys() if key.endswith(HEAD_WEIGHT)]  # noqa: SIM118
    if shapes != [[1, size]]:
        raise ValueError(
            f"the head of {reward} must read the last state, (1, {size}), for TRL to read it too, got {shapes}: train "
            "it with experts.reward_training --evidence false"
        )


def our_settings(shared: Settings, dimensions: Sequence[str], output: Path) -> Settings:
    """Gives the arguments of `experts.train` for some of the experts."""
    return shared | {"dimensions": list(dimensions), "output": str(output)}


def trl_settings(shared: Settings, dimension: str, output: Path, learning_rate: float | None) -> Settings:
    """Gives what `trl_trainee` is told to train one expert.

    Args:
        shared: Those of `shared_settings`.
        dimension: Of the expert.
        output: Gets its PEFT folder.
        learning_rate: Another one than ours, which need not be TRL's best.
    """
    tokenizer = AutoTokenizer.from_pretrained(shared["base"])
    most = shared["ppo"]["updates"] * shared["prompts_per_update"]
    weights = {dimension: 1.0, QUALITY: shared["exam"]["quality_weight"]}
    rewards = paying(shared, [dimension])
    return {
        "base": shared["base"],
        "output": str(output),
        "rewards": [str(Path(shared["rewards"]) / name) for name in rewards],
        "weights": [weights[name] for name in rewards],
        "prompts": [ids.tolist() for ids in encode_prompts(tokenizer, read_prompts(shared["prompts"])[:most])],
        "lora": {
            "r": shared["rank"],
            "lora_alpha": shared["alpha"],
            "target_modules": shared["target_modules"],
        },
        "ppo": ppo_config(shared, output, learning_rate),
    }


def ppo_config(shared: Settings, output: Path, learning_rate: float | None) -> Settings:
    """Gives the arguments of TRL's `PPOConfig` that train as our settings do, as fast as it can on a CPU.

    A response may have as many tokens as ours may on average. All rollouts are sampled in one batch. A minibatch is one
    optimiser step only without gradient accumulation: TRL counts its accumulation over minibatches, not within them.
    """
    ppo, exam, rows = shared["ppo"], shared["exam"], shared["prompts_per_update"]
    return {
        "output_dir": str(output.parent / "logs"),
        "seed": ppo["seed"],
        "total_episodes": ppo["updates"] * rows,
        "per_device_train_batch_size": rows,
        "gradient_accumulation_steps": 1,
        "num_mini_batches": ppo["minibatches"],
        "num_ppo_epochs": ppo["epochs"],
        "local_rollout_forward_batch_size": rows,
        "response_length": (exam["least_budget"] + exam["most_budget"]) // 2,
        "stop_token": "eos",
        "missing_eos_penalty": exam["missing_end_penalty"] or None,
        "temperature": 1.0,
        "kl_coef": ppo["kl_coefficient"],
        "gamma": 1.0,
        "lam": ppo["trace"],
        "cliprange": ppo["clip"],
        "cliprange_value": ppo["clip"],
        "vf_coef": ppo["value_coefficient"],
        "learning_rate": learning_rate or ppo["learning_rate"],
        "lr_scheduler_type": "linear",
        "weight_decay": ppo["weight_decay"],
        "bf16": False,
        "use_cpu": True,
        "gradient_checkpointing": False,
        "num_sample_generations": 0,
        "save_strategy": "no",
        "logging_steps": 1,
        "report_to": "none",
        "disable_tqdm": True,
    }
