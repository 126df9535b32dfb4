import numpy as np
import pytest

from evaluation.fronts import hypervolume, pareto_front


@pytest.mark.parametrize("dimensions", [2, 3])
def test_the_hypervolume_is_the_share_of_a_fine_grid_that_some_point_covers(dimensions):
    """Points on a grid of tenths make the count of covered cells exact."""
    rng = np.random.default_rng(dimensions)
    centres = (np.stack(np.meshgrid(*[np.arange(10)] * dimensions), -1).reshape(-1, dimensions) + 0.5) / 10
    for count in (1, 2, 5, 12):
        points = rng.integers(0, 11, size=(count, dimensions)) / 10
        covered = (centres[:, None] < points[None]).all(-1).any(1).mean()
        assert hypervolume(points, np.zeros(dimensions)) == pytest.approx(covered, abs=1e-12)


def test_only_what_beats_the_reference_counts():
    assert hypervolume([[3.0, 4.0], [1.0, 9.0]], [1.0, 1.0]) == pytest.approx(2 * 3)
    assert hypervolume([[0.0, 0.0]], [1.0, 1.0]) == 0.0


def test_the_front_is_what_no_other_point_beats():
    points = [[1.0, 0.0], [0.0, 1.0], [0.5, 0.5], [0.4, 0.5], [0.5, 0.5], [0.0, 0.9]]
    assert pareto_front(points).tolist() == [True, True, True, False, True, False]


def test_every_point_of_a_cloud_is_beaten_by_the_front_or_on_it():
    points = np.random.default_rng(3).random((60, 3))
    on = pareto_front(points)
    brute = [not any((q >= p).all() and (q > p).any() for q in points) for p in points]
    assert on.tolist() == brute
    assert hypervolume(points[on], np.zeros(3)) == pytest.approx(hypervolume(points, np.zeros(3)))


def test_what_is_no_cloud_of_points_is_refused():
    with pytest.raises(ValueError, match="2 or 3 dimensions"):
        hypervolume([[1.0]], [0.0])
    with pytest.raises(ValueError, match="finite numbers"):
        pareto_front([[np.nan, 0.0]])
