"""Value heads: how much reward is still to come, one linear head per expert on the state a token is chosen from.

Knows hidden states and expert numbers. Does not know rewards. Parameters belong to each expert separately.
"""

import torch
from torch import Tensor, nn


class ValueHeads(nn.Module):
    """Predicted return before each token; zero before training."""

    def __init__(self, hidden_size: int, count: int, dtype: torch.dtype = torch.float32) -> None:
        """One head for each of `count` experts on states of `hidden_size`."""
        super().__init__()
        self.weights = nn.ParameterList(nn.Parameter(torch.zeros(hidden_size, dtype=dtype)) for _ in range(count))
        self.biases = nn.ParameterList(nn.Parameter(torch.zeros((), dtype=dtype)) for _ in range(count))

    def parameters_of(self, number: int) -> list[nn.Parameter]:
        """The parameters of one expert's head."""
        return [self.weights[number], self.biases[number]]

    def forward(self, hidden: Tensor, experts: Tensor) -> Tensor:
        """Values `(R, T)` of states `(R, T, H)`, each row by the head of its expert `(R,)`.

        A state counts by the root of its size: else one step of Adam, which moves all H weights at once, throws a
        prediction from one end of the returns to the other.
        """
        weights = torch.stack(list(self.weights))[experts]  # (R, H)
        biases = torch.stack(list(self.biases))[experts]  # (R,)
        with torch.autocast(hidden.device.type, enabled=False):  # returns differ by less than bfloat16 can tell
            scaled = hidden.to(weights.dtype) * weights.shape[-1] ** -0.5
            return torch.bmm(scaled, weights[:, :, None])[..., 0] + biases[:, None]
