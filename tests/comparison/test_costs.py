"""Costs that can be counted by hand."""

from pathlib import Path

from comparison.archive import Archive, Run
from comparison.costs import Cost, costs, measured
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
    assert found["soup"].trained_parameters == found["mixture"].trained_parameters == experts
    assert found["controlled"].trained_parameters == found["static"].trained_parameters == experts + controller
    assert [found[kind].readers for kind in ("base", "soup", "static", "mixture")] == ["1", "1", "1", "1 + asked"]


def test_the_steps_behind_a_method_are_those_of_all_its_parts_or_unknown(mixture: Mixture):
    known = {"experts": 1800, "controller": 1920}
    steps = {kind: cost.steps(known) for kind, cost in costs(mixture).items()}
    assert (steps["base"], steps["soup"], steps["controlled"]) == (0, 1800, 3720)
    assert [kind for kind, count in steps.items() if count is None] == ["chosen", "spared", "spoken"]


def test_what_has_one_reader_costs_what_the_base_costs_and_a_mixture_more(mixture: Mixture, tmp_path: Path):
    archive, kinds = Archive(tmp_path, [QUESTION]), costs(mixture)
    soup = Soup("soup", Kitchen(mixture), RECIPES["exact"])
    lines = [(Base(mixture), "base"), (Expert(mixture, "friendly"), "soup"), (soup, "soup")]
    lines += [(Mixed("fixed", mixture.uniform()), "mixture"), (Mixed("pcm", mixture), "controlled")]
    found = [measured(method, kinds[kind], Run(method.name, ASKED, 1.0, 0), archive) for method, kind in lines]
    base, expert, souped, fixed, controlled = (one["peak_bytes"] for one in found)
    weights = sum(p.numel() * p.element_size() for p in {*mixture.bank.base.parameters()})
    assert weights < base == expert == souped < fixed < controlled
    assert all(one["milliseconds_per_token"] > 0 for one in found)


def test_what_was_measured_stays(mixture: Mixture, tmp_path: Path):
    archive, run = Archive(tmp_path, [QUESTION]), Run("base", (), 1.0, 0)
    first = measured(Base(mixture), Cost("1", 0, "0"), run, archive)
    assert measured(Base(mixture), Cost("1", 0, "0"), run, archive) == first
    archive.note(run, "cost", {"peak_bytes": 7})
    assert measured(Base(mixture), Cost("1", 0, "0"), run, archive) == {"peak_bytes": 7}
