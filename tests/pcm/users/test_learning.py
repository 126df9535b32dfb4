import random
from dataclasses import replace

import pytest
from tastes import PROMPT, easier, learner, questions, score

from pcm.users.learning import doubts_about, two_sided
from pcm.users.profile import Profile
from pcm.users.question import questions_from


def test_a_taste_is_learned_from_the_choices_it_makes():
    choices = tuple(question.choice(easier(question)) for question in questions(12))
    profile = learner().learned(Profile("ada", choices))
    assert profile.weights == {"easy": 1.0}
    assert profile.belief["easy"].mean > 2 * profile.belief["easy"].deviation
    assert abs(profile.belief["quality"].mean) < 1
    assert profile.doubts == ()
    opposed = tuple(question.choice(1 - easier(question)) for question in questions(12))
    assert learner().learned(Profile("bob", opposed)).weights == {"easy": -1.0}


def test_somebody_who_answers_by_a_coin_gets_a_wide_belief_and_a_doubt():
    coin = random.Random(1)
    choices = tuple(question.choice(float(coin.random() < 0.5)) for question in questions(30))
    profile = learner().learned(Profile("coin", choices))
    assert profile.weights == {}
    assert profile.belief["easy"].deviation == 1.0
    assert "no better than chance" in profile.doubts[0]


def test_somebody_who_always_takes_the_left_one_is_doubted():
    profile = learner().learned(Profile("left", tuple(question.choice(1.0) for question in questions(10))))
    assert "the left answer was chosen 10 of 10 times" in profile.doubts
    assert profile.weights == {}


def test_ties_and_logs_say_nothing_about_sides():
    tied = [question.choice(0.5) for question in questions(20)]
    assert not any("answer was chosen" in doubt for doubt in doubts_about(tied, False))


def test_no_choices_leave_what_was_believed_before():
    profile = learner().learned(Profile("new"))
    assert profile.weights == {}
    assert profile.belief["easy"].mean == 0


def test_one_choice_is_enough_to_go_on_but_not_to_be_sure():
    (question,) = questions(1)
    profile = learner().learned(Profile("one", (question.choice(1.0),)))
    assert profile.doubts == ()
    assert profile.belief["easy"].deviation > 0.5


@pytest.mark.parametrize(("heads", "trials"), [(0, 6), (3, 6), (5, 6), (9, 10)])
def test_how_improbable_one_side_is_agrees_with_scipy(heads, trials):
    stats = pytest.importorskip("scipy.stats")
    assert two_sided(heads, trials) == pytest.approx(stats.binomtest(heads, trials).pvalue)


def test_an_answer_in_many_pairs_is_scored_once():
    seen = []

    def counting(prompts, answers):
        seen.extend(answers)
        return score(prompts, answers)

    pool = questions_from([(PROMPT, ["1 0", "2 0", "4 1"])])
    choices = [question.choice(1.0) for question in pool]
    found = replace(learner(), score=counting).differences(choices)
    assert sorted(seen) == ["1 0", "2 0", "4 1"]
    by_hand = [[float(question.left[0]) - float(question.right[0])] for question in pool]
    assert found[:, :1].tolist() == by_hand
