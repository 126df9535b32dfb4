"""One expert as a trainee of TRL 1.12's `PPOTrainer`, one update in every turn.

    TRL_PYTHON -m comparison.bench.training.trl_trainee settings.json

Runs in an environment of its own, since TRL 1.13 and later have no PPO: it needs trl, peft and what they need, and of
ours only files that import nothing else. Knows TRL. Does not know clocks, nor where its settings come from.
"""

import json
import sys
from pathlib import Path
from typing import Any

import peft
import torch
import transformers
import trl
from datasets import Dataset
from peft import LoraConfig
from transformers import AutoModelForCausalLM, AutoTokenizer, TrainerCallback, TrainerControl, TrainerState
from transformers.trainer_callback import PrinterCallback
from trl.experimental.ppo import PPOConfig, PPOTrainer

from comparison.bench.training.bridge import Composite, classifier, value_model
from comparison.bench.training.turns import Turns

SHOWN = (
    "objective/scores",
    "objective/kl",
    "objective/entropy",
    "loss/policy_avg",
    "loss/value_avg",
    "policy/clipfrac_avg",
    "policy/approxkl_avg",
    "val/num_eos_tokens",
    "lr",
)


class InTurn(TrainerCallback):
    """Ends a turn when everything is ready for the first update, and after every update."""

    def __init__(self, turns: Turns) -> None:
        """Speaks by these turns."""
        self.turns = turns

    def on_train_begin(self, args: Any, state: TrainerState, control: TrainerControl, **further: Any) -> None:
        """Ends the turn in which everything was built."""
        self.turns.done()

    def on_step_end(self, args: Any, state: TrainerState, control: TrainerControl, **further: Any) -> None:
        """Ends the turn of an update."""
        last = state.log_history[-1]
        self.turns.done(**{name: last[name] for name in SHOWN})


def trainer_of(settings: dict[str, Any], turns: Turns) -> PPOTrainer:
    """TRL's trainer of one expert.

    Args:
        settings: Those of `plan.trl_settings`.
        turns: What it speaks by.
    """
    base = Path(settings["base"])
    tokenizer = AutoTokenizer.from_pretrained(base, padding_side="left")
    rewards = [classifier(base, Path(folder)) for folder in settings["rewards"]]
    trainer = PPOTrainer(
        args=PPOConfig(**settings["ppo"]),
        processing_class=tokenizer,
        model=AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32),
        ref_model=None,  # the policy without its adapter
        reward_model=Composite(rewards, settings["weights"]),
        value_model=value_model(base, settings["lora"]),
        train_dataset=Dataset.from_dict({"input_ids": settings["prompts"]}),
        peft_config=LoraConfig(task_type="CAUSAL_LM", **settings["lora"]),
        callbacks=[InTurn(turns)],
    )
    trainer.remove_callback(PrinterCallback)
    return trainer


def main() -> None:
    """Trains what the file of settings says, and saves the policy's adapter as PEFT does."""
    settings = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    turns = Turns()
    transformers.set_seed(settings["ppo"]["seed"])
    turns.done(**{module.__name__: module.__version__ for module in (torch, transformers, trl, peft)})
    trainer = trainer_of(settings, turns)
    trainer.train()
    trainer.policy_model.save_pretrained(settings["output"], save_embedding_layers=False)


if __name__ == "__main__":
    main()
