"""How one token is chosen."""

from typing import Any

import pytest
import torch
from tiny_bundle import tiny_tokenizer
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from decoding.choosing import choose, grouped
from decoding.history import History
from decoding.sampling import Sampling, one_for_each


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> PreTrainedTokenizerBase:
    return tiny_tokenizer(tmp_path_factory.mktemp("tokenizer"))


def generators(*seeds: int) -> list[torch.Generator]:
    return [torch.Generator().manual_seed(seed) for seed in seeds]


def logprobs_of(*rows: list[float]) -> Tensor:
    return torch.tensor(rows).log()


def chosen(
    logprobs: Tensor,
    sampling: Sampling | list[Sampling],
    seeds: list[int],
    history: History | None = None,
    tokenizer: PreTrainedTokenizerBase | None = None,
) -> list[int]:
    requests = len(logprobs)
    groups = grouped(one_for_each(sampling, requests), generators(*seeds), [0], tokenizer)
    nothing = torch.zeros(requests, 1, dtype=torch.long)
    return choose(logprobs, history or History(nothing, nothing[:, :0]), groups).tolist()


def drawn(logprobs: Tensor, sampling: Sampling, draws: int) -> Tensor:
    """Frequencies of the tokens, (V,)."""
    tokens = chosen(logprobs.expand(draws, -1), sampling, list(range(draws)))
    return torch.bincount(torch.tensor(tokens), minlength=logprobs.shape[-1]) / draws


def test_temperature_zero_takes_the_most_probable_token_without_any_generator() -> None:
    assert chosen(logprobs_of([0.2, 0.5, 0.3], [0.6, 0.1, 0.3]), Sampling(temperature=0), []) == [1, 0]


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
    assert drawn(spread, Sampling(min_p=0.7), 300).nonzero().flatten().tolist() == [1, 2]


def test_tempering_comes_before_truncation() -> None:
    # At temperature 0.5 the first token alone has more than 0.6; untempered it would take two tokens to get there.
    assert drawn(logprobs_of([0.5, 0.3, 0.2]), Sampling(temperature=0.5, top_p=0.6), 300).tolist() == [1, 0, 0]


def test_a_bias_is_in_nats_before_the_temperature(tokenizer: PreTrainedTokenizerBase) -> None:
    """One nat of bias at temperature 0.5 is worth two: tempered first, it would be worth one."""
    sampling = Sampling(temperature=0.5, logit_bias={1: 1.0})
    tokens = chosen(logprobs_of([0.5, 0.5]).expand(3000, -1), sampling, list(range(3000)), tokenizer=tokenizer)
    assert sum(tokens) / 3000 == pytest.approx(torch.tensor(2.0).sigmoid().item(), abs=0.02)


def test_a_bias_decides_also_where_nothing_is_drawn(tokenizer: PreTrainedTokenizerBase) -> None:
    biased: dict[int | str, float] = {0: -1.0, 2: 0.5}
    assert chosen(logprobs_of([0.4, 0.3, 0.3]), Sampling(0, logit_bias=biased), [], tokenizer=tokenizer) == [2]


def test_a_text_of_several_tokens_is_biased_once_its_beginning_stands_there(tokenizer: PreTrainedTokenizerBase) -> None:
    *beginning, last = tokenizer.encode("volcano 🙂", add_special_tokens=False)
    assert len(beginning) > 1
    flat = torch.zeros(2, len(tokenizer)).log_softmax(-1)
    ids = torch.tensor([beginning, [*beginning[:-1], 7]])
    sampling = Sampling(0, logit_bias={"volcano 🙂": 3.0})
    tokens = chosen(flat, sampling, [], History(ids, ids[:, :0]), tokenizer)
    assert tokens == [last, 0]


def test_the_penalty_is_for_tokens_of_prompt_and_response_and_not_for_padding() -> None:
    even = logprobs_of([0.3, 0.26, 0.24, 0.2])
    mask = torch.tensor([[0, 1, 1]])
    prompt = History.of(torch.tensor([[0, 3, 3]]), mask)  # token 0 pads
    penalised = Sampling(0, repetition_penalty=1.5)
    assert chosen(even, penalised, [], prompt) == [0]
    assert chosen(even, penalised, [], prompt.extended(torch.tensor([0]))) == [1]
    assert chosen(even, penalised, [], History.of(torch.tensor([[0, 1, 2]]), torch.ones_like(mask))) == [3]


def test_what_is_said_twice_of_a_token_adds_up(tokenizer: PreTrainedTokenizerBase) -> None:
    texts = (token.lstrip("▁") for token in tokenizer.get_vocab() if token.startswith("▁") and len(token) > 1)
    (text, token) = next(
        (text, ids[0]) for text in texts if len(ids := tokenizer.encode(text, add_special_tokens=False)) == 1
    )
    logprobs = torch.zeros(1, len(tokenizer)).log_softmax(-1)
    both: dict[int | str, float] = {token: 2.0, text: 2.0, 9: 3.0}
    assert chosen(logprobs, Sampling(0, logit_bias=both), [], tokenizer=tokenizer) == [token]


def test_a_request_draws_the_same_alone_and_beside_others_with_other_settings(
    tokenizer: PreTrainedTokenizerBase,
) -> None:
    rows = torch.randn(4, len(tokenizer), generator=torch.Generator().manual_seed(1)).log_softmax(-1)
    samplings = [Sampling(), Sampling(0), Sampling(2.0, top_k=9, repetition_penalty=1.3), Sampling()]
    samplings[3] = Sampling(0.7, min_p=0.01, logit_bias={"volcano": 4.0})
    history = History(torch.arange(12).view(4, 3), torch.arange(8).view(4, 2))
    together = chosen(rows, samplings, [7, 8, 9, 10], history, tokenizer)
    alone = [
        chosen(rows[i : i + 1], samplings[i], [7 + i], history.narrowed([i]), tokenizer)[0] for i in range(len(rows))
    ]
    assert together == alone


def test_equal_settings_are_one_group(tokenizer: PreTrainedTokenizerBase) -> None:
    values: list[dict[str, Any]] = [{"stop": ["."]}, {"temperature": 0.0}, {"stop": ["."]}]
    groups = grouped([Sampling(**one) for one in values], generators(0, 1, 2), [2], tokenizer)
    assert [group.rows for group in groups] == [[0, 2], [1]]
    assert [one.initial_seed() for one in groups[0].generators] == [0, 2]


def test_a_nan_or_an_impossible_row_is_refused() -> None:
    for bad in ([0.5, float("nan")], [0.0, 0.0]):
        with pytest.raises(ValueError, match="finite maximum for every request"):
            chosen(logprobs_of([0.5, 0.5], bad), Sampling(temperature=0), [])


def test_one_generator_per_request_is_required() -> None:
    with pytest.raises(ValueError, match=r"one generator per request \(2\), got 1"):
        chosen(logprobs_of([0.5, 0.5], [0.5, 0.5]), Sampling(), [1])
    with pytest.raises(ValueError, match=r"one generator per request \(2\), got 0"):
        chosen(logprobs_of([0.5, 0.5], [0.5, 0.5]), [Sampling(temperature=0), Sampling()], [])
