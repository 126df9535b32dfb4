"""Prints a response while it is written, each piece in the colour of the expert that moved it most.

Knows rich and how a summary reads. Does not know where the tokens come from. Off a terminal all of it is plain text.
"""

import re
from collections.abc import Mapping, Sequence

from rich.console import Console
from rich.control import Control
from rich.segment import ControlType
from rich.text import Text

from decoding.attribution import moved_most
from decoding.response import Response, Token
from interface.colours import colours

CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")
"""Characters by which a model could steer a person's terminal. Tab and newline may pass."""

PARTS = re.compile(r"\n|[^\S\n]+|\S+")
"""Line breaks, spaces between words, and words or what came of them."""


class Terminal:
    """Writes to one console, with the colours of one set of dimensions."""

    def __init__(self, names: Sequence[str], console: Console | None = None) -> None:
        """Writes to a console.

        Args:
            names: Dimensions in the order of the experts.
            console: Standard output where it is None.
        """
        self.console = console or Console(highlight=False, soft_wrap=True)
        self.colours = colours(names)
        self.expected: Mapping[str, float] | None = None
        self.column, self.word = 0, Text()  # cells of this line so far, and what of them is its last word

    def expect(self, asked: Mapping[str, float]) -> None:
        """Prints the legend as soon as a token comes: an answer that fails prints nothing.

        Args:
            asked: The dimensions in this mixture.
        """
        self.expected = asked

    def legend(self, asked: Mapping[str, float]) -> None:
        """Prints which colour is whose, where there are colours.

        Args:
            asked: The dimensions in this mixture.
        """
        if not self.console.is_terminal or self.console.no_color:
            return
        marks = [Text.assemble(("■ ", self.colours[name]), name) for name in asked]
        self._print(Text("   ").join([*marks, Text("■ nobody in particular")]), end="\n\n")

    def token(self, token: Token) -> None:
        """Prints one token's text.

        Args:
            token: What came next.
        """
        if self.expected is not None:
            self.legend(self.expected)
            self.expected = None
        mover = moved_most(dict(token.moved))
        piece = Text(printable(token.text), style=self.colours[mover] if mover else "")
        if self.console.is_terminal and not self.console.is_dumb_terminal:
            self._flow(piece)
        else:
            self._print(piece, end="")

    def summary(self, response: Response) -> None:
        """Prints one line: what was understood as asked, the mean weight of each expert, the speed.

        Args:
            response: Complete.
        """
        self._print(Text("\n\n" + summary(response), style="dim"), end="\n")

    def note(self, text: str) -> None:
        """Prints a line that is not part of an answer.

        Args:
            text: The line.
        """
        self._print(Text(text, style="dim"), end="\n")

    def _flow(self, piece: Text) -> None:
        """Prints more of an answer; a word that does not fit moves to the next line, with what was printed of it."""
        piece.expand_tabs(8)
        for found in PARTS.finditer(piece.plain):
            part = piece[found.start() : found.end()]
            if part.plain.isspace():
                self.word = Text()
                at_edge = self.column + part.cell_len >= self.console.width
                part = Text("\n") if at_edge else part
            else:
                self._make_room(part)
                self.word.append_text(part)
            self.column += part.cell_len
            self._print(part, end="")

    def _make_room(self, part: Text) -> None:
        """Begins a line with the last word if what comes of it now would be broken, and a line can hold it."""
        word = self.word
        begun, whole = self.column - word.cell_len, word.cell_len + part.cell_len
        if not 0 < begun <= self.console.width < begun + whole or whole > self.console.width:
            return
        if word:
            back = (ControlType.CURSOR_BACKWARD, word.cell_len)
            self.console.control(Control(back, (ControlType.ERASE_IN_LINE, 0)))
        self._print(Text("\n") + word, end="")
        self.column, self.word = word.cell_len, word

    def _print(self, text: Text, end: str) -> None:
        if self.console.is_terminal:
            self.console.print(text, end=end, soft_wrap=not end)  # an answer flows; a line of ours breaks at spaces
        else:  # to the letter: rich would make spaces of tabs
            self.console.file.write(text.plain + end)
        self.console.file.flush()
        if (text.plain + end).endswith("\n"):
            self.column, self.word = 0, Text()


def printable(text: str) -> str:
    """Gives the text without control characters.

    Args:
        text: From a model, thus from anybody.
    """
    return CONTROL.sub("", text)


def summary(response: Response) -> str:
    """Gives the line under an answer.

    Args:
        response: Complete.
    """
    weights = response.mean_weights()
    asked = ", ".join(f"{name} {value:.2f}" for name, value in response.asked.items())
    means = ", ".join(f"{name} {weight:.2f}" for name, weight in weights.items())
    return f"asked: {asked} | mean weights: {means} | {response.tokens_per_second:.1f} tokens/s"
