"""Rewards that read texts, not the policy's tokens: sequence classifiers of Hugging Face, and Python functions.

Knows how token ids become a conversation and its answer again, and how either kind of reward is asked. Does not know
adapters, references or training. A text is taken apart by the prompts that are known beforehand, not by a mark inside
it: no answer can pretend to begin later than it does.
"""

import hashlib
import inspect
from collections.abc import Iterator, Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from transformers import AutoModelForSequenceClassification, AutoTokenizer, BatchEncoding, PreTrainedTokenizerBase

from decoding.answered import Answered
from decoding.conversation import Conversation
from experts.hub import split_revision
from experts.rewards import known


class Dialogues:
    """The known prompts by their token ids, which tell where a text's answer begins."""

    def __init__(
        self, tokenizer: PreTrainedTokenizerBase, conversations: Sequence[Conversation], prompts: Sequence[Tensor]
    ) -> None:
        """Remembers each conversation under its token ids.

        Args:
            tokenizer: the policy's; decodes answers.
            conversations: what was asked.
            prompts: token ids `(P,)` of each conversation, rendered to be answered.
        """
        pairs = zip(prompts, conversations, strict=True)
        self.tokenizer = tokenizer
        self.known = {tuple(ids.tolist()): conversation for ids, conversation in pairs}
        self.lengths = sorted({len(ids) for ids in self.known}, reverse=True)

    def split(self, ids: Sequence[int]) -> tuple[Conversation, str]:
        """The conversation that a text begins with, and the answer to it without special tokens.

        Raises:
            ValueError: if the text begins with no known prompt.
        """
        for length in self.lengths:
            conversation = self.known.get(tuple(ids[:length]))
            if conversation is not None:
                return conversation, str(self.tokenizer.decode(list(ids[length:]), skip_special_tokens=True))
        raise ValueError(f"a text must begin with a known prompt, got {self.tokenizer.decode(list(ids[:32]))!r}")


class TextRewards(nn.Module):
    """Scores of rewards that read texts, only where they are needed."""

    def __init__(self, dialogues: Dialogues, readers: Mapping[str, "Classifier | Function"]) -> None:
        """Asks each reader under its name."""
        super().__init__()
        self.dialogues, self.names = dialogues, tuple(readers)
        self.readers = nn.ModuleDict(readers)

    @property
    def version(self) -> str:
        """What the readers are, as far as their parameters do not say it."""
        return "".join(str(reader.version) for reader in self.readers.values())

    @torch.no_grad()
    def score(self, texts: Answered, names: Sequence[str] | None = None, needed: Tensor | None = None) -> Tensor:
        """Raw scores `(N, D)` in float32, zero where not needed; arguments as of `RewardModels.score`.

        Raises:
            ValueError: if a name or a prompt is unknown, or a reader does not give one finite number per answer.
        """
        names = known(names, self.names)
        wanted = torch.ones(len(texts.lengths), len(names), dtype=torch.bool) if needed is None else needed.bool().cpu()
        scores = torch.zeros(wanted.shape, dtype=torch.float32)
        dialogues = self._dialogues(texts, wanted.any(1).nonzero()[:, 0].tolist())
        for column, name in enumerate(names):
            chosen = wanted[:, column].nonzero()[:, 0]
            if len(chosen):
                conversations, answers = zip(*(dialogues[row] for row in chosen.tolist()), strict=True)
                scores[chosen, column] = _numbers(name, self.readers[name](conversations, answers), len(chosen))
        return scores.to(texts.lengths.device)

    def _dialogues(self, texts: Answered, rows: list[int]) -> dict[int, tuple[Conversation, str]]:
        real = texts.attention_mask.bool()
        return {row: self.dialogues.split(texts.input_ids[row][real[row]].tolist()) for row in rows}


def _numbers(name: str, given: Any, count: int) -> Tensor:
    scores = torch.as_tensor(given, dtype=torch.float32).cpu()
    if scores.shape != (count,) or not bool(scores.isfinite().all()):
        raise ValueError(f"reward {name!r} must give one finite number for each of {count} answers, got {given}")
    return scores


class Function(nn.Module):
    """A Python function of prompts and answers as a reward: `function(prompts, answers) -> numbers`, lists all three.

    A prompt is the text of its conversation's messages, blank lines between them: mostly one question.
    """

    def __init__(self, source: str) -> None:
        """Imports the function.

        Args:
            source: `package.module:function`.

        Raises:
            ValueError: if there is no such function.
        """
        super().__init__()
        module, _, name = source.partition(":")
        try:
            self.function = getattr(import_module(module), name)
        except (ImportError, AttributeError) as problem:
            raise ValueError(f"a reward must be importable as package.module:function, got {source} ({problem})") from (
                problem
            )
        if not callable(self.function):
            raise ValueError(f"a reward must be a function, got {type(self.function).__name__} {source}")
        self.version = f"{source} {_digest_of_source(module)}"

    def forward(self, conversations: Sequence[Conversation], answers: Sequence[str]) -> Any:
        """What the function says of the answers."""
        return self.function([text_of(conversation) for conversation in conversations], list(answers))


