"""What is true in the miniature world and the words there are to say it.

Knows the topics, their sentences with tone slots, and the phrases around them (all data, beside this file). Does not
know how an answer is composed from them (`grammar`) nor how one is judged (`judge`).
"""

from __future__ import annotations

import csv
import itertools
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import yaml

REGISTERS = ("elementary", "expert")
TONES = ("friendly", "unfriendly")
_DATA = Path(__file__).parent
_SLOT = re.compile(r"\{([^/{}]+)/([^/{}]+)\}")


@dataclass(frozen=True)
class Sentence:
    """One true sentence of a topic in one register, with its tone slots still open.

    Attributes:
        literals: the fixed text around the slots, one more than there are slots.
        slots: for each slot its words per tone, in the order of `TONES`.
    """

    topic: str
    register: str
    literals: tuple[str, ...]
    slots: tuple[tuple[str, str], ...]

    def filled(self, tones: tuple[int, ...]) -> str:
        """The text with slot i in tone `TONES[tones[i]]`, without final punctuation."""
        words = [choices[tone] for choices, tone in zip(self.slots, tones, strict=True)]
        return "".join(itertools.chain.from_iterable(zip(self.literals, [*words, ""], strict=True)))

    def matches(self, text: str) -> tuple[ToneWord, ...] | None:
        """The tone words in `text` if it is this sentence with its slots filled by words of their kind, else None."""
        found = _pattern(self).fullmatch(text)
        return tuple(tone_words()[words] for words in found.groups()) if found else None


@dataclass(frozen=True)
class ToneWord:
    """What fills a slot: its tone, the register it belongs to, and the kind of slot it can stand in."""

    kind: str
    register: str
    tone: str


@dataclass(frozen=True)
class Topic:
    """A thing people ask about: what it is called, its definition and facts per register."""

    name: str
    field: str
    others: tuple[str, ...]
    definitions: Mapping[str, Sentence]
    facts: Mapping[str, tuple[Sentence, ...]]

    @property
    def names(self) -> tuple[str, ...]:
        """Every name a question may use for it, the usual one first."""
        return (self.name, *self.others)

    @property
    def sentences(self) -> list[Sentence]:
        """All its true sentences, in both registers."""
        return [s for register in REGISTERS for s in (self.definitions[register], *self.facts[register])]


@dataclass(frozen=True)
class Phrases:
    """What stands around facts: `kind -> register -> tone -> texts`; hedges depend on the register alone."""

    toned: Mapping[str, Mapping[str, Mapping[str, tuple[str, ...]]]]
    hedges: Mapping[str, tuple[str, ...]]
    questions: tuple[str, ...]
    more: tuple[str, ...]
    next: tuple[str, ...]


@dataclass(frozen=True)
class Wish:
    """A text that somebody may write about how to be answered.

    Attributes:
        kind: the family of constructions it belongs to.
        asked: names of the dimensions it asks for, none for a text that asks for nothing.
        text: what is written.
    """

    kind: str
    asked: tuple[str, ...]
    text: str


def _sentence(topic: str, register: str, text: str) -> Sentence:
    pieces = _SLOT.split(text)  # literal, friendly, unfriendly, literal, ...
    return Sentence(topic, register, tuple(pieces[::3]), tuple(zip(pieces[1::3], pieces[2::3], strict=True)))


def _topic(entry: Mapping, field: str) -> Topic:
    name = entry["name"]
    definitions = {r: _sentence(name, r, entry[r]["definition"]) for r in REGISTERS}
    facts = {r: tuple(_sentence(name, r, text) for text in entry[r]["facts"]) for r in REGISTERS}
    return Topic(name, field, tuple(entry["others"]), definitions, facts)


@cache
def topics() -> tuple[Topic, ...]:
    """All topics, ordered by field and then as written."""
    files = sorted((_DATA / "topics").glob("*.yaml"))
    return tuple(_topic(entry, file.stem) for file in files for entry in yaml.safe_load(file.read_text("utf-8")))


def _kinds(words: list[str]) -> str:
    """The grammatical kind of words that share slots."""
    if all(word.startswith(("a ", "an ")) for word in words):
        return "adjective behind an article"
    return "adverb" if all(word.endswith("ly") for word in words) else "adjective"


@cache
def tone_words() -> dict[str, ToneWord]:
    """Everything that fills a slot somewhere; words that share a slot, directly or over others, are of one kind."""
    slots = [(sentence.register, slot) for topic in topics() for sentence in topic.sentences for slot in sentence.slots]
    group = {word: {word} for _, slot in slots for word in slot}
    for _, (friendly, unfriendly) in slots:
        merged = group[friendly] | group[unfriendly]
        group.update(dict.fromkeys(merged, merged))
    return {
        word: ToneWord(_kinds(sorted(group[word])), register, tone)
        for register, slot in slots
        for word, tone in zip(slot, TONES, strict=True)
    }


@cache
def _pattern(sentence: Sentence) -> re.Pattern[str]:
    """The sentence with every tone word of the right kind allowed in each slot."""
    pieces = [re.escape(sentence.literals[0])]
    for (friendly, _), literal in zip(sentence.slots, sentence.literals[1:], strict=True):
        kind = tone_words()[friendly].kind
        choices = sorted((word for word, tone_word in tone_words().items() if tone_word.kind == kind), key=len)
        pieces += ["(" + "|".join(map(re.escape, reversed(choices))) + ")", re.escape(literal)]
    return re.compile("".join(pieces))


@cache
def phrases() -> Phrases:
    """The phrases around facts, and the ways to ask."""
    data = yaml.safe_load((_DATA / "phrases.yaml").read_text("utf-8"))
    toned = {
        kind: {r: {t: tuple(data[kind][r][t]) for t in TONES} for r in REGISTERS}
        for kind in ("openings", "asides", "closings", "connectives")
    }
    hedges = {r: tuple(data["hedges"][r]) for r in REGISTERS}
    return Phrases(toned, hedges, tuple(data["questions"]), tuple(data["more"]), tuple(data["next"]))


def topic_named(name: str) -> Topic:
    """The topic with this usual name."""
    found = next((topic for topic in topics() if topic.name == name), None)
    if found is None:
        raise ValueError(f"topic must be the usual name of one of the {len(topics())} topics, got {name!r}")
    return found


@cache
def dimension_data() -> Mapping:
    """Axes, dimensions with descriptions and phrasings, joiners and frames, as `dimensions.yaml` holds them."""
    data: Mapping = yaml.safe_load((_DATA / "dimensions.yaml").read_text("utf-8"))
    return data


@cache
def wishes() -> tuple[Wish, ...]:
    """The further texts that the reader of preferences alone learns from, as `wishes.tsv` holds them."""
    with (_DATA / "wishes.tsv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file, delimiter="\t"))
    return tuple(Wish(row["kind"], tuple(row["asked"].split()), row["text"]) for row in rows)


@cache
def reserved_dimensions() -> Mapping:
    """The dimensions for experts that come later, with descriptions, as `reserved.yaml` holds them."""
    dimensions: Mapping = yaml.safe_load((_DATA / "reserved.yaml").read_text("utf-8"))["dimensions"]
    return dimensions
