"""A reader learns from examples what a text asks for."""

import itertools
import json

import pytest
import torch
from tiny_bundle import DIMENSIONS
from transformers import PreTrainedTokenizerBase

from decoding.dimension import Dimension
from pcm.reader.batches import OWN, SORTED, Batches, Example, shared
from pcm.reader.model import PreferenceReader
from pcm.reader.training import calibrate, exact_sets, read_examples, targets_of, train_reader

PHRASES = {
    "friendly": ["be warm", "a warm tone", "be kind"],
    "unfriendly": ["be rude", "a cold tone", "be cold"],
    "concise": ["be short", "a short answer"],
}


def examples(*counts: int) -> list[Example]:
    """All phrases of one dimension, and joined ones of as many dimensions as each count says."""
    single = [(phrase, name) for name, phrases in PHRASES.items() for phrase in phrases]
    chosen = [several for count in counts for several in itertools.combinations(single, count)]
    return [
        Example(" and ".join(phrase for phrase, _ in several), frozenset(name for _, name in several))
        for several in chosen
    ]


def drawn(tokenizer: PreTrainedTokenizerBase, given: list[Example], **settings: int) -> Batches:
    return Batches(tokenizer, DIMENSIONS, given, seed=0, **settings)


NOTHING = [Example(text, frozenset()) for text in ("what is a volcano?", "thank you", "a mountain opens")]


@pytest.fixture(scope="module")
def trained(tokenizer: PreTrainedTokenizerBase) -> PreferenceReader:
    return train_reader(tokenizer, DIMENSIONS, [*examples(1), *NOTHING], [], seed=0, steps=120)


def test_a_reader_learns_which_dimensions_a_text_asks_for(trained):
    reader = trained
    assert exact_sets(reader, [*examples(1), *NOTHING]) == 1.0
    assert exact_sets(reader, [Example("a short warm tone", frozenset({"concise", "friendly"}))]) == 1.0


def test_training_depends_on_its_seed_alone_and_leaves_the_global_generator_alone(tokenizer):
    before = torch.get_rng_state()
    readers = [train_reader(tokenizer, DIMENSIONS, examples(1), [], seed=seed, steps=2) for seed in (0, 0, 1)]
    assert torch.equal(before, torch.get_rng_state())
    weights = [reader.embedding.weight for reader in readers]
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])


def test_training_starts_from_the_words_of_a_language_model(tokenizer):
    words = torch.randn(len(tokenizer), 64, generator=torch.Generator().manual_seed(0))
    readers = [
        train_reader(tokenizer, DIMENSIONS, examples(1), [], embeddings=some, seed=0, steps=2) for some in (None, words)
    ]
    expected = readers[0]
    expected.start_from(words)
    torch.testing.assert_close(readers[1].embedding.weight, expected.embedding.weight, atol=0.05, rtol=0)


def test_words_that_one_dimension_has_for_itself_are_not_neutral():
    phrases = [(["be", "warm"], {0}), (["be", "cold"], {1}), (["be", "warm", "now,"], {0}), (["now", "both"], {0, 1})]
    assert shared((words, frozenset(asked)) for words, asked in phrases) == set()
    assert shared((words, frozenset(asked)) for words, asked in [*phrases, (["be", "rude", "now"], {1})]) == {
        "be",
        "now",
    }


def test_each_phrase_is_carried_by_the_word_that_others_with_its_wish_share(tokenizer):
    batches = drawn(tokenizer, [*examples(1), Example("thank you", frozenset())])
    found = {" ".join(batches.words[place]): batches.words[place][at] for place, at in batches.carriers.items()}
    assert found["a warm tone"] == found["be warm"] == "warm"
    assert found["be short"] == found["a short answer"] == "short"
    assert batches.neutral == ["a", "be", "tone"]  # "answer" is said of one dimension alone


def test_a_phrase_is_cut_down_to_the_word_that_carries_it(tokenizer):
    batches = drawn(tokenizer, examples(1))
    cuts = {tuple(batches.cut(1)) for _ in range(50)}  # a warm tone
    assert cuts == {("warm",), ("a", "warm"), ("warm", "tone"), ("a", "warm", "tone")}


