"""How much of a controller must be asked for, so that an answer shows a share of all that asking can do.

Knows numbers by dimension. Does not know answers or what they score; `fitting` does.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

Curve = Sequence[float]


@dataclass(frozen=True)
class Intensities:
    """One curve for each dimension that was measured; a wish for any other is passed on as it is.

    Args:
        curves: By dimension, what to ask of the controller for equally spaced shares of the effect, from none to all.

    Raises:
        ValueError: If a curve does not rise from 0 to 1.
    """

    curves: Mapping[str, Curve] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Refuses curves of which some wish has no answer, or two have the same."""
        for name, curve in self.curves.items():
            if len(curve) < 2 or (curve[0], curve[-1]) != (0, 1) or min(np.diff(curve)) <= 0:
                raise ValueError(f"an intensity curve must rise from 0 to 1, got {list(curve)} for {name!r}")

    def turned(self, wished: Tensor, names: Sequence[str]) -> Tensor:
        """Gives what to ask of the controller (K,) for shares of the effect (K,), both in [0, 1].

        Args:
            wished: A share for each dimension.
            names: Of the K dimensions.
        """
        return self._through(wished, names, inverse=False)

    def wished(self, turned: Tensor, names: Sequence[str]) -> Tensor:
        """Gives the shares of the effect (K,) for which `turned` asks the controller for this (K,)."""
        return self._through(turned, names, inverse=True)

    def _through(self, values: Tensor, names: Sequence[str], inverse: bool) -> Tensor:
        found = values.double().tolist()
        for place, name in enumerate(names):
            if name in self.curves:
                shares, curve = np.linspace(0, 1, len(self.curves[name])), self.curves[name]
                found[place] = float(np.interp(found[place], *((curve, shares) if inverse else (shares, curve))))
        return torch.tensor(found, dtype=values.dtype, device=values.device)
