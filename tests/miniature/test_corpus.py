"""Splits that share nothing, preferences that say what they claim, an annotator who is noisy but not wrong."""

import hashlib
import json
import random
import re
from itertools import islice, product

import pytest

from experts.miniature import corpus
from experts.miniature.annotator import prefers_first
from experts.miniature.corpus import combinations, dialogues, preference, prompts, questions
from experts.miniature.judge import Verdict, judge
from experts.miniature.world import dimension_data, phrases, topics, wishes

DIMENSIONS = dimension_data()["dimensions"]


def words(text):
    return set(re.findall(r"[a-z']+", text.lower()))


def test_no_question_belongs_to_two_splits():
    splits = {
        name: {(topic.name, asked) for topic, asked in questions(name)} for name in ("train", "validation", "test")
    }
    assert len(splits["test"]) >= 200
    assert not splits["test"] & splits["train"]
    assert not splits["test"] & splits["validation"]
    assert not splits["validation"] & splits["train"]


def test_test_questions_are_never_asked_in_training_dialogues():
    asked = {
        message["content"]
        for dialogue in islice(dialogues(), 3000)
        for message in dialogue
        if message["role"] == "user"
    }
    held_out = {prompt.messages[-1]["content"] for prompt in prompts("test")}
    assert len(held_out & asked) == 0


def test_each_dimension_has_enough_phrasings_and_five_or_more_of_the_others():
    assert len(DIMENSIONS) == 6
    for entry in DIMENSIONS.values():
        assert len(set(entry["phrasings"])) >= 25
        assert all(len(set(entry[kind])) == len(entry[kind]) >= 5 for kind in ("development", "held_out"))
        assert entry["description"]


def texts(kind):
    """The phrasings of one kind, of all dimensions."""
    return [text for entry in DIMENSIONS.values() for text in entry[kind]]


@pytest.mark.parametrize(
    ("kind", "earlier"), [("development", ["phrasings"]), ("held_out", ["phrasings", "development"])]
)
def test_development_and_held_out_phrasings_are_new_constructions_of_known_words(kind, earlier):
    data = dimension_data()
    known = set().union(*map(words, [*texts("phrasings"), *data["frames"], *data["joiners"]]))
    others = [words(other) for one in earlier for other in texts(one)]
    for text in texts(kind):
        assert words(text) <= known, text
        assert max(len(words(text) & other) for other in others) <= len(words(text)) / 2, text


@pytest.mark.parametrize("kind", ["held_out", "unseen"])
def test_no_further_text_of_the_reader_shares_more_than_half_the_words_of_what_it_is_measured_on(kind):
    further = [words(wish.text) for wish in wishes()]
    for text in texts(kind):
        assert max(len(words(text) & other) for other in further) <= len(words(text)) / 2, text


def test_the_further_texts_are_many_and_each_is_new():
    said = [wish.text for wish in wishes()]
    assert len(set(said)) == len(said) > 4000
    assert set(said).isdisjoint(text for kind in corpus.PHRASINGS.values() for text in texts(kind))
    assert {name for wish in wishes() for name in wish.asked} == set(DIMENSIONS)
    assert {len(wish.asked) for wish in wishes()} == {0, 1, 2, 3}


def test_the_base_trains_on_the_dialogues_that_the_shipped_one_was_trained_on():
    """What is added for the reader alone must not reach the base, whose experts would have to be trained anew."""
    drawn = json.dumps(list(islice(dialogues(), 200)))
    assert hashlib.sha256(drawn.encode()).hexdigest().startswith("b542b8ff38d5f3e5")


def test_no_phrasing_is_of_two_splits_or_of_two_dimensions():
    everything = [text for kind in corpus.PHRASINGS.values() for text in texts(kind)]
    assert len(set(everything)) == len(everything)


def test_a_preference_contains_a_phrasing_of_everything_it_asks_for_and_nothing_held_out():
    rng = random.Random(0)
    for combination in combinations() * 10:
        found = preference(combination, rng)
        assert set(found.asked) == set(combination)
        for name in combination:
            assert any(text in found.text for text in DIMENSIONS[name]["phrasings"])
        assert not any(text in found.text for kind in ("development", "held_out") for text in texts(kind))


