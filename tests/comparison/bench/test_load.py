import pytest
import torch

from comparison.bench.engines import ENGINES
from comparison.bench.lineup import Material
from comparison.bench.load import Load, load_servers


@pytest.fixture(scope="module")
def load():
    return Load.random(requests=6, preferences=3, experts=3, each=2, tokens=(4, 5), vocabulary=64)


@pytest.fixture(scope="module")
def told(material: Material, load: Load):
    found, left_out = load_servers(material, load, ENGINES["eager"])
    assert not left_out
    return {server.name: server.answer(load) for server in found}


def test_preferences_are_different_and_spread_evenly(load):
    assert load.asked.sum(dim=1).tolist() == [2.0] * 6
    groups = load.groups()
    assert [experts for experts, _ in groups] == [(0, 1), (0, 2), (1, 2)]
    assert all(prompts.shape == (2, 4) for _, prompts in groups)
    assert torch.equal(torch.cat([prompts for _, prompts in groups]), load.prompts)


def test_a_load_that_cannot_be_spread_is_refused():
    with pytest.raises(ValueError, match="5 requests must share 2 of 3 preferences evenly"):
        Load.random(5, 2, 3, 2, (4, 4), 64)


def test_everybody_answers_every_request_in_full(told, load):
    assert len(told) == 4
    assert all(tokens.shape == (6, load.new_tokens) for tokens in told.values())


def test_soups_answer_the_same_swapped_resident_and_stacked(told):
    assert torch.equal(told["soups, resident"], told["soups, merge and swap"])
    assert torch.equal(told["soups, resident"], told["soups, stacked adapters"])
    assert not torch.equal(told["soups, resident"], told["mixture"])


def test_swapping_leaves_nothing_of_the_last_soup(material, load):
    swapped = next(s for s in load_servers(material, load, ENGINES["eager"])[0] if "swap" in s.name)
    assert torch.equal(swapped.answer(load), swapped.answer(load))


def test_a_mixture_answers_a_request_in_the_load_as_it_does_alone(material, load):
    ours = load_servers(material, load, ENGINES["eager"])[0][0]
    alone = Load(load.prompts[5:], load.asked[5:], load.new_tokens)
    assert torch.equal(ours.answer(alone)[0], ours.answer(load)[5])


def test_a_packed_swap_answers_like_a_dense_one(load):
    single = Material.random("tiny", torch.float32, torch.device("cpu"), experts=3)
    dense, packed = ({s.name: s for s in load_servers(single, load, ENGINES[e])[0]} for e in ("eager", "packed"))
    name = "soups, merge and swap"
    assert torch.equal(dense[name].answer(load), packed[name].answer(load))
