"""Costs that can be counted by hand."""

from pathlib import Path

from comparison.archive import Archive, Run
from comparison.costs import costs, peak_bytes, steps_behind
from comparison.methods import Base, Expert, Mixed
from comparison.soups import Kitchen, Soup
from experts.soup.recipes import RECIPES
from mixture import Mixture

QUESTION = [{"role": "user", "content": "What is a volcano?"}]
ASKED = ("friendly", "concise")


def test_a_controller_is_trained_beside_the_experts_and_a_soup_is_read_by_one(mixture: Mixture):
    found = costs(mixture)
    experts = sum(p.numel() for name in mixture.names for p in mixture.bank.parameters_of(name))
    assert mixture.pcm is not None
    controller = sum(p.numel() for p in mixture.pcm.parameters())
    assert found["soup"]["trained_parameters"] == found["mixture"]["trained_parameters"] == experts
    assert found["controlled"]["trained_parameters"] == experts + controller
    assert [found[kind]["readers"] for kind in ("base", "soup", "mixture")] == [1, 1, "1 + asked"]


def test_the_steps_behind_a_method_are_those_of_all_its_parts_or_unknown(mixture: Mixture):
    found = costs(mixture)
    known = {"experts": 1800, "controller": 1920}
    steps = {kind: steps_behind(cost, known) for kind, cost in found.items()}
    assert steps == {"base": 0, "soup": 1800, "mixture": 1800, "controlled": 3720}
    assert steps_behind(found["controlled"], {"experts": 1}) is None


def test_a_mixture_needs_more_memory_than_a_soup_and_a_soup_more_than_the_base(mixture: Mixture, tmp_path: Path):
    soup = Soup("soup", Kitchen(mixture), RECIPES["exact"])
    methods = [Base(mixture), Expert(mixture, "friendly"), Mixed("fixed", mixture.uniform()), Mixed("pcm", mixture)]
    archive = Archive(tmp_path, [QUESTION])
    found = [peak_bytes(method, Run(method.name, ASKED, 1.0, 0), archive) for method in (*methods, soup)]
    base, expert, fixed, controlled, souped = found
    weights = sum(p.numel() * p.element_size() for p in mixture.bank.base.parameters())
    assert weights < base < expert < fixed < controlled
    assert base < souped < fixed
    archive.note(Run("soup", ASKED, 1.0, 0), "bytes", 7)
    assert peak_bytes(soup, Run("soup", ASKED, 1.0, 0), archive) == 7
