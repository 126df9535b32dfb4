"""Labelled pairs of answers on disk, and how conversations in them become texts.

    pairs/<name>/train.jsonl, pairs/<name>/validation.jsonl    what is held out is decided already
    pairs/<name>.jsonl                                         a tenth of the prompts is held out

Rows are `{"prompt", "chosen", "rejected"}`. Either all three are texts, rendered by the base's chat template, or the
prompt is a conversation, a list of messages, and the answers are texts or lists of one message of the assistant.
"""

import json
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import datasets
from transformers import PreTrainedTokenizerBase

from decoding.conversation import Conversation
from decoding.jsonl import read_rows

Row = dict[str, Any]
Answer = str | Conversation


def most_pairs_first(pairs: Path) -> list[str]:
    """The names that have labelled pairs, most of them first: what takes longest must not start last."""
    sizes = {folder.name: (folder / "train.jsonl").stat().st_size for folder in pairs.iterdir() if folder.is_dir()}
    sizes |= {file.stem: file.stat().st_size for file in pairs.glob("*.jsonl")}
    return sorted(sizes, key=lambda name: (-sizes[name], name))


def read_split(pairs: Path, name: str) -> tuple[datasets.Dataset, datasets.Dataset]:
    """The pairs of a name to train on, and those held out.

    Raises:
        ValueError: if there are no pairs of this name, or too few to hold some out.
    """
    folder, file = pairs / name, pairs / f"{name}.jsonl"
    parts: tuple[list[Row], list[Row]]
    if folder.is_dir():
        parts = read_pairs(folder / "train.jsonl"), read_pairs(folder / "validation.jsonl")
    elif file.is_file():
        parts = split_by_prompt(read_pairs(file))
    else:
        raise ValueError(f"{pairs} must hold {name}.jsonl or {name}/train.jsonl and {name}/validation.jsonl, got none")
    return datasets.Dataset.from_list(parts[0]), datasets.Dataset.from_list(parts[1])


def read_pairs(path: Path) -> list[Row]:
    """The rows of a JSONL file.

    Raises:
        ValueError: if there are none, or one is no pair.
    """
    rows: list[Row] = read_rows(path, dict)
    if not rows:
        raise ValueError(f"a file of pairs must hold at least one, got none in {path}")
    for number, row in enumerate(rows, start=1):
        if missing := {"chosen", "rejected"} - row.keys():
            raise ValueError(f"row {number} of {path} must have chosen and rejected, got no {sorted(missing)}")
    return rows


def split_by_prompt(rows: Sequence[Row], share: float = 0.1, seed: int = 0) -> tuple[list[Row], list[Row]]:
    """Rows to train on and rows held out, no prompt on both sides.

    Args:
        rows: pairs.
        share: of the prompts that is held out; at least one is.
        seed: of the choice.

    Raises:
        ValueError: if there are fewer than two prompts.
    """
    prompts = sorted({_asked(row) for row in rows})
    if len(prompts) < 2:
        raise ValueError(f"pairs must be about at least 2 prompts, so that some can be held out, got {len(prompts)}")
    random.Random(seed).shuffle(prompts)
    held_out = set(prompts[: max(1, round(share * len(prompts)))])
    return [row for row in rows if _asked(row) not in held_out], [row for row in rows if _asked(row) in held_out]


def _asked(row: Row) -> str:
    return json.dumps(row.get("prompt", row["chosen"]), sort_keys=True)


def rendered(prompt: str | Conversation, answer: Answer, tokenizer: PreTrainedTokenizerBase) -> tuple[str, str]:
    """Prompt and answer as the base reads and writes them, the end of the answer included.

    Texts are taken as they are.

    Args:
        prompt: a text, or messages.
        answer: a text, or one message of the assistant.
        tokenizer: the base's, with its chat template.

    Raises:
        ValueError: if the answer is neither.
    """
    if isinstance(prompt, str):
        if not isinstance(answer, str):
            raise ValueError(f"an answer must be a text where its prompt is one, got {answer}")
        return prompt, answer
    if not isinstance(answer, str):
        if len(answer) != 1:
            raise ValueError(f"an answer must be a text or one message, got {len(answer)} messages")
        answer = answer[0]["content"]
    turns = [dict(turn) for turn in prompt]
    asked = str(tokenizer.apply_chat_template(turns, add_generation_prompt=True, tokenize=False))
    whole = str(tokenizer.apply_chat_template([*turns, {"role": "assistant", "content": answer}], tokenize=False))
    said = whole.removeprefix(asked) if whole.startswith(asked) else answer
    before_end = said.rpartition(tokenizer.eos_token)[0] if tokenizer.eos_token in said else said
    return asked, before_end + tokenizer.eos_token
