"""Rows: which (request, expert) pairs a pass reads, and what it gives back.

Knows indices and tensors. Does not know models or adapters.
"""

from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor
from transformers import Cache


@dataclass(frozen=True)
class Rows:
    """The (request, expert) pairs of one pass: all of the base's rows, then one group per expert, experts increasing.

    Args:
        requests: (R,) long, each row's request.
        experts: (R,) long, each row's expert; -1 is the base.

    Raises:
        ValueError: If the lengths differ or the experts are not sorted.
    """

    requests: Tensor
    experts: Tensor

    def __post_init__(self) -> None:
        """Refuses what the stacked layers could not read as groups."""
        if self.requests.shape != self.experts.shape or self.experts.dim() != 1:
            raise ValueError(
                f"requests and experts must both be (R,), got {tuple(self.requests.shape)} and "
                f"{tuple(self.experts.shape)}"
            )
        listed = [expert for expert, _ in self.pairs]
        if listed != sorted(listed):
            raise ValueError(f"experts must be sorted, got {listed}")

    @cached_property
    def pairs(self) -> list[tuple[int, int]]:
        """The (expert, request) pairs, fetched from the device once for all steps."""
        return list(zip(self.experts.tolist(), self.requests.tolist(), strict=True))

    @classmethod
    def of(cls, asked: Tensor) -> "Rows":
        """One base row for every request, and one row for every expert that a request asks for.

        Args:
            asked: (B, K), positive where the expert is asked for.
        """
        experts, requests = (asked > 0).t().nonzero(as_tuple=True)  # expert-major
        everybody = torch.arange(asked.shape[0], device=asked.device)
        return cls(torch.cat([everybody, requests]), torch.cat([torch.full_like(everybody, -1), experts]))

    def narrowed(self, kept: Tensor) -> "Rows":
        """Gives the rows of these requests (B',), increasing, which are numbered anew."""
        mine = torch.isin(self.requests, kept)
        return Rows(torch.searchsorted(kept, self.requests[mine]), self.experts[mine])

    def taken(self, requests: Tensor) -> "Rows":
        """Gives rows in which place b (B',) has the experts that request `requests[b]` has, in any order and often."""
        reads = torch.zeros(int(self.requests.max()) + 1, int(self.experts.max()) + 2, device=self.requests.device)
        reads[self.requests, self.experts + 1] = 1.0  # (B, K + 1), the base first
        return Rows.of(reads[requests, 1:])

    def require_base(self, requests: int) -> None:
        """Refuses rows that do not start with exactly one base row for each request, in order.

        Raises:
            ValueError: If they do not.
        """
        base = [request for expert, request in self.pairs if expert < 0]
        if base != list(range(requests)):
            raise ValueError(f"rows must start with one base row for each of {requests} requests, got {base}")


@dataclass(frozen=True)
class Reading:
    """What the base and the experts say about B requests.

    Args:
        base: (B, T', V) logits.
        experts: (B, T', K, V) logits; the base's where an expert has no row.
        hidden: (B, T', H), the base row's last hidden states after the final norm.
        cache: What was given, filled further.
    """

    base: Tensor
    experts: Tensor
    hidden: Tensor
    cache: Cache | None


@dataclass(frozen=True)
class RowsOutput:
    """What R rows say.

    Args:
        logits: (R, T', V).
        hidden: (R, T', H), last hidden states after the final norm; None where they were not asked for.
        cache: What was given, filled further.
    """

    logits: Tensor
    hidden: Tensor | None
    cache: Cache | None

    def by_request(self, rows: Rows, experts: int) -> Reading:
        """Sorts the rows back to their requests; K is `experts`."""
        assert self.hidden is not None  # the bank's `read` asks for them
        requests = sum(expert < 0 for expert, _ in rows.pairs)
        base = self.logits[:requests]  # (B, T', V)
        hidden = self.hidden[:requests]
        if rows.pairs == [(expert, request) for expert in range(-1, experts) for request in range(requests)]:
            # Everybody asks for everything: the groups are the answer, without a copy.
            grid = self.logits[requests:].view(experts, *base.shape)  # (K, B, T', V)
            return Reading(base, grid.permute(1, 2, 0, 3), hidden, self.cache)
        logits = base.unsqueeze(2).repeat(1, 1, experts, 1)  # (B, T', K, V)
        logits[rows.requests[requests:], :, rows.experts[requests:]] = self.logits[requests:]
        return Reading(base, logits, hidden, self.cache)
