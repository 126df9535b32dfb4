import pytest

from evaluation.texts import distinct_n, grade_level, self_bleu, type_token_ratio, words


def test_words_are_small_and_keep_their_apostrophes():
    assert words("It's RAIN, isn’t it?") == ["it's", "rain", "isn’t", "it"]


def test_distinct_n_grams_do_not_go_across_texts():
    assert distinct_n(["a b a b", "b a"], 1) == pytest.approx(2 / 6)
    assert distinct_n(["a b a b", "b a"], 2) == pytest.approx(2 / 4)
    assert distinct_n(["a", "b"], 2) == 0.0
    with pytest.raises(ValueError, match="at least 1, got 0"):
        distinct_n(["a"], 0)


def test_texts_that_are_all_alike_have_self_bleu_one_and_strangers_little():
    assert self_bleu(["the rain falls down here"] * 3) == pytest.approx(1.0)
    assert self_bleu(["a b c d", "e f g h"]) == pytest.approx((0.5 / 4 * 0.5 / 3 * 0.5 / 2 * 0.5 / 1) ** 0.25)
    with pytest.raises(ValueError, match="at least two texts, got 1"):
        self_bleu(["a"])


def test_bleu_clips_what_is_said_too_often_and_penalises_what_is_short():
    assert self_bleu(["a a a a", "a b c d"], n=1) == pytest.approx((1 / 4 + 1 / 4) / 2)
    assert self_bleu(["a a", "a b", "a c"], n=1) == pytest.approx(1 / 2)  # no reference has more than one a
    short, long = 1.0 * 2.718281828459045 ** (1 - 4 / 2), 2 / 4
    assert self_bleu(["a b", "a b c d"], n=1) == pytest.approx((short + long) / 2)


def test_long_words_in_long_sentences_are_harder():
    assert grade_level("The cat sat.") == pytest.approx(0.39 * 3 + 11.8 - 15.59)
    assert grade_level("Precipitation accumulates considerably.") > 15 > grade_level("It is wet. Go in.")
    assert grade_level("") == 0.0


def test_repeating_oneself_lowers_the_share_of_different_words():
    assert type_token_ratio("rain and rain and Rain") == pytest.approx(2 / 5)
    assert type_token_ratio("…") == 0.0
