"""What a person asks for, as one number in [0, 1] for every dimension, from free text or from numeric weights.

Knows dimensions (name, opposite) and the reader of texts. Does not know experts, the controller or responses.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from decoding.dimension import Dimension
from pcm.intensity.curves import Intensities
from pcm.reader.model import PreferenceReader


@dataclass(frozen=True)
class Preference:
    """What one request asks for: free text, weights over dimension names, or both (weights win where both speak).

    Args:
        text: What a person said.
        weights: Numbers in [-1, 1] by dimension.
        usual: What the person wants besides, known beforehand (a profile): heard on every axis of which text and
            weights say nothing.

    Raises:
        ValueError: if none of them is given.
    """

    text: str | None = None
    weights: Mapping[str, float] | None = None
    usual: "Preference | None" = None

    def __post_init__(self) -> None:
        """Refuses a preference that says nothing at all."""
        if self.text is None and self.weights is None and self.usual is None:
            raise ValueError("a preference must hold a text, weights or what is usual, got none of them")


def asked_weights(weights: Mapping[str, float], names: Sequence[str], opposites: Sequence[str | None]) -> Tensor:
    """Gives how much each dimension is asked for (K,), in [0, 1], from numbers in [-1, 1] by name.

    A negative number asks for the opposite pole; where two entries ask for the same pole the larger one holds.

    Args:
        weights: numbers by dimension name.
        names: the K known dimensions, in order.
        opposites: for each of them the name of its opposite pole, or None.

    Raises:
        ValueError: for an unknown name, a number that is not in [-1, 1], or a negative number for a dimension whose
            opposite is not among `names`.
    """
    asked = torch.zeros(len(names))
    for name, weight in weights.items():
        if name not in names:
            raise ValueError(f"dimensions must be among {', '.join(names)}, got {name!r}")
        if not (math.isfinite(weight) and -1.0 <= weight <= 1.0):
            raise ValueError(f"the weight of {name!r} must be a number in [-1, 1], got {weight}")
        pole = name if weight >= 0 else opposites[names.index(name)]
        if pole is None or pole not in names:
            raise ValueError(f"a negative weight needs a known opposite, {name!r} has {pole!r}, got {weight}")
        index = names.index(pole)
        asked[index] = max(float(asked[index]), abs(weight))
    return asked


def asked_for(
    preference: Preference,
    dimensions: Sequence[Dimension],
    reader: PreferenceReader | None,
    intensities: Intensities,
) -> Tensor:
    """Gives how much each dimension is asked for by a preference (K,), in [0, 1].

    A weight is a degree, and is translated; what a reader makes of a text is how sure it is, and stays. A text that
    asks for nothing known asks for everything alike where nothing else is said, or nothing that is known either; beside
    something else it asks for nothing.

    Raises:
        ValueError: if the weights are invalid (see `asked_weights`), nothing is asked for in the end, or a text has no
            reader.
    """
    require_reader(preference, reader)
    asked = _Hearing(dimensions, reader, intensities).in_all(preference, alone=True)
    if not bool((asked > 0).any()):
        raise ValueError(f"at least one weight must differ from zero, got {dict(preference.weights or {})}")
    return asked


@dataclass(frozen=True)
class _Hearing:
    """What preferences are heard with; see `asked_for`."""

    dimensions: Sequence[Dimension]
    reader: PreferenceReader | None
    intensities: Intensities

    def in_all(self, preference: Preference, alone: bool) -> Tensor:
        """Gives what is asked for (K,) with what is usual; zeros where that is nothing.

        What is usual is read first: a text stands alone too where that turns out to ask for nothing.

        Args:
            preference: What is said, and what is usual.
            alone: Whether nothing else says what is asked for.
        """
        usual = torch.zeros(len(self.dimensions))
        if preference.usual is not None:
            silent = preference.text is None and preference.weights is None
            usual = self.in_all(preference.usual, alone and silent)
        asked = self.itself(preference, alone and not bool((usual > 0).any()))
        return torch.where(mentioned(preference, self.dimensions) | spoken_of(asked, self.dimensions), asked, usual)

    def itself(self, preference: Preference, alone: bool) -> Tensor:
        """Gives what text and weights ask for (K,), whatever is usual."""
        asked = torch.zeros(len(self.dimensions))
        if preference.text is not None and self.reader is not None:
            asked = self.reader.asked(preference.text, alone and preference.weights is None)
        if preference.weights is not None:
            names = [dimension.name for dimension in self.dimensions]
            weighed = asked_weights(preference.weights, names, [dimension.opposite for dimension in self.dimensions])
            asked = torch.where(mentioned(preference, self.dimensions), self.intensities.turned(weighed, names), asked)
        return asked


def mentioned(preference: Preference, dimensions: Sequence[Dimension]) -> Tensor:
    """Gives of which dimensions (K,) the weights speak, also by their opposite or a zero; bool."""
    named = set(preference.weights or ())
    return torch.tensor([not named.isdisjoint({one.name, one.opposite}) for one in dimensions])


def spoken_of(asked: Tensor, dimensions: Sequence[Dimension]) -> Tensor:
    """Gives of which dimensions (K,) it is said something by asking (K,) for them or for their opposite; bool."""
    wanted = {one.name for one, much in zip(dimensions, asked.tolist(), strict=True) if much > 0}
    return torch.tensor([not wanted.isdisjoint({one.name, one.opposite}) for one in dimensions])


def require_reader(preference: Preference, reader: PreferenceReader | None) -> None:
    """Refuses a wish in words that nobody can read.

    Raises:
        ValueError: if there is no reader.
    """
    texts = [one.text for one in (preference, preference.usual) if one is not None]
    if reader is None and any(text is not None for text in texts):
        raise ValueError("a preference in words needs a reader, this bundle has none: give numeric weights instead")
