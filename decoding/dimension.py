"""What a person can ask for.

Knows the names and the wording of axis poles, and which of them are one axis. Does not know which expert serves a pole
or how it is weighed.
"""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Dimension:
    """One axis pole a person can ask for.

    Args:
        name: What code and folders call it, for example `concise`.
        description: What a person reads, for example `answers in as few words as possible`.
        opposite: The name of the pole at the other end of the axis; None when the axis has one pole.

    Raises:
        ValueError: If the name or the description is empty, or a dimension is its own opposite.
    """

    name: str
    description: str
    opposite: str | None = None

    def __post_init__(self) -> None:
        """Refuses wording that nobody could ask for."""
        if not self.name.strip():
            raise ValueError(f"a dimension's name must not be empty, got {self.name!r}")
        if not self.description.strip():
            raise ValueError(f"dimension {self.name!r} must have a description, got {self.description!r}")
        if self.opposite == self.name:
            raise ValueError(f"dimension {self.name!r} must not be its own opposite")


def axes(dimensions: Sequence[Dimension]) -> list[tuple[str, ...]]:
    """Gives the poles of each axis, in the order in which the dimensions first name them.

    Two known dimensions are one axis where at least one of them names the other as its opposite; the pole that does
    comes first, and of two that both do the earlier one. No dimension is on two axes.
    """
    names = [one.name for one in dimensions]
    pairs = [(one.name, one.opposite) for one in dimensions if one.opposite in names]
    found: list[tuple[str, ...]] = []
    for name in names:
        placed = {pole for axis in found for pole in axis}
        if name not in placed:
            found.append(next((pair for pair in pairs if name in pair and placed.isdisjoint(pair)), (name,)))
    return found
