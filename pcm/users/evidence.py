"""What a user has shown of their taste: choices between two answers to one prompt, and texts of their own.

Knows texts and how files of them are written. Does not know what the texts are worth to anybody.
"""

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from decoding.conversation import ROLES, Conversation
from decoding.jsonl import read_rows


@dataclass(frozen=True)
class Choice:
    """One of two answers was preferred, or neither.

    Args:
        prompt: The conversation that was answered.
        chosen: The answer that was preferred; either of the two in a tie.
        rejected: The other one.
        tie: Whether the user could not say.
        chosen_was_left: Where the chosen answer was shown; None where nobody knows, or in a tie.

    Raises:
        ValueError: If something is no text, or the answers are the same.
    """

    prompt: Conversation
    chosen: str
    rejected: str
    tie: bool = False
    chosen_was_left: bool | None = None

    def __post_init__(self) -> None:
        """Refuses what is no choice."""
        for name, text in (("chosen", self.chosen), ("rejected", self.rejected)):
            if not isinstance(text, str) or not text.strip():
                raise ValueError(f"{name} must be a text, got {text!r}")
        if self.chosen == self.rejected:
            raise ValueError(f"a choice must be between two different answers, got {self.chosen!r} twice")
        if not self.prompt or not all(map(_is_turn, self.prompt)):
            roles = ", ".join(ROLES)
            raise ValueError(f"a prompt must be messages with content and a role of {roles}, got {self.prompt!r}")

    @property
    def outcome(self) -> float:
        """1 where the first answer was preferred, ½ in a tie."""
        return 0.5 if self.tie else 1.0

    def as_dict(self) -> dict[str, Any]:
        """Gives what `read_choice` reads."""
        return asdict(self)


@dataclass(frozen=True)
class OwnText:
    """Something that the user wrote.

    Args:
        text: The text.
        prompt: What it answers; empty where it answers nothing.

    Raises:
        ValueError: If something is no text.
    """

    text: str
    prompt: Conversation = ()

    def __post_init__(self) -> None:
        """Refuses what is no text."""
        if not isinstance(self.text, str) or not self.text.strip():
            raise ValueError(f"text must be a text, got {self.text!r}")
        if not all(map(_is_turn, self.prompt)):
            raise ValueError(f"a prompt must be messages, got {self.prompt!r}")

    def as_dict(self) -> dict[str, Any]:
        """Gives what `read_text` reads."""
        return {"text": self.text, "prompt": list(self.prompt)}


def _is_turn(turn: object) -> bool:
    return isinstance(turn, Mapping) and turn.get("role") in ROLES and isinstance(turn.get("content"), str)


def read_choice(row: Any) -> Choice:
    """The choice of one JSON object; its prompt may be a text.

    Raises:
        ValueError: If a field is missing, unknown or of another kind.
    """
    if not isinstance(row, Mapping):
        raise ValueError(f"a choice must be an object, got {row!r}")
    known = ("prompt", "chosen", "rejected", "tie", "chosen_was_left")
    if missing := sorted({"prompt", "chosen", "rejected"} - row.keys()):
        raise ValueError(f"a choice must have prompt, chosen and rejected, got none of {', '.join(missing)}")
    if unknown := sorted(row.keys() - set(known)):
        raise ValueError(f"a choice must have the fields {', '.join(known)}, got {', '.join(unknown)}")
    return Choice(**{**row, "prompt": _messages(row["prompt"])})


def read_text(row: Any) -> OwnText:
    """The text of one JSON object; its prompt may be a text, or missing.

    Raises:
        ValueError: If a field is missing, unknown or of another kind.
    """
    if not isinstance(row, Mapping) or "text" not in row or row.keys() - {"text", "prompt"}:
        raise ValueError(f"an own text must be an object with text, and perhaps prompt, got {row!r}")
    return OwnText(row["text"], _messages(row.get("prompt", [])))


def _messages(prompt: Any) -> Any:
    return [{"role": "user", "content": prompt}] if isinstance(prompt, str) else prompt


def read_texts(path: Path) -> list[OwnText]:
    """A user's own texts: rows `{"text", "prompt"}` of a JSONL file, or the paragraphs of any other.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If a row cannot be read, with its number, or there is no text.
    """
    if not path.is_file():
        raise FileNotFoundError(f"own texts must be in a file of text or JSONL, got {path}: there is none")
    if path.suffix == ".jsonl":
        found = read_rows(path, read_text)
    else:
        paragraphs = re.split(r"\n\s*\n", path.read_text(encoding="utf-8"))
        found = [OwnText(" ".join(part.split())) for part in paragraphs if part.strip()]
    if not found:
        raise ValueError(f"{path} must hold a text, got none")
    return found


def read_log(path: Path, user: str | None = None) -> dict[str, list[Choice]]:
    """The choices of every user in a JSONL file with rows `{"user", "prompt", "chosen", "rejected"}`.

    Args:
        path: The file.
        user: Read this one's rows only.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If a row cannot be read, with its number, or no row is left.
    """
    if not path.is_file():
        raise FileNotFoundError(f"a log must be a JSONL file of choices, got {path}: there is none")
    found: dict[str, list[Choice]] = {}
    for whose, choice in read_rows(path, _logged):
        if user is None or whose == user:
            found.setdefault(whose, []).append(choice)
    if not found:
        raise ValueError(f"{path} must hold a choice{f' of {user!r}' if user else ''}, got none")
    return found


def _logged(row: Any) -> tuple[str, Choice]:
    """Whose choice a row of a log is, and the choice."""
    whose = _user_of(row)
    return whose, read_choice({name: value for name, value in row.items() if name != "user"})


def _user_of(row: Any) -> str:
    """Whose choice a row is."""
    if not isinstance(row, Mapping) or not isinstance(row.get("user"), str) or not row["user"].strip():
        raise ValueError(f"a row must name its user in a text, got {row!r}")
    return str(row["user"])
