"""The gate: foresees from the base's row alone how far the mixture would be from the base at a token.

Where that is little, the base speaks for the mixture and no expert is read. Knows the base's state and distribution,
and how far the last mixed step was. Does not know experts or preferences.
"""

import json
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn import functional

CONFIG, WEIGHTS = "config.json", "model.safetensors"
NUMBERS = 4
"""Beside the state: entropy, log-probability of the likeliest token, divergence of the last mixed step, and its age."""
LONGEST = 8
"""The most tokens without experts that a gate knows of; at a budget of an eighth that is the mean."""
QUANTILES = 101


class Gate(nn.Module):
    """A small head whose output is log(1 + nats of KL(mixture‖base)) at a token, foreseen.

    Args:
        hidden_size: size H of the base's states.
        width: of the inner layer.
    """

    quantiles: Tensor  # (QUANTILES,) of what is foreseen on validation prompts, rising

    def __init__(self, hidden_size: int, width: int = 32) -> None:
        super().__init__()
        self.hidden_size, self.width = hidden_size, width
        self.normalise = nn.LayerNorm(hidden_size)
        self.inner = nn.Linear(hidden_size + NUMBERS, width)
        self.outer = nn.Linear(width, 1)
        self.register_buffer("quantiles", torch.linspace(0, 1, QUANTILES))

    def forward(self, hidden: Tensor, spread: Tensor, divergence: Tensor, age: Tensor) -> Tensor:
        """Gives what is foreseen, log(1 + nats) (...,).

        Args:
            hidden: the base's state (..., H).
            spread: of the base's distribution, as the function of this name gives it (..., 2).
            divergence: KL(mixture‖base) of the last step that was mixed, nats (...,).
            age: how many tokens ago that was (...,).
        """
        dtype = self.outer.weight.dtype
        last = torch.stack((divergence.log1p(), age.log1p()), dim=-1)
        seen = torch.cat((self.normalise(hidden.to(dtype)), spread.to(dtype), last.to(dtype)), dim=-1)
        return self.outer(functional.gelu(self.inner(seen))).squeeze(-1)

    def threshold(self, budget: float) -> float:
        """Gives what is foreseen of the token from which on a share `budget` of all tokens is worth mixing."""
        place = (1 - budget) * (QUANTILES - 1)
        below = min(int(place), QUANTILES - 2)
        low, high = self.quantiles[below : below + 2].tolist()
        return float(low + (place - below) * (high - low))

    def opens(self, base_logprobs: Tensor, hidden: Tensor, divergence: Tensor, age: Tensor, budget: float) -> Tensor:
        """Gives which requests to mix at a token (B,), bool: those that never were, and what seems worth it.

        Args:
            base_logprobs: the base's distribution (B, V).
            hidden: the base's state (B, H).
            divergence: KL(mixture‖base) of the last step that was mixed, nats (B,).
            age: how many tokens ago that was (B,), infinite where there was none.
            budget: the share of tokens to mix, about.
        """
        foreseen = self(hidden, spread(base_logprobs), divergence, age.clamp(max=LONGEST))  # (B,)
        return (foreseen > self.threshold(budget)) | age.isinf()

    def save(self, folder: str | Path) -> None:
        """Writes `config.json` and `model.safetensors` into a folder."""
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        config = {"hidden_size": self.hidden_size, "width": self.width}
        (folder / CONFIG).write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
        save_file(
            {name: value.detach().contiguous().cpu() for name, value in self.state_dict().items()}, folder / WEIGHTS
        )

    @classmethod
    def load(cls, folder: str | Path) -> "Gate":
        """Reads a gate that `save` wrote, in float32."""
        folder = Path(folder)
        gate = cls(**json.loads((folder / CONFIG).read_text(encoding="utf-8")))
        gate.load_state_dict(load_file(folder / WEIGHTS))
        return gate.eval()


def spread(logprobs: Tensor) -> Tensor:
    """Gives the entropy of a distribution (..., V) in nats, and its largest log-probability (..., 2)."""
    return torch.stack((-(logprobs.exp() * logprobs).sum(-1), logprobs.amax(-1)), dim=-1)


def require_budget(budget: float, gate: Gate | None) -> None:
    """Refuses a budget that cannot be kept.

    Raises:
        ValueError: if it is not in (0, 1], or below 1 where there is no gate.
    """
    if not 0 < budget <= 1:
        raise ValueError(f"a budget must be a share of tokens in (0, 1], got {budget}")
    if budget < 1 and gate is None:
        raise ValueError(f"a budget below 1 needs a bundle with a gate (python -m pcm.gate makes one), got {budget}")
