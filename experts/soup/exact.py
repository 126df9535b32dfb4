"""The exact soup: one parameter update out of many, `ΔW = Σ_k w_k ΔW_k` (Personalized Soups, arXiv 2310.11564).

Knows the experts' factors. Does not know text or tokens. The sum is over updates and exact: averaging A and B
separately is not the average of the updates, whatever its name (`recipes.averaged_factors` does that, and says so).
"""

import math
from collections.abc import Mapping

import torch
from torch import Tensor
from transformers.pytorch_utils import Conv1D

from experts.adapters import DOWN, UP, AdapterConfig
from experts.bank import ExpertBank
from experts.stacked import padded


def merged_update(bank: ExpertBank, weights: Mapping[str, float]) -> dict[str, Tensor]:
    """The exact update `Σ_k w_k · scaling_k · B_k A_k` of each module, shaped like the module's weight.

    Args:
        bank: The experts.
        weights: Weight of each expert by name; any finite numbers, those not listed are zero.

    Returns:
        For each module name (out, in), or (in, out) for a Conv1D, ready to be added to its weight.

    Raises:
        ValueError: If a name is unknown, a weight is not finite, or all are zero.
    """
    _, state = merged_adapter(bank, weights)
    updates: dict[str, Tensor] = {}
    for key in state:
        if key.endswith(DOWN):
            module = key.removesuffix(DOWN)
            update = state[module + UP] @ state[key]  # (out, in)
            updates[module] = update.t() if isinstance(bank.base.get_submodule(module), Conv1D) else update
    return updates


def merged_adapter(bank: ExpertBank, weights: Mapping[str, float]) -> tuple[AdapterConfig, dict[str, Tensor]]:
    """The soup as an adapter, with `A = [A_1; A_2; …]` and `B = [w_1 s_1 B_1, w_2 s_2 B_2, …]`.

    Its rank is the sum of each expert's largest; its scaling is one, so that the weights are in B alone.
    `bank.add(name, *merged_adapter(...))` makes it an expert.

    Args:
        bank: The experts.
        weights: Weight of each expert by name; any finite numbers, those not listed are zero.

    Returns:
        Its configuration, and `<module>.lora_A.weight` (Σ r, in) and `<module>.lora_B.weight` (out, Σ r).

    Raises:
        ValueError: If a name is unknown, a weight is not finite, or all are zero.
    """
    used = used_weights(bank, weights)
    states = {name: bank.state_of(name) for name in used}
    modules = sorted({key.removesuffix(DOWN) for state in states.values() for key in state if key.endswith(DOWN)})
    ranks = {name: max(state[key].shape[0] for key in state if key.endswith(DOWN)) for name, state in states.items()}
    merged: dict[str, Tensor] = {}
    for module in modules:
        like_down, like_up = _any_factors(states, module)
        downs, ups = [], []
        for name, state in states.items():
            scale = used[name] * bank.scaling(name, module)
            downs.append(padded(state.get(module + DOWN, like_down[:0]), ranks[name], dim=0))
            ups.append(scale * padded(state.get(module + UP, like_up[:, :0]), ranks[name], dim=1))
        merged |= {module + DOWN: torch.cat(downs, dim=0), module + UP: torch.cat(ups, dim=1)}
    rank = sum(ranks.values())
    return AdapterConfig(rank=rank, alpha=rank, target_modules=tuple(modules)), merged


def used_weights(bank: ExpertBank, weights: Mapping[str, float]) -> dict[str, float]:
    """The weights that matter, in the bank's order.

    Raises:
        ValueError: As `merged_adapter`.
    """
    if unknown := sorted(set(weights) - set(bank.names)):
        raise ValueError(f"a soup's experts must be among {bank.names}, got {unknown}")
    if not all(math.isfinite(weight) for weight in weights.values()):
        raise ValueError(f"a soup's weights must be finite, got {dict(weights)}")
    used = {name: float(weights[name]) for name in bank.names if weights.get(name, 0.0) != 0.0}
    if not used:
        raise ValueError(f"a soup must have at least one weight that is not zero, got {dict(weights)}")
    return used


def _any_factors(states: Mapping[str, Mapping[str, Tensor]], module: str) -> tuple[Tensor, Tensor]:
    """The factors of some expert that adapts this module, for their widths, device and dtype."""
    return next((state[module + DOWN], state[module + UP]) for state in states.values() if module + DOWN in state)
