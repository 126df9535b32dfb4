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

from experts.miniature.corpus import Ask, preference, preferred_prompts, prompts, wish
from experts.miniature.world import dimension_data, phrases, topics

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


def single_phrasings() -> list[Ask]:
    """Every training phrasing alone, as people most often write."""
    dimensions = dimension_data()["dimensions"]
    return [Ask(text, {name: 1.0}) for name, entry in dimensions.items() for text in entry["phrasings"]]


def empty_wishes(count: int, rng: random.Random) -> list[Ask]:
    """Texts that ask for no dimension: small talk, and questions about the world."""
    questions = [rng.choice(phrases().questions).format(rng.choice(topics()).name) for _ in range(count)]
    return [Ask(rng.choice([*SMALL_TALK, question])) for question in questions]


def preference_examples(count: int, *, seed: int) -> list[Ask]:
    """Preferences in free text with what they ask for; one in ten asks for nothing."""
    rng = random.Random(f"preferences {seed}")
    combined = [preference(wish(rng), rng) for _ in range(count - count // 10)]
    return combined + empty_wishes(count // 10, rng)


def write_rows(path: Path, rows: Iterable[object]) -> None:
    """Write dataclass instances as JSON lines."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(asdict(row)) + "\n" for row in rows), encoding="utf-8")  # type: ignore[call-overload]


def write_data(output: Path = Path("build/miniature"), *, preferences: int = 12_000, seed: int = 0) -> None:
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
    examples = single_phrasings() + preference_examples(preferences, seed=seed)
    write_rows(output / "preferences" / "train.jsonl", examples)
    write_rows(output / "preferences" / "validation.jsonl", preference_examples(preferences // 20, seed=seed + 1))


if __name__ == "__main__":
    auto_cli(write_data)
