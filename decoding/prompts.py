"""Prompts from disk.

Knows JSONL files of conversations. Does not know tokens, nor what prompts are for.
"""

from pathlib import Path
from typing import Any

from decoding.conversation import Conversation
from decoding.jsonl import read_rows


def read_prompts(path: str | Path) -> list[Conversation]:
    """Gives the conversations of a JSONL file with rows `{"messages": [{"role", "content"}, ...]}`.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If the file holds no prompt, or a line cannot be read or has no messages.
    """
    prompts = read_rows(path, _conversation)
    if not prompts:
        raise ValueError(f"a prompt file must hold at least one prompt, got none in {path}")
    return prompts


def _conversation(row: Any) -> Conversation:
    messages: list[dict[str, str]] = row["messages"]
    if not messages:
        raise ValueError(f"a prompt must have messages, got {row}")
    return messages
