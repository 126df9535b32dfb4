"""What a chat model makes of a user's own texts: a wish in words, which is read like any other preference.

HyPerAlign (arXiv 2505.00038) has a language model write hypotheses about a user and puts them in front of the question.
Here they become the text of a profile, for the bundle's reader to hear. Knows texts. Does not know models or profiles.
"""

from collections.abc import Callable, Sequence

from decoding.dimension import Dimension
from pcm.users.evidence import OwnText

TASK = (
    "One person wrote these texts:\n\n{texts}\n\n"
    "People like answers in the manner in which they write. Say in one short sentence how this person would like to be "
    "answered, as a wish to whoever answers. Speak of manner alone, not of what the texts are about. Use those of "
    "these wishes that the texts speak for, and no other: {wishes}. Reply with the sentence alone."
)


def hypothesis(texts: Sequence[OwnText], dimensions: Sequence[Dimension], reply: Callable[[str], str]) -> str:
    """A wish in words that own texts speak for.

    Args:
        texts: At least one.
        dimensions: What can be wished for.
        reply: Of any model that follows instructions.

    Raises:
        ValueError: If there is no text, or the reply is empty.
    """
    if not texts:
        raise ValueError("a hypothesis needs at least one text of the user's own, got none")
    wishes = "; ".join(f"{dimension.name}: {dimension.description}" for dimension in dimensions)
    said = reply(TASK.format(texts="\n\n".join(f"- {text.text}" for text in texts), wishes=wishes))
    wish = " ".join(said.split()).strip('"')
    if not wish:
        raise ValueError("the model must reply with a wish, got an empty reply")
    return wish
