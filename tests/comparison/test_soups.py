"""A kitchen's soups: one that is only larger is not cooked anew, and is the same as if it were."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import replace

import pytest
import torch

from comparison.soups import Kitchen
from experts.bank import ExpertBank
from experts.soup.recipes import RECIPES, Cooked, Recipe
from mixture import Mixture

WEIGHTS = {"friendly": 0.5, "concise": -0.25}


@pytest.mark.parametrize("name", RECIPES)
def test_a_larger_soup_is_the_smaller_one_and_not_cooked_anew(mixture: Mixture, name: str):
    kitchen, cooked = Kitchen(mixture), Counter[float]()
    recipe = counting(RECIPES[name], cooked)
    assert_same(kitchen.cooked(recipe, WEIGHTS), recipe.cook(mixture.bank, WEIGHTS))
    cooked.clear()
    for size in (0.1, 1.0, 3.0):
        larger = {name: size * weight for name, weight in WEIGHTS.items()}
        assert_same(kitchen.cooked(recipe, larger), RECIPES[name].cook(mixture.bank, larger))
    assert not cooked


def test_other_shares_and_other_recipes_are_other_soups(mixture: Mixture):
    kitchen, cooked = Kitchen(mixture), Counter[float]()
    recipe = counting(RECIPES["exact"], cooked)
    for weights in (WEIGHTS, {"friendly": 0.5, "concise": 0.25}, {"friendly": 0.5}, {"friendly": -2.0}):
        assert_same(kitchen.cooked(recipe, weights), RECIPES["exact"].cook(mixture.bank, weights))
    assert_same(kitchen.cooked(RECIPES["ties"], WEIGHTS), RECIPES["ties"].cook(mixture.bank, WEIGHTS))
    assert cooked.total() == 4
    with pytest.raises(ValueError, match="at least one weight that is not zero"):
        kitchen.cooked(recipe, {"friendly": 0.0})


def test_a_kitchen_keeps_no_more_than_it_has_room_for(mixture: Mixture):
    kitchen, cooked = Kitchen(mixture), Counter[float]()
    kitchen.room = 2
    recipe = counting(RECIPES["exact"], cooked)
    for share in (1.0, 2.0, 3.0, 1.0, 3.0):
        kitchen.cooked(recipe, {"friendly": 1.0, "concise": 1 / share})
    assert cooked == {1.0: 2, 1 / 2: 1, 1 / 3: 1}


def counting(recipe: Recipe, cooked: Counter[float]) -> Recipe:
    """The recipe, which counts how often it was cooked with each smallest weight."""

    def cook(bank: ExpertBank, weights: Mapping[str, float]) -> Cooked:
        cooked[min(weights.values())] += 1
        return recipe.cook(bank, weights)

    return replace(recipe, cook=cook)


def assert_same(one: Cooked, other: Cooked):
    """Both are the same update: factors may be apart by a factor."""
    assert one[0] == other[0]
    updates = []
    for config, state in (one, other):
        downs = {key.removesuffix(".lora_A.weight"): factor for key, factor in state.items() if ".lora_A." in key}
        scale = config.alpha / config.rank
        updates.append(torch.cat([(scale * state[f"{m}.lora_B.weight"] @ down).flatten() for m, down in downs.items()]))
    assert updates[1].abs().max() > 1e-4 or updates[1].eq(0).all()
    assert torch.allclose(updates[0], updates[1], atol=1e-6)


def test_a_soup_has_no_cap_since_a_merged_model_has_nobody_to_be_held_near_to(mixture: Mixture):
    for safe in (None, "friendly"):
        soup = Kitchen(replace(mixture, cap=0.1, safe=safe)).serve(RECIPES["exact"], [WEIGHTS])
        assert (soup.cap, soup.safe) == (None, None)