def test_a_denied_phrase_asks_for_the_opposite_pole(tokenizer):
    batches = drawn(tokenizer, [Example("warm", frozenset({"friendly"}))])
    batches.random.seed(1)
    phrases = [batches.phrase() for _ in range(100)]
    assert {asked for words, asked in phrases if words == ["warm"]} == {frozenset({0})}
    denied = [(words, asked) for words, asked in phrases if words != ["warm"]]
    assert denied
    assert all(words[-1] == "warm" and asked == {1} for words, asked in denied)


def test_what_has_no_opposite_or_denies_already_or_is_long_is_never_denied(tokenizer):
    given = [
        Example("short", frozenset({"concise"})),
        Example("not warm", frozenset({"unfriendly"})),
        Example("what i want is this: be warm", frozenset({"friendly"})),
        Example("thank you", frozenset()),
    ]
    assert drawn(tokenizer, given).deniable == []


def test_words_that_nobody_knows_stand_alone_and_among_others_and_ask_for_nothing(tokenizer):
    batches = drawn(tokenizer, examples(1))
    known = {word for words in batches.words for word in words}
    phrases = [batches.phrase() for _ in range(2000)]
    strange = [word for words, asked in phrases if not asked for word in words if word not in known]
    assert len(strange) > 100
    assert all(4 <= len(word) <= 10 and set(word) <= set(batches.letters) for word in strange)
    assert any(known.isdisjoint(words) for words, asked in phrases if not asked)
    among = {asked for words, asked in phrases if words[0] in known and not known.issuperset(words)}
    assert among == {frozenset(), *batches.asked}


def test_joined_phrases_ask_for_the_union(tokenizer):
    batches = drawn(tokenizer, examples(1))
    sizes = {len(batches.text()[1]) for _ in range(200)}
    assert sizes == {0, 1, 2}  # neutral words alone ask for nothing


def test_invented_dimensions_are_asked_for_only_where_their_words_are_quoted(tokenizer):
    batch = drawn(tokenizer, examples(1), size=32, invented=3).draw()
    assert batch.targets.shape == (32, 3 + 3)
    asked = batch.targets[:, 3:]
    assert 0 < float(asked.mean()) < 0.2
    for text, dimension in asked.nonzero().tolist():
        own = set(batch.descriptions[3 + dimension, :OWN].tolist())
        assert own & set(batch.texts[text].tolist())


def test_the_texts_of_a_batch_are_of_like_lengths(tokenizer):
    batches = drawn(tokenizer, examples(1), size=8)
    dealt = [[len(row) for row, _ in batches.texts()] for _ in range(SORTED)]
    assert not batches.waiting
    dealt.sort()
    assert all(max(shorter) <= min(longer) for shorter, longer in itertools.pairwise(dealt))
    assert dealt[0][0] < dealt[-1][-1]


def test_calibration_flattens_a_reader_that_is_surer_than_right(trained):
    given, reader = examples(1), trained
    calibrate(reader, given)
    assert float(reader.temperature) == 1.0  # all right, and never made surer
    wrong = [Example(example.text, frozenset({"concise"})) for example in given]
    calibrate(reader, wrong)
    assert float(reader.temperature) > 2.0


def test_examples_come_from_lines_of_json(tmp_path):
    path = tmp_path / "examples.jsonl"
    path.write_text(json.dumps({"text": "be warm", "asked": {"friendly": 1.0, "concise": 0.0}}) + "\n")
    found = read_examples(path)
    assert found == [Example("be warm", frozenset({"friendly"}))]


def test_unknown_names_and_no_examples_are_refused(tokenizer):
    with pytest.raises(ValueError, match="got funny in 'be funny'"):
        train_reader(tokenizer, DIMENSIONS, [Example("be funny", frozenset({"funny"}))], [], seed=0, steps=1)
    with pytest.raises(ValueError, match="got none"):
        train_reader(tokenizer, DIMENSIONS, [], [], seed=0, steps=1)


def test_targets_stand_in_the_order_of_the_dimensions(tokenizer):
    reader = train_reader(
        tokenizer, (Dimension("b", "B."), Dimension("a", "A.")), [Example("a", frozenset({"a"}))], [], seed=0, steps=1
    )
    assert targets_of(reader, [Example("a", frozenset({"a"}))]).tolist() == [[False, True]]
