"""What a reader makes of a text, however well it was trained."""

import warnings

import pytest
import torch
from tiny_bundle import DIMENSIONS, hears

from decoding.dimension import Dimension
from pcm.reader.model import PreferenceReader


def test_quotation_marks_around_a_wish_change_nothing(reader):
    plain, *quoted = reader.probabilities(
        ["be warm, don't be rude", '"be warm, don\'t be rude"', "“be warm”, don't be rude"]
    )
    assert all(torch.equal(plain, other) for other in quoted)


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
