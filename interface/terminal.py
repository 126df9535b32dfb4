"""Prints a response while it is written, each piece in the colour of the expert that moved it most.

Knows rich and how a summary reads. Does not know where the tokens come from. Off a terminal all of it is plain text.
"""

import re
from collections.abc import Mapping, Sequence

from rich.console import Console
from rich.text import Text

from decoding.attribution import moved_most
from decoding.response import Response, Token
from interface.colours import colours

CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")
"""Characters by which a model could steer a person's terminal. Tab and newline may pass."""


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
        self._print(Text(printable(token.text), style=self.colours[mover] if mover else ""), end="")

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

    def _print(self, text: Text, end: str) -> None:
        if self.console.is_terminal:
            self.console.print(text, end=end, soft_wrap=True)
        else:  # to the letter: rich would make spaces of tabs
            self.console.file.write(text.plain + end)
        self.console.file.flush()


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
