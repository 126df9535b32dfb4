from pathlib import Path

import numpy as np
import pytest

import comparison
from comparison.scorers import GoldScorer, Scores
from experts.miniature.corpus import Prompt
from experts.miniature.world import TONES, topic_named

RAIN = Prompt([{"role": "user", "content": "What is the rain?"}], "the rain")


def said(register: str, tone: str) -> str:
    sentence = topic_named("the rain").definitions[register]
    text = sentence.filled((TONES.index(tone),) * len(sentence.slots))
    return text[0].upper() + text[1:] + "."


def test_utility_is_quality_times_the_mean_of_what_is_asked():
    scores = Scores(np.array([1.0, 0.5]), {"a": np.array([1.0, 0.8]), "b": np.array([0.0, 0.4])})
    assert scores.preference(["a", "b"]).tolist() == pytest.approx([0.5, 0.6])
    assert scores.utility(["a", "b"]).tolist() == pytest.approx([0.5, 0.3])
    assert scores.utility(["b"]).tolist() == pytest.approx([0.0, 0.2])
    assert scores.preference(["a", "b=0.25"]).tolist() == pytest.approx([0.8, (0.8 + 0.25 * 0.4) / 1.25])


def test_gold_knows_what_is_true_and_how_it_was_said():
    scorer = GoldScorer(["elementary", "expert", "unfriendly"])
    scores = scorer.score([RAIN] * 3, [said("elementary", "unfriendly"), said("expert", "friendly"), "xyz rain"])
    assert scores.quality.tolist() == [1.0, 1.0, 0.0]
    assert scores.dimensions["elementary"].tolist() == [1.0, 0.0, 0.0]
    assert scores.dimensions["expert"].tolist() == [0.0, 1.0, 0.0]
    assert scores.dimensions["unfriendly"].tolist() == [1.0, 0.0, 0.0]


def test_every_prompt_needs_one_answer():
    with pytest.raises(ValueError, match="zip"):
        GoldScorer(["expert"]).score([RAIN], ["one", "two"])


def test_only_the_scorers_know_the_gold_judge():
    room = Path(comparison.__file__).parent
    assert [path.name for path in room.rglob("*.py") if "miniature.judge" in path.read_text("utf-8")] == ["scorers.py"]
