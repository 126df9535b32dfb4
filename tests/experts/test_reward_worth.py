"""Scores that know how sure to be."""

import math

import pytest
import torch

from experts.reward_worth import calibration_error, cross_scaled, fitted_scale


def drawn(sureness: float, count: int = 20_000) -> torch.Tensor:
    """Margins of pairs whose better answer is chosen as often as sigmoid(sureness · difference) says."""
    generator = torch.Generator().manual_seed(0)
    differences = torch.randn(count, generator=generator)
    chosen = torch.rand(count, generator=generator) < torch.sigmoid(sureness * differences)
    return torch.where(chosen, differences, -differences)


@pytest.mark.parametrize("sureness", [0.5, 1.0, 3.0])
def test_the_scale_is_how_sure_the_choices_were(sureness):
    assert fitted_scale(drawn(sureness)) == pytest.approx(sureness, rel=0.05)


def test_few_pairs_that_all_agree_do_not_make_it_certain():
    assert 1.0 < fitted_scale(torch.full((5,), 2.0)) < 1.5


def test_each_half_is_scaled_by_what_fits_the_other():
    margins = torch.tensor([1.0, -4.0, 1.0, -4.0] * 50)  # one half is always right, the other always wrong
    right, wrong = fitted_scale(margins[::2]), fitted_scale(margins[1::2])
    assert right > 1 > wrong
    torch.testing.assert_close(cross_scaled(margins)[:2], torch.tensor([1.0 * wrong, -4.0 * right]))


def test_scaling_mends_a_model_that_is_not_sure_enough():
    margins = drawn(3.0)
    assert calibration_error(cross_scaled(margins)) < 0.02 < calibration_error(margins)


def test_the_scale_makes_the_choices_likeliest():
    margins = drawn(2.0, count=500)
    best = fitted_scale(margins)

    def surprise(factor):
        return float(-torch.nn.functional.logsigmoid(margins * factor).sum()) + 2 * math.log(factor) ** 2

    assert surprise(best) < min(surprise(best * 1.05), surprise(best / 1.05))