@pytest.mark.parametrize(
    ("split", "kind"), [("development", "development"), ("test", "held_out"), ("unseen", "unseen")]
)
def test_a_preference_of_a_split_is_made_of_its_phrasings_alone(split, kind):
    """What is left when they are taken out is a frame with joiners."""
    data, rng = dimension_data(), random.Random(0)
    left = {
        frame.format(f"{{}}{a}{{}}{b}{{}}") for frame in data["frames"] for a, b in product(data["joiners"], repeat=2)
    }
    for combination in combinations() * 10:
        text = preference(combination, rng, split=split).text
        for name in combination:
            part = max((one for one in DIMENSIONS[name][kind] if one in text), key=len)
            text = text.replace(part, "{}", 1)
        assert text in left


def test_a_preference_of_no_split_is_refused():
    with pytest.raises(ValueError, match="split must be one of train, development, test, unseen, got 'held_out'"):
        preference(("friendly",), random.Random(0), split="held_out")


def test_half_of_the_dialogues_start_with_a_preference():
    share = sum(dialogue[0]["role"] == "system" for dialogue in islice(dialogues(), 2000)) / 2000
    assert 0.45 < share < 0.55


def test_the_base_sees_three_in_five_preference_sentences_obeyed(monkeypatch):
    monkeypatch.setattr(corpus, "wish", lambda rng: ("unfriendly",))
    monkeypatch.setattr(corpus.Style, "draw", classmethod(lambda cls, rng: cls(tone=0.0)))  # friendly if it may choose
    preferred = [dialogue for dialogue in islice(dialogues(), 1200) if dialogue[0]["role"] == "system"]
    unfriendly = [tone_of(dialogue) > 0.5 for dialogue in preferred]
    assert 0.55 < sum(unfriendly) / len(unfriendly) < 0.65


def test_dialogues_are_single_questions_and_conversations_and_show_every_reserved_pole():
    answers = [
        [message["content"] for message in dialogue if message["role"] == "assistant"]
        for dialogue in islice(dialogues(), 1000)
    ]
    single = sum(len(said) == 1 for said in answers) / len(answers)
    assert 0.6 < single < 0.8
    sentences = [text for said in answers for text in said]
    hedges = [f"{hedge} " for register in phrases().hedges.values() for hedge in register]
    assert 0.02 < sum("!" in text for text in sentences) / len(sentences) < 0.5
    assert 0.02 < sum(any(hedge in text for hedge in hedges) for text in sentences) / len(sentences) < 0.5


def tone_of(dialogue):
    """How unfriendly the first answer of a dialogue is."""
    question, answer = (message["content"] for message in dialogue[1:3])
    _, topic = max((len(name), topic.name) for topic in topics() for name in topic.names if name in question)
    return judge(topic, answer).dimensions["unfriendly"]


def test_the_same_seed_gives_the_same_dialogues():
    assert list(islice(dialogues(seed=3), 5)) == list(islice(dialogues(seed=3), 5))
    assert list(islice(dialogues(seed=3), 5)) != list(islice(dialogues(seed=4), 5))


def test_the_annotator_prefers_the_better_answer_as_often_as_bradley_and_terry_say():
    rng = random.Random(0)
    better, worse = Verdict(1.0, {"friendly": 0.62}), Verdict(1.0, {"friendly": 0.5})
    share = sum(prefers_first(better, worse, "friendly", rng, noise=0.12) for _ in range(20_000)) / 20_000
    assert abs(share - 0.7311) < 0.01  # σ(1)


def test_equal_answers_are_a_coin_flip_for_the_annotator():
    rng = random.Random(0)
    same = Verdict(1.0, {"friendly": 0.5})
    share = sum(prefers_first(same, same, "quality", rng) for _ in range(10_000)) / 10_000
    assert abs(share - 0.5) < 0.02
