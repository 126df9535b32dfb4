"""Where a response ends, and how much of its text may be shown."""

import random

import pytest
import torch
from tiny_bundle import tiny_tokenizer
from transformers import PreTrainedTokenizerBase

from decoding.detokenise import Detokeniser
from decoding.sampling import Sampling
from decoding.stopping import Withheld, endings


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> PreTrainedTokenizerBase:
    return tiny_tokenizer(tmp_path_factory.mktemp("tokenizer"))


def shown(pieces: list[str], *stops: str) -> list[str]:
    withheld = Withheld(stops)
    return [*(withheld.add(piece) for piece in pieces), withheld.finish()]


def test_what_may_begin_a_stop_text_waits_until_it_is_known() -> None:
    assert shown(["a", "b", "c", "a", "b", "d"], "abd") == ["", "", "abc", "", "", "", ""]
    assert shown(["a", "b", "c"], "abd") == ["", "", "abc", ""]


def test_what_waited_is_given_at_the_end() -> None:
    assert shown(["x", "a", "b"], "abd") == ["x", "", "", "ab"]


def test_the_text_ends_before_the_first_stop_text() -> None:
    assert shown(["one. two; three"], ";", ".") == ["one", ""]
    assert shown(["x</", "en", "d> more", "y"], "</end>") == ["x", "", "", "", ""]


def test_without_stop_texts_nothing_waits() -> None:
    assert shown(["a", "", "b"]) == ["a", "", "b", ""]


def test_a_beginning_inside_a_beginning_is_not_lost() -> None:
    assert "".join(shown(list("aaab"), "aab")) == "a"
    assert "".join(shown(list("ababac!"), "abac")) == "ab"


def test_whatever_the_pieces_the_text_ends_at_the_first_occurrence() -> None:
    generator = random.Random(0)
    for _ in range(300):
        text = "".join(generator.choices("ab🙂", k=12))
        stops = ["".join(generator.choices("ab🙂", k=generator.randint(1, 4))) for _ in range(2)]
        cuts = sorted(generator.sample(range(13), 4))
        pieces = [text[start:end] for start, end in zip([0, *cuts], [*cuts, 12], strict=True)]
        first = min((place for stop in stops if (place := text.find(stop)) >= 0), default=len(text))
        assert "".join(shown(pieces, *stops)) == text[:first]


@pytest.mark.parametrize("stop", ["volcano", "no is", "é", "é🙂", "🙂 a", "a", " a", "\n"])
def test_a_response_ends_with_the_token_that_completes_the_text(tokenizer: PreTrainedTokenizerBase, stop: str) -> None:
    """Bytes of one character, words with a space in front, texts that end inside a token: ids and text must agree."""
    ids = tokenizer.encode("What volcano is é🙂 a\n end", add_special_tokens=False)
    ends = endings(Sampling(stop=[stop]), [tokenizer.eos_token_id], tokenizer)
    detokeniser, text = Detokeniser(tokenizer), ""
    for length in range(1, len(ids) + 1):
        text += detokeniser.add(ids[length - 1])
        assert bool(ends(torch.tensor([ids[:length]]), None)) == (stop in text)  # type: ignore[arg-type]
        if stop in text:
            return
    raise AssertionError("the stop text must stand in the text")


def test_an_end_token_ends_a_response_and_only_as_its_last_token(tokenizer: PreTrainedTokenizerBase) -> None:
    ends = endings(Sampling(), [9, 8])
    assert ends(torch.tensor([[1, 9], [1, 8], [9, 1]]), None).tolist() == [True, True, False]  # type: ignore[arg-type]
    assert endings(Sampling(), [])(torch.tensor([[1]]), None).tolist() == [False]  # type: ignore[arg-type]


def test_a_stop_text_needs_a_tokenizer() -> None:
    with pytest.raises(ValueError, match="stop texts need a tokenizer"):
        endings(Sampling(stop=["."]), [9])
