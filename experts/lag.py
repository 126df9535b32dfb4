"""What the base alone has read while the experts were spared, and what is known of the last step that was mixed.

Knows tensors and a cache. Does not know who decides when experts are read.
"""

from dataclasses import dataclass

import torch
from torch import Tensor
from transformers import Cache


@dataclass
class Lag:
    """Where the base is ahead of its experts, for one batch of requests.

    Args:
        cache: Keys and values of the base's own rows, one for each request.
        unread: Tokens that the experts have not read yet (B, n).
        divergence: KL(mixture‖base) at each request's last mixed step, nats (B,).
        age: Tokens since then (B,); infinite before the first.
    """

    cache: Cache
    unread: Tensor
    divergence: Tensor
    age: Tensor

    @classmethod
    def fresh(cls, cache: Cache, requests: int, device: torch.device) -> "Lag":
        """Before anything is read."""
        nothing = torch.zeros(requests, 0, dtype=torch.long, device=device)
        never = torch.full((requests,), torch.inf, device=device)
        return cls(cache, nothing, torch.zeros(requests, device=device), never)

    def waited(self, tokens: Tensor) -> Tensor:
        """Adds tokens (B, t) to those that the experts have not read, and gives all of these (B, n)."""
        self.unread, self.age = torch.cat([self.unread, tokens], dim=-1), self.age + 1
        return self.unread

    def caught_up(self, mixed: Tensor, divergence: Tensor) -> None:
        """Notes that the experts have read everything.

        Args:
            mixed: Which requests were mixed (B,), bool.
            divergence: KL(mixture‖base) of this step (B,).
        """
        self.unread = self.unread[:, :0]
        self.divergence = torch.where(mixed, divergence.to(self.divergence), self.divergence)
        self.age = torch.where(mixed, torch.zeros_like(self.age), self.age)

    def narrowed(self, requests: Tensor) -> "Lag":
        """The lag of these requests alone (b,); the old one must not be used again."""
        self.cache.batch_select_indices(requests)
        return Lag(self.cache, self.unread[requests], self.divergence[requests], self.age[requests])
