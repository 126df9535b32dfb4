"""Pairs of base answers with the annotator's noisy choice on every dimension: what reward models learn from.

Knows how answers are drawn from the base and how some are spoiled, so that quality has something to tell apart. The
judge's truth is seen by the annotator alone. Run `python -m experts.miniature.pairs --help`.
"""

from __future__ import annotations

import json
import random
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, cast

import torch
from jsonargparse import auto_cli
from rich.progress import track
from transformers import AutoTokenizer, LlamaForCausalLM, PreTrainedTokenizerBase

from decoding.conversation import encode
from experts.miniature.annotator import QUALITY, prefers_first
from experts.miniature.corpus import Prompt, prompts
from experts.miniature.judge import Verdict, judge
from experts.miniature.world import dimension_data, reserved_dimensions, tone_words
from experts.names import listed

Spoil = Callable[[str, random.Random], str]
TEMPERATURES = (1.0, 1.0, 1.3, 1.6)  # of the answers drawn for each prompt; the last ones go wrong more often


@dataclass(frozen=True)
class Answer:
    """An answer's text, whether it ended by itself, and the truth about it."""

    text: str
    ended: bool
    verdict: Verdict


def repeat_sentence(text: str, rng: random.Random) -> str:
    """The answer with one of its sentences said again, somewhere later."""
    return _said_again(text, rng, lambda sentence: sentence)


def reword_sentence(text: str, rng: random.Random) -> str:
    """The answer with one of its sentences said again in another tone, somewhere later."""
    kinds = tone_words()

    def other(match: re.Match[str]) -> str:
        kind = kinds[match[0]].kind
        return rng.choice([word for word in kinds if kinds[word].kind == kind])

    return _said_again(text, rng, lambda sentence: _tone_pattern().sub(other, sentence))


def _said_again(text: str, rng: random.Random, again: Callable[[str], str]) -> str:
    sentences = [sentence.strip() for sentence in _sentences(text)]
    chosen = rng.randrange(len(sentences))
    sentences.insert(rng.randint(chosen + 1, len(sentences)), again(sentences[chosen]))
    return " ".join(sentences)


@cache
def _tone_pattern() -> re.Pattern[str]:
    """Every tone word, the longest first."""
    return re.compile(rf"\b({'|'.join(map(re.escape, sorted(tone_words(), key=len, reverse=True)))})\b")


def drop_words(text: str, rng: random.Random) -> str:
    """The answer with one or two words missing."""
    words = text.split()
    for _ in range(min(len(words) - 1, rng.choice([1, 1, 2]))):
        words.pop(rng.randrange(len(words)))
    return " ".join(words)


def swap_words(text: str, rng: random.Random) -> str:
    """The answer with two of its words in each other's place."""
    words = text.split()
    first, second = rng.randrange(len(words)), rng.randrange(len(words))
    words[first], words[second] = words[second], words[first]
    return " ".join(words)


def cut_short(text: str, rng: random.Random) -> str:
    """The answer broken off somewhere."""
    return text[: rng.randrange(1, max(2, len(text)))].rstrip()


def only_phrase(text: str, rng: random.Random) -> str:
    """One short piece of the answer alone."""
    return rng.choice([text.split()[0], " ".join(text.split()[:3]), _sentences(text)[-1]])


SPOILS: tuple[Spoil, ...] = (
    repeat_sentence,
    repeat_sentence,
    reword_sentence,
    drop_words,
    swap_words,
    cut_short,
    only_phrase,
)


def _sentences(text: str) -> list[str]:
    return [part for part in text.replace("!", "!|").replace(".", ".|").split("|") if part.strip()] or [text]


@torch.no_grad()
def draw_answers(
    model: LlamaForCausalLM,
    tokenizer: PreTrainedTokenizerBase,
    batch: Sequence[Prompt],
    temperature: float,
    max_new_tokens: int,
) -> list[tuple[str, bool]]:
    """One answer to each prompt, sampled without truncation, and whether it ended by itself."""
    input_ids, attention_mask = encode(tokenizer, [prompt.messages for prompt in batch])
    tokens = cast(
        Any, model
    ).generate(  # its annotations know no ordinary model
        input_ids=input_ids,
        attention_mask=attention_mask,
        do_sample=True,
        temperature=temperature,
        top_k=0,
        top_p=1.0,
        max_new_tokens=max_new_tokens,
    )[:, input_ids.shape[1] :]
    texts = tokenizer.batch_decode(tokens, skip_special_tokens=True)
    ended = (tokens == tokenizer.eos_token_id).any(1).tolist()
    return [(text.strip(), end) for text, end in zip(texts, ended, strict=True)]


