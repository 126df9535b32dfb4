import random

import pytest
from tiny_bundle import tiny_tokenizer
from transformers import PreTrainedTokenizerBase

from decoding.detokenise import Detokeniser

TEXTS = ["What is a volcano?", "é🙂 naïve — ÀÉ", "x  two  spaces\n\nlines\t", "👩\u200d🔬𝔘𝔫𝔦日本語", "x"]


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> PreTrainedTokenizerBase:
    return tiny_tokenizer(tmp_path_factory.mktemp("tokenizer"))


def pieces_of(tokenizer: PreTrainedTokenizerBase, tokens: list[int]) -> list[str]:
    detokeniser = Detokeniser(tokenizer)
    return [*(detokeniser.add(token) for token in tokens), detokeniser.finish()]


@pytest.mark.parametrize("text", TEXTS)
def test_the_pieces_joined_are_the_text(tokenizer: PreTrainedTokenizerBase, text: str) -> None:
    tokens = tokenizer.encode(text, add_special_tokens=False)
    assert "".join(pieces_of(tokenizer, tokens)) == tokenizer.decode(tokens) == text


def test_a_character_of_several_tokens_appears_with_its_last_one(tokenizer: PreTrainedTokenizerBase) -> None:
    tokens = tokenizer.encode("a🙂", add_special_tokens=False)
    assert pieces_of(tokenizer, tokens) == ["a", "", "", "", "🙂", ""]


def test_bytes_that_become_no_character_are_given_at_the_end(tokenizer: PreTrainedTokenizerBase) -> None:
    tokens = tokenizer.encode("a🙂", add_special_tokens=False)[:-1]
    assert pieces_of(tokenizer, tokens) == ["a", "", "", "", "���"]


def test_broken_bytes_hold_nothing_back_for_long(tokenizer: PreTrainedTokenizerBase) -> None:
    broken = tokenizer.encode("é", add_special_tokens=False)[-2]
    pieces = pieces_of(tokenizer, [broken] * 6 + tokenizer.encode("ok", add_special_tokens=False))
    assert pieces[3] == "����"
    assert "".join(pieces).endswith("ok")


def test_any_mixture_of_words_and_characters_survives(tokenizer: PreTrainedTokenizerBase) -> None:
    generator = random.Random(0)
    for _ in range(50):
        text = "".join(generator.choices(["volcano", " ", "é", "🙂", "\n", "日", "is", "?"], k=20))
        tokens = tokenizer.encode(text, add_special_tokens=False)
        assert "".join(pieces_of(tokenizer, tokens)) == tokenizer.decode(tokens)


def test_what_could_come_instead_is_told_and_not_added(tokenizer: PreTrainedTokenizerBase) -> None:
    detokeniser = Detokeniser(tokenizer)
    word, other = tokenizer.encode("a is", add_special_tokens=False)[0], tokenizer.convert_tokens_to_ids("▁is")
    detokeniser.add(word)
    assert detokeniser.instead(other) == " is"
    assert detokeniser.instead(tokenizer.eos_token_id) == tokenizer.eos_token
    assert detokeniser.add(other) == " is"


def test_control_tokens_give_no_text(tokenizer: PreTrainedTokenizerBase) -> None:
    assert "".join(pieces_of(tokenizer, [tokenizer.bos_token_id, tokenizer.eos_token_id])) == ""
