"""Questions from anywhere: a JSONL file, or a dataset in a folder or on the Hugging Face hub.

Knows formats. Does not know what the questions are for.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from experts.miniature.corpus import Prompt
from experts.prompts import read_prompts

COLUMNS = ("messages", "prompt", "question", "instruction")
"""Where datasets keep questions, the first that is there: texts or conversations."""


def read_questions(source: str) -> list[Prompt]:
    """Gives the questions of a source, answers that stand behind them left out.

    Args:
        source: A JSONL file with rows `{"messages": [...]}`; or what `datasets` loads, a folder or hub id, perhaps with
            the name of a split: `HuggingFaceH4/mt_bench_prompts:train`. Without one it is the split `test`, or the
            only one.

    Raises:
        FileNotFoundError: If there is no such file and no such dataset.
        ValueError: If the questions cannot be found in it.
    """
    if Path(source).is_file():
        return [Prompt(messages, "") for messages in read_prompts(source)]
    name, _, split = source.partition(":")
    rows = _split(name, split)
    column = next((one for one in COLUMNS if one in rows.column_names), None)
    if column is None:
        raise ValueError(f"a dataset must have a column {', '.join(COLUMNS)}, {source} has {rows.column_names}")
    found = [Prompt(_conversation(value), "") for value in rows[column]]
    if empty := [number for number, one in enumerate(found) if not one.messages]:
        raise ValueError(f"every row of {source} must hold a question in {column}, got none in row {empty[0]}")
    return found


def _split(name: str, split: str) -> Any:
    """One split of a dataset."""
    try:
        from datasets import load_dataset
    except ImportError as missing:
        raise ValueError('questions from a dataset need: pip install "medley-lm[train]"') from missing
    known = load_dataset(name)
    chosen = split or ("test" if "test" in known else next(iter(known)) if len(known) == 1 else "")
    if chosen not in known:
        raise ValueError(f"name one of the splits of {name}, as in {name}:{next(iter(known))}, got {list(known)}")
    return known[chosen]


def _conversation(value: str | list[Mapping[str, str]]) -> list[dict[str, str]]:
    """A text as a question, or turns up to the last one of a person."""
    turns = [{"role": "user", "content": value}] if isinstance(value, str) else [dict(turn) for turn in value]
    while turns and turns[-1]["role"] != "user":
        turns.pop()
    return [{"role": turn["role"], "content": turn["content"]} for turn in turns]
