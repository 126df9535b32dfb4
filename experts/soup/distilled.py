"""What one soup can keep of weights that change at every token: their mean.

Knows what a decoding loop gives. Does not know where weights come from.
"""

from collections.abc import Iterable

import torch
from torch import Tensor

from decoding.loop import Emitted
from decoding.step import Step


def mean_weights(emitted: Iterable[Emitted[Step]]) -> Tensor:
    """Gives the weight of each expert, averaged over all tokens of all responses (K,).

    Args:
        emitted: The turns of a loop, at least one.
    """
    turns = [(turn.step.log_weights.exp(), turn.running) for turn in emitted]
    weights = torch.stack([one for one, _ in turns], dim=1)  # (B, n, K)
    counted = torch.stack([one for _, one in turns], dim=1).unsqueeze(-1).to(weights)  # (B, n, 1)
    return (weights * counted).sum(dim=(0, 1)) / counted.sum()
