"""A conversation of many turns, in which the preference may change at any time.

Knows commands and turns. Does not know how an answer is made.
"""

import dataclasses
import warnings
from collections.abc import Callable

from decoding.conversation import Conversation
from decoding.response import Token
from interface.answer import Settings, answer
from interface.explain import explain
from interface.telling import told
from interface.terminal import Terminal, printable
from interface.wish import instead, parsed_weights
from mixture import Mixture
from pcm.preference import Preference

HELP = """/preference TEXT   change what is asked for, in words
/weights NAME=1,…  change it in numbers; a negative one asks for the opposite pole
/reset             forget the conversation, keep the preference
/help              this list
/quit              leave (as do Ctrl-D and Ctrl-C)"""
PROMPT = "> "


class Chat:
    """One conversation with one mixture."""

    def __init__(
        self,
        mixture: Mixture,
        preference: Preference | None,
        settings: Settings,
        terminal: Terminal,
        ask: Callable[[str], str] = input,
    ) -> None:
        """Starts a conversation.

        Args:
            mixture: Answers.
            preference: What is asked for until it is changed.
            settings: How answers are drawn; each turn has the seed after the last one's.
            terminal: Where answers go.
            ask: Gives what the person types; EOFError ends the conversation.
        """
        self.mixture, self.settings, self.terminal, self.ask = mixture, settings, terminal, ask
        self.turns: list[dict[str, str]] = []
        self.preference, self.asked = preference, mixture.understood(preference)

    def run(self) -> None:
        """Talks until the person leaves."""
        self.terminal.note("Ask something. /help lists the commands.")
        self.terminal.legend(self.asked)
        while True:
            try:
                typed = self.ask(PROMPT).strip()
            except (EOFError, KeyboardInterrupt):
                self.terminal.note("")
                return
            if typed == "/quit":
                return
            if typed:
                self.hear(typed)

    def hear(self, typed: str) -> None:
        """Does what was typed, a question or a command; a mistake is told and changes nothing.

        Args:
            typed: One line, not empty.
        """
        try:
            if typed.startswith("/"):
                self._obey(*(part.strip() for part in typed.partition(" ")[::2]))
            else:
                self._reply(typed)
        except ValueError as problem:
            self.terminal.note(f"error: {problem}")

    def _obey(self, command: str, rest: str) -> None:
        if command == "/help":
            self.terminal.note(HELP)
        elif command == "/reset":
            self.turns = []
            self.terminal.note("the conversation starts anew")
        elif command in ("/preference", "/weights") and rest:
            said = Preference(rest) if command == "/preference" else Preference(weights=parsed_weights(rest))
            self._ask_for(instead(said, self.preference))
        else:
            raise ValueError(f"a command must be one of those that /help lists, got {command!r} followed by {rest!r}")

    def _ask_for(self, preference: Preference) -> None:
        with warnings.catch_warnings(record=True) as heard:
            warnings.simplefilter("always")
            self.asked = self.mixture.understood(preference)
        self.preference = preference
        for warning in heard:
            self.terminal.note(f"warning: {warning.message}")
        self.terminal.note("asked: " + ", ".join(f"{name} {value:.2f}" for name, value in self.asked.items()))
        self.terminal.legend(self.asked)

    def _reply(self, question: str) -> None:
        turns = self._fitting([*self.turns, {"role": "user", "content": question}])
        said: list[str] = []

        def watch(token: Token) -> None:
            said.append(token.text)
            self.terminal.token(token)

        try:
            heard = self._heard(turns)
            response = answer(self.mixture, heard, self.asked, self.settings, watch)
            self.terminal.summary(response)
            if self.settings.explained:
                why = explain(self.mixture, heard, response, self.settings.sampling, self.settings.seed)
                self.terminal.note(printable(why.as_text()))
        except KeyboardInterrupt:
            self.terminal.note("\n(stopped)")
        self.turns = [*turns, {"role": "assistant", "content": "".join(said)}]
        self.settings = dataclasses.replace(self.settings, seed=self.settings.seed + 1)

    def _fitting(self, turns: list[dict[str, str]]) -> list[dict[str, str]]:
        """The turns without the oldest questions and their answers, as many as the window has no room for."""
        fitting = turns
        while len(fitting) > 1 and not self._fits(fitting):
            fitting = fitting[2:]
        if len(fitting) < len(turns):
            self.terminal.note(f"(the oldest {len(turns) - len(fitting)} turns do not fit any more and are forgotten)")
        return fitting

    def _heard(self, turns: Conversation) -> Conversation:
        """The turns as the models read them: told what is asked for, if they are to be."""
        return told(turns, self.preference, self.mixture.dimensions) if self.settings.told else turns

    def _fits(self, turns: list[dict[str, str]]) -> bool:
        _, mask = self.mixture.encode([self._heard(turns)])
        return int(mask.sum()) + self.settings.sampling.max_new_tokens <= self.mixture.window
