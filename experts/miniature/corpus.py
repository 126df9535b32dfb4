"""What the miniature world trains and is tested on: dialogues, prompts, preference sentences, and their splits.

A question is a pair (topic, way of asking). Every pair belongs to one split by seed, so a test question is never asked
in training; development and held-out preference phrasings appear in no training text either. Knows no model.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache

from experts.miniature.grammar import POLES, Speaker, Style
from experts.miniature.world import Topic, dimension_data, phrases, topics

SPLITS = {"test": 216, "validation": 108}  # questions; training has all the others
OBEDIENCE = 0.6  # share of the preference sentences in its training text that the base sees obeyed
PHRASINGS = {"train": "phrasings", "development": "development", "test": "held_out", "unseen": "unseen"}
"""The key of a split's preference phrasings in the world's data. A reader may be improved by a look at its errors on
development ones; it is measured on those of the test."""
Message = dict[str, str]


@dataclass(frozen=True)
class Prompt:
    """A dialogue that ends in a question, and the usual name of what the question is about."""

    messages: list[Message]
    topic: str


@dataclass(frozen=True)
class Preferred:
    """A prompt whose system message says how it wants to be answered, and the dimensions that it so asks for."""

    messages: list[Message]
    topic: str
    asked: tuple[str, ...]


@dataclass(frozen=True)
class Ask:
    """A preference in free text, and the dimensions it asks for."""

    text: str
    asked: dict[str, float] = field(default_factory=dict)


@cache
def questions(split: str, *, seed: int = 0) -> tuple[tuple[Topic, str], ...]:
    """The (topic, way of asking) pairs of a split: `train`, `validation` or `test`."""
    pairs = [(topic, question) for topic in topics() for question in phrases().questions]
    random.Random(f"questions {seed}").shuffle(pairs)
    start = 0
    for name, count in SPLITS.items():
        if name == split:
            return tuple(pairs[start : start + count])
        start += count
    if split != "train":
        raise ValueError(f"split must be train, validation or test, got {split!r}")
    return tuple(pairs[start:])


def user(text: str) -> Message:
    """A message of the person who asks."""
    return {"role": "user", "content": text}


def assistant(text: str) -> Message:
    """A message of the one who answers."""
    return {"role": "assistant", "content": text}


def system(text: str) -> Message:
    """The message in front of a dialogue that holds a preference."""
    return {"role": "system", "content": text}


def ask(pair: tuple[Topic, str], rng: random.Random) -> Message:
    """The question of a pair, about the topic by one of its names."""
    topic, question = pair
    return user(question.format(topic.name if rng.random() < 0.7 else rng.choice(topic.others)))


def prompts(split: str, *, seed: int = 0) -> list[Prompt]:
    """One prompt for each question of a split; every fifth stands behind an earlier turn about something else."""
    rng = random.Random(f"prompts {split} {seed}")
    found = []
    for index, pair in enumerate(questions(split, seed=seed)):
        earlier: list[Message] = []
        if index % 5 == 4:
            other = rng.choice([q for q in questions("train", seed=seed) if q[0] is not pair[0]])
            earlier = [ask(other, rng), assistant(Speaker(Style.draw(rng), rng).answer(other[0]))]
        found.append(Prompt([*earlier, ask(pair, rng)], pair[0].name))
    return found


def preferred_prompts(split: str, *, seed: int = 0) -> list[Preferred]:
    """The prompts of a split, each behind a sentence that asks for one pole on each axis."""
    rng = random.Random(f"preferred prompts {split} {seed}")
    found = []
    for prompt in prompts(split, seed=seed):
        asked = rng.choice(combinations())
        found.append(Preferred([system(preference(asked, rng).text), *prompt.messages], prompt.topic, asked))
    return found


def combinations() -> list[tuple[str, ...]]:
    """The eight preferences that take one pole on each axis."""
    axes = [POLES["register"], POLES["length"], POLES["tone"]]
    return [(register, length, tone) for register in axes[0] for length in axes[1] for tone in axes[2]]


def preference(dimensions: Sequence[str], rng: random.Random, *, split: str = "train") -> Ask:
    """A free text that asks for these dimensions, in a random order, construction and joint.

    Args:
        dimensions: Their names.
        rng: Draws the text.
        split: Whose phrasings it is made of: `train`, `development`, `test` or `unseen`.

    Raises:
        ValueError: If there is no such split.
    """
    if split not in PHRASINGS:
        raise ValueError(f"split must be one of {', '.join(PHRASINGS)}, got {split!r}")
    phrasings = {name: entry[PHRASINGS[split]] for name, entry in dimension_data()["dimensions"].items()}
    return worded(dimensions, phrasings, rng)


def worded(dimensions: Sequence[str], phrasings: Mapping[str, Sequence[str]], rng: random.Random) -> Ask:
    """A free text that asks for these dimensions in some of these phrasings, in a random order, construction and joint.

    Args:
        dimensions: Their names.
        phrasings: Of each dimension.
        rng: Draws the text.
    """
    data = dimension_data()
    parts = [rng.choice(phrasings[name]) for name in rng.sample(list(dimensions), len(dimensions))]
    text = parts[0]
    for part in parts[1:]:
        text += rng.choice(data["joiners"]) + part
    return Ask(rng.choice(data["frames"]).format(text), dict.fromkeys(dimensions, 1.0))


def wish(rng: random.Random) -> tuple[str, ...]:
    """One to three dimensions of different axes, three as often as fewer."""
    axes = rng.sample(dimension_data()["axes"], rng.choice([1, 2, 3, 3]))
    return tuple(rng.choice(axis["poles"]) for axis in axes)


def dialogue(rng: random.Random, *, seed: int = 0) -> list[Message]:
    """One training dialogue of the base: one to three turns in one style, half of them behind a preference."""
    style, messages = Style.draw(rng), []
    if rng.random() < 0.5:
        wanted = wish(rng)
        messages.append(system(preference(wanted, rng).text))
        style = style.towards(wanted) if rng.random() < OBEDIENCE else style
    speaker = Speaker(style, rng)
    pair = rng.choice(questions("train", seed=seed))
    messages += [ask(pair, rng), assistant(speaker.answer(pair[0]))]
    for _ in range(rng.choices([0, 1, 2], [0.7, 0.22, 0.08])[0]):
        if rng.random() < 0.5:
            messages += [user(rng.choice(phrases().more)), assistant(speaker.answer(pair[0], define=False))]
        else:
            pair = (rng.choice(topics()), rng.choice(phrases().next))
            messages += [ask(pair, rng), assistant(speaker.answer(pair[0]))]
    return messages


def dialogues(*, seed: int = 0) -> Iterator[list[Message]]:
    """Training dialogues of the base, without end."""
    rng = random.Random(f"dialogues {seed}")
    while True:
        yield dialogue(rng, seed=seed)
