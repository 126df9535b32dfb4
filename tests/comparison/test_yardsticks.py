import numpy as np
import pytest

from comparison.methods import Base
from comparison.scorers import Scores
from comparison.yardsticks import BestOf, Demonstrations, InContext, with_examples
from decoding.sampling import Sampling
from experts.miniature.corpus import Prompt
from mixture import Mixture

QUESTIONS = [[{"role": "user", "content": text}] for text in ("What is it?", "mountain")]
DRAWN = Sampling(temperature=1.0, max_new_tokens=5)


class Letters:
    """Likes answers with many letters where warmth is asked for, and few where brevity is."""

    def score(self, prompts, answers):
        lengths = np.array([float(len(text)) for text in answers])
        return Scores(np.ones(len(answers)), {"friendly": lengths, "concise": -lengths})


def test_the_best_of_several_answers_of_the_base_is_kept_for_each_question(mixture: Mixture):
    best = BestOf(mixture, Letters(), 4)
    long, short = (best.respond(QUESTIONS, (name,), DRAWN, 0) for name in ("friendly", "concise"))
    assert all(len(one) > len(other) for one, other in zip(long, short, strict=True))
    assert long == best.respond(QUESTIONS, ("friendly",), DRAWN, 0)
    assert long != best.respond(QUESTIONS, ("friendly",), DRAWN, 1)
    greedy = Sampling(temperature=0.0, max_new_tokens=5)
    assert best.respond(QUESTIONS, ("friendly",), greedy, 0) == Base(mixture).respond(QUESTIONS, (), greedy, 0)
    with pytest.raises(ValueError, match="at least 2 answers, got 1"):
        BestOf(mixture, Letters(), 1)


def test_examples_stand_in_front_of_the_question_and_behind_the_system_message():
    shown = with_examples([("Q1", "A1")], [{"role": "system", "content": "S"}, *QUESTIONS[0]])
    assert [turn["role"] for turn in shown] == ["system", "user", "assistant", "user"]
    assert [turn["content"] for turn in with_examples([("Q1", "A1")], QUESTIONS[0])] == ["Q1", "A1", "What is it?"]


def test_as_many_examples_are_shown_as_the_window_has_room_for(mixture: Mixture):
    """The first is the least important: it goes first."""
    pairs = [("A volcano?", "A mountain. " * 30), ("mountain", "be warm")]
    method = InContext(mixture, lambda asked: pairs, 5)
    greedy = Sampling(temperature=0.0, max_new_tokens=5)
    expected = Base(mixture).respond([with_examples(pairs[1:], one) for one in QUESTIONS], (), greedy, 0)
    assert method.respond(QUESTIONS, ("friendly",), greedy, 0) == expected


def test_demonstrations_are_the_best_answers_to_their_own_questions(mixture: Mixture):
    best = BestOf(mixture, Letters(), 3)
    prompts = [Prompt(messages, "") for messages in QUESTIONS]
    shown = Demonstrations(best, prompts, 5)(("friendly",))
    assert [question for question, _ in shown] == ["What is it?", "mountain"]
    assert [answer for _, answer in shown] == best.respond(QUESTIONS, ("friendly",), DRAWN, 0)