def answer_pool(
    model: LlamaForCausalLM,
    tokenizer: PreTrainedTokenizerBase,
    asked: Sequence[Prompt],
    *,
    rounds: int,
    max_new_tokens: int,
    batch_size: int = 128,
) -> list[list[Answer]]:
    """For each prompt the judged answers drawn for it, `rounds` at each temperature."""
    pool: list[list[Answer]] = [[] for _ in asked]
    plan = [(t, start) for t in TEMPERATURES * rounds for start in range(0, len(asked), batch_size)]
    for temperature, start in track(plan, description="Sampling base answers"):
        batch = asked[start : start + batch_size]
        for place, (text, ended) in enumerate(
            draw_answers(model, tokenizer, batch, temperature, max_new_tokens), start
        ):
            if text:
                pool[place].append(Answer(text, ended, judge(asked[place].topic, text)))
    return pool


def astray(text: str, other: str, rng: random.Random) -> str:
    """The answer with one of its sentences replaced by one of another answer."""
    sentences = _sentences(text)
    sentences[rng.randrange(len(sentences))] = rng.choice(_sentences(other))
    return " ".join(sentence.strip() for sentence in sentences)


def spoiled(answer: Answer, topic: str, others: Sequence[Answer], rng: random.Random) -> Answer:
    """A worse answer made of this one: damaged, gone astray, or meant for some other question."""
    other, kind = rng.choice(others), rng.random()
    if kind < 0.2:
        return Answer(other.text, other.ended, judge(topic, other.text))
    text = astray(answer.text, other.text, rng) if kind < 0.4 else rng.choice(SPOILS)(answer.text, rng)
    ended = answer.ended if kind < 0.4 else rng.random() < 0.7
    return Answer(text, ended, judge(topic, text))


def labelled(
    name: str, asked: Sequence[Prompt], pool: list[list[Answer]], count: int, rng: random.Random
) -> list[tuple[Prompt, Answer, Answer]]:
    """`count` annotated pairs for one dimension: `(prompt, chosen answer, rejected answer)`."""
    everything = [answer for answers in pool for answer in answers]
    found: list[tuple[Prompt, Answer, Answer]] = []
    while len(found) < count:
        place = rng.randrange(len(asked))
        if len(pool[place]) < 2:
            continue
        first, second = rng.sample(pool[place], 2)
        if rng.random() < (0.8 if name == QUALITY else 0.15):
            # Quality is often told by the same answer, damaged: what the damage is worth then shows undisguised.
            whole = rng.choice((first, second)) if name == QUALITY else second
            second = spoiled(whole, asked[place].topic, everything, rng)
        if not prefers_first(first.verdict, second.verdict, name, rng):
            first, second = second, first
        found.append((asked[place], first, second))
    return found


def make_pairs(
    base: Path = Path("build/miniature/base"),
    output: Path = Path("build/miniature/pairs"),
    *,
    names: list[str] | str | None = None,
    count: int = 7200,
    held_out: int = 400,
    rounds: int = 2,
    questions: int | None = None,
    max_new_tokens: int = 112,
    seed: int = 0,
) -> None:
    """Draw base answers to training questions and have the annotator compare them on every dimension and on quality.

    Args:
        base: the folder of the base model.
        output: gets `NAME/train.jsonl` and `NAME/validation.jsonl`, rows `{"prompt", "chosen", "rejected"}`.
        names: what is compared, a list or `one,another`; every dimension and quality without it, but not the reserved
            ones, `excited` and `cautious`, which must be named.
        count: training pairs a dimension.
        held_out: pairs a dimension, on validation questions, that only measure the reward model.
        rounds: answers drawn for each prompt at each temperature.
        questions: how many prompts of a split are answered; all without it.
        max_new_tokens: longest answer.
        seed: of the answers and the annotator.

    Raises:
        ValueError: if the annotator does not know a name.
    """
    compared = listed(names) or [*dimension_data()["dimensions"], QUALITY]
    if unknown := sorted({*compared} - {*dimension_data()["dimensions"], *reserved_dimensions(), QUALITY}):
        raise ValueError(f"the annotator must know what to compare, got {', '.join(unknown)}")
    tokenizer = AutoTokenizer.from_pretrained(base)
    model = LlamaForCausalLM.from_pretrained(base, dtype=torch.float32).eval()
    torch.manual_seed(seed)
    for split in ("train", "validation"):
        asked = prompts(split)[:questions]
        pool = answer_pool(model, tokenizer, asked, rounds=rounds, max_new_tokens=max_new_tokens)
        for name in compared:
            rng = random.Random(f"pairs {split} {name} {seed}")
            rows = labelled(name, asked, pool, count if split == "train" else held_out, rng)
            _write(output / name / f"{split}.jsonl", rows, tokenizer)


def _write(path: Path, rows: list[tuple[Prompt, Answer, Answer]], tokenizer: PreTrainedTokenizerBase) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_suffix(".part")  # its name says that a stage is done
    with unfinished.open("w", encoding="utf-8") as file:
        for prompt, chosen, rejected in rows:
            text = tokenizer.apply_chat_template(prompt.messages, add_generation_prompt=True, tokenize=False)
            ends = [f" {answer.text}{tokenizer.eos_token if answer.ended else ''}" for answer in (chosen, rejected)]
            file.write(json.dumps({"prompt": text, "chosen": ends[0], "rejected": ends[1]}) + "\n")
    unfinished.replace(path)


if __name__ == "__main__":
    auto_cli(make_pairs)
