import pytest
from tastes import DIMENSIONS

from pcm.users.evidence import OwnText
from pcm.users.hypotheses import hypothesis


def test_a_model_is_shown_the_texts_and_what_can_be_wished_for():
    asked = []

    def reply(message):
        asked.append(message)
        return ' "Keep it\n easy." '

    assert hypothesis([OwnText("I like bees."), OwnText("So do I.")], DIMENSIONS, reply) == "Keep it easy."
    assert "- I like bees.\n\n- So do I." in asked[0]
    assert "easy: Easy.; hard: Hard." in asked[0]


def test_nothing_is_made_of_nothing():
    with pytest.raises(ValueError, match="at least one text"):
        hypothesis([], DIMENSIONS, str)
    with pytest.raises(ValueError, match="got an empty reply"):
        hypothesis([OwnText("I like bees.")], DIMENSIONS, lambda message: ' "" ')
