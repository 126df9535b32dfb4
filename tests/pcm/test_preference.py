"""From a person's words or numbers to what is asked of each dimension."""

import pytest
import torch
from tiny_bundle import DIMENSIONS, hears

from pcm.intensity.curves import Intensities
from pcm.preference import Preference, asked_for, asked_weights, require_reader
from pcm.reader.model import PreferenceReader

NAMES = ["friendly", "unfriendly", "concise"]
OPPOSITES = ["unfriendly", "friendly", None]


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


def understands(reader: PreferenceReader, **texts: tuple[float, ...]) -> PreferenceReader:
    """The reader, made to give each text, a word, its probabilities."""
    reader.probabilities = lambda said: torch.tensor([texts[one] for one in said])  # type: ignore[method-assign]
    return reader


NOTHING = (0.0, 0.0, 0.0)


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        (Preference("brief", usual=Preference("hm")), [0.0, 0.0, 0.75]),
        (Preference(weights={"concise": 0.5}, usual=Preference("hm")), [0.0, 0.0, 0.5]),
        (Preference("brief", {"friendly": 0.25}, usual=Preference("hm")), [0.25, 0.0, 0.75]),
        (Preference("eh", usual=Preference("hm", {"concise": 0.5})), [0.0, 0.0, 0.5]),
    ],
)
def test_usual_words_that_ask_for_nothing_known_ask_for_nothing_beside_a_wish(reader, said, expected):
    heard = understands(reader, hm=NOTHING, eh=NOTHING, brief=(0.0, 0.0, 0.75))
    with pytest.warns(UserWarning, match="got") as warned:
        assert asked_for(said, DIMENSIONS, heard, Intensities()).tolist() == expected
    assert all("only what else is asked for is followed" in str(one.message) for one in warned)


def test_words_that_nobody_understands_ask_for_everything_alike_also_where_they_are_usual(reader):
    heard = understands(reader, hm=NOTHING, eh=NOTHING)
    for said, last in ((Preference(usual=Preference("hm")), "hm"), (Preference("eh", usual=Preference("hm")), "eh")):
        with pytest.warns(UserWarning, match="got") as warned:
            assert asked_for(said, DIMENSIONS, heard, Intensities()).tolist() == [1.0, 1.0, 1.0]
        assert f"got '{last}': all of them are mixed alike" in str(warned[-1].message)


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
