import pytest
import torch
from tastes import text, written
from torch.autograd.functional import hessian

from pcm.users.belief import Belief
from pcm.users.own_texts import DISTANCE, TASTE, intensities, taste_of

POLES = [(0, 2), (1, None)]
SPREAD = 0.7


def surprise(texts, wanted):
    """Negative log-probability of texts and of the intensities themselves, by the definition."""
    total = wanted.square().sum() / 2 / SPREAD**2
    for one in texts:
        steps = torch.stack([0.5 * (one.experts[0] - one.experts[2]), one.experts[1] - one.base])
        mixed = (one.base + torch.tensordot(wanted, steps, 1)).log_softmax(-1)
        total = total - mixed[torch.arange(len(one.tokens)), one.tokens].sum()
    return total


def test_the_intensities_are_the_likeliest_and_as_sure_as_the_curvature_says():
    texts = [text(20, 1), text(30, 2)]
    found = intensities(texts, POLES, SPREAD)
    best = found.mean.clone().requires_grad_()
    (slope,) = torch.autograd.grad(surprise(texts, best), best)
    assert slope.abs().max() < 1e-6
    curvature = hessian(lambda wanted: surprise(texts, wanted), found.mean)
    torch.testing.assert_close(found.covariance, curvature.inverse())
    for step in ((0.1, 0), (-0.1, 0), (0, 0.1), (0, -0.1)):
        moved = found.mean + torch.tensor(step)
        assert surprise(texts, moved) > surprise(texts, found.mean)


@pytest.mark.parametrize("wanted", [(0.9, -0.6), (-0.8, 0.7), (0.0, 0.0)])
def test_how_texts_were_written_is_found_again(wanted):
    found = intensities([written(400, wanted, seed, POLES) for seed in range(3)], POLES, 1.0)
    assert found.mean.tolist() == pytest.approx(wanted, abs=0.12)


def test_a_taste_goes_where_the_texts_go_and_is_less_sure():
    before, texts = Belief.before(3, scale=SPREAD * TASTE), [text(20, 1)]
    found, written_with = taste_of(texts, POLES, before), intensities(texts, POLES, SPREAD)
    torch.testing.assert_close(found.mean[:2], TASTE * written_with.mean)
    expected = TASTE**2 * written_with.covariance + DISTANCE**2 * torch.eye(2).double()
    torch.testing.assert_close(found.covariance[:2, :2], expected)
    assert (float(found.mean[2]), float(found.deviation[2])) == (
        0.0,
        pytest.approx(SPREAD * TASTE),
    )  # of quality nothing


def test_no_text_says_nothing_at_all():
    before = Belief.before(3)
    assert taste_of([], POLES, before) is before
    assert intensities([], POLES, SPREAD).mean.tolist() == [0.0, 0.0]
