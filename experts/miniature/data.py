"""Writes the miniature world's prompts and preferences as the JSONL files that every trainer reads.

Knows file names and row formats, not what the rows are used for. Run `python -m experts.miniature.data --help`.
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path

from jsonargparse import auto_cli

from experts.miniature.corpus import Ask, preferred_prompts, prompts, wish, worded
from experts.miniature.world import Wish, dimension_data, phrases, topics, wishes

SMALL_TALK = (
    "hello there",
    "thank you very much",
    "i have a question about this",
    "whatever you think is best",
    "surprise me",
    "no preference",
    "anything is fine with me",
    "good morning",
)


APART = 20
"""Every so many-th further text is for validation alone: a reader is calibrated on words that it has not met."""


def further(split: str) -> list[Wish]:
    """The texts for the reader alone of `train` or of `validation`."""
    return [one for place, one in enumerate(wishes()) if (place % APART == APART - 1) == (split == "validation")]


def reader_phrasings(split: str) -> dict[str, list[str]]:
    """The phrasings of each dimension that the reader learns from, or is calibrated on."""
    dimensions = dimension_data()["dimensions"].items()
    phrasings = {name: list(entry["phrasings"]) if split == "train" else [] for name, entry in dimensions}
    for one in further(split):
        if len(one.asked) == 1:
            phrasings[one.asked[0]].append(one.text)
    return phrasings


def written_asks(split: str) -> list[Ask]:
    """Every phrasing alone, as people most often write, and what was written to ask for several or for nothing."""
    alone = [Ask(text, {name: 1.0}) for name, texts in reader_phrasings(split).items() for text in texts]
    return alone + [Ask(one.text, dict.fromkeys(one.asked, 1.0)) for one in further(split) if len(one.asked) != 1]


def empty_wishes(count: int, rng: random.Random) -> list[Ask]:
    """Texts that ask for no dimension: small talk, and questions about the world."""
    questions = [rng.choice(phrases().questions).format(rng.choice(topics()).name) for _ in range(count)]
    return [Ask(rng.choice([*SMALL_TALK, question])) for question in questions]


def preference_examples(count: int, split: str, *, seed: int) -> list[Ask]:
    """Preferences in free text with what they ask for; one in ten asks for nothing."""
    rng, phrasings = random.Random(f"preferences {seed}"), reader_phrasings(split)
    combined = [worded(wish(rng), phrasings, rng) for _ in range(count - count // 10)]
    return combined + empty_wishes(count // 10, rng)


def write_rows(path: Path, rows: Iterable[object]) -> None:
    """Write dataclass instances as JSON lines."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(asdict(row)) + "\n" for row in rows), encoding="utf-8")  # type: ignore[call-overload]


def write_data(output: Path = Path("build/miniature"), *, preferences: int = 3_000, seed: int = 0) -> None:
    """Write prompts of every split and preference texts of training and validation.

    Args:
        output: gets `prompts/{train,validation,test}.jsonl`, `prompts/preferred.jsonl`, whose training prompts say how
            they want to be answered, and `preferences/{train,validation}.jsonl`.
        preferences: training texts of preferences; validation has a twentieth of it.
        seed: of the splits and of every draw.
    """
    for split in ("train", "validation", "test"):
        write_rows(output / "prompts" / f"{split}.jsonl", prompts(split, seed=seed))
    write_rows(output / "prompts" / "preferred.jsonl", preferred_prompts("train", seed=seed))
    for number, (split, count) in enumerate({"train": preferences, "validation": preferences // 20}.items()):
        examples = written_asks(split) + preference_examples(count, split, seed=seed + number)
        write_rows(output / "preferences" / f"{split}.jsonl", examples)


if __name__ == "__main__":
    auto_cli(write_data)
