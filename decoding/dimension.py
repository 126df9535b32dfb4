"""What a person can ask for.

Knows the name and the wording of one axis pole. Does not know which expert serves it or how it is weighed.
"""

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
