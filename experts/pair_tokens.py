"""Pairs of answers as token ids, and in batches.

Knows texts, chat templates and TRL's collator. Does not know models, nor who labelled the pairs.
"""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import datasets
import torch
from transformers import AutoTokenizer, PreTrainedTokenizerBase
from trl.trainer.reward_trainer import DataCollatorForPreference

from decoding.conversation import Conversation
from experts.labelled_pairs import rendered

SIDES = ("chosen", "rejected")


def tokenizer_of(base: str | Path) -> PreTrainedTokenizerBase:
    """The tokenizer of a base, whose padding does not hide the end of a text.

    Many bases pad with the end itself, or with nothing. Another of their special tokens pads then, the one for unknown
    words if there is one: a text may hold it, but never ends with it.

    Raises:
        ValueError: if the tokenizer has no special token beside the end.
    """
    tokenizer = AutoTokenizer.from_pretrained(base)
    if tokenizer.pad_token_id is None or tokenizer.pad_token_id == tokenizer.eos_token_id:
        special = [tokenizer.unk_token, *tokenizer.all_special_tokens]
        others = [token for token in special if token not in (None, tokenizer.eos_token)]
        if not others:
            raise ValueError(
                f"a padding token must differ from the end, got no special token but {tokenizer.eos_token!r}"
            )
        tokenizer.pad_token = others[0]
    return tokenizer


def tokenize_pairs(pairs: datasets.Dataset, tokenizer: PreTrainedTokenizerBase) -> datasets.Dataset:
    """The pairs as token ids `chosen_ids` and `rejected_ids`; a `prompt` column goes in front of both answers.

    Conversations are rendered by the tokenizer's chat template, texts are taken as they are. `chosen_answer` and
    `rejected_answer` are the tokens that the answers have, `length` those of the longer text.

    Raises:
        ValueError: if a column is missing, a text is empty, or an answer repeats its prompt.
    """
    missing = {"chosen", "rejected"} - set(pairs.column_names)
    if missing:
        raise ValueError(f"pairs must have the columns chosen and rejected, got {pairs.column_names}")
    prompts = pairs["prompt"] if "prompt" in pairs.column_names else [""] * len(pairs)
    columns: dict[str, list[Any]] = {}
    for side in SIDES:
        texts = _rendered(prompts, pairs[side], tokenizer)
        asked, whole = (_ids(part, tokenizer) for part in ([prompt for prompt, _ in texts], map("".join, texts)))
        columns[f"{side}_ids"] = whole
        columns[f"{side}_answer"] = [len(ids) - len(before) for ids, before in zip(whole, asked, strict=True)]
    longer = [max(map(len, pair)) for pair in zip(*(columns[f"{side}_ids"] for side in SIDES), strict=True)]
    return datasets.Dataset.from_dict(columns | {"length": longer})


def _ids(texts: Iterable[str], tokenizer: PreTrainedTokenizerBase) -> list[list[int]]:
    ids: list[list[int]] = tokenizer(list(texts), add_special_tokens=False)["input_ids"]
    return ids


def _rendered(
    prompts: Sequence[str | Conversation], answers: Sequence[str | Conversation], tokenizer: PreTrainedTokenizerBase
) -> list[tuple[str, str]]:
    texts = [rendered(prompt, answer, tokenizer) for prompt, answer in zip(prompts, answers, strict=True)]
    for prompt, answer in texts:
        if not prompt + answer:
            raise ValueError("a text must not be empty, got an empty prompt with an empty answer")
        if prompt and answer.startswith(prompt):
            raise ValueError(f"an answer must not repeat its prompt when there is a prompt column, got {answer!r}")
    return texts


class AnswerCollator(DataCollatorForPreference):
    """TRL's batches of texts, chosen ones first, with the lengths of the answers in them."""

    def torch_call(self, examples: list[dict[str, Any]]) -> dict[str, Any]:
        """Pads the texts and lays the answers' lengths beside them."""
        lengths = [example[f"{side}_answer"] for side in SIDES for example in examples]
        return super().torch_call(examples) | {"answer_lengths": torch.tensor(lengths)}
