"""Pairs for the reward models: what is spoiled is worse, and the annotator mostly sees it."""

import random

import pytest
import torch
from tiny_bundle import tiny_base, tiny_tokenizer

from experts.miniature import pairs
from experts.miniature.corpus import Prompt, prompts
from experts.miniature.grammar import Speaker, Style
from experts.miniature.judge import Verdict, judge
from experts.miniature.pairs import (
    SPOILS,
    Answer,
    _write,
    astray,
    labelled,
    make_pairs,
    repeat_sentence,
    reword_sentence,
    spoiled,
)
from experts.miniature.world import topic_named, topics

TOPIC = "a volcano"
LONG = Style(register=0.0, length=1.0, tone=0.0)


def answer_about(topic, seed):
    text = Speaker(LONG, random.Random(seed)).answer(topic_named(topic))
    return Answer(text, True, judge(topic, text))


OTHERS = [answer_about(topic.name, 1) for topic in topics() if topic.name != TOPIC]


@pytest.mark.parametrize("spoil", list(dict.fromkeys(SPOILS)), ids=lambda spoil: spoil.__name__)
def test_what_is_spoiled_is_worse_on_average(spoil):
    qualities = [judge(TOPIC, spoil(answer_about(TOPIC, seed).text, random.Random(seed))).quality for seed in range(20)]
    assert sum(qualities) / 20 < 0.95


@pytest.mark.parametrize("seed", range(5))
def test_a_sentence_said_again_stands_behind_itself(seed):
    sentences = ["It is hot.", "It is a lovely mountain.", "It is high!"]
    again = repeat_sentence(" ".join(sentences), random.Random(seed))
    (twice,) = (sentence for sentence in sentences if again.count(sentence) == 2)
    assert [sentence for sentence in sentences if sentence in again] == sentences
    assert again.index(twice) == " ".join(sentences).index(twice)


def parts(text):
    return {part.strip() for part in text.replace("!", ".").split(".") if part.strip()}


def test_a_sentence_in_other_words_says_the_same_thing_again():
    texts = [answer_about(TOPIC, seed).text for seed in range(20)]
    reworded = [reword_sentence(text, random.Random(seed)) for seed, text in enumerate(texts)]
    assert any(len(parts(after)) > len(parts(before)) for before, after in zip(texts, reworded, strict=True))
    for before, after in zip(texts, reworded, strict=True):
        assert judge(TOPIC, after).quality <= judge(TOPIC, before).quality


def test_an_answer_gone_astray_holds_one_sentence_of_another():
    text, other = "It is hot. It is high. It is old.", "Bees fly. They hum."
    strayed = astray(text, other, random.Random(0))
    kept = [sentence for sentence in ("It is hot.", "It is high.", "It is old.") if sentence in strayed]
    assert len(kept) == 2
    assert ("Bees fly." in strayed) != ("They hum." in strayed)


def test_the_truth_about_a_spoiled_answer_is_read_from_what_it_became():
    for seed in range(40):
        worse = spoiled(answer_about(TOPIC, seed), TOPIC, OTHERS, random.Random(seed))
        assert worse.verdict == judge(TOPIC, worse.text)


def test_the_annotator_mostly_chooses_the_better_answer():
    prompt = next(prompt for prompt in prompts("train") if prompt.topic == TOPIC)
    good, bad = answer_about(TOPIC, 0), OTHERS[0]
    pairs = labelled(
        "elementary", [prompt], [[good, Answer(bad.text, True, judge(TOPIC, bad.text))]], 200, random.Random(0)
    )
    assert len(pairs) == 200
    assert (
        sum(
            chosen.verdict.dimensions["elementary"] > rejected.verdict.dimensions["elementary"]
            for _, chosen, rejected in pairs
        )
        > 180
    )


def test_an_annotator_is_not_asked_about_what_nobody_knows(tmp_path):
    with pytest.raises(ValueError, match="must know what to compare, got loud"):
        make_pairs(tmp_path / "base", tmp_path, names="friendly, loud, excited")


def test_a_base_in_half_precision_answers_in_full(tmp_path, monkeypatch):
    """A shipped base is stored in bfloat16, in which many processors are some ten times as slow."""
    tokenizer = tiny_tokenizer(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    tiny_base(tokenizer).bfloat16().save_pretrained(tmp_path)
    asked = []

    def pool(model, *_, **__):
        asked.append(model.dtype)
        return [[OTHERS[0], OTHERS[1]]]

    monkeypatch.setattr(pairs, "answer_pool", pool)
    make_pairs(tmp_path, tmp_path / "pairs", names="quality", count=2, held_out=1, questions=1)
    assert asked == [torch.float32, torch.float32]


class Template:
    """A tokenizer that is interrupted at one of the prompts it renders."""

    eos_token = "</s>"

    def __init__(self, interrupted: int) -> None:
        self.left = interrupted

    def apply_chat_template(self, messages: object, **settings: object) -> str:
        self.left -= 1
        if self.left == 0:
            raise KeyboardInterrupt
        return "asked"


def test_pairs_have_their_name_only_once_they_are_all_there(tmp_path):
    """Their last file says that the stage is done: half of it would be taken for all."""
    path, answer = tmp_path / "quality" / "validation.jsonl", Answer("Yes.", True, Verdict(1.0, {}))
    rows = [(Prompt([], "rain"), answer, answer)] * 2
    with pytest.raises(KeyboardInterrupt):
        _write(path, rows, Template(interrupted=2))
    assert not path.exists()
    _write(path, rows, Template(interrupted=3))
    assert (
        path.read_text("utf-8").splitlines()
        == ['{"prompt": "asked", "chosen": " Yes.</s>", "rejected": " Yes.</s>"}'] * 2
    )
    assert [found.name for found in path.parent.iterdir()] == [path.name]
