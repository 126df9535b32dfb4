import random

import pytest
from tiny_bundle import tiny_tokenizer
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerBase, PreTrainedTokenizerFast

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
    tokens = [broken] * 6 + tokenizer.encode("ok", add_special_tokens=False)
    pieces = pieces_of(tokenizer, tokens)
    assert pieces[:6] == ["", "", "", "�", "�", "�"]
    assert "".join(pieces) == tokenizer.decode(tokens)


@pytest.fixture(scope="module")
def straddling() -> PreTrainedTokenizerBase:
    """Tokens of bytes, as GPT-2, Llama 3 and Qwen have them; one holds an é's end and the next é's beginning."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    whole = {token: number for number, token in enumerate([*alphabet, "©Ã"])}
    words = Tokenizer(models.BPE(whole, [("©", "Ã")]))
    words.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    words.decoder = decoders.ByteLevel()
    return PreTrainedTokenizerFast(tokenizer_object=words)


@pytest.mark.parametrize("text", [*TEXTS, "ééééééé", "aéé é🙂é"])
def test_a_token_may_end_one_character_and_begin_the_next(straddling: PreTrainedTokenizerBase, text: str) -> None:
    tokens = straddling.encode(text)
    pieces = pieces_of(straddling, tokens)
    assert "".join(pieces) == straddling.decode(tokens) == text
    assert not any("�" in piece for piece in pieces)


def test_what_is_finished_does_not_wait_for_what_is_not(straddling: PreTrainedTokenizerBase) -> None:
    tokens = straddling.encode("ééé")
    assert len(tokens) == 4
    assert pieces_of(straddling, tokens) == ["", "é", "é", "é", ""]


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
