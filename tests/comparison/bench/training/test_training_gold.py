import numpy as np
import pytest
from scripted_gold import Counting
from tiny_bundle import TEXTS, tiny_bank
from transformers import AutoModelForCausalLM

from comparison.bench.training.gold import BASE, gold_claims, standings, worth, worths
from comparison.bench.training.timing import JOINT, TRL
from comparison.scorers import Scores
from experts.miniature.corpus import Prompt

QUESTIONS = [Prompt([{"role": "user", "content": text}], "") for text in TEXTS]


def numbers(*columns):
    return np.array(columns, dtype=float).T


def test_an_expert_is_read_in_its_own_dimension_alone():
    ant = Scores(np.array([0.1, 0.2]), {"ant": np.array([1.0, 0.9]), "bee": np.array([0.0, 0.0])})
    bee = Scores(np.array([0.3, 0.4]), {"ant": np.array([0.0, 0.0]), "bee": np.array([0.7, 0.6])})
    found = worth({"ant": ant, "bee": bee})
    assert found["own"].tolist() == [[1.0, 0.7], [0.9, 0.6]]
    assert found["quality"].tolist() == [[0.1, 0.3], [0.2, 0.4]]


def test_differences_are_paired_by_question():
    ours = {"own": numbers([0.1, 0.5, 0.9], [0.3, 0.7, 1.0]), "quality": numbers([0.2] * 3, [0.4] * 3)}
    theirs = {"own": ours["own"] - 0.05, "quality": ours["quality"] + 0.1}
    found = standings({JOINT: ours, TRL: theirs})
    minus = found[TRL]["own"]["joint_minus"]
    assert (minus["low"], minus["mean"], minus["high"]) == pytest.approx((0.05, 0.05, 0.05))  # though questions differ
    assert found[TRL]["quality"]["joint_minus"]["mean"] == pytest.approx(-0.1)
    assert found[JOINT]["own"]["mean"]["mean"] == pytest.approx(3.5 / 6)


def test_the_joint_experts_are_as_good_where_the_interval_reaches_zero():
    def entry(high):
        return {"joint_minus": {"mean": -0.1, "low": -0.3, "high": high}}

    found = {way: {"own": entry(0.01), "quality": entry(-0.01)} for way in (JOINT, TRL, BASE)}
    claims = gold_claims(found)
    assert [(line["claim"], line["holds"]) for line in claims] == [
        ("joint − trl, gold own", True),
        ("joint − trl, gold quality", False),
    ]


def test_adapters_from_folders_answer_and_the_same_ones_answer_alike(world, tmp_path):
    base = AutoModelForCausalLM.from_pretrained(world / "base")
    bank = tiny_bank(base)
    names = bank.names[:2]
    for name in names:
        bank.save(name, tmp_path / name)
    ours = {name: tmp_path / name for name in names}
    crossed = {names[0]: ours[names[1]], names[1]: ours[names[0]]}
    ways = {JOINT: ours, "again": ours, TRL: crossed}
    found = worths(str(world / "base"), ways, QUESTIONS, Counting(names), max_new_tokens=8, seed=0)
    assert list(found) == [BASE, JOINT, "again", TRL]
    assert all(read.shape == (len(QUESTIONS), 2) for worth in found.values() for read in worth.values())
    quality = {way: found[way]["quality"].tolist() for way in found}
    assert quality[JOINT] == quality["again"]
    assert quality[JOINT] != quality[TRL]
    assert quality[JOINT] != quality[BASE]
