"""Ways to make one update out of many: the exact sum, and what else is called a soup or a merge.

Knows the experts' factors. Does not know text or tokens. Every recipe gives an adapter, so that all of them are
compared, saved and served in the same way. TIES and DARE are PEFT's own functions, on the updates ΔW = s B A; what they
leave is of full rank and is factored again by a singular value decomposition.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial

import torch
from peft.utils.merge_utils import dare_linear, ties
from torch import Tensor

from experts.adapters import DOWN, UP, AdapterConfig
from experts.bank import ExpertBank
from experts.soup.exact import merged_adapter, used_weights
from experts.stacked import padded

Cooked = tuple[AdapterConfig, dict[str, Tensor]]
"""An adapter's configuration and its factors, as `ExpertBank.add` takes them."""


@dataclass(frozen=True)
class Recipe:
    """A way to merge experts.

    Args:
        cook: Gives the adapter for a bank and the weight of each expert; those with a density take that, too.
        exact: Whether its update promises to be `Σ_k w_k ΔW_k`.
        label: What it does, for reports.
        degree: With all weights s times as large, the update is s to this power times as large.
    """

    cook: Callable[..., Cooked]
    exact: bool
    label: str
    degree: int = 1


def averaged_factors(bank: ExpertBank, weights: Mapping[str, float]) -> Cooked:
    """A and B summed apart, `A = Σ w_k A_k`, `B = Σ w_k s_k B_k`: what published comparisons often call the soup.

    Its update is not the sum of the updates: it holds every product of one expert's B with another's A, and w² of each
    expert's own. Ranks are padded with zeros to the largest.

    Args:
        bank: The experts.
        weights: Of each expert by name.

    Raises:
        ValueError: As `merged_adapter`.
    """
    used = used_weights(bank, weights)
    states = {name: bank.state_of(name) for name in used}
    modules = sorted({key.removesuffix(DOWN) for state in states.values() for key in state if key.endswith(DOWN)})
    rank = max(factor.shape[0] for state in states.values() for key, factor in state.items() if key.endswith(DOWN))
    merged: dict[str, Tensor] = {}
    for module in modules:
        having = {name: state for name, state in states.items() if module + DOWN in state}
        downs = [used[name] * padded(state[module + DOWN], rank, dim=0) for name, state in having.items()]
        ups = [
            used[name] * bank.scaling(name, module) * padded(state[module + UP], rank, dim=1)
            for name, state in having.items()
        ]
        merged |= {module + DOWN: torch.stack(downs).sum(0), module + UP: torch.stack(ups).sum(0)}
    return AdapterConfig(rank, rank, tuple(modules)), merged


def ties_merged(bank: ExpertBank, weights: Mapping[str, float], density: float = 0.5) -> Cooked:
    """TIES on the updates (arXiv 2306.01708): trim to the largest, elect a sign, average those who agree with it.

    Args:
        bank: The experts.
        weights: Of each expert by name. Agreeing updates are averaged, not summed: to be as large as one expert, a
            weight is near one, not near one over the number of experts.
        density: Share of each update's entries that is kept.

    Raises:
        ValueError: As `merged_adapter`, or if density is not in (0, 1].
    """
    _require_share(density)
    return _merged_by(bank, weights, lambda updates, shares: ties(updates, shares, density))


def dare_merged(bank: ExpertBank, weights: Mapping[str, float], density: float = 0.5, seed: int = 0) -> Cooked:
    """DARE on the updates (arXiv 2311.03099): drop entries at random, scale the others up, sum.

    Args:
        bank: The experts.
        weights: Of each expert by name.
        density: Share of each update's entries that is kept.
        seed: Of what is dropped.

    Raises:
        ValueError: As `merged_adapter`, or if density is not in (0, 1].
    """
    _require_share(density)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)  # PEFT drops by the global generator
        return _merged_by(bank, weights, lambda updates, shares: dare_linear(updates, shares, density))


def factored(updates: Mapping[str, Tensor]) -> Cooked:
    """Gives updates (out, in) as an adapter, exact up to rounding: `B = U √S`, `A = √S Vᵀ` without vanishing parts.

    Args:
        updates: By module name.
    """
    merged: dict[str, Tensor] = {}
    for module, update in updates.items():
        left, sizes, right = torch.linalg.svd(update, full_matrices=False)
        smallest = sizes.max() * max(update.shape) * torch.finfo(sizes.dtype).eps  # as torch.linalg.matrix_rank
        kept = max(1, int((sizes > smallest).sum()))
        root = sizes[:kept].sqrt()
        merged |= {module + DOWN: root[:, None] * right[:kept], module + UP: left[:, :kept] * root}
    rank = max(factor.shape[0] for key, factor in merged.items() if key.endswith(DOWN))
    whole = {key: padded(factor, rank, dim=0 if key.endswith(DOWN) else 1) for key, factor in merged.items()}
    return AdapterConfig(rank, rank, tuple(sorted(updates))), whole


RECIPES: dict[str, Recipe] = {
    "exact": Recipe(merged_adapter, True, "weighted sum of the updates"),
    "factors": Recipe(averaged_factors, False, "A and B averaged apart, as published comparisons often do", 2),
    "ties": Recipe(ties_merged, False, "TIES on the updates"),
    "dare": Recipe(dare_merged, False, "DARE on the updates"),
}


def recipe_named(name: str, density: float | None = None) -> Recipe:
    """Gives the recipe of this name, TIES and DARE with another density than their own where one is given.

    Raises:
        ValueError: If there is no such recipe, or it has no density.
    """
    if name not in RECIPES:
        raise ValueError(f"a recipe must be one of {', '.join(RECIPES)}, got {name!r}")
    found = RECIPES[name]
    if density is None:
        return found
    if name not in ("ties", "dare"):
        raise ValueError(f"only ties and dare have a density, got {density} for {name!r}")
    _require_share(density)
    return replace(found, cook=partial(found.cook, density=density), label=f"{found.label}, density {density:g}")


def _merged_by(
    bank: ExpertBank, weights: Mapping[str, float], merge: Callable[[list[Tensor], Tensor], Tensor]
) -> Cooked:
    """The adapter of `merge(updates (K' of (out, in)), weights (K',))`, module by module."""
    used = used_weights(bank, weights)
    shares = torch.tensor(list(used.values()))
    by_expert = {name: updates_of(bank, name) for name in used}
    modules = sorted({module for updates in by_expert.values() for module in updates})
    return factored({module: merge(_of_all(by_expert, module), shares) for module in modules})


def updates_of(bank: ExpertBank, name: str) -> dict[str, Tensor]:
    """Gives one expert's update `s B A` (out, in) of each module that it adapts."""
    state = bank.state_of(name)
    modules = [key.removesuffix(DOWN) for key in state if key.endswith(DOWN)]
    return {module: bank.scaling(name, module) * (state[module + UP] @ state[module + DOWN]) for module in modules}


def _of_all(by_expert: Mapping[str, Mapping[str, Tensor]], module: str) -> list[Tensor]:
    """The update of this module by each expert, zero where an expert leaves it alone."""
    like = next(updates[module] for updates in by_expert.values() if module in updates)
    return [updates.get(module, torch.zeros_like(like)) for updates in by_expert.values()]


def _require_share(density: float) -> None:
    if not 0 < density <= 1:
        raise ValueError(f"density must be in (0, 1], got {density}")
