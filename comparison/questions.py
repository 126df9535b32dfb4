"""Questions from anywhere: a JSONL file, or a dataset in a folder or on the Hugging Face hub.

Knows formats. Does not know what the questions are for.
"""

from pathlib import Path
from typing import Any

from decoding.prompts import read_prompts
from experts.miniature.corpus import Prompt

COLUMNS = ("messages", "prompt", "question", "instruction")
"""Where datasets keep questions, the first that is there: texts, lists of them or conversations."""
ROLE_AND_TEXT = {"role", "content"}
FILES = (".jsonl", ".json")


def read_questions(source: str, limit: int | None = None) -> list[Prompt]:
    """Gives the questions of a source, answers that stand behind them left out.

    Args:
        source: A JSONL file with rows `{"messages": [...]}`; or what `datasets` loads, a folder or hub id, perhaps with
            the name of a split: `HuggingFaceH4/mt_bench_prompts:train`. Without one it is the split `test`, or the
            only one.
        limit: The most that are read.

    Raises:
        FileNotFoundError: If there is no such file and no such dataset.
        ValueError: If the questions cannot be found in it.
    """
    if Path(source).is_file():
        return [Prompt([dict(turn) for turn in messages], "") for messages in read_prompts(source)][:limit]
    name, _, split = source.partition(":")
    if not Path(name).is_dir() and (name.startswith(("/", ".")) or Path(name).suffix in FILES):
        raise FileNotFoundError(f"questions must be in a file, folder or dataset on the hub, got nothing at {source}")
    rows = _split(name, split)
    column = next((one for one in COLUMNS if one in rows.column_names), None)
    if column is None:
        raise ValueError(f"a dataset must have a column {', '.join(COLUMNS)}, {source} has {rows.column_names}")
    values = rows[column][:limit]
    return [Prompt(_conversation(value, f"row {row} of {source}"), "") for row, value in enumerate(values)]


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


def _conversation(value: object, where: str) -> list[dict[str, str]]:
    """A text as a question, the first of several, or turns up to the last one of a person."""
    if isinstance(value, list) and value and isinstance(value[0], str):
        value = value[0]
    turns = [{"role": "user", "content": value}] if isinstance(value, str) else value
    if not isinstance(turns, list) or not all(isinstance(one, dict) and {*one} >= ROLE_AND_TEXT for one in turns):
        raise ValueError(f"a question must be a text or turns with role and content, got {value} in {where}")
    asked = max((place for place, turn in enumerate(turns) if turn["role"] == "user" and turn["content"]), default=-1)
    if asked < 0:
        raise ValueError(f"there must be a question in {where}, got {value}")
    return [{"role": turn["role"], "content": turn["content"]} for turn in turns[: asked + 1]]
