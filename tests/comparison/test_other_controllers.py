"""Controllers of other bundles answer as their own bundles do, over the experts that are compared."""

from dataclasses import replace
from pathlib import Path

import pytest
from tiny_bundle import tiny_controller

from comparison.methods import Mixed
from comparison.other_controllers import other_controllers
from decoding.sampling import Sampling
from mixture import Mixture

QUESTIONS = [[{"role": "user", "content": text}] for text in ("What is a volcano?", "mountain", "be kind")]
ASKED = ("friendly", "concise")
DRAWN = Sampling(max_new_tokens=12)


@pytest.fixture
def another(tiny_bundle: Path, tmp_path: Path) -> Path:
    """The tiny bundle with a controller of other numbers and another rule."""
    mixture = Mixture.load(tiny_bundle)
    replace(mixture, pcm=tiny_controller(32, seed=9), rule="logit").save(tmp_path / "another", {})
    return tmp_path / "another"


def test_another_bundles_controller_is_a_line_that_answers_as_that_bundle_does(tiny_bundle: Path, another: Path):
    (line,) = other_controllers(str(tiny_bundle), {"pcm-other": str(another)}, ["pcm-anchored"])
    assert line.name == "pcm-other"
    assert line.cost is not None
    assert line.cost.trained == ("experts", "pcm-other")
    method = line.make({})
    assert method.name.startswith("pcm-other@")
    found, ours, theirs = (
        one.respond(QUESTIONS, ASKED, DRAWN, 0)
        for one in (method, *(Mixed("", Mixture.load(folder)) for folder in (tiny_bundle, another)))
    )
    assert found == theirs != ours


@pytest.mark.parametrize("name", ["published", "pcm-anchored"])
def test_a_name_that_says_something_else_is_refused(tiny_bundle: Path, another: Path, name: str):
    with pytest.raises(ValueError, match=f"must begin with pcm- and be no other method's, got {name}"):
        other_controllers(str(tiny_bundle), {name: str(another)}, ["pcm-anchored"])


def test_without_a_bundle_there_is_nothing_to_control(another: Path):
    assert other_controllers(None, {}, []) == []
    with pytest.raises(ValueError, match="got base and experts of your own"):
        other_controllers(None, {"pcm-other": str(another)}, [])
