"""The face of a causal language model over every family: the same tokens, with beams and whoever stands beside."""

import pytest
import torch
from households import Household, mixture_of
from torch import Tensor

from causal_lm import MixtureForCausalLM
from decoding.sampling import Sampling
from mixture import Mixture

PROMPTS = torch.tensor([[0, 0, 0, 7, 8, 9], [0, 3, 4, 5, 6, 7], [11, 12, 13, 14, 15, 16]])
MASK = (PROMPTS > 0).long()  # padded on the left by three, one and no tokens; longer than Gemma's window of four
SOME = torch.tensor([[1.0, 0.0, 0.3], [0.0, 1.0, 0.0], [0.7, 0.2, 0.4]])
LENGTH = 8


@pytest.fixture
def mixture(house: Household) -> Mixture:
    return mixture_of(house.bank)


def generated(mixture: Mixture, rows: slice, pads: int = 0, **options: object) -> Tensor:
    """The tokens that `generate` gives for these requests."""
    prompts, mask = PROMPTS[rows, pads:], MASK[rows, pads:]
    settings = {"attention_mask": mask, "max_new_tokens": LENGTH, "do_sample": False} | options
    return MixtureForCausalLM(mixture, SOME[rows]).generate(prompts, **settings)[:, prompts.shape[1] :]


def test_greedy_generate_gives_the_mixtures_own_tokens(mixture: Mixture) -> None:
    own = mixture.rollout(PROMPTS, MASK, SOME, Sampling(0.0, max_new_tokens=LENGTH), [])
    assert generated(mixture, slice(None)).tolist() == own.tokens.tolist()


def test_a_request_has_the_beams_that_it_has_alone(mixture: Mixture) -> None:
    options = {"num_beams": 3, "min_new_tokens": LENGTH}
    together = generated(mixture, slice(None), **options).tolist()
    assert together == [
        generated(mixture, slice(row, row + 1), pads, **options)[0].tolist() for row, pads in enumerate((3, 1, 0))
    ]
    assert together != generated(mixture, slice(None), **options | {"num_beams": 1}).tolist()


def test_how_the_past_is_kept_changes_no_token(mixture: Mixture) -> None:
    kept = generated(mixture, slice(None), num_beams=2)
    assert torch.equal(generated(mixture, slice(None), num_beams=2, use_cache=False), kept)
