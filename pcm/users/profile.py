"""A profile: what was learned about a user, in a small JSON file that only its owner can read.

Knows files and what stands in them; the evidence stays with what was made of it, so that it can be learned anew. Does
not know how anything is learned.
"""

import json
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from platformdirs import user_data_path

from pcm.preference import Preference
from pcm.users.evidence import Choice, OwnText, read_choice, read_text

SCHEMA = 1
FOLDER = "MEDLEY_USERS"  # the environment variable that names another folder


@dataclass(frozen=True)
class Axis:
    """What is believed of one axis: the taste's mean and standard deviation, in logits."""

    mean: float
    deviation: float


@dataclass(frozen=True)
class Profile:
    """What is known of a user.

    Args:
        name: The user's.
        choices: Evidence: what was preferred.
        texts: Evidence: what the user wrote.
        weights: The numeric preference it amounts to; empty where nothing is sure.
        belief: Each axis of taste by name.
        doubts: Why the choices may say nothing, each a sentence.
        provenance: What judged the answers, and how a belief was made of the choices.
        wish: What own texts speak for, in words; the weights win where both speak.
    """

    name: str
    choices: tuple[Choice, ...] = ()
    texts: tuple[OwnText, ...] = ()
    weights: Mapping[str, float] = field(default_factory=dict)
    belief: Mapping[str, Axis] = field(default_factory=dict)
    doubts: tuple[str, ...] = ()
    provenance: Mapping[str, str] = field(default_factory=dict)
    wish: str | None = None

    def __post_init__(self) -> None:
        """Refuses a name that would be no file's."""
        require_name(self.name)

    @property
    def preference(self) -> Preference | None:
        """What the mixture is to follow; None asks for nothing in particular."""
        weights = self.weights if any(self.weights.values()) else None
        return None if weights is None and self.wish is None else Preference(self.wish, weights)

    def save(self, folder: Path | None = None) -> Path:
        """Writes the profile, whole or not at all, readable by its owner alone, and gives its path."""
        path = path_of(self.name, folder)
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        content = {
            "schema": SCHEMA,
            "name": self.name,
            "weights": dict(self.weights),
            "belief": {name: asdict(axis) for name, axis in self.belief.items()},
            "doubts": list(self.doubts),
            "provenance": dict(self.provenance),
            "wish": self.wish,
            "choices": [choice.as_dict() for choice in self.choices],
            "texts": [text.as_dict() for text in self.texts],
        }
        beside = path.with_suffix(".new")
        beside.unlink(missing_ok=True)
        beside.touch(mode=0o600)
        beside.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
        beside.replace(path)
        return path


def folder_of_users() -> Path:
    """Where profiles lie unless somebody says otherwise: the user's own data folder."""
    return Path(os.environ.get(FOLDER) or user_data_path("medley") / "users")


def require_name(name: str) -> None:
    """Refuses a user's name that would be no file's.

    Raises:
        ValueError: If it holds what does not belong into a file's name.
    """
    if not re.fullmatch(r"[\w.-]*\w[\w.-]*", name):
        raise ValueError(f"a user's name must be of letters, digits, _, - and ., got {name!r}")


def path_of(name: str, folder: Path | None = None) -> Path:
    """The file of a user's profile.

    Raises:
        ValueError: If the name would be no file's.
    """
    require_name(name)
    return (folder or folder_of_users()) / f"{name}.json"


def file_of(name_or_file: str, folder: Path | None = None) -> Path:
    """The file of a profile that is given by its user's name or by its file, `*.json`.

    Raises:
        ValueError: If it is neither.
    """
    return Path(name_or_file) if name_or_file.endswith(".json") else path_of(name_or_file, folder)


def load_profile(name_or_file: str, folder: Path | None = None) -> Profile:
    """The profile of a user, by name or by its file.

    Raises:
        FileNotFoundError: If there is none.
        ValueError: If the name would be no file's, the file is damaged, or it is of a version that this program cannot
            read.
    """
    path = file_of(name_or_file, folder)
    if not path.is_file():
        known = ", ".join(sorted(file.stem for file in path.parent.glob("*.json"))) or "none yet"
        raise FileNotFoundError(f"a user must have a profile, got {name_or_file!r} without {path} (there: {known})")
    try:
        return _parsed(json.loads(path.read_text(encoding="utf-8")))
    except (ValueError, TypeError, KeyError, AttributeError) as problem:
        raise ValueError(f"{path} must be a profile as `python -m pcm.users` writes it: {problem}") from problem


def _parsed(content: Any) -> Profile:
    if not isinstance(content, Mapping) or content.get("schema") != SCHEMA:
        found = content.get("schema") if isinstance(content, Mapping) else type(content).__name__
        raise ValueError(f"its schema must be {SCHEMA}, got {found!r}")
    return Profile(
        content["name"],
        tuple(read_choice(row) for row in content["choices"]),
        tuple(read_text(row) for row in content.get("texts", [])),
        {name: float(weight) for name, weight in content["weights"].items()},
        {name: Axis(float(axis["mean"]), float(axis["deviation"])) for name, axis in content["belief"].items()},
        tuple(content["doubts"]),
        dict(content["provenance"]),
        content.get("wish"),
    )


def merged(name: str, profiles: Sequence[Profile]) -> Profile:
    """A profile with all evidence of several, each choice and text once; what it amounts to is still to be learned.

    A wish in words is kept where there is no other.
    """
    choices = {repr(choice): choice for profile in profiles for choice in profile.choices}
    texts = {repr(text.as_dict()): text for profile in profiles for text in profile.texts}
    wishes = {profile.wish for profile in profiles if profile.wish}
    return Profile(
        name, tuple(choices.values()), tuple(texts.values()), wish=wishes.pop() if len(wishes) == 1 else None
    )
