"""Is a soup what it says? Its update beside the exact sum of its experts' updates.

Knows the experts' factors and reads them by itself: an error in how a soup is made cannot hide here.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from experts.adapters import DOWN, UP, AdapterConfig
from experts.bank import ExpertBank
from experts.targets import names_of

TOLERANCE = 1e-4
"""The largest relative error that rounding explains."""


@dataclass(frozen=True)
class Finding:
    """What the check found.

    Args:
        error: `‖ΔW − Σ w_k ΔW_k‖ / ‖Σ w_k ΔW_k‖` over all modules together, Frobenius.
        promised: Whether the recipe promises the exact sum.
    """

    error: float
    promised: bool

    @property
    def broken(self) -> bool:
        """Whether the soup is not what its recipe promises."""
        return self.promised and not self.error <= TOLERANCE  # an error that is no number is broken too


def checked(
    bank: ExpertBank, weights: Mapping[str, float], config: AdapterConfig, state: Mapping[str, Tensor], promised: bool
) -> Finding:
    """Gives how far an adapter is from the exact sum of the experts' updates.

    Args:
        bank: The experts.
        weights: Of each expert by name.
        config: Of the merged adapter.
        state: Its factors, `<module>.lora_A.weight` (r, in) and `<module>.lora_B.weight` (out, r).
        promised: Whether its recipe promises the exact sum.
    """
    wanted: dict[str, Tensor] = {}
    for name, weight in weights.items():
        if weight:
            for module, update in _updates(bank, bank.configs[name], bank.state_of(name)).items():
                wanted[module] = wanted.get(module, torch.zeros_like(update)) + weight * update
    given = _updates(bank, config, state)
    size = _norm(wanted)
    gaps = {module: -update for module, update in wanted.items()}
    for module, update in given.items():
        gaps[module] = gaps[module] + update if module in gaps else update
    return Finding(_norm(gaps) / size if size else float("inf"), promised)


def _updates(bank: ExpertBank, config: AdapterConfig, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """An adapter's update (out, in) of each module, in float64."""
    found = {}
    for key in state:
        if key.endswith(DOWN):
            module = key.removesuffix(DOWN)
            scaling = config.scaling_of(*names_of(bank.base, module))
            found[module] = scaling * (state[module + UP].double() @ state[key].double())
    return found


def _norm(updates: Mapping[str, Tensor]) -> float:
    return float(torch.stack([update.square().sum() for update in updates.values()]).sum().sqrt()) if updates else 0.0
