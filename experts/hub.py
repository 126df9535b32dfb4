"""Where a model lies: a folder here, or a repository on the Hugging Face hub.

Knows hub ids with revisions, and which of them may change. Does not know what a folder holds.
"""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import TypeGuard, TypeVar

from huggingface_hub import snapshot_download

BASE_FILES = ("*.json", "model*.safetensors", "*.jinja", "*.model", "*.txt")
"""What a base and its tokenizer are read from."""
CONFIGS = ("*config.json",)
"""What every model has, adapters as well: to fetch it costs next to nothing."""
_HUB_ID = re.compile(r"\w[\w.-]*/\w[\w.-]*(@.+)?")
_COMMIT = re.compile(r"[0-9a-f]{40}")

Source = TypeVar("Source")


def is_hub_id(source: str) -> bool:
    """Whether it reads `owner/name` or `owner/name@revision`; a folder here may be called the same."""
    return _HUB_ID.fullmatch(source) is not None


def split_revision(source: str | Path) -> tuple[str, str | None]:
    """The hub id and its revision, of `owner/name@revision` or `owner/name`; a folder that is here has none."""
    if Path(source).is_dir():
        return str(source), None
    where, _, revision = str(source).partition("@")
    return where, revision or None


def is_pinned(source: object) -> TypeGuard[str]:
    """Whether it is a hub id with a commit of 40 hexadecimal digits, `owner/name@commit`, and no folder here.

    A branch or a tag is no pin: it may name something else tomorrow.
    """
    return _on_hub_at_revision(source) and _COMMIT.fullmatch(split_revision(source)[1] or "") is not None


def pinned(source: Source) -> Source | str:
    """The source at the commit that its revision names now: `owner/name@v1` becomes `owner/name@commit`.

    Where the hub cannot be reached, it is the commit of the copy here. What is no hub id with a revision stays as it
    is, and so does a model in memory.

    Raises:
        FileNotFoundError: If the hub knows no such revision, or cannot be reached and there is no copy here.
    """
    if not _on_hub_at_revision(source) or is_pinned(source):
        return source
    commit = located(source, CONFIGS, "a model").name  # the cache keeps each commit in a folder of this name
    return f"{split_revision(source)[0]}@{commit}"


def _on_hub_at_revision(source: object) -> TypeGuard[str]:
    """Whether it is `owner/name@revision`, and no folder here."""
    return isinstance(source, str) and is_hub_id(source) and split_revision(source)[1] is not None


def located(source: str | Path, files: Sequence[str], what: str = "an expert") -> Path:
    """The folder itself, or a hub repository's copy here.

    Args:
        source: A folder, or `owner/name` or `owner/name@revision` on the hub, where a revision is a branch, tag or
            commit; a folder that exists comes first.
        files: The only files to fetch.
        what: What an error calls it.

    Raises:
        FileNotFoundError: If it is neither a folder nor a repository that can be fetched.
    """
    if Path(source).is_dir():
        return Path(source)
    if isinstance(source, Path) or not is_hub_id(source):
        raise FileNotFoundError(f"{what} must be a folder, or a hub id owner/name or owner/name@revision, got {source}")
    where, revision = split_revision(source)
    try:
        return Path(snapshot_download(where, revision=revision, allow_patterns=list(files)))
    except (OSError, ValueError) as problem:  # the hub's errors are of both kinds
        raise FileNotFoundError(
            f"{what} must be a folder, or a hub id that can be fetched, got {source} "
            f"(the hub says: {str(problem).splitlines()[0]})"
        ) from problem
