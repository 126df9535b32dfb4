"""What is known of requests whose experts are behind, each request for itself."""

import torch
from transformers import DynamicCache

from experts.lag import Lag

NEVER = torch.inf


def lag() -> Lag:
    """Three requests that have read two tokens, with keys that tell whose they are."""
    cache = DynamicCache()
    owners = torch.arange(3.0).view(3, 1, 1, 1).expand(3, 1, 2, 4)
    cache.update(owners.clone(), owners.clone(), 0)
    unread = torch.tensor([[1, 2], [3, 4], [5, 6]])
    return Lag(cache, unread, torch.tensor([0.1, 0.2, 0.3]), torch.tensor([1.0, 2.0, NEVER]))


def test_only_those_that_were_mixed_know_a_new_divergence_and_are_young_again():
    behind = lag()
    behind.caught_up(torch.tensor([True, False, True]), torch.tensor([0.7, 0.8, 0.9]))
    torch.testing.assert_close(behind.divergence, torch.tensor([0.7, 0.2, 0.9]))
    torch.testing.assert_close(behind.age, torch.tensor([0.0, 2.0, 0.0]))
    assert behind.unread.shape == (3, 0)  # everybody has read everything


def test_tokens_wait_and_everybody_grows_older():
    behind = lag()
    assert behind.waited(torch.tensor([[7], [8], [9]])).tolist() == [[1, 2, 7], [3, 4, 8], [5, 6, 9]]
    torch.testing.assert_close(behind.age, torch.tensor([2.0, 3.0, NEVER]))


def test_whoever_leaves_takes_everything_along():
    left = lag().narrowed(torch.tensor([2, 0]))
    assert left.unread.tolist() == [[5, 6], [1, 2]]
    torch.testing.assert_close(left.divergence, torch.tensor([0.3, 0.1]))
    torch.testing.assert_close(left.age, torch.tensor([NEVER, 1.0]))
    keys = left.cache.layers[0].keys
    assert keys is not None
    assert keys[:, 0, 0, 0].tolist() == [2.0, 0.0]
