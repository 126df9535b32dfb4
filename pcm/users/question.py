"""Pairs of answers that a user can be asked to choose between.

Knows texts, and JSONL files with rows `{"prompt", "answers"}`. Does not know who made the answers or who is asked.
"""

import json
import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

from decoding.conversation import Conversation
from decoding.jsonl import read_rows
from pcm.users.evidence import Choice


@dataclass(frozen=True)
class Question:
    """Which of two answers to a prompt is better?"""

    prompt: Conversation
    left: str
    right: str

    def choice(self, outcome: float) -> Choice:
        """What it says of a user who answered it: 1 for left, 0 for right, ½ for neither."""
        chosen, rejected = (self.right, self.left) if outcome == 0 else (self.left, self.right)
        tie = outcome not in (0, 1)
        return Choice(self.prompt, chosen, rejected, tie, None if tie else outcome == 1)


def questions_from(rows: Iterable[tuple[Conversation, Sequence[str]]], seed: int = 0) -> list[Question]:
    """Every pair of different answers to each prompt, sides drawn by the seed."""
    rng = random.Random(f"sides {seed}")
    found = []
    for prompt, answers in rows:
        for pair in combinations(dict.fromkeys(answers), 2):
            left, right = rng.sample(pair, 2)
            found.append(Question(prompt, left, right))
    return found


def read_questions(path: Path) -> list[Question]:
    """The questions of a file.

    Raises:
        FileNotFoundError: If there is none.
        ValueError: If a row is unreadable, with its number, or no prompt has two different answers.
    """
    if not path.is_file():
        raise FileNotFoundError(f"questions must lie in a file, got {path}: make it with `python -m pcm.users prepare`")
    rows = read_rows(path, lambda row: (row["prompt"], [str(answer) for answer in row["answers"]]))
    if not (found := questions_from(rows)):
        raise ValueError(f"{path} must hold a prompt with two different answers, got none")
    return found


def write_questions(path: Path, rows: Iterable[tuple[Conversation, Sequence[str]]]) -> None:
    """Writes prompts with their answers, in a folder that need not be there yet."""
    lines = [json.dumps({"prompt": prompt, "answers": list(answers)}, ensure_ascii=False) for prompt, answers in rows]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(line + "\n" for line in lines), encoding="utf-8")
