"""A style is heard in what is said."""

import random

from experts.miniature.grammar import Speaker, Style
from experts.miniature.world import topics


def answers(style, count=40):
    rng = random.Random(0)
    return [Speaker(style, rng).answer(rng.choice(topics())) for _ in range(count)]


def test_who_is_excited_ends_in_exclamation_marks_and_nobody_else_does():
    calm, excited = " ".join(answers(Style(excited=0.0))), " ".join(answers(Style(excited=1.0)))
    assert calm.count(".") > 40
    assert calm.count("!") == 0
    assert excited.count("!") > 40
    assert excited.count(".") == 0


def test_a_style_stays_as_it_is_where_nothing_is_asked_of_it():
    style = Style(register=0.3, length=0.6, tone=0.1, excited=0.2, cautious=0.4)
    assert style.towards(()) == style
    assert style.towards(("excited",), strength=0.9) == Style(0.3, 0.6, 0.1, 0.9, 0.4)
