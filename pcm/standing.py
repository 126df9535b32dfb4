"""How a controller in training stands on validation prompts, beside the uniform mixture that it began as.

Knows rewards by batch. Does not know how they came about.
"""

import math
from dataclasses import dataclass, field

import torch
from torch import Tensor


@dataclass
class Standing:
    """Rewards (P,) by the number of their validation batch, in the same order for both.

    Args:
        uniform: of the uniform mixture; measured once.
        current: of the controller, until they are told.
    """

    uniform: dict[int, Tensor] = field(default_factory=dict)
    current: dict[int, Tensor] = field(default_factory=dict)

    def begun(self) -> dict[str, Tensor]:
        """Gives mean and 95 % half width of the uniform mixture's rewards, where every controller begins."""
        return told({"uniform": torch.cat(list(self.uniform.values()))})

    def ended(self) -> dict[str, Tensor]:
        """Gives the same of the controller's, the uniform mixture's and their paired difference; begins anew."""
        numbers = sorted(self.current)
        reward = torch.cat([self.current[number] for number in numbers])
        uniform = torch.cat([self.uniform[number] for number in numbers]).to(reward)
        self.current = {}
        return told({"reward": reward, "uniform": uniform, "advantage": reward - uniform})


def told(measured: dict[str, Tensor]) -> dict[str, Tensor]:
    """Gives mean and half of the 95 % interval's width of each of the measured values (n,), by name."""
    found: dict[str, Tensor] = {}
    for name, values in measured.items():
        found |= {name: values.mean(), f"{name}_half_width": half_width(values)}
    return found


def half_width(values: Tensor) -> Tensor:
    """Gives half the width of the 95 % interval of the mean of values (n,); zero for a single one."""
    if len(values) < 2:
        return values.new_zeros(())
    return 1.96 * values.std() / math.sqrt(len(values))
