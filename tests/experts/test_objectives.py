import json

import pytest
import torch
from tiny_exam import END, PAD, CountingRewards, tiny_exam

from experts.exam import Exam
from experts.miniature.corpus import POLES, preferred_prompts, prompts
from experts.objectives import chosen, needed, require_held, shares
from experts.prompts import read_asked

REWARDS = ["ant", "bee", "cat", "quality"]


def test_every_reward_but_quality_has_an_expert_of_its_own_unless_objectives_say_otherwise():
    assert chosen(None, REWARDS, None) == {"ant": ("ant",), "bee": ("bee",), "cat": ("cat",)}
    assert list(chosen(None, REWARDS, ["cat"])) == ["cat"]
    both = {"ant+bee": ["ant", "bee"], "all": []}
    assert chosen(both, REWARDS, None) == both
    assert chosen(both, REWARDS, ["all"]) == {"all": []}
    with pytest.raises(ValueError, match=r"got none for \['dog'\]; there are \['ant', 'bee', 'cat'\]"):
        chosen(None, REWARDS, ["dog"])
    with pytest.raises(ValueError, match="at least one reward"):
        chosen(None, [], None)


def test_only_rewards_that_pay_somebody_are_needed_and_quality():
    assert needed({"bee": ("bee",)}, REWARDS, [()]) == ["bee", "quality"]
    assert needed({"both": ("cat", "ant")}, REWARDS, [()]) == ["ant", "cat", "quality"]
    assert needed({"any": ()}, REWARDS, [["bee"], ["ant"]]) == ["ant", "bee", "quality"]
    assert needed({"mine": ("mine",)}, ["mine"], [()]) == ["mine"]
    assert needed({"bee": ("bee",)}, REWARDS, [()], {"bee": ["ant"], "other": ["cat"]}) == ["ant", "bee", "quality"]
    with pytest.raises(ValueError, match=r"made of the rewards \['ant', .* got \['dog'\]"):
        needed({"both": ("ant", "dog")}, REWARDS, [()])
    with pytest.raises(ValueError, match=r"to pay \['any'\], got nothing in row 2"):
        needed({"any": ()}, REWARDS, [["ant"], []])


@pytest.mark.parametrize(
    ("held", "complaint"),
    [
        ({"dog": ["ant"]}, "held must name experts among ant, bee, cat, got 'dog'"),
        ({"ant": ["dog"]}, "ant must be held to rewards among ant, bee, cat, quality, got dog"),
        ({"ant": ["bee", "ant"]}, "ant must not be held to what it is paid for, got ant"),
    ],
)
def test_an_expert_is_not_held_to_what_is_not_there_or_pays_it(held, complaint):
    require_held({"ant": ["bee"]}, None, REWARDS)
    with pytest.raises(ValueError, match=complaint):
        require_held(held, None, REWARDS)


def test_shares_are_even_and_follow_the_prompt_where_nothing_is_said():
    found = shares({"both": ("ant", "cat"), "any": ()}, REWARDS, [["bee"], ["ant", "bee"]])
    assert found.tolist() == [[[0.5, 0, 0.5, 0], [0.5, 0, 0.5, 0]], [[0, 1, 0, 0], [0.5, 0.5, 0, 0]]]


def marks(exam):
    generators = [torch.Generator().manual_seed(number) for number in range(len(exam.bank.names))]
    return exam.sit(torch.tensor([0, 3, 4]), generators)


def test_a_specialist_is_paid_the_mean_of_its_rewards():
    """The same answers under three objectives: the specialist's mark is the mean of the others'."""
    exam = tiny_exam(["ant", "bee", "cat"], quality_weight=0.5)
    own = []
    for paid in (["ant"], ["cat"], ["ant", "cat"]):
        objectives = dict.fromkeys(exam.bank.names, paid)
        parts = shares(objectives, CountingRewards.names, [()] * len(exam.prompts))
        arguments = {"shares": parts, "quality_weight": 0.5, "least_budget": 6, "most_budget": 10}
        own.append(marks(Exam(exam.bank, exam.rewards, exam.references, exam.prompts, END, PAD, **arguments)))
    ant, cat, both = own
    assert torch.equal(ant.tokens, both.tokens)
    assert not torch.allclose(ant.own, cat.own)
    torch.testing.assert_close(both.own, (ant.own + cat.own) / 2, rtol=1e-6, atol=1e-7)
    torch.testing.assert_close(both.total - both.own, ant.total - ant.own)


def test_an_expert_s_own_dimension_is_what_pays_it_where_nothing_else_is_said():
    exam = tiny_exam(["ant", "bee"])
    assert torch.equal(exam.shares, shares({"ant": ("ant",), "bee": ("bee",)}, CountingRewards.names, [()] * 6))
    with pytest.raises(ValueError, match=r"for experts, prompts and rewards \(2, 6, 4\), got \(1, 6, 4\)"):
        Exam(exam.bank, exam.rewards, exam.references, exam.prompts, END, PAD, shares=exam.shares[:1])


def test_what_prompts_ask_for_is_read_from_their_file(tmp_path):
    rows = [{"messages": [{"role": "user", "content": "Why?"}], "asked": ["ant"]}, {"messages": [], "topic": "x"}]
    (tmp_path / "prompts.jsonl").write_text("\n".join(map(json.dumps, rows)))
    assert read_asked(tmp_path / "prompts.jsonl") == [["ant"], []]


def test_preferred_prompts_are_the_training_prompts_behind_what_they_ask_for():
    plain, preferred = prompts("train"), preferred_prompts("train")
    assert [one.messages for one in plain] == [one.messages[1:] for one in preferred]
    assert {one.messages[0]["role"] for one in preferred} == {"system"}
    assert len({one.asked for one in preferred}) == 8
    for one in preferred[:50]:
        assert all(sum(pole in one.asked for pole in axis) == 1 for axis in POLES.values())
