"""What reward models are worth: how often they are right on held-out pairs, and whether they know how sure to be.

Knows scores of chosen and rejected answers. Does not know how a reward model is trained.
"""

import json
import math
from pathlib import Path
from typing import Any

import datasets
import torch
from peft import PeftModel
from scipy.optimize import minimize_scalar
from torch import Tensor
from torch.nn.functional import logsigmoid
from torch.utils.data import DataLoader
from torchmetrics.functional.classification import binary_calibration_error
from transformers import AutoModelForCausalLM, PreTrainedTokenizerBase
from trl import RewardTrainer

from decoding.answered import Answered
from experts.ensemble import ENSEMBLE_FILE, RewardEnsemble
from experts.pair_tokens import SIDES, tokenize_pairs, tokenizer_of
from experts.prompts import pad_left


def calibration_error(margins: Tensor) -> float:
    """How far stated confidence is from being right, `sum_b n_b/N |accuracy_b - confidence_b|` (arXiv 1706.04599).

    Args:
        margins: score of the chosen answer minus score of the rejected one, `(N,)`; confidence is `sigmoid(|margin|)`.
    """
    confidence = torch.sigmoid(margins.abs())  # at least one half: ten of the twenty bins are used
    return float(binary_calibration_error(confidence, (margins > 0).long(), n_bins=20, norm="l1"))


def fitted_scale(margins: Tensor) -> float:
    """The factor on scores that makes the pairs likeliest: temperature scaling (arXiv 1706.04599, section 4.2).

    What was trained briefly is less sure than it could be, and two rewards that are not equally sure of themselves
    weigh unequally where they are added. A prior of ln factor ~ N(0, 1/4) keeps few pairs from saying too much.

    Args:
        margins: score of the chosen answer minus score of the rejected one, on pairs that were not trained on `(N,)`.
    """
    known = margins.double()

    def cost(log_factor: float) -> float:
        return float(-logsigmoid(known * math.exp(log_factor)).sum()) + 2 * log_factor**2

    return math.exp(float(minimize_scalar(cost, bounds=(-2.0, 2.0), method="bounded").x))


def cross_scaled(margins: Tensor) -> Tensor:
    """Margins `(N,)`, each scaled by the factor that fits the other half: an honest measurement may see no more."""
    halves = margins[::2], margins[1::2]
    scaled = torch.empty_like(margins)
    scaled[::2], scaled[1::2] = halves[0] * fitted_scale(halves[1]), halves[1] * fitted_scale(halves[0])
    return scaled


@torch.no_grad()
def held_out_margins(trainer: RewardTrainer, pairs: datasets.Dataset, batch_size: int = 64) -> Tensor:
    """Score of the chosen answer minus score of the rejected one for each tokenized pair, `(N,)`."""
    model = trainer.model
    assert isinstance(model, PeftModel)
    model.eval()
    margins = []
    for batch in DataLoader(pairs, batch_size=batch_size, collate_fn=trainer.data_collator):
        scores = model(**{name: column.to(model.device) for name, column in batch.items()}).logits.squeeze(-1)
        chosen, rejected = scores.float().cpu().chunk(2)
        margins.append(chosen - rejected)
    return torch.cat(margins)


def worth(margins: Tensor) -> dict[str, float]:
    """Accuracy, calibration error and mean of margins `(N,)` on held-out pairs."""
    return {
        "accuracy": float((margins > 0).float().mean()),
        "calibration_error": calibration_error(margins),
        "mean_margin": float(margins.mean()),
    }


def measure_ensemble(base: str | Path, folder: Path, held_out: datasets.Dataset) -> dict[str, Any]:
    """What an ensemble is worth on held-out pairs, beside each of its members, whose zeros are measured along.

    Args:
        base: folder or hub id of the causal model the members were trained on.
        folder: of the first member; gets `ensemble.json`, which `RewardEnsemble` reads.
        held_out: columns `chosen` and `rejected`, optionally `prompt`.
    """
    tokenizer, model = tokenizer_of(base), AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
    models = RewardEnsemble.read({folder.name: folder}, model).models
    tokens = tokenize_pairs(held_out, tokenizer)
    chosen, rejected = (models.score(_answered(tokens, side, tokenizer)) for side in SIDES)
    margins, zeros = chosen - rejected, (chosen + rejected).mean(0) / 2  # (N, members), (members,)
    members = [{**worth(margins[:, number]), "zero": float(zeros[number])} for number in range(margins.shape[1])]
    metrics = {**worth(margins.mean(1)), "held_out_pairs": len(margins), "members": members}
    (folder / ENSEMBLE_FILE).write_text(json.dumps(metrics, indent=2) + "\n")
    return metrics


def _answered(tokens: datasets.Dataset, side: str, tokenizer: PreTrainedTokenizerBase) -> Answered:
    """One side of tokenized pairs."""
    ids, mask = pad_left([torch.tensor(text) for text in tokens[f"{side}_ids"]], int(tokenizer.pad_token_id))
    return Answered(ids, mask, torch.tensor(tokens[f"{side}_answer"][:]))
