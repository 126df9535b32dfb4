"""Law 3 for long prompts: read in pieces or at once, the same tokens, on every shape of model and beside padding."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from households import SHAPES, Household, mixture_of
from transformers.utils import ModelOutput

from decoding.sampling import Sampling
from mixture import Mixture

PROMPTS = torch.tensor([list(range(3, 23)), [0] * 11 + list(range(30, 39)), [0] * 2 + list(range(20, 38))])
MASK = (PROMPTS > 0).long()
ASKED = torch.tensor([[1.0, 0.0, 1.0], [0.0, 0.5, 0.0], [1.0, 1.0, 1.0]])
ROWS = 3 + 6


@pytest.fixture(scope="module", params=SHAPES)
def mixture(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Mixture:
    return mixture_of(Household(request.param, Path(tmp_path_factory.mktemp(request.param))).bank)


def tokens(mixture: Mixture, prefill_tokens: int) -> list[list[int]]:
    mixture.prefill_tokens = prefill_tokens
    generators = [torch.Generator().manual_seed(seed) for seed in range(3)]
    return mixture.rollout(PROMPTS, MASK, ASKED, Sampling(1.0, max_new_tokens=16), generators).tokens.tolist()


@pytest.mark.parametrize("width", [1, 3, 7, 19])
def test_a_prompt_read_in_pieces_gives_the_same_tokens(mixture: Mixture, width: int) -> None:
    assert tokens(mixture, ROWS * width) == tokens(mixture, 10**6)


def watched(forward: Callable[..., ModelOutput], passes: list[int]) -> Callable[..., ModelOutput]:
    """The same, noting down how many tokens each row of a pass had."""

    def note(**inputs: Any) -> ModelOutput:
        passes.append(inputs["input_ids"].shape[1])
        return forward(**inputs)

    return note


@pytest.mark.parametrize(("prefill_tokens", "widest"), [(ROWS * 7, 7), (ROWS * 8 - 1, 7), (1, 1), (ROWS * 20, 20)])
def test_no_pass_reads_more_than_it_may(
    mixture: Mixture, prefill_tokens: int, widest: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    passes: list[int] = []
    monkeypatch.setattr(mixture, "prefill_tokens", prefill_tokens)
    base = mixture.bank.base
    monkeypatch.setattr(base, "forward", watched(base.forward, passes))
    mixture.step(mixture.start(MASK, ASKED), PROMPTS)
    assert max(passes) == widest
    assert sum(passes) == PROMPTS.shape[1]


def test_less_than_one_token_is_refused(mixture: Mixture) -> None:
    with pytest.raises(ValueError, match="prefill_tokens must be at least 1, got 0"):
        Mixture(mixture.bank, mixture.tokenizer, mixture.dimensions, "anchored", prefill_tokens=0)


def test_requests_of_unequal_length_end_beside_each_other(mixture: Mixture) -> None:
    """A model that learned its positions has none beyond its window: who waits there must not be read there."""
    prompts, mask = PROMPTS[:2], MASK[:2]
    samplings = [Sampling(0.0, max_new_tokens=mixture.window - int(count)) for count in mask.sum(-1)]
    emitted = list(mixture.emit(prompts, mask, ASKED[:2], samplings, []))
    for row in range(2):
        alone = mixture.rollout(prompts[[row]], mask[[row]], ASKED[[row]], samplings[row], [])
        together = [int(turn.tokens[row]) for turn in emitted if turn.running[row]]
        assert together == alone.tokens[0].tolist()
