import torch
from torch import nn
from transformers import DynamicCache

from comparison.bench.memory import bytes_of, cached_bytes, growth, highest, no_room
from experts.packed import PackedLinear

CPU = torch.device("cpu")


def test_a_storage_is_counted_once_however_many_hold_it():
    first, second = nn.Linear(8, 4, bias=False), nn.Linear(8, 4, bias=False)
    assert bytes_of([first, second]) == 2 * 8 * 4 * 4
    second.weight = first.weight
    assert bytes_of([first, second]) == 8 * 4 * 4


def test_tensors_beside_parameters_are_counted(servers):
    """A bank keeps its factors stacked once more; a count of parameters would not see that."""
    bank = servers["bank"].mixture.bank
    prompt = torch.tensor([[1, 2]])
    servers["bank"].step(servers["bank"].start(prompt), prompt)
    factors = sum(factor.nbytes for name in bank.names for factor in bank.parameters_of(name))
    assert bytes_of([bank]) - bytes_of([bank.base]) == 2 * factors


def test_packed_weights_are_counted():
    assert bytes_of([PackedLinear(nn.Linear(32, 16, bias=False))]) >= 32 * 16 * 4


def test_caches_hold_keys_and_values_of_every_layer():
    cache = DynamicCache()
    for layer in range(2):
        cache.update(torch.zeros(3, 2, 5, 4), torch.zeros(3, 2, 5, 4), layer)
    assert cached_bytes([cache, DynamicCache()]) == 2 * 2 * (3 * 2 * 5 * 4) * 4


def test_growth_is_the_most_that_is_alive_at_one_time():
    def run():
        first = torch.empty(1000, dtype=torch.uint8)
        del first
        kept = [torch.empty(700, dtype=torch.uint8) for _ in range(2)]
        del kept

    assert growth(run, CPU) == 1400


def test_the_highest_sum_is_not_the_last():
    assert highest([3, 4, -7, 5, -5]) == 7
    assert highest([-2, -3]) == 0


def test_what_does_not_fit_is_told_with_both_numbers():
    assert no_room(1, CPU) is None
    assert "they need 1000000.0 GB" in str(no_room(10**15, CPU))
