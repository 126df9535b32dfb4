from collections.abc import Sequence

import pytest
import torch
from torch import Tensor

from comparison.reading import NONSENSE, SPLITS, accuracies, alone, combined, exact_share, nonsense
from decoding.dimension import Dimension
from experts.miniature.corpus import PHRASINGS, combinations
from experts.miniature.world import dimension_data

ENTRIES = dimension_data()["dimensions"]


class Lookup:
    """Hears the phrasings of one split word for word; loses one dimension where it is told to."""

    def __init__(self, split: str, deaf_to: str = "") -> None:
        self.dimensions = [Dimension(name, entry["description"]) for name, entry in ENTRIES.items()]
        self.heard = {name: [] if name == deaf_to else entry[PHRASINGS[split]] for name, entry in ENTRIES.items()}

    def probabilities(self, texts: Sequence[str]) -> Tensor:
        heard = [[any(words in text for words in self.heard[one.name]) for one in self.dimensions] for text in texts]
        return torch.tensor(heard).float() * 0.5


def test_every_phrasing_is_read_in_every_frame():
    examples = list(alone(list(ENTRIES), "development"))
    assert len(examples) == len({text for text, _ in examples}) == 6 * 5 * 10
    assert ("please nice and kind words", frozenset({"friendly"})) in examples
    assert ("with warmth and care please", frozenset({"friendly"})) in alone(["friendly"], "test")


def test_combined_texts_ask_for_one_pole_of_each_axis():
    examples = list(combined(combinations(), "unseen", 3, seed=0))
    assert [asked for _, asked in examples[::3]] == [frozenset(one) for one in combinations()]
    assert examples == list(combined(combinations(), "unseen", 3, seed=0))


@pytest.mark.parametrize(("title", "split"), SPLITS.items())
def test_a_perfect_reader_is_always_right_on_what_it_knows(title: str, split: str):
    found = accuracies(Lookup(split), combinations(), per_preference=2)
    right = {title, NONSENSE}
    assert found == {one: dict.fromkeys(("alone", "combined"), float(one in right)) for one in (*SPLITS, NONSENSE)}
    assert list(found) == ["held-out", "development", "unseen", "random letters"]


def test_words_of_random_letters_ask_for_nothing():
    single, three = (list(nonsense(words, seed=0, count=50)) for words in (1, 3))
    assert all(text.isalpha() and 3 <= len(text) <= 9 and not asked for text, asked in single)
    assert {len(text.split()) for text, _ in three} == {3}
    eager = Lookup("test")
    eager.heard["friendly"] = [""]  # which every text holds
    assert exact_share(eager, single) == 0.0


def test_a_set_must_be_exact():
    """A reader that is deaf to one dimension of six misses it in half of the combinations."""
    found = accuracies(Lookup("test", deaf_to="expert"), combinations(), per_preference=4)
    assert found["held-out"] == {"alone": pytest.approx(5 / 6), "combined": 0.5}
    assert exact_share(Lookup("test"), [("with warmth and care", frozenset({"friendly", "expert"}))]) == 0.0
