"""The gold judge: what an answer of the miniature world is truly worth. For final evaluation and tests alone.

It reads an answer sentence by sentence against everything that can truly be said (`world`), so it needs no model and
cannot be flattered. Training, selection and early stopping must never call it; they have the annotator's noisy labels.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache

from experts.miniature.grammar import lowered
from experts.miniature.world import REGISTERS, TONES, Sentence, Topic, phrases, topic_named

CONCISE_WORDS, LONG_WORDS = 15, 45  # words at which an answer is fully concise, and not concise at all
INFORMATIVE_FACTS = 4  # different true sentences at which an answer is fully informative
FREE_PHRASES = 1  # phrases without content that an answer may hold beside one for each true sentence
_SENTENCE = re.compile(r"[^.!?]*[.!?]+|[^.!?]+$")


@dataclass(frozen=True)
class Reading:
    """What one sentence of an answer turned out to be.

    Attributes:
        said: the true sentence about the topic that it states, None for a phrase or for anything unknown.
        known: whether it is such a sentence, or a phrase of the world, word for word.
        registers: the register of each of its parts that has one.
        tones: the tone of each of its parts that has one.
        excited: whether it ends with an exclamation mark.
        cautious: whether it states something behind a hedge.
    """

    said: Sentence | None
    known: bool
    registers: tuple[str, ...] = ()
    tones: tuple[str, ...] = ()
    excited: bool = False
    cautious: bool = False


@dataclass(frozen=True)
class Verdict:
    """Gold scores of one answer, each in [0, 1]."""

    quality: float
    dimensions: Mapping[str, float]

    def utility(self, asked: Iterable[str]) -> float:
        """Quality times the mean of the asked dimensions' scores."""
        scores = [self.dimensions[name] for name in asked]
        return self.quality * sum(scores) / len(scores) if scores else self.quality


@cache
def _phrases(*kinds: str) -> dict[str, tuple[str, str]]:
    """Every phrase of these kinds -> its register and tone."""
    toned = phrases().toned
    return {text: (r, t) for kind in kinds for r in REGISTERS for t in TONES for text in toned[kind][r][t]}


@cache
def _prefixes() -> list[tuple[str, str, str | None]]:
    """Every prefix with its register, and its tone if it has one; the longest first."""
    found: list[tuple[str, str, str | None]] = [(text, r, t) for text, (r, t) in _phrases("connectives").items()]
    found += [(hedge, register, None) for register in REGISTERS for hedge in phrases().hedges[register]]
    return sorted(found, key=lambda prefix: -len(prefix[0]))


def _unprefixed(text: str) -> tuple[str, tuple[str, str | None] | None]:
    """The text without its connective or hedge, and that one's register and tone (None for a hedge)."""
    for prefix, register, tone in _prefixes():
        rest = text.removeprefix(f"{prefix} ")
        if rest != text and rest and rest == lowered(rest):
            return rest[0].upper() + rest[1:], (register, tone)
    return text, None


def read_sentence(topic: Topic, sentence: str) -> Reading:
    """What this sentence, with its final mark, is in an answer about `topic`."""
    text, excited = sentence.rstrip(".!?").strip(), sentence.endswith("!")
    aside = _phrases("openings", "asides", "closings").get(text)
    if aside:
        return Reading(None, True, (aside[0],), (aside[1],), excited)
    text, prefix = _unprefixed(text)
    for said in topic.sentences:
        words = said.matches(text)
        if words is None:
            continue
        registers = [said.register, *(word.register for word in words)]
        tones: list[str | None] = [word.tone for word in words]
        if prefix:
            registers.append(prefix[0])
            tones.append(prefix[1])
        cautious = prefix is not None and prefix[1] is None
        return Reading(said, True, tuple(registers), tuple(t for t in tones if t), excited, cautious)
    return Reading(None, False, excited=excited)


def _share(pole: str, found: list[str]) -> float:
    return found.count(pole) / len(found) if found else 0.0


def _quality(readings: list[Reading], answer: str) -> float:
    """Share of sentences that are true, about the topic and not said before; halved if the end is missing."""
    told = [r.said for r in readings if r.said is not None]
    right = set(told)
    spare = max(0, sum(r.known and r.said is None for r in readings) - len(right) - FREE_PHRASES)
    wrong = sum(not r.known for r in readings) + len(told) - len(right) + spare
    proper_end = 1.0 if answer.rstrip().endswith((".", "!", "?")) else 0.5
    return proper_end * len(right) / (len(right) + wrong) if right else 0.0


def judge(topic: str, answer: str) -> Verdict:
    """The gold scores of `answer` to a question about `topic` (its usual name).

    Pole scores of register and tone are shares of the parts that show one; conciseness falls with words, and
    informativeness rises with different true sentences about the topic. An answer that shows nothing scores zero.
    """
    about = topic_named(topic)
    readings = [read_sentence(about, sentence) for sentence in _SENTENCE.findall(answer) if sentence.strip()]
    registers = [register for r in readings for register in r.registers]
    tones = [tone for r in readings for tone in r.tones]
    content = [r for r in readings if r.said is not None]
    told = {r.said for r in content}
    brevity = (LONG_WORDS - len(answer.split())) / (LONG_WORDS - CONCISE_WORDS)
    scores = {register: _share(register, registers) for register in REGISTERS}
    scores |= {tone: _share(tone, tones) for tone in TONES}
    scores["concise"] = min(1.0, max(0.0, brevity)) if told else 0.0
    scores["informative"] = min(1.0, max(0, len(told) - 1) / (INFORMATIVE_FACTS - 1))
    scores["excited"] = sum(r.excited for r in readings) / len(readings) if readings else 0.0
    scores["cautious"] = sum(r.cautious for r in content) / len(content) if content else 0.0
    return Verdict(_quality(readings, answer), scores)
