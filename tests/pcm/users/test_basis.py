import pytest
import torch

from pcm.users.basis import factorised, filled, low_rank, mixed

FEATURES, TRUE_RANK = 6, 2


def log(pairs=150, users=30, asked=0.5, simplex=False, seed=0):
    """Choices of users whose tastes lie on two directions of six features."""
    generator = torch.Generator().manual_seed(seed)
    directions = torch.randn(FEATURES, TRUE_RANK, generator=generator, dtype=torch.float64)
    tastes = torch.randn(users, TRUE_RANK, generator=generator, dtype=torch.float64)
    if simplex:
        tastes = (3 * tastes).softmax(-1)
    differences = torch.randn(pairs, FEATURES, generator=generator, dtype=torch.float64)
    margins = 2 * differences @ directions @ tastes.T
    outcomes = torch.bernoulli(margins.sigmoid(), generator=generator)
    unknown = torch.rand(pairs, users, generator=generator) > asked
    return differences, outcomes.masked_fill(unknown, torch.nan), margins, unknown


@pytest.mark.parametrize("learn", [factorised, low_rank])
def test_a_learned_basis_foresees_choices_it_was_not_shown(learn):
    differences, outcomes, margins, unknown = log(simplex=learn is low_rank)
    basis = learn(differences, outcomes, TRUE_RANK)
    foreseen = basis.of(differences) @ basis.tastes.T
    right = (foreseen > 0) == (margins > 0)
    assert right[unknown].double().mean() > 0.85


def test_features_on_other_scales_change_nothing_that_is_foreseen():
    differences, outcomes, _, _ = log()
    scales = torch.tensor([1.0, 10.0, 0.1, 5.0, 2.0, 0.5])
    one = factorised(differences, outcomes, TRUE_RANK)
    other = factorised(differences * scales, outcomes, TRUE_RANK)
    foreseen = [
        basis.of(values) @ basis.tastes.T for basis, values in ((one, differences), (other, differences * scales))
    ]
    torch.testing.assert_close(*foreseen, atol=1e-4, rtol=1e-4)


def test_what_is_missing_is_filled_in_by_a_matrix_of_low_rank_and_what_is_known_stays():
    generator = torch.Generator().manual_seed(0)
    signs = torch.sign(torch.randn(40, 1, generator=generator, dtype=torch.float64))
    tastes = torch.sign(torch.randn(1, 20, generator=generator, dtype=torch.float64))
    whole = (signs @ tastes + 1) / 2
    unknown = torch.rand(40, 20, generator=generator) < 0.3
    full = filled(whole.masked_fill(unknown, torch.nan), 1)
    assert torch.equal(full[~unknown], whole[~unknown])
    assert (full[unknown].round() == whole[unknown]).double().mean() > 0.99
    assert 0 <= full.min() <= full.max() <= 1


def test_the_start_is_near_what_maximum_likelihood_ends_with():
    differences, outcomes, margins, _ = log(asked=1.0)
    far = factorised(differences, outcomes, TRUE_RANK, svd_start=False, seed=3)
    near = factorised(differences, outcomes, TRUE_RANK)
    for basis in (far, near):
        assert (((basis.of(differences) @ basis.tastes.T) > 0) == (margins > 0)).double().mean() > 0.9


def test_the_penalty_keeps_directions_and_tastes_small():
    differences, outcomes, _, _ = log(pairs=20, users=5)
    sizes = [factorised(differences, outcomes, 2, penalty=penalty).tastes.norm() for penalty in (1e-4, 1e-2)]
    assert sizes[1] < 0.7 * sizes[0]


def test_the_population_is_where_the_log_s_users_lie():
    differences, outcomes, _, _ = log()
    basis = factorised(differences, outcomes, TRUE_RANK)
    before = basis.population(ridge=0.0)
    torch.testing.assert_close(before.mean, basis.tastes.mean(0))
    torch.testing.assert_close(before.covariance, basis.tastes.T.cov())


def test_a_new_user_of_lore_is_found_on_the_simplex():
    differences, outcomes, _, _ = log(simplex=True)
    basis = low_rank(differences, outcomes, TRUE_RANK)
    assert mixed(basis, differences[:0], outcomes[:0, 0]).tolist() == [0.5, 0.5]
    for corner in (0, 1):
        chosen = (basis.of(differences)[:, corner] > 0).double()
        taste = mixed(basis, differences, chosen)
        assert taste.sum().item() == pytest.approx(1)
        assert taste[corner] > 0.8


def test_a_log_that_cannot_be_factored_is_refused():
    differences, outcomes, _, _ = log(pairs=10, users=4)
    with pytest.raises(ValueError, match="rank must be between 1"):
        factorised(differences, outcomes, 5)
    with pytest.raises(ValueError, match=r"\(10 pairs, users\), got \(9, 4\)"):
        low_rank(differences, outcomes[:9], 2)
    outcomes[:, 2] = torch.nan
    with pytest.raises(ValueError, match="every user of a log must have a choice"):
        factorised(differences, outcomes, 2)
