"""The settings of drawing, and what they mean as logits processors."""

from typing import Any

import pytest
from tiny_bundle import tiny_tokenizer
from transformers import PreTrainedTokenizerBase

from decoding.sampling import Sampling, one_for_each, processors


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> PreTrainedTokenizerBase:
    return tiny_tokenizer(tmp_path_factory.mktemp("tokenizer"))


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"temperature": -0.1}, "temperature must be finite and at least 0, got -0.1"),
        ({"temperature": float("nan")}, "temperature must be finite"),
        ({"top_k": -1}, "top_k must be at least 0"),
        ({"top_p": 0.0}, r"top_p must be in \(0, 1\], got 0.0"),
        ({"top_p": 1.1}, "top_p must be in"),
        ({"min_p": -0.1}, r"min_p must be in \[0, 1\], got -0.1"),
        ({"min_p": 1.1}, "min_p must be in"),
        ({"min_p": float("nan")}, "min_p must be in"),
        ({"repetition_penalty": 0.0}, "repetition_penalty must be finite and above 0, got 0.0"),
        ({"repetition_penalty": float("inf")}, "repetition_penalty must be finite and above 0, got inf"),
        ({"logit_bias": {"warm": float("inf")}}, "logit_bias of 'warm' must be finite, got inf"),
        ({"logit_bias": {"": 1.0}}, "logit_bias must be given for token ids or texts that are not empty"),
        ({"stop": ("",)}, "stop must list texts that are not empty"),
        ({"stop": "volcano"}, "stop must list texts that are not empty, got 'volcano'"),
        ({"max_new_tokens": 0}, "max_new_tokens must be at least 1"),
    ],
)
def test_values_out_of_range_are_refused(values: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Sampling(**values)


def test_processors_stand_in_the_order_in_which_they_are_said_to_act(tokenizer: PreTrainedTokenizerBase) -> None:
    settings: dict[str, Any] = {"logit_bias": {5: 1.0}, "repetition_penalty": 1.2, "top_k": 5, "top_p": 0.9}
    drawn = processors(Sampling(0.7, min_p=0.1, **settings), tokenizer)
    names = ["SequenceBias", "RepetitionPenalty", "Temperature", "TopK", "TopP", "MinP"]
    assert [type(one).__name__.replace("LogitsProcessor", "").replace("LogitsWarper", "") for one in drawn] == names
    greedy = processors(Sampling(0.0, min_p=0.1, **settings), tokenizer)
    assert [type(one) for one in greedy] == [type(one) for one in drawn[:2]]
    assert processors(Sampling()) == []


@pytest.mark.parametrize(
    ("bias", "message"),
    [
        ({330: 1.0}, "token ids from 0 to 329, got 330"),
        ({-1: 1.0}, "token ids from 0 to 329, got -1"),
    ],
)
def test_a_bias_for_what_is_no_token_is_refused(
    tokenizer: PreTrainedTokenizerBase, bias: dict[int | str, float], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        processors(Sampling(logit_bias=bias), tokenizer)


def test_a_text_that_the_tokenizer_cannot_write_is_refused(
    tokenizer: PreTrainedTokenizerBase, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(type(tokenizer), "encode", lambda self, text, **options: [self.unk_token_id])
    with pytest.raises(ValueError, match="must be for texts that the tokenizer can write, got '☃'"):
        processors(Sampling(logit_bias={"☃": 1.0}), tokenizer)
    with pytest.raises(ValueError, match="a logit_bias needs a tokenizer"):
        processors(Sampling(logit_bias={5: 1.0}))


def test_there_is_one_sampling_for_all_or_one_for_each() -> None:
    cold, hot = Sampling(0.0), Sampling(2.0)
    assert one_for_each(cold, 2) == [cold, cold]
    assert one_for_each((cold, hot), 2) == [cold, hot]
    with pytest.raises(ValueError, match=r"one per request \(3\), got 2"):
        one_for_each([cold, hot], 3)
