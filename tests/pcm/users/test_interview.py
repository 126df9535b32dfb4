from io import StringIO

import pytest
from rich.console import Console
from tastes import easier, learner, questions

from pcm.users.asking import next_pair
from pcm.users.interview import Interview, belief_table
from pcm.users.profile import Axis, Profile

POOL = questions(12)


class Typist:
    """Types what it was told, or what somebody would who wants it easy; then leaves."""

    def __init__(self, *keys):
        self.keys = list(keys)

    def __call__(self, prompt):
        if not self.keys:
            raise EOFError
        return self.keys.pop(0)


def interview(typist, profile=None, pool=POOL):
    saved = []
    console = Console(width=100, record=True, file=StringIO())
    talk = Interview(profile or Profile("ada"), learner(), pool, saved.append, console, typist)
    return talk, saved


class EasyLover:
    """Answers the question that is on the screen."""

    def __init__(self):
        self.talk = None

    def __call__(self, prompt):
        shown = self.talk.console.export_text(clear=False)
        asked = max(POOL, key=lambda question: max(shown.rfind(f" {question.left} "), shown.rfind(question.left)))
        return "1" if easier(asked) else "2"


def test_every_answer_is_kept_at_once_and_the_taste_found():
    lover = EasyLover()
    talk, saved = interview(lover)
    lover.talk = talk
    profile = talk.run(most=8)
    assert [len(kept.choices) for kept in saved] == list(range(1, 9))
    assert saved[-1] == profile
    assert profile.weights["easy"] == 1.0
    assert "easy" in talk.console.export_text()


def test_no_pair_is_asked_about_twice_not_even_another_day():
    talk, _ = interview(Typist(*["1"] * 7))
    first = talk.run()
    talk, _ = interview(Typist(*["1"] * 20), first)
    second = talk.run()
    pairs = {frozenset((choice.chosen, choice.rejected)) for choice in second.choices}
    assert len(pairs) == len(second.choices) == len(POOL)
    assert "nothing left to ask" in talk.console.export_text()


def test_an_answer_can_be_taken_back_and_a_question_passed():
    talk, saved = interview(Typist("1", "u", "u", "s", "2", "3", "what?", "q", "1"))
    profile = talk.run()
    assert [len(kept.choices) for kept in saved] == [1, 0, 1, 2]
    assert [choice.tie for choice in profile.choices] == [False, True]
    assert profile.choices[0].chosen_was_left is False
    said = talk.console.export_text()
    assert "no answer to take back" in said
    assert "that was 'what?'" in said


def test_a_pair_whose_answer_was_taken_back_is_asked_about_again():
    talk, _ = interview(Typist("1", "u", "2"))
    first = POOL[next_pair(talk.differences, learner().before, set())]
    (choice,) = talk.run().choices
    assert (choice.rejected, choice.chosen) == (first.left, first.right)


def test_the_bars_are_as_long_as_the_axes_that_can_be_asked_for():
    belief = {"easy": Axis(-0.5, 0.25), "quality": Axis(9.0, 1.0)}
    console = Console(width=60, record=True, file=StringIO())
    console.print(belief_table(Profile("ada", belief=belief), learner().axes))
    assert f"│{'█' * 10} hard" in console.export_text().replace("  ", " ")


def test_a_profile_that_went_on_is_the_one_learned_from_all_its_evidence():
    talk, _ = interview(Typist("1", "2", "1"))
    profile = interview(Typist("2", "3"), talk.run())[0].run()
    assert len(profile.choices) == 5
    again = learner().learned(profile)
    assert again.weights == profile.weights
    assert again.belief["easy"].mean == pytest.approx(profile.belief["easy"].mean, abs=1e-3)


def test_leaving_loses_nothing():
    def leave(prompt):
        raise KeyboardInterrupt

    talk, _ = interview(Typist("1", "2"))
    first = talk.run()
    talk, saved = interview(leave, first)
    assert talk.run().choices == first.choices
    assert saved == []
