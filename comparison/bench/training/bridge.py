"""What TRL's `PPOTrainer` is given besides the policy: our rewards as its one reward model, and a value model.

Needs torch, transformers and peft only. Knows what TRL asks of a reward model: a trunk under the name that
`base_model_prefix` says, and a `score` that makes a number for every token of the trunk's last hidden states. Does not
know TRL.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, PeftModel, inject_adapter_in_model
from torch import Tensor, nn
from transformers import AutoModelForSequenceClassification, PreTrainedModel
from transformers.modeling_outputs import BaseModelOutput


def classifier(base: Path, adapter: Path) -> PreTrainedModel:
    """A reward model of ours as a plain classifier of transformers, its adapter merged.

    Args:
        base: Folder of the model that the adapter was trained on.
        adapter: PEFT folder whose head reads the last state.
    """
    model = AutoModelForSequenceClassification.from_pretrained(base, num_labels=1, dtype=torch.float32)
    frozen = PeftModel.from_pretrained(model, adapter)
    merged: PreTrainedModel = frozen.merge_and_unload()
    return merged


class Marks(nn.Module):
    """Marks `sum_d weight_d (sigmoid(r_d) - 1/2)` of classifiers `r_d`, at every token."""

    def __init__(self, classifiers: Sequence[PreTrainedModel], weights: Sequence[float]) -> None:
        """Weighs each classifier."""
        super().__init__()
        self.classifiers, self.weights = nn.ModuleList(classifiers), tuple(weights)

    def forward(
        self, input_ids: Tensor, attention_mask: Tensor, position_ids: Tensor, **asked: object
    ) -> BaseModelOutput:
        """Marks `(R, T, 1)` of texts `(R, T)`, in the place of the last hidden states."""
        inputs: dict[str, Any] = {"attention_mask": attention_mask, "position_ids": position_ids, "use_cache": False}
        marks = torch.zeros(*input_ids.shape, 1, device=input_ids.device)
        for weight, model in zip(self.weights, self.classifiers, strict=True):
            assert isinstance(model, PreTrainedModel)
            scores = model.get_submodule("score")(model.base_model(input_ids, **inputs).last_hidden_state)
            marks += weight * (scores.sigmoid() - 0.5)
        return BaseModelOutput(hidden_states=(marks,))


class Composite(nn.Module):
    """Several classifiers as the one reward model that TRL takes.

    What the head of each says is log-odds around zero. As chances they are bounded as ours are, so the same KL
    coefficient buys the same; less one half, marks are around zero, as values are before the first update.
    """

    base_model_prefix = "marks"

    def __init__(self, classifiers: Sequence[PreTrainedModel], weights: Sequence[float]) -> None:
        """Weighs each classifier."""
        super().__init__()
        self.marks, self.score = Marks(classifiers, weights), nn.Identity()


def value_model(base: Path, lora: Mapping[str, Any]) -> PreTrainedModel:
    """A value model that trains as little as the policy does: an adapter of its shape and a head that starts at zero.

    Args:
        base: Folder of the policy's base.
        lora: Arguments of PEFT's `LoraConfig`.
    """
    model: PreTrainedModel = AutoModelForSequenceClassification.from_pretrained(base, num_labels=1, dtype=torch.float32)
    inject_adapter_in_model(LoraConfig(**lora), model.base_model)  # below the head, as the policy's; freezes the rest
    nn.init.zeros_(model.get_submodule("score").get_parameter("weight"))
    return model
