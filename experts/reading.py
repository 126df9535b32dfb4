"""What a mixture needs of its experts, whether they are adapters on one base or whole models.

Knows what can be asked of a bank. Does not know how one computes.
"""

from pathlib import Path
from typing import Any, Protocol

from torch import Tensor
from transformers import Cache, PreTrainedModel

from experts.rows import Reading, Rows


class Bank(Protocol):
    """A base and K experts that read the same text.

    `ExpertBank` holds experts as adapters, `WholeModels` as models of their own.
    """

    names: list[str]
    """The experts (K), in the order in which rows number them."""

    @property
    def base(self) -> PreTrainedModel:
        """The model that every expert was made from."""
        ...

    def empty_cache(self) -> Cache:
        """A new cache for `read`, which serves the same rows for its whole life."""
        ...

    def rows(self, asked: Tensor) -> Rows:
        """Gives who reads requests that ask for experts (B, K)."""
        ...

    def read(
        self, input_ids: Tensor, attention_mask: Tensor, rows: Rows, cache: Cache | None = None, logits_to_keep: int = 0
    ) -> Reading:
        """Reads tokens (B, T) under a mask (B, S) by the base and by the experts that have a row."""
        ...

    def compile(self, **settings: Any) -> None:
        """Compiles the passes where it can, see `ExpertBank.compile`."""
        ...

    def save(self, name: str, folder: str | Path) -> None:
        """Writes one expert, so that a bank of the same kind can load it."""
        ...
