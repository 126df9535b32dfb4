"""How an answer of the miniature world is composed: a style in, a true answer out.

Every choice of words is a draw of its own from the style, so that an answer can be anything between two poles and one
token often depends on two axes (the words of a tone slot differ by register, connectives by tone and register, …).
Knows nothing of models, prompts or splits.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, replace

from experts.miniature.world import REGISTERS, TONES, Sentence, Topic, phrases

MAX_FACTS = 4
# axis of the style -> (pole at 0, pole at 1)
POLES = {"register": ("elementary", "expert"), "length": ("concise", "informative"), "tone": TONES}


@dataclass(frozen=True)
class Style:
    """Where an answer stands on every axis, each in [0, 1]: the probability of the axis' second pole at each choice.

    `excited` (sentences that end in exclamation marks) and `cautious` (hedged facts) vary too: reserved for experts
    that do not exist yet.
    """

    register: float = 0.5
    length: float = 0.5
    tone: float = 0.5
    excited: float = 0.0
    cautious: float = 0.0

    @classmethod
    def draw(cls, rng: random.Random) -> Style:
        """A style of the training text: mostly near one pole of each axis, sometimes anywhere between."""
        register, length, tone = (rng.betavariate(0.5, 0.5) for _ in range(3))
        excited, cautious = (rng.betavariate(0.5, 0.5) if rng.random() < 0.25 else 0.02 for _ in range(2))
        return cls(register, length, tone, excited, cautious)

    def towards(self, dimensions: Sequence[str], *, strength: float = 0.95) -> Style:
        """This style moved to the poles that `dimensions` names."""
        moved = {}
        for axis, poles in POLES.items():
            for value, pole in enumerate(poles):
                if pole in dimensions:
                    moved[axis] = strength if value else 1 - strength
        for reserved in ("excited", "cautious"):
            if reserved in dimensions:
                moved[reserved] = strength
        return replace(self, **moved)


class Speaker:
    """One answer being composed in a style, every random choice drawn from `rng`."""

    def __init__(self, style: Style, rng: random.Random) -> None:
        self.style, self.rng = style, rng

    def _flip(self, probability: float) -> int:
        return int(self.rng.random() < probability)

    def _register(self) -> str:
        return REGISTERS[self._flip(self.style.register)]

    def phrase(self, kind: str) -> str:
        """A phrase of this kind, register and tone drawn from the style."""
        return self.rng.choice(phrases().toned[kind][self._register()][TONES[self._flip(self.style.tone)]])

    def sentence(self, sentence: Sentence, *, connect: bool) -> str:
        """The sentence with its slots filled, perhaps behind a hedge or a connective."""
        text = sentence.filled(tuple(self._flip(self.style.tone) for _ in sentence.slots))
        if self._flip(self.style.cautious * 0.8):
            return f"{self.rng.choice(phrases().hedges[self._register()])} {lowered(text)}"
        if connect and self._flip(0.5):
            return f"{self.phrase('connectives')} {lowered(text)}"
        return text

    def end(self, text: str) -> str:
        """The text with its final mark: an exclamation mark as often as the style is excited."""
        return text + (".!"[self._flip(self.style.excited)])

    def facts(self, topic: Topic, count: int) -> list[Sentence]:
        """`count` different facts, the register of each drawn from the style."""
        pools = {r: self.rng.sample(topic.facts[r], len(topic.facts[r])) for r in REGISTERS}
        return [pools[self._register()].pop() for _ in range(count)]

    def answer(self, topic: Topic, *, define: bool = True) -> str:
        """A whole answer about `topic`; without `define` it goes on where an earlier answer stopped."""
        count = sum(self._flip(self.style.length) for _ in range(MAX_FACTS - (not define)))
        body = [topic.definitions[self._register()]] if define else []
        body += self.facts(topic, count + (not define))
        ornate = 0.15 + 0.35 * self.style.length
        parts = [self.phrase("openings")] if self._flip(ornate) else []
        for index, sentence in enumerate(body):
            parts.append(self.sentence(sentence, connect=index > 0))
            if index + 1 < len(body) and self._flip(0.15):
                parts.append(self.phrase("asides"))
        parts += [self.phrase("closings")] if self._flip(ornate) else []
        return " ".join(self.end(part) for part in parts)


def lowered(text: str) -> str:
    """The text with a small first letter, as it stands behind a prefix."""
    return text[0].lower() + text[1:]
