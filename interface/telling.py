"""The preference as a part of the prompt.

A mixture hears what is asked for as numbers. A base that follows instructions can be told in words besides, and its
experts with it. Knows conversations, preferences and descriptions. Does not know how an answer is made.
"""

from collections.abc import Sequence

from decoding.conversation import Conversation, with_system
from decoding.dimension import Dimension
from pcm.preference import Preference, asked_weights

FIRMLY = 0.5
"""The weight from which on a dimension is told of, where a preference came in numbers alone."""


def told(conversation: Conversation, preference: Preference | None, dimensions: Sequence[Dimension]) -> Conversation:
    """Gives the conversation behind a system message that says what is asked for; as it is where nothing is."""
    words = in_words(preference, dimensions) if preference is not None else ""
    return with_system(words, conversation) if words else conversation


def in_words(preference: Preference, dimensions: Sequence[Dimension]) -> str:
    """Gives the preference's own text; without one, the descriptions of what its weights ask for firmly.

    What is usual is told where nothing else is said.

    Raises:
        ValueError: If the weights are invalid (see `asked_weights`).
    """
    if preference.text is not None:
        return preference.text
    names, opposites = [one.name for one in dimensions], [one.opposite for one in dimensions]
    asked = asked_weights(preference.weights or {}, names, opposites).tolist()
    firm = [one.description for one, weight in zip(dimensions, asked, strict=True) if weight >= FIRMLY]
    return " ".join(firm) or (in_words(preference.usual, dimensions) if preference.usual else "")
