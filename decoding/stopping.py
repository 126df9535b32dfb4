"""When a response ends, and which of its text may be shown.

Knows end tokens, stop texts and length limits. Does not know how a token is chosen. Where a response ends is decided on
token ids by stopping criteria of transformers; the text is cut where the stop text begins.
"""

from collections.abc import Sequence

import torch
from transformers import (
    EosTokenCriteria,
    PreTrainedTokenizerBase,
    StoppingCriteriaList,
    StopStringCriteria,
)

from decoding.sampling import Sampling


def endings(
    sampling: Sampling, stop_ids: Sequence[int], tokenizer: PreTrainedTokenizerBase | None = None
) -> StoppingCriteriaList:
    """Gives what ends a response before its length limit: an end token, or a text.

    They are to be asked after every token, and about the response alone: a stop text that begins in the prompt is none.

    Args:
        sampling: Says which texts stop.
        stop_ids: Tokens that end a response.
        tokenizer: Knows the text of every token; needed where there is a stop text.

    Raises:
        ValueError: If a stop text is one that no tokens write.
    """
    listed = StoppingCriteriaList([EosTokenCriteria(torch.tensor(list(stop_ids), dtype=torch.long))])
    if sampling.stop:
        if tokenizer is None:
            raise ValueError("stop texts need a tokenizer, got none")
        listed.append(StopStringCriteria(tokenizer, list(sampling.stop)))
    return listed


class Withheld:
    """Holds back text that may turn out to be the beginning of a stop text.

    The pieces it gives, joined, are the text up to the first stop text; where there is none they are the whole text.
    """

    def __init__(self, stops: Sequence[str]) -> None:
        """Starts an empty response.

        Args:
            stops: Texts that end it.
        """
        self.stops = tuple(stops)
        self.text = ""
        self.stopped = False

    def add(self, piece: str) -> str:
        """Gives the text that is sure to be shown now, "" after a stop text.

        Args:
            piece: What the next token adds to the text.
        """
        if self.stopped:
            return ""
        self.text += piece
        places = [place for stop in self.stops if (place := self.text.find(stop)) >= 0]
        if not places:
            return self._give(len(self.text) - self._begun())
        self.stopped = True
        shown, self.text = self.text[: min(places)], ""
        return shown

    def finish(self) -> str:
        """Gives what is still held back: the response has ended and it was no stop text."""
        return self._give(len(self.text))

    def _give(self, length: int) -> str:
        shown, self.text = self.text[:length], self.text[length:]
        return shown

    def _begun(self) -> int:
        """How many characters at the end could begin a stop text."""
        lengths = ((stop, length) for stop in self.stops for length in range(1, len(stop)))
        return max((length for stop, length in lengths if self.text.endswith(stop[:length])), default=0)
