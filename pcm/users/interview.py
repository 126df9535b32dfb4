"""Asks a user, one pair of answers after another, and shows after each what it believes.

Knows a terminal and the order of things. Does not know how a taste is learned or a pair is picked.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from statistics import NormalDist

import torch
from rich.console import Console
from rich.panel import Panel
from rich.table import Table
from rich.text import Text
from torch import Tensor

from decoding.conversation import Conversation
from pcm.users.asking import next_pair
from pcm.users.axes import Axes
from pcm.users.evidence import Choice
from pcm.users.learning import Learner, outcomes_of
from pcm.users.profile import Profile
from pcm.users.question import Question

KEYS = "1 left   2 right   3 cannot say   s skip   u undo   q stop > "
OUTCOMES = {"1": 1.0, "2": 0.0, "3": 0.5}
HALF = 10  # characters of a bar on each side


class Interview:
    """One user's answers; the profile is saved after each, so that nothing is lost."""

    def __init__(
        self,
        profile: Profile,
        learner: Learner,
        questions: Sequence[Question],
        save: Callable[[Profile], object],
        console: Console,
        ask: Callable[[str], str] = input,
    ) -> None:
        """Goes on from what the profile holds.

        Args:
            profile: Of the user.
            learner: Learns it.
            questions: That can be asked; all are scored once, here.
            save: Keeps a profile.
            console: Where questions go.
            ask: Gives what the user types; EOFError ends the interview.
        """
        self.profile, self.learner, self.questions = profile, learner.informed(profile), questions
        self.save, self.console, self.ask = save, console, ask
        pairs = [question.choice(1.0) for question in questions]
        self.differences = learner.differences(pairs)  # (N, J), left minus right
        self.shown: list[Tensor] = list(learner.differences(profile.choices))
        self.places = {_pair(one.prompt, one.left, one.right): place for place, one in enumerate(questions)}
        self.skipped: set[int] = set()

    def run(self, most: int | None = None) -> Profile:
        """Asks until the user stops, nothing is left to ask, or `most` answers are there; gives the profile."""
        self.profile = self.learner.judged(self.profile, self._shown())
        while most is None or len(self.profile.choices) < most:
            belief = self.learner.before.after(self._shown(), outcomes_of(self.profile.choices))
            place = next_pair(self.differences, belief, self._passed())
            if place is None:
                self.console.print("There is nothing left to ask.")
                break
            self._show(self.questions[place])
            try:
                if not self._hear(place):
                    break
            except (EOFError, KeyboardInterrupt):
                self.console.print()
                break
        return self.profile

    def _hear(self, place: int) -> bool:
        """Takes one typed answer; false ends the interview."""
        typed = self.ask(KEYS).strip().lower()
        if typed == "q":
            return False
        if typed == "s":
            self.skipped.add(place)
        elif typed == "u":
            self._undo()
        elif typed in OUTCOMES:
            self._answered(place, OUTCOMES[typed])
        else:
            self.console.print(f"Please type one of 1, 2, 3, s, u and q; that was {typed!r}.", markup=False)
        return True

    def _answered(self, place: int, outcome: float) -> None:
        difference = self.differences[place]
        self.shown.append(-difference if outcome == 0 else difference)
        self._keep((*self.profile.choices, self.questions[place].choice(outcome)))

    def _undo(self) -> None:
        if not self.shown:
            self.console.print("There is no answer to take back.")
            return
        self.shown.pop()
        self._keep(self.profile.choices[:-1])

    def _keep(self, choices: Sequence[Choice]) -> None:
        self.profile = self.learner.judged(replace(self.profile, choices=tuple(choices)), self._shown())
        self.save(self.profile)
        self.console.print(belief_table(self.profile, self.learner.axes))

    def _passed(self) -> set[int]:
        """The questions that are not to be asked: those skipped, and those whose answers were not taken back."""
        pairs = [_pair(choice.prompt, choice.chosen, choice.rejected) for choice in self.profile.choices]
        return self.skipped | {self.places[pair] for pair in pairs if pair in self.places}

    def _shown(self) -> Tensor:
        """How the answers of each choice differ `(N, J)`."""
        return torch.stack(self.shown) if self.shown else self.differences[:0]

    def _show(self, question: Question) -> None:
        self.console.rule(f"{len(self.profile.choices) + 1}")
        for turn in question.prompt[:-1]:
            self.console.print(Text(f"{turn['role']}: {turn['content']}", style="dim"))
        self.console.print(Text(str(question.prompt[-1]["content"]), style="bold"))
        sides = Table.grid(expand=True, padding=(0, 1))
        sides.add_column(ratio=1)
        sides.add_column(ratio=1)
        sides.add_row(Panel(Text(question.left), title="1"), Panel(Text(question.right), title="2"))
        self.console.print(sides)


def _pair(prompt: Conversation, one: str, other: str) -> tuple[str, frozenset[str]]:
    """The same for both sides of a pair."""
    return repr(prompt), frozenset((one, other))


def belief_table(profile: Profile, axes: Axes) -> Table:
    """What is believed of each axis: towards which pole, how strongly, how surely."""
    table = Table("", "", "", "sure", box=None, caption="; ".join(profile.doubts) or None)
    table.columns[0].justify = "right"
    strongest = max(abs(profile.belief[pole].mean) for pole, _ in axes.poles) or 1.0
    for pole, opposite in axes.poles:
        axis = profile.belief[pole]
        length = round(HALF * axis.mean / strongest)
        left, right = "█" * max(length, 0), "█" * max(-length, 0)
        sure = NormalDist().cdf(abs(axis.mean) / axis.deviation)
        table.add_row(pole, f"{left:>{HALF}}│{right:<{HALF}}", opposite or f"not {pole}", f"{sure:.0%}")
    return table
