"""What is asked for, said in words."""

import json

import pytest
import torch

from decoding.dimension import Dimension
from pcm.data import Iterations, Preferences, PromptsAndPreferences
from pcm.reader.training import Example
from pcm.wordings import Wordings

DIMENSIONS = (
    Dimension("friendly", "Warm.", "cold"),
    Dimension("cold", "Cold.", "friendly"),
    Dimension("long", "Long."),
)
NAMES = [dimension.name for dimension in DIMENSIONS]
EXAMPLES = [
    Example("be warm", frozenset({"friendly"})),
    Example("a nice one", frozenset({"friendly"})),
    Example("cold, at length", frozenset({"cold", "long"})),
]
PROMPTS = [[{"role": "user", "content": f"question {number}"}] for number in range(7)]


def said(wordings: Wordings, asked: list[float], times: int = 60) -> list[str | None]:
    generator = torch.Generator().manual_seed(0)
    return [wordings.draw(torch.tensor(asked), generator) for _ in range(times)]


def test_words_say_just_what_is_asked_for():
    wordings = Wordings(EXAMPLES, NAMES, share=1.0)
    assert {*said(wordings, [1.0, 0.0, 0.0])} == {"be warm", "a nice one"}
    assert {*said(wordings, [0.0, 1.0, 1.0])} == {"cold, at length"}


def test_what_nobody_has_words_for_is_not_said():
    wordings = Wordings(EXAMPLES, NAMES, share=1.0)
    assert {*said(wordings, [0.0, 0.0, 1.0])} == {None}
    assert {*said(wordings, [0.5, 0.0, 0.0])} == {None}  # words do not say how much


def test_a_share_of_the_preferences_is_said():
    count = sum(text is not None for text in said(Wordings(EXAMPLES, NAMES, share=0.25), [1.0, 0.0, 0.0], 400))
    assert 70 < count < 130
    assert {*said(Wordings(EXAMPLES, NAMES), [1.0, 0.0, 0.0])} == {None}


@pytest.mark.parametrize("share", [-0.1, 1.1])
def test_a_share_is_a_chance(share):
    with pytest.raises(ValueError, match=r"must be in \[0, 1\]"):
        Wordings(EXAMPLES, NAMES, share)


def test_whoever_is_told_needs_words():
    with pytest.raises(ValueError, match=r"wordings must say .* got none for a share of 0.5"):
        Wordings((), NAMES, 0.5)


def test_whoever_answers_hears_the_words_and_the_prompts_stay_as_they_were():
    wordings = Wordings(EXAMPLES, NAMES, share=0.9)
    batches = [Iterations(PROMPTS, Preferences(DIMENSIONS), 7, seed=0, wordings=wordings)[place] for place in range(9)]
    told = [pair for batch in batches for pair in zip(batch.words, batch.conversations, batch.heard, strict=True)]
    assert any(text is None for text, _, _ in told)
    assert any(text is not None for text, _, _ in told)
    for text, prompt, heard in told:
        assert prompt in PROMPTS
        assert heard == (prompt if text is None else [{"role": "system", "content": text}, *prompt])


def test_processes_say_together_what_one_would_and_silence_changes_no_draw():
    def drawn(wordings: Wordings, pairs: int, rank: int, processes: int):
        return Iterations(PROMPTS, Preferences(DIMENSIONS), pairs, 0, rank, processes, wordings)[5]

    wordings = Wordings(EXAMPLES, NAMES, share=0.8)
    whole = drawn(wordings, 6, 0, 1)
    parts = [drawn(wordings, 3, rank, 2) for rank in range(2)]
    assert [text for part in parts for text in part.words] == whole.words
    silent = drawn(Wordings(), 6, 0, 1)
    assert silent.heard == silent.conversations == whole.conversations
    assert torch.equal(silent.asked, whole.asked)


def test_a_validation_is_told_as_often(tmp_path):
    prompts, words = tmp_path / "prompts.jsonl", tmp_path / "words.jsonl"
    prompts.write_text("".join(json.dumps({"messages": prompt}) + "\n" for prompt in PROMPTS))
    words.write_text(json.dumps({"text": "warm, at length", "asked": {"friendly": 1, "long": 1}}) + "\n")
    data = PromptsAndPreferences(DIMENSIONS, str(prompts), str(prompts), wordings=str(words), told=1.0)
    (batch,) = data.val_dataloader()
    assert batch.words == ["warm, at length", None] * 3 + ["warm, at length"]  # cold has no words here
