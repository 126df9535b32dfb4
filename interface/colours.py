"""One colour for each dimension, the same in the terminal and on the trace page.

Knows a palette. Does not know what is painted with it.
"""

from collections.abc import Sequence

PALETTE = ("#4c8df6", "#e8883a", "#2ba66f", "#d8589f", "#9a6ee8", "#c9a415", "#19a9b8", "#e25c52", "#8a9a2c", "#a9785c")
"""Readable on black and on white alike; neighbours differ in lightness too, for eyes that see fewer hues."""


def colours(names: Sequence[str]) -> dict[str, str]:
    """Gives a colour for each name, by its place: an eleventh dimension shares the first one's.

    Args:
        names: Dimensions in the order of the experts.
    """
    return {name: PALETTE[place % len(PALETTE)] for place, name in enumerate(names)}
