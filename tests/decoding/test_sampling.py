"""How one token is chosen."""

import pytest
import torch
from torch import Tensor

from decoding.sampling import Sampling, choose


def generators(*seeds: int) -> list[torch.Generator]:
    return [torch.Generator().manual_seed(seed) for seed in seeds]


def logprobs_of(*rows: list[float]) -> Tensor:
    return torch.tensor(rows).log()


def drawn(logprobs: Tensor, sampling: Sampling, draws: int) -> Tensor:
    """Frequencies of the tokens, (V,)."""
    tokens = choose(logprobs.expand(draws, -1), sampling, generators(*range(draws)))
    return torch.bincount(tokens, minlength=logprobs.shape[-1]) / draws


def test_temperature_zero_takes_the_most_probable_token_without_any_generator() -> None:
    assert choose(logprobs_of([0.2, 0.5, 0.3], [0.6, 0.1, 0.3]), Sampling(temperature=0), []).tolist() == [1, 0]


def test_frequencies_are_the_probabilities() -> None:
    frequencies = drawn(logprobs_of([0.2, 0.5, 0.3]), Sampling(), 3000)
    torch.testing.assert_close(frequencies, torch.tensor([0.2, 0.5, 0.3]), atol=0.03, rtol=0)


def test_temperature_sharpens() -> None:
    frequencies = drawn(logprobs_of([0.2, 0.8]), Sampling(temperature=0.5), 3000)
    torch.testing.assert_close(frequencies, torch.tensor([0.04, 0.64]) / 0.68, atol=0.03, rtol=0)


def test_truncation_keeps_only_the_most_probable_tokens() -> None:
    spread = logprobs_of([0.05, 0.4, 0.3, 0.25])
    assert drawn(spread, Sampling(top_k=2), 300).nonzero().flatten().tolist() == [1, 2]
    assert drawn(spread, Sampling(top_p=0.9), 300).nonzero().flatten().tolist() == [1, 2, 3]


def test_tempering_comes_before_truncation() -> None:
    # At temperature 0.5 the first token alone has more than 0.6; untempered it would take two tokens to get there.
    assert drawn(logprobs_of([0.5, 0.3, 0.2]), Sampling(temperature=0.5, top_p=0.6), 300).tolist() == [1, 0, 0]


def test_a_request_draws_the_same_alone_and_beside_others() -> None:
    rows = torch.randn(3, 50, generator=torch.Generator().manual_seed(1)).log_softmax(-1)
    together = choose(rows, Sampling(), generators(7, 8, 9))
    alone = [int(choose(rows[i : i + 1], Sampling(), generators(7 + i))) for i in range(3)]
    assert together.tolist() == alone


def test_a_nan_or_an_impossible_row_is_refused() -> None:
    for bad in ([0.5, float("nan")], [0.0, 0.0]):
        with pytest.raises(ValueError, match="finite maximum for every request"):
            choose(logprobs_of([0.5, 0.5], bad), Sampling(temperature=0), [])


def test_one_generator_per_request_is_required() -> None:
    with pytest.raises(ValueError, match=r"one generator per request \(2\), got 1"):
        choose(logprobs_of([0.5, 0.5], [0.5, 0.5]), Sampling(), generators(1))


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"temperature": -0.1}, "temperature must be finite and at least 0, got -0.1"),
        ({"temperature": float("nan")}, "temperature must be finite"),
        ({"top_k": -1}, "top_k must be at least 0"),
        ({"top_p": 0.0}, r"top_p must be in \(0, 1\], got 0.0"),
        ({"top_p": 1.1}, "top_p must be in"),
        ({"max_new_tokens": 0}, "max_new_tokens must be at least 1"),
    ],
)
def test_values_out_of_range_are_refused(values: dict[str, float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Sampling(**values)  # type: ignore[arg-type]
