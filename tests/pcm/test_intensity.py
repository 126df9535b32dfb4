"""Half a wish has half the effect: curves are one to one, and a bundle's are fitted, kept and used."""

import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from tiny_bundle import DIMENSIONS, tiny_mixture

from bundle import read_manifest
from experts.adapters import AdapterConfig
from experts.bank import ExpertBank
from experts.rewards import RewardModels
from mixture import Mixture
from pcm.intensity.__main__ import LEVELS, calibrate, main
from pcm.intensity.curves import Intensities
from pcm.intensity.fitting import curve_of
from pcm.preference import Preference

NAMES = [dimension.name for dimension in DIMENSIONS]
EARLY = Intensities({"friendly": (0.0, 0.1, 1.0)})  # half of the effect is reached at a tenth


@pytest.fixture(scope="module")
def rewarded_bundle(tiny_bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny bundle with a reward model for each dimension."""
    folder = tmp_path_factory.mktemp("rewarded")
    mixture = Mixture.load(tiny_bundle)
    torch.manual_seed(4)
    bank = ExpertBank(mixture.bank.base.base_model)
    for name in NAMES:
        bank.add(name, AdapterConfig(1, 2.0, ("q_proj",)))
        for parameter in bank.parameters_of(name):
            torch.nn.init.normal_(parameter)
    RewardModels(bank, {name: torch.randn(32) for name in NAMES}).save(folder / "rewards")
    mixture.save(folder / "bundle", {}, rewards=folder / "rewards")
    return folder / "bundle"


def test_half_a_wish_is_turned_into_what_has_half_the_effect():
    asked = EARLY.turned(torch.tensor([0.5, 0.5, 0.25]), NAMES)
    assert asked.tolist() == pytest.approx([0.1, 0.5, 0.25])
    assert EARLY.turned(torch.tensor([1.0, 0.0, 1.0]), NAMES).tolist() == [1.0, 0.0, 1.0]


def test_what_was_turned_can_be_turned_back():
    wished = torch.tensor([0.3, 0.6, 0.9])
    torch.testing.assert_close(EARLY.wished(EARLY.turned(wished, NAMES), NAMES), wished)


@pytest.mark.parametrize("curve", [(0.0, 1.0, 1.0), (0.1, 1.0), (0.0, 0.9), (0.0, 0.6, 0.5, 1.0), (1.0,)])
def test_a_curve_that_does_not_rise_from_nothing_to_all_is_refused(curve):
    with pytest.raises(ValueError, match=r"must rise from 0 to 1, got .* for 'friendly'"):
        Intensities({"friendly": curve})


def test_a_fitted_curve_makes_a_saturating_score_proportional_to_the_wish():
    levels = np.linspace(0, 1, 41)
    scores = 1 - np.exp(-5 * levels)
    fitted = Intensities({"friendly": curve_of(levels, scores, knots=17)})
    for share in (0.25, 0.5, 0.75):
        level = float(fitted.turned(torch.tensor([share]), ["friendly"]))
        assert (1 - math.exp(-5 * level)) / (1 - math.exp(-5)) == pytest.approx(share, abs=0.03)


def test_scores_that_fall_on_the_way_still_give_a_curve():
    curve = curve_of([0, 0.25, 0.5, 0.75, 1], [0.5, 0.7, 0.65, 0.66, 0.9])
    assert (curve[0], curve[-1]) == (0, 1)
    assert (np.diff(curve) > 0).all()


def test_where_asking_changes_nothing_a_wish_is_passed_on():
    assert curve_of([0, 0.5, 1], [0.5, 0.5, 0.4], knots=3) == (0, 0.5, 1)


@pytest.mark.parametrize(("levels", "scores"), [([0, 1], [0.5]), ([0.1, 1], [0, 1]), ([0, 0.5, 0.5, 1], [0, 0, 0, 1])])
def test_levels_that_do_not_rise_from_nothing_to_all_are_refused(levels, scores):
    with pytest.raises(ValueError, match="levels must rise from 0 to 1 with a score each"):
        curve_of(levels, scores)


def test_weights_are_translated_and_texts_are_not(tiny_bundle: Path):
    mixture = Mixture.load(tiny_bundle)
    spoken, halved = Preference(text="be kind"), Preference(weights={"friendly": 0.5, "concise": 0.5})
    before = mixture.asked(spoken)
    mixture.intensities = EARLY
    assert torch.equal(mixture.asked(spoken), before)
    assert mixture.asked(halved).tolist() == pytest.approx([0.1, 0.0, 0.5])


@pytest.mark.parametrize("preference", [Preference(text="be kind"), Preference(weights={"friendly": 0.5})])
def test_what_was_understood_asks_for_the_same_again(tiny_bundle: Path, preference):
    mixture = Mixture.load(tiny_bundle)
    mixture.intensities = EARLY
    asked = mixture.asked(preference)
    torch.testing.assert_close(mixture.asked(Preference(weights=mixture.understood(preference))), asked)


def test_a_bundle_keeps_its_curves_and_one_without_says_nothing_of_them(tmp_path: Path):
    mixture = tiny_mixture(tmp_path)
    mixture.save(tmp_path / "plain", {})
    assert "intensities" not in json.loads((tmp_path / "plain" / "bundle.json").read_text("utf-8"))
    mixture.intensities = EARLY
    mixture.save(tmp_path / "curved", {})
    assert Mixture.load(tmp_path / "curved").intensities.turned(torch.tensor([0.5]), ["friendly"]) == pytest.approx(0.1)


def test_the_uniform_mixture_has_no_curves_and_neither_has_another_rule(tmp_path: Path):
    mixture = tiny_mixture(tmp_path)
    mixture.intensities = EARLY
    mixture.save(tmp_path / "curved", {})
    assert mixture.uniform().intensities == Intensities()
    assert mixture.uniform("logit").rule == "logit"
    assert mixture.uniform().pcm is None
    assert mixture.intensities == EARLY
    assert Mixture.load(tmp_path / "curved", rule="logit").intensities == Intensities()


def test_the_command_gives_a_bundle_curves_and_keeps_the_rest(rewarded_bundle: Path, tmp_path: Path):
    prompts = tmp_path / "prompts.jsonl"
    prompts.write_text(json.dumps({"messages": [{"role": "user", "content": "What is a volcano?"}]}), encoding="utf-8")
    calibrate(rewarded_bundle, prompts, tmp_path / "new", answers=2, max_new_tokens=4)
    before, after = read_manifest(rewarded_bundle), read_manifest(tmp_path / "new")
    assert set(after.intensities) == set(NAMES)
    assert after.provenance["intensities"] == {"answers": 2, "seed": 0}
    assert after.files == before.files
    assert all(len(curve) > len(LEVELS) for curve in after.intensities.values())


def test_a_bundle_without_rewards_and_no_answers_are_refused(tiny_bundle: Path, tmp_path: Path):
    with pytest.raises(ValueError, match="must hold reward models to fit curves to, got none for friendly"):
        calibrate(tiny_bundle, tmp_path / "prompts.jsonl")
    with pytest.raises(ValueError, match="answers must be at least 1, got 0"):
        calibrate(tiny_bundle, tmp_path / "prompts.jsonl", answers=0)


def test_a_missing_bundle_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    assert main(["--bundle", str(tmp_path / "nowhere"), "--prompts", "none"]) == 1
    told = capsys.readouterr().err
    assert str(tmp_path / "nowhere") in told
    assert told.count("\n") == 1
