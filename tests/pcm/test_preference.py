"""From a person's words or numbers to what is asked of each dimension."""

import warnings

import pytest
import torch
from tiny_bundle import DIMENSIONS, tiny_tokenizer
from transformers import PreTrainedTokenizerBase

from decoding.dimension import Dimension
from pcm.intensity.curves import Intensities
from pcm.preference import Preference, PreferenceReader, asked_for, asked_weights, require_reader

NAMES = ["friendly", "unfriendly", "concise"]
OPPOSITES = ["unfriendly", "friendly", None]


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> PreTrainedTokenizerBase:
    return tiny_tokenizer(tmp_path_factory.mktemp("tokenizer"))


@pytest.fixture
def reader(tokenizer: PreTrainedTokenizerBase) -> PreferenceReader:
    torch.manual_seed(0)
    return PreferenceReader(tokenizer, DIMENSIONS, width=8).eval()


def hears(reader: PreferenceReader, *probabilities: float) -> PreferenceReader:
    """The reader, made to give these probabilities whatever it reads."""
    reader.probabilities = lambda texts: torch.tensor([probabilities] * len(texts))  # type: ignore[method-assign]
    return reader


def test_numbers_ask_for_dimensions_by_name():
    assert asked_weights({"concise": 0.5, "friendly": 1}, NAMES, OPPOSITES).tolist() == [1.0, 0.0, 0.5]


def test_a_negative_number_asks_for_the_opposite_pole():
    assert asked_weights({"friendly": -0.75}, NAMES, OPPOSITES).tolist() == [0.0, 0.75, 0.0]
    assert asked_weights({"friendly": -0.75, "unfriendly": 0.25}, NAMES, OPPOSITES).tolist() == [0.0, 0.75, 0.0]


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        ({"funny": 1.0}, "must be among friendly, unfriendly, concise, got 'funny'"),
        ({"concise": float("nan")}, r"must be a number in \[-1, 1\], got nan"),
        ({"concise": float("inf")}, r"must be a number in \[-1, 1\], got inf"),
        ({"concise": 1.5}, r"must be a number in \[-1, 1\], got 1.5"),
        ({"concise": -1.0}, "needs a known opposite, 'concise' has None"),
    ],
)
def test_numbers_that_ask_for_nothing_possible_are_refused(weights, message):
    with pytest.raises(ValueError, match=message):
        asked_weights(weights, NAMES, OPPOSITES)


@pytest.mark.parametrize("weights", [{"concise": 0.0}, {}])
def test_numbers_that_ask_for_nothing_at_all_are_refused(weights):
    with pytest.raises(ValueError, match="at least one weight must differ from zero"):
        asked_for(Preference(weights=weights), DIMENSIONS, None, Intensities())


def test_a_zero_silences_what_the_words_ask_for(reader):
    preference = Preference("be warm and brief", {"friendly": 0.0})
    heard = asked_for(preference, DIMENSIONS, hears(reader, 0.9, 0.0, 0.8), Intensities())
    assert heard.tolist() == pytest.approx([0.0, 0.0, 0.8])


def test_beside_numbers_a_text_that_asks_for_nothing_known_asks_for_nothing(reader):
    with pytest.warns(UserWarning, match="only what else is asked for is followed"):
        heard = asked_for(Preference("hello", {"concise": 0.5}), DIMENSIONS, hears(reader, 0, 0, 0), Intensities())
    assert heard.tolist() == [0.0, 0.0, 0.5]


def test_quotation_marks_around_a_wish_change_nothing(reader):
    plain, *quoted = reader.probabilities(
        ["be warm, don't be rude", '"be warm, don\'t be rude"', "“be warm”, don't be rude"]
    )
    assert all(torch.equal(plain, other) for other in quoted)


USUAL = Preference(weights={"unfriendly": 1.0, "concise": 0.5})


def asked_beside_the_usual(reader: PreferenceReader, *said: object) -> list[float]:
    return asked_for(Preference(*said, usual=USUAL), DIMENSIONS, reader, Intensities()).tolist()  # type: ignore[arg-type]


def test_what_is_usual_is_heard_on_the_axes_that_nothing_else_speaks_of(reader):
    assert asked_beside_the_usual(reader) == [0.0, 1.0, 0.5]
    assert asked_beside_the_usual(reader, None, {"friendly": 0.25}) == [0.25, 0.0, 0.5]
    assert asked_beside_the_usual(reader, None, {"friendly": 0.0}) == [0.0, 0.0, 0.5]
    assert asked_beside_the_usual(hears(reader, 0.75, 0.0, 0.0), "be warm") == [0.75, 0.0, 0.5]
    with pytest.raises(ValueError, match="at least one weight must differ from zero"):
        asked_beside_the_usual(reader, None, {"friendly": 0.0, "concise": 0.0})


def test_beside_what_is_usual_a_text_that_asks_for_nothing_known_asks_for_nothing(reader):
    with pytest.warns(UserWarning, match="only what else is asked for is followed"):
        assert asked_beside_the_usual(hears(reader, 0, 0, 0), "hello") == [0.0, 1.0, 0.5]


def test_usual_words_need_a_reader_too():
    with pytest.raises(ValueError, match="needs a reader"):
        require_reader(Preference(weights={"concise": 1.0}, usual=Preference("be warm")), None)