def text_of(conversation: Conversation) -> str:
    """The messages' texts, blank lines between them."""
    return "\n\n".join(message["content"] for message in conversation)


def _digest_of_source(module: str) -> str:
    """A hash of the module's file, so that scores of an older version are never used again."""
    path = inspect.getsourcefile(import_module(module))
    return hashlib.sha256(Path(path).read_bytes()).hexdigest() if path else ""


class Classifier(nn.Module):
    """A sequence classifier of Hugging Face with one output as a reward, under its own tokenizer.

    It reads the conversation with its answer by its own chat template, or, where it has none, prompt and answer as a
    pair of texts.
    """

    version = ""

    def __init__(self, source: str, rows_at_once: int = 32) -> None:
        """Loads the classifier.

        Args:
            source: a folder, or `owner/name` or `owner/name@revision` on the hub.
            rows_at_once: answers in one pass; bounds memory.

        Raises:
            ValueError: if it has more than one output or a part that was not trained, or if nothing can pad its texts.
            FileNotFoundError: if there is nothing to load.
        """
        super().__init__()
        where, revision = split_revision(source)
        try:
            self.tokenizer = AutoTokenizer.from_pretrained(where, revision=revision)
            self.model, report = AutoModelForSequenceClassification.from_pretrained(
                where, revision=revision, output_loading_info=True
            )
        except (OSError, ValueError) as problem:  # transformers' errors are of both kinds
            first = str(problem).splitlines()[0]
            raise FileNotFoundError(
                f"a reward must be a folder or hub id of a classifier, got {source} ({first})"
            ) from problem
        if self.model.config.num_labels != 1 or report["missing_keys"]:
            raise ValueError(
                f"{source} must hold a trained classifier with one output, got {self.model.config.num_labels} outputs "
                f"and no weights for {sorted(report['missing_keys'])}"
            )
        if self.tokenizer.pad_token_id is None:
            raise ValueError(f"the tokenizer of {source} must have a padding token, got none")
        self.model.config.get_text_config().pad_token_id = self.tokenizer.pad_token_id
        self.model.requires_grad_(False).eval()
        self.source, self.rows_at_once = source, rows_at_once

    def train(self, mode: bool = True) -> "Classifier":
        """Stays as it is: it is frozen, and dropout would make every score differ."""
        return super().train(False)

    def forward(self, conversations: Sequence[Conversation], answers: Sequence[str]) -> Tensor:
        """Scores `(n,)` of answers, those of similar length read together."""
        scores = torch.zeros(len(answers), dtype=torch.float32)
        for rows in self._batches(answers):
            inputs = self._encoded([conversations[row] for row in rows], [answers[row] for row in rows])
            scores[rows] = self.model(**inputs.to(self.model.device)).logits[:, 0].float().cpu()
        return scores

    def _batches(self, answers: Sequence[str]) -> Iterator[list[int]]:
        order = sorted(range(len(answers)), key=lambda row: len(answers[row]))
        return (order[start : start + self.rows_at_once] for start in range(0, len(order), self.rows_at_once))

    def _encoded(self, conversations: Sequence[Conversation], answers: Sequence[str]) -> BatchEncoding:
        padding = {"padding": True, "padding_side": "right", "return_tensors": "pt"}
        if self.tokenizer.chat_template is None:
            inputs = self.tokenizer([text_of(conversation) for conversation in conversations], list(answers), **padding)
        else:
            pairs = zip(conversations, answers, strict=True)
            whole = [
                [*map(dict, conversation), {"role": "assistant", "content": answer}] for conversation, answer in pairs
            ]
            texts = self.tokenizer.apply_chat_template(whole, tokenize=False)
            inputs = self.tokenizer(texts, add_special_tokens=False, **padding)
        if inputs["input_ids"].shape[1] > self._longest:
            longest = inputs["input_ids"].shape[1]
            raise ValueError(f"{self.source} reads at most {self._longest} tokens, got prompt and answer of {longest}")
        return inputs

    @property
    def _longest(self) -> int:
        """Tokens that tokenizer and model agree to read."""
        positions = getattr(self.model.config.get_text_config(), "max_position_embeddings", None)
        return min(self.tokenizer.model_max_length, positions or self.tokenizer.model_max_length)
