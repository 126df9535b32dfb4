"""Every line of a comparison is what its name says, whatever settings are chosen for it."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from comparison.archive import Archive
from comparison.decoding import Decoded, answers_together
from comparison.lineup import Tempered, keyed, lineup
from comparison.methods import Mixed
from comparison.soups import Kitchen, Soup
from comparison.spared import RandomGate
from comparison.static import StaticSoup
from decoding.rules import RULES, uniform_log_weights
from decoding.sampling import Sampling
from experts.soup.recipes import RECIPES
from mixture import Mixture
from pcm.gate.head import Gate

SOUPS = ["soup-uniform", "soup-best", "soup-ties", "soup-dare", "soup-factors"]
QUESTIONS = [[{"role": "user", "content": text}] for text in ("What is a volcano?", "mountain")]
GREEDY = Sampling(temperature=0.0, max_new_tokens=8)


def lines(mixture: Mixture, static: StaticSoup | None = None):
    return lineup(mixture, lambda asked, rng: "be warm", lambda asked, rng: "be warm", None, None, static)


def test_a_bundle_is_compared_in_all_its_lines_and_own_models_in_those_they_have(mixture: Mixture):
    experts = [f"expert-{name}" for name in mixture.names]
    soups = [name + suffix for name in SOUPS for suffix in ("", "-prompted")]
    fixed = [*(f"fixed-{name}" for name in RULES), "fixed-uniform-prompted", "fixed-uniform-tempered", "fixed-best"]
    own = ["base", "prompt-preference", *experts, *soups, "soup-uniform-tempered", *fixed]
    controlled = ["pcm-anchored", "pcm-anchored-prompted", "pcm-text", "pcm-text-prompted"]
    assert [entry.name for entry in lines(replace(mixture, pcm=None, reader=None))] == own
    assert [entry.name for entry in lines(mixture)] == [*own, *controlled]
    assert all(entry.note and entry.cost for entry in lines(mixture))


def test_the_lines_that_are_asked_in_held_out_words_rehearse_in_other_ones(mixture: Mixture):
    spoken = lineup(mixture, lambda asked, rng: "be warm", lambda asked, rng: "grumpy", None, None)[-2:]
    assert [entry.name for entry in spoken] == ["pcm-text", "pcm-text-prompted"]
    for entry, told in zip(spoken, (False, True), strict=True):
        assert entry.rehearse is not None
        asked, rehearsed = entry.make({}), entry.rehearse({})
        assert asked.phrase(("friendly",), None) == "grumpy"
        assert rehearsed.phrase(("friendly",), None) == "be warm"
        assert (asked.told, rehearsed.told) == (told, told)
        assert len({asked.name, rehearsed.name}) == 2


def test_a_mixture_with_a_gate_is_compared_with_a_budget_and_with_a_gate_that_knows_nothing(mixture: Mixture):
    names = [entry.name for entry in lines(replace(mixture, gate=Gate(32)))]
    assert names[-4:-1] == ["pcm-budget-0.3", "pcm-budget-0.3-random", "pcm-text"]
    held = replace(mixture, gate=Gate(32), cap=0.1, safe="friendly")  # then no expert may be left out
    assert [name for name in names if name not in {one.name for one in lines(held)}] == names[-4:-2]
    random = RandomGate(32)
    states = torch.randn(4000, 32, generator=torch.Generator().manual_seed(0))
    opened = random(states, *[torch.zeros(4000)] * 3) > random.threshold(0.3)
    assert float(opened.float().mean()) == pytest.approx(0.3, abs=0.03)
    rounded = states * (1 + 1e-6)
    assert ((random(rounded, *[torch.zeros(4000)] * 3) > random.threshold(0.3)) == opened).all()


def test_a_controller_gives_a_static_soup_where_there_are_questions_to_average_over(mixture: Mixture, tmp_path: Path):
    names = [entry.name for entry in lines(mixture, StaticSoup(mixture, Archive(tmp_path, QUESTIONS), 16))]
    assert [name for name in names if name not in {one.name for one in lines(mixture)}] == ["static-pcm"]


def test_other_settings_have_another_name_so_that_no_answers_are_mistaken(mixture: Mixture):
    for entry in lines(mixture):
        names = {entry.make(dict(entry.start)).name}
        for setting, values in entry.grid.items():
            names |= {entry.make(entry.start | {setting: value}).name for value in values}
        assert len(names) == 1 + sum(len(set(values) - {1.0}) for values in entry.grid.values()), entry.name
    assert keyed("soup", {"share cold": 0.5, "scale": 2.0}) == "soup@scale=2_share-cold=0.5"
    assert keyed("base", {}) == "base"


def test_scale_and_shares_are_the_weights_of_the_best_soup(mixture: Mixture):
    best = next(entry for entry in lines(mixture) if entry.name == "soup-best")
    soup = best.make(best.start | {"scale": 3.0, "share concise": 0.5})
    assert isinstance(soup, Soup)
    assert soup.weights(("friendly", "concise")) == {"friendly": 1.5, "concise": 0.75}
    assert soup.weights(("friendly=0.5", "concise")) == {"friendly": 0.75, "concise": 0.75}
    assert best.soup is not None
    found = best.soup(best.start).checked([("friendly", "concise"), ("unfriendly", "concise")])
    assert found.error < 1e-5
    assert found.promised


def test_the_best_fixed_mixture_is_the_uniform_one_until_a_scale_or_a_share_is_chosen(mixture: Mixture):
    best = next(entry for entry in lines(mixture) if entry.name == "fixed-best")
    generator = torch.Generator().manual_seed(0)
    base = torch.randn(5, generator=generator).log_softmax(-1)  # (V,)
    experts = torch.randn(len(mixture.names), 5, generator=generator).log_softmax(-1)  # (K, V)
    asked = torch.tensor([float(name in ("friendly", "concise")) for name in mixture.names])  # (K,)
    plain, tuned = (
        best.make(best.start | settings).mixture.rule(base, experts, uniform_log_weights(asked))
        for settings in ({}, {"scale": 3.0, "share concise": 0.5})
    )
    friendly, concise = (experts[mixture.names.index(name)] - base for name in ("friendly", "concise"))
    torch.testing.assert_close(plain, (base + 0.5 * friendly + 0.5 * concise).log_softmax(-1))
    torch.testing.assert_close(tuned, (base + 1.5 * friendly + 0.75 * concise).log_softmax(-1))


def test_every_soup_answers_otherwise_than_the_others_and_as_before_after_them(mixture: Mixture):
    """All share one pot: what stood in it for another method must not be served."""
    by_name = {entry.name: entry for entry in lines(mixture)}
    answers = {}
    for name in [*SOUPS, *SOUPS]:
        method = by_name[name].make(by_name[name].start | ({"scale": 3.0} if name == "soup-best" else {}))
        found = tuple(method.respond(QUESTIONS, ("friendly", "concise"), GREEDY, 0))
        assert answers.setdefault(name, found) == found
    assert len(set(answers.values())) == len(SOUPS)


def test_under_all_preferences_together_every_method_answers_as_under_each(mixture: Mixture, tmp_path: Path):
    preferences = [("friendly", "concise"), ("unfriendly", "concise"), ("friendly",)]
    for entry in lines(mixture, StaticSoup(mixture, Archive(tmp_path, QUESTIONS), 16)):
        method = entry.make(entry.start)
        if isinstance(method, Decoded) and method.listens:
            together = answers_together(method.requests(QUESTIONS, preferences, 0), GREEDY)
            assert together == [method.respond(QUESTIONS, asked, GREEDY, 0) for asked in preferences], entry.name


def test_a_prompted_soup_reads_the_preference_too(mixture: Mixture):
    by_name = {entry.name: entry.make(entry.start) for entry in lines(mixture) if entry.name.startswith("soup-uniform")}
    in_front = [[{"role": "system", "content": "be warm"}, *one] for one in QUESTIONS]
    prompted = by_name["soup-uniform-prompted"].respond(QUESTIONS, ("friendly", "concise"), GREEDY, 0)
    assert prompted == by_name["soup-uniform"].respond(in_front, ("friendly", "concise"), GREEDY, 0)


@pytest.mark.parametrize("tempering", [0.5, 1.0])
def test_a_tempered_method_is_the_same_method_cooler(mixture: Mixture, tempering: float):
    plain, asked = Mixed("pcm", mixture), ("friendly",)
    method = Tempered("cool", plain, tempering)
    assert method.listens
    kitchen = Kitchen(mixture)
    kitchen.room = 3
    assert Tempered("cool", Soup("soup", kitchen, RECIPES["exact"]), tempering).at_once == 3
    cooler = plain.respond(QUESTIONS, asked, Sampling(0.8 * tempering, max_new_tokens=8), 3)
    assert method.respond(QUESTIONS, asked, Sampling(0.8, max_new_tokens=8), 3) == cooler