def test_a_preference_must_say_something():
    with pytest.raises(ValueError, match="a text, weights or what is usual, got none"):
        Preference()


def test_words_need_a_reader():
    with pytest.raises(ValueError, match="needs a reader"):
        asked_for(Preference("be warm"), DIMENSIONS, None, Intensities())


def test_numbers_win_where_words_and_numbers_speak_of_the_same_axis(reader):
    preference = Preference("be warm and brief", {"unfriendly": 0.5})
    assert asked_for(preference, DIMENSIONS, hears(reader, 0.9, 0.0, 0.8), Intensities()).tolist() == pytest.approx(
        [0.0, 0.5, 0.8]
    )


def test_what_is_less_likely_than_not_is_not_asked(reader):
    assert hears(reader, 0.9, 0.49, 0.5).asked("be warm").tolist() == pytest.approx([0.9, 0.0, 0.5])


def test_a_text_that_asks_for_nothing_known_warns_and_asks_for_all(reader):
    with pytest.warns(UserWarning, match="at least one of friendly, unfriendly, concise, got 'hello'"):
        assert hears(reader, 0.1, 0.2, 0.3).asked("hello").tolist() == [1.0, 1.0, 1.0]


def test_empty_and_endless_texts_can_be_read(reader):
    with warnings.catch_warnings(action="ignore"):
        for text in ("", " ", "é 🌋", "very " * 5000):
            assert reader.asked(text).shape == (3,)


def test_the_reader_knows_dimensions_by_their_words_and_not_by_their_place(reader):
    before = reader.probabilities(["be warm"])
    reader.dimensions = (DIMENSIONS[2], Dimension("poetic", "The answer rhymes."), DIMENSIONS[0], DIMENSIONS[1])
    after = reader.probabilities(["be warm"])
    torch.testing.assert_close(after[:, [2, 3, 0]], before, atol=1e-6, rtol=0)
    assert len(set(before[0].tolist())) == 3


def test_a_text_reads_the_same_alone_and_beside_longer_ones(reader):
    alone = reader.probabilities(["be warm"])[0]
    beside = reader.probabilities(["be warm", "what is a volcano? keep it short, thank you friend"])[0]
    torch.testing.assert_close(alone, beside, atol=1e-6, rtol=0)


def test_capitals_and_white_space_ask_for_the_same(reader):
    texts = reader.probabilities(["Be  WARM\n", "be warm"])
    torch.testing.assert_close(texts[0], texts[1], atol=1e-6, rtol=0)  # the kernel's rows differ in the last bit


def test_a_saved_reader_comes_back_rounded_to_bfloat16(reader, tokenizer, tmp_path):
    reader.temperature.fill_(1.7)
    reader.save(tmp_path / "reader")
    loaded = PreferenceReader.load(tmp_path / "reader", tokenizer, DIMENSIONS)
    assert not torch.equal(loaded.probabilities(["be warm"]), reader.probabilities(["be warm"]))
    reader.bfloat16().float()
    assert torch.equal(loaded.probabilities(["be warm"]), reader.probabilities(["be warm"]))


def test_a_reader_starts_from_what_a_language_model_knows_of_words(reader, tokenizer):
    known = torch.randn(len(tokenizer) + 3, 20, generator=torch.Generator().manual_seed(1)) * torch.tensor(
        [9.0] * 6 + [0.1] * 14
    )
    reader.start_from(known)  # narrower than the model's words, which have six main directions
    centred = known[: len(tokenizer)] - known[: len(tokenizer)].mean(0)
    words = reader.embedding.weight
    torch.testing.assert_close(words.norm(dim=-1), torch.full((len(words),), 8**0.5), atol=1e-4, rtol=0)
    alike = torch.nn.functional.cosine_similarity(centred[5], centred, dim=-1)
    torch.testing.assert_close(torch.nn.functional.cosine_similarity(words[5], words, dim=-1), alike, atol=0.01, rtol=0)


def test_a_reader_that_is_wider_than_the_models_words_keeps_the_rest_as_it_was_drawn(reader, tokenizer):
    drawn = reader.embedding.weight.clone()
    reader.start_from(torch.randn(len(tokenizer), 3))
    assert torch.equal(reader.embedding.weight[:, 3:], drawn[:, 3:])
    assert not torch.equal(reader.embedding.weight[:, :3], drawn[:, :3])


def test_a_word_is_understood_by_those_up_to_seven_places_away(reader):
    tokens, mask = torch.full((1, 20), 5), torch.ones(1, 20)
    other = tokens.clone()
    other[0, 0] = 6
    states, changed = (reader.encode(reader.embedding(some), mask)[1] for some in (tokens, other))
    assert (states != changed).any(-1)[0].nonzero().flatten().tolist() == list(range(8))


def test_a_reader_of_another_vocabulary_is_refused(reader, tokenizer, tmp_path):
    reader.embedding = torch.nn.Embedding(7, 8)
    reader.save(tmp_path / "reader")
    with pytest.raises(ValueError, match="must have the 7 tokens"):
        PreferenceReader.load(tmp_path / "reader", tokenizer, DIMENSIONS)
