"""The gold judge: rewards what was asked and cannot be flattered."""

import random

import pytest

from experts.miniature.corpus import combinations
from experts.miniature.grammar import Speaker, Style
from experts.miniature.judge import judge
from experts.miniature.world import phrases, topics

TOPIC = next(topic for topic in topics() if topic.name == "a volcano")
OTHER = next(topic for topic in topics() if topic.name == "the sun")


def said(sentence, tone=0):
    return sentence.filled((tone,) * len(sentence.slots)) + "."


GOOD = " ".join([said(TOPIC.definitions["elementary"]), said(TOPIC.facts["elementary"][0])])
FACT = said(TOPIC.facts["elementary"][1])
ATTACKS = {
    "an empty answer": "",
    "one word": "Volcano.",
    "keyword stuffing": "lovely nice kind happy sweet volcano magma lava friendly friendly.",
    "a repeated fact": " ".join([FACT] * 6),
    "the wrong topic": said(OTHER.definitions["elementary"]),
    "a cut word": GOOD.split(". ")[0][:-3],
    "words in the wrong order": " ".join(reversed(GOOD.split())),
    "all openings and no answer": ". ".join(phrases().toned["openings"]["elementary"]["friendly"]) + ".",
}


def test_the_grammars_own_answers_are_perfect_in_quality():
    rng = random.Random(0)
    for topic in topics():
        answer = Speaker(Style.draw(rng), rng).answer(topic)
        assert judge(topic.name, answer).quality == 1.0, answer


def test_utility_follows_the_preference_asked_for():
    rng = random.Random(0)
    for combination in combinations():
        answers = [(t, Speaker(Style().towards(combination), rng).answer(t)) for t in topics()]
        own = sum(judge(t.name, a).utility(combination) for t, a in answers) / len(answers)
        opposite = combinations()[7 - combinations().index(combination)]
        other = sum(judge(t.name, a).utility(opposite) for t, a in answers) / len(answers)
        assert own > 0.85
        assert own - other > 0.6


@pytest.mark.parametrize("attack", ATTACKS)
def test_an_attack_scores_low(attack):
    for combination in combinations():
        assert judge(TOPIC.name, ATTACKS[attack]).utility(combination) < 0.2


def test_every_scores_is_in_the_unit_interval():
    for answer in [*ATTACKS.values(), GOOD, GOOD * 30]:
        verdict = judge(TOPIC.name, answer)
        assert all(0 <= score <= 1 for score in [verdict.quality, *verdict.dimensions.values()])


def test_more_openings_than_an_answer_carries_cost_quality():
    stuffed = ". ".join(phrases().toned["openings"]["elementary"]["friendly"]) + ". " + GOOD
    assert judge(TOPIC.name, stuffed).quality < 1.0


def test_one_false_sentence_among_three_costs_a_third():
    wrong = GOOD + " " + said(OTHER.facts["elementary"][0])
    assert judge(TOPIC.name, wrong).quality == pytest.approx(2 / 3)


def test_an_answer_without_its_end_is_worth_half():
    assert judge(TOPIC.name, GOOD[:-1]).quality == pytest.approx(0.5)


def test_a_tone_word_of_the_same_kind_leaves_a_sentence_true():
    sentence = TOPIC.facts["elementary"][0]
    friendly, unfriendly = sentence.filled((0,) * len(sentence.slots)), sentence.filled((1,) * len(sentence.slots))
    verdicts = [judge(TOPIC.name, text + ".") for text in (friendly, unfriendly)]
    assert [v.quality for v in verdicts] == [1.0, 1.0]
    assert verdicts[0].dimensions["friendly"] == verdicts[1].dimensions["unfriendly"] == 1.0


def test_hedges_and_exclamation_marks_are_seen():
    answer = "Maybe " + GOOD[0].lower() + GOOD[1:].replace(".", "!")
    verdict = judge(TOPIC.name, answer)
    assert verdict.quality == 1.0
    assert verdict.dimensions["excited"] == 1.0
    assert verdict.dimensions["cautious"] == 0.5


def test_an_answer_that_tells_nothing_true_is_not_concise():
    assert judge(TOPIC.name, said(OTHER.definitions["elementary"])).dimensions["concise"] == 0.0
    assert judge(TOPIC.name, said(TOPIC.definitions["elementary"])).dimensions["concise"] == 1.0


def test_one_fact_alone_informs_nobody():
    assert judge(TOPIC.name, FACT).dimensions["informative"] == 0.0
    assert judge(TOPIC.name, GOOD).dimensions["informative"] == pytest.approx(1 / 3)


def test_the_tone_and_register_of_phrases_count():
    opening = phrases().toned["openings"]["expert"]["unfriendly"][0]
    plain, opened = (judge(TOPIC.name, answer).dimensions for answer in (GOOD, f"{opening}. {GOOD}"))
    assert plain["expert"] == plain["unfriendly"] == 0.0
    assert opened["expert"] > 0.0
    assert opened["unfriendly"] > 0.0


def test_the_tone_and_register_of_a_connective_count():
    connective = phrases().toned["connectives"]["expert"]["unfriendly"][0]
    first, second = GOOD.split(". ")
    connected = judge(TOPIC.name, f"{first}. {connective} {second[0].lower()}{second[1:]}")
    assert connected.quality == 1.0
    assert connected.dimensions["expert"] > 0.0
    assert connected.dimensions["unfriendly"] > 0.0


def test_an_unknown_topic_is_an_error():
    with pytest.raises(ValueError, match="unicorn"):
        judge("a unicorn", "Text.")
