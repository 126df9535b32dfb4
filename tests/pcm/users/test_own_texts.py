import pytest
import torch
from tastes import text, written
from torch.autograd.functional import hessian

from pcm.users.belief import Belief
from pcm.users.own_texts import DISTANCE, intensities

POLES = [(0, 2), (1, None)]
BEFORE = Belief.before(3)


def surprise(texts, wanted):
    """Negative log-probability of texts and of the intensities themselves, by the definition."""
    total = wanted.square().sum() / 2
    for one in texts:
        steps = torch.stack([0.5 * (one.experts[0] - one.experts[2]), one.experts[1] - one.base])
        mixed = (one.base + torch.tensordot(wanted, steps, 1)).log_softmax(-1)
        total = total - mixed[torch.arange(len(one.tokens)), one.tokens].sum()
    return total


def test_the_intensities_are_the_likeliest_and_as_sure_as_the_curvature_says():
    texts = [text(20, 1), text(30, 2)]
    found = intensities(texts, POLES, BEFORE)
    best = found.mean[:2].clone().requires_grad_()
    (slope,) = torch.autograd.grad(surprise(texts, best), best)
    assert slope.abs().max() < 1e-6
    curvature = hessian(lambda wanted: surprise(texts, wanted), found.mean[:2])
    torch.testing.assert_close(found.covariance[:2, :2], curvature.inverse() + DISTANCE**2 * torch.eye(2).double())
    for step in ((0.1, 0), (-0.1, 0), (0, 0.1), (0, -0.1)):
        moved = found.mean[:2] + torch.tensor(step)
        assert surprise(texts, moved) > surprise(texts, found.mean[:2])


@pytest.mark.parametrize("wanted", [(0.9, -0.6), (-0.8, 0.7), (0.0, 0.0)])
def test_how_texts_were_written_is_found_again(wanted):
    found = intensities([written(400, wanted, seed, POLES) for seed in range(3)], POLES, BEFORE)
    assert found.mean[:2].tolist() == pytest.approx(wanted, abs=0.12)


def test_texts_say_nothing_of_quality_and_no_text_says_nothing_at_all():
    found = intensities([text(20)], POLES, BEFORE)
    assert (float(found.mean[2]), float(found.covariance[2, 2])) == (0.0, 1.0)
    nothing = intensities([], POLES, BEFORE)
    torch.testing.assert_close(nothing.covariance, BEFORE.covariance)
    assert nothing.mean.tolist() == [0.0, 0.0, 0.0]
