"""A person's own base and experts, as a configuration names them in place of a bundle.

Knows names, places and words. Does not know how models are read or mixed.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from decoding.dimension import Dimension
from pcm.frozen import QUALITY


@dataclass(frozen=True)
class Own:
    """A base with experts that are in no bundle yet.

    Args:
        base: folder or hub id (`owner/name`, `owner/name@revision`) of a causal language model with a chat template.
            The bundle holds a copy of it; one that stands on the hub at a revision stays there.
        experts: for each name the folder or hub id of a PEFT adapter.
        descriptions: what experts are for, by their names; "The answer is NAME." where nothing is said.
        opposites: by the name of an expert that of its opposite; said of one, it holds for both.
        preferences: folder with `train.jsonl` and `validation.jsonl`, rows `{"text", "asked": {name: number}}`, that a
            reader of wishes in words is trained on; without, the bundle understands weights by name.

    Raises:
        ValueError: if there is no expert, one has a name that no bundle holds, or something is said of an unknown one.
    """

    base: str
    experts: dict[str, str]
    descriptions: dict[str, str] = field(default_factory=dict)
    opposites: dict[str, str] = field(default_factory=dict)
    preferences: str | None = None

    def __post_init__(self) -> None:
        """Refuses words about experts that are not there."""
        if not self.experts:
            raise ValueError("there must be at least one expert, got none")
        if wrong := [name for name in self.experts if name == QUALITY or not re.fullmatch(r"[\w-]+", name)]:
            raise ValueError(
                f"an expert's name must be of letters, digits, - and _, and not {QUALITY}, got {wrong[0]!r}"
            )
        spoken = {*self.descriptions, *self.opposites, *self.opposites.values()}
        if unknown := sorted(spoken - set(self.experts)):
            raise ValueError(
                f"descriptions and opposites must be of {', '.join(self.experts)}, got {', '.join(unknown)}"
            )

    @property
    def dimensions(self) -> tuple[Dimension, ...]:
        """What can be asked for, in the experts' order."""
        opposites = both_ways(self.opposites)
        words = {name: f"The answer is {name}." for name in self.experts} | self.descriptions
        return tuple(Dimension(name, words[name], opposites.get(name)) for name in self.experts)


def both_ways(opposites: Mapping[str, str]) -> dict[str, str]:
    """Gives the opposite of each pole of an axis, however it was said.

    Args:
        opposites: by the name of a pole that of its opposite; one direction is enough.

    Raises:
        ValueError: if a pole would have two opposites.
    """
    both: dict[str, str] = {}
    for name, other in opposites.items():
        for pole, against in ((name, other), (other, name)):
            if both.setdefault(pole, against) != against:
                raise ValueError(f"{pole!r} must have one opposite, got {both[pole]!r} and {against!r}")
    return both
