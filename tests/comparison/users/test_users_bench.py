"""The bench on the shipped bundle: its world, its users' own texts, and all of it once in small."""

import json
import random
from pathlib import Path

import pytest
import torch

from comparison.users.bench import KINDS, bench
from comparison.users.simulated import User, writings
from comparison.users.world import World
from experts.miniature.corpus import prompts
from experts.miniature.grammar import Speaker, Style
from experts.miniature.judge import judge
from experts.miniature.world import topics

BUNDLE = Path(__file__).parents[3] / "bundles" / "miniature"


@pytest.fixture(scope="module")
def world():
    return World(BUNDLE)


def test_pairs_are_differences_of_answers_to_one_question(world):
    pairs = world.pairs("validation", answers=3, seed=0, most=4)
    assert 0 < len(pairs) <= 4 * 3
    assert pairs.true.shape[1] == len(world.axes.names) == pairs.features["axes"].shape[1]
    assert pairs.features["states"].shape[0] == len(pairs)
    assert (pairs.true.abs().sum(-1) > 0).all()
    again = world.pairs("validation", answers=3, seed=0, most=4)
    assert torch.equal(again.true, pairs.true)
    assert torch.equal(again.features["axes"], pairs.features["axes"])
    assert not torch.equal(world.pairs("validation", answers=3, seed=1, most=4).true[:1], pairs.true[:1])


def test_the_truth_is_the_judge_s(world):
    asked = prompts("validation")[:2]
    texts = [Speaker(Style(0.0, 0.0, 1.0), random.Random(0)).answer(topics()[0]), "Cut off in the"]
    places = world.truth(asked, texts)
    for place, prompt, text in zip(places, asked, texts, strict=True):
        verdict = judge(prompt.topic, text)
        assert float(place[-1]) == pytest.approx(verdict.quality)
        for axis, (pole, other) in enumerate(world.axes.poles):
            expected = (verdict.dimensions[pole] - verdict.dimensions[other]) / 2
            assert float(place[axis]) == pytest.approx(expected)


def test_users_write_as_they_like_to_be_answered(world):
    """A sign the wrong way round, and own texts would teach the opposite of every taste."""
    for axis, (pole, other) in enumerate(world.axes.poles):
        shares = []
        for sign in (2.0, -2.0):
            taste = torch.zeros(4, dtype=torch.float64)
            taste[axis] = sign
            texts = writings(User(taste), world.axes.poles, 30, random.Random(0))
            verdicts = [max((judge(topic.name, text) for topic in topics()), key=lambda v: v.quality) for text in texts]
            shares.append(sum(v.dimensions[pole] - v.dimensions[other] for v in verdicts) / 30)
        assert shares[0] > shares[1] + 0.5, pole


@pytest.mark.slow
def test_the_bench_runs_as_a_whole_and_finds_the_same_again(tmp_path):
    settings = {"users": 3, "log_users": 20, "seeds": 1, "ablations": 1, "questions": 10}
    for folder in ("first", "second"):
        bench(BUNDLE, tmp_path / folder, **settings)
    first, second = (json.loads((tmp_path / folder / "users.json").read_text()) for folder in ("first", "second"))
    assert first == second
    assert {"dimensions", "VPL", "LoRe", "PReF", "told the taste"} <= {*first["lines"]} | {
        name.removeprefix("dimensions, ") for name in first["lines"]
    }
    assert set(first["doubted"]) == set(KINDS)
    assert len(first["ablation"]) == 4
    assert set(first["followed"]["worth"]) == {
        "learned",
        "average",
        "true",
        "true, in words",
        "texts",
        "base",
        "examples",
    }
    assert (tmp_path / "first" / "users.png").stat().st_size > 10_000
    assert "| dimensions |" in (tmp_path / "first" / "users.md").read_text()
