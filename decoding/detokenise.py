"""Turn token ids into text while they arrive.

Knows a tokenizer and what an unfinished character looks like. Does not know models, mixtures or terminals.
"""

from transformers import PreTrainedTokenizerBase

UNFINISHED = "\N{REPLACEMENT CHARACTER}"
LONGEST_BEGINNING = 3
"""Bytes of a UTF-8 character that lacks its last one, thus the most replacement characters that may become one."""


class Detokeniser:
    """Gives each token the text it completes, so that the pieces joined are the text of all tokens.

    A character may be spread over several tokens, and a token may end one character and begin the next: what is
    unfinished waits for the token that completes it. A space in front of a word belongs to the word, and whether it is
    printed depends on the token before: each piece is therefore the difference between the text of a short window of
    tokens with and without the new one (linear in the length of the response).
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase) -> None:
        """Starts an empty response.

        Args:
            tokenizer: Of the model that writes the response.
        """
        self.tokenizer = tokenizer
        self.window: list[int] = []
        self.printed = 0
        """Tokens at the window's start that are there only for what the next ones look like beside them."""
        self.given = 0
        """Characters of the window's text that were given already."""

    def add(self, token: int) -> str:
        """Gives the text that this token completes, "" while a character is unfinished.

        Args:
            token: Id of the next token of the response.
        """
        self.window.append(token)
        text = self._text(self.window)
        held = len(text) - len(text.rstrip(UNFINISHED))
        if len(self.window) - self.printed > LONGEST_BEGINNING:  # fewer bytes may unmake a character beside them
            held = min(held, LONGEST_BEGINNING)
        piece = self._give(text[: len(text) - held])
        if not held:
            self.window = self.window[self.printed :]
            self.printed, self.given = len(self.window), len(self._text(self.window))
        return piece

    def instead(self, token: int) -> str:
        """Gives the text that this token would give here; nothing is added. A control token gives its name.

        Args:
            token: Id of a token that could come next.
        """
        piece = self._text([*self.window, token])[len(self._text(self.window)) :]
        return piece or self._text([token], skip_special_tokens=False)

    def finish(self) -> str:
        """Gives what is still held back: the replacement character for bytes that never became a character."""
        return self._give(self._text(self.window))

    def _give(self, text: str) -> str:
        """What of the window's text, as far as it is certain, was not given yet."""
        piece = text[self.given :]
        self.given = max(self.given, len(text))
        return piece

    def _text(self, tokens: list[int], skip_special_tokens: bool = True) -> str:
        text = self.tokenizer.decode(
            tokens, skip_special_tokens=skip_special_tokens, clean_up_tokenization_spaces=False
        )
        return str(text)
