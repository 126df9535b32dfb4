import pytest

from comparison.bench.training.page import last_nats

TOLD = {
    "joint all": [{"kl": [0.0, 0.0]}, {"kl": [1.0, 2.0]}],
    "single concise": [{"kl": [1.0]}],
    "single friendly": [{"kl": [3.0]}],
    "trl concise": [{"objective/kl": 9.0}, {"objective/kl": 4.0}],
}


@pytest.mark.parametrize(("way", "nats"), [("joint", 1.5), ("single", 2.0), ("trl", 4.0), ("base", 0.0)])
def test_a_way_is_as_far_from_the_base_as_its_experts_are_on_average(way, nats):
    assert last_nats(TOLD, way) == nats
