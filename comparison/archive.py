"""The folder of answers: one JSONL file for each run of a method, written whole or not at all.

    answers/<fingerprint>/<method>/<what is asked, or any>/t<temperature>-s<seed>.jsonl

A run that is there is finished, so an interrupted comparison goes on where it stopped. The fingerprint covers bundle,
questions and length limit: answers of another bundle are never taken for this one's. It covers neither the code nor the
phrasings of preferences, so give another output (or delete the folder) after changing how answers are
asked for or made.
Knows files. Does not know how an answer is made, nor what it is worth.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

from comparison.combinations import Combination, label
from comparison.decoding import drawn
from decoding.conversation import Conversation


@dataclass(frozen=True)
class Run:
    """One pass of one method over all questions.

    Args:
        method: Its name.
        asked: What is asked for; nothing for a method that does not listen.
        temperature: Of the draws.
        seed: Of the draws.
    """

    method: str
    asked: Combination
    temperature: float
    seed: int

    @property
    def path(self) -> Path:
        """Where its answers lie inside the archive."""
        return Path(self.method, label(self.asked) or "any", f"t{self.temperature:g}-s{self.seed}.jsonl")


@dataclass(frozen=True)
class Archive:
    """Answers on disk.

    Args:
        folder: Of this fingerprint.
        conversations: The questions, in the order of every file's lines (N).
    """

    folder: Path
    conversations: Sequence[Conversation]

    @classmethod
    def of(cls, output: Path, conversations: Sequence[Conversation], *depends: object) -> "Archive":
        """Gives the place in an output folder for answers to these questions by whatever they depend on.

        Args:
            output: Of a command.
            conversations: The questions.
            depends: Models and settings, as plain data.
        """
        questions = list(conversations)
        return cls(output / "answers" / f"{drawn(*depends, questions):014x}", questions)

    def read(self, run: Run) -> list[str] | None:
        """Gives the answers of a run (N), None if it is not finished.

        Raises:
            ValueError: If the file does not hold one answer to each question.
        """
        path = self.folder / run.path
        if not path.exists():
            return None
        rows = [json.loads(line) for line in path.read_text(encoding="utf-8").split("\n")[:-1]]
        if [row["messages"] for row in rows] != [list(one) for one in self.conversations]:
            raise ValueError(f"{path} must answer these {len(self.conversations)} questions in order: delete it")
        return [row["answer"] for row in rows]

    def finished(self, run: Run) -> list[str]:
        """Gives the answers of a run (N).

        Raises:
            ValueError: If it is not finished, or as `read`.
        """
        found = self.read(run)
        if found is None:
            raise ValueError(f"every run must be answered before it is read, {run.path} is missing")
        return found

    def noted(self, run: Run, what: str) -> Any:
        """Gives what was noted down of a run, such as its `nats`, None where nothing was."""
        path = (self.folder / run.path).with_suffix(f".{what}")
        return json.loads(path.read_text(encoding="utf-8")) if path.exists() else None

    def note(self, run: Run, what: str, value: object) -> None:
        """Notes something down of a run, as plain data."""
        write_whole((self.folder / run.path).with_suffix(f".{what}"), [json.dumps(value) + "\n"])

    def write(self, run: Run, answers: Sequence[str]) -> None:
        """Writes the answers of a run (N), beside their place first, so that a half-written file never takes it.

        Args:
            run: Whose answers they are.
            answers: One to each question.
        """
        pairs = zip(self.conversations, answers, strict=True)
        lines = [json.dumps({"messages": list(one), "answer": text}, ensure_ascii=False) + "\n" for one, text in pairs]
        write_whole(self.folder / run.path, lines)


def write_whole(path: Path, lines: Sequence[str]) -> None:
    """Writes a file beside its place, then puts it there: several processes and machines may do so at once."""
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}-{uuid4().hex}")
    try:
        beside.write_text("".join(lines), encoding="utf-8")
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)
