"""A rollout in stages: cheaper than the loop over a batch that stays together, and token for token the same."""

import weakref

import pytest
import torch

from decoding.sampling import Sampling
from decoding.stages import STAGE
from decoding.step import Rollout, Step
from mixture import Mixture

SHORT = [[{"role": "user", "content": text}] for text in ("What is it?", "A volcano?", "be warm", "kind friend")]
ASKED = torch.tensor([[1.0, 0.0, 0.0], [0.0, 0.9, 0.8], [0.7, 0.0, 1.0], [0.0, 0.0, 1.0]])


def generators(count: int) -> list[torch.Generator]:
    return [torch.Generator().manual_seed(seed) for seed in range(count)]


@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_stages_give_exactly_the_tokens_of_a_rollout(
    mixture: Mixture, temperature: float, monkeypatch: pytest.MonkeyPatch
):
    """Requests with other experts leave at other times: rows of the cache must leave with their request."""
    input_ids, mask = mixture.encode(SHORT)
    sampling = Sampling(temperature=temperature, max_new_tokens=30)
    free = Rollout.of(turn.written for turn in mixture.emit(input_ids, mask, ASKED, sampling, generators(4))).tokens
    # Tokens that some answer reaches early and some late, so that the answers end at different lengths.
    monkeypatch.setattr(Mixture, "stop_ids", [int(free[0, 4]), int(free[1, 11]), int(free[2, 19])])
    whole = Rollout.of(turn.written for turn in mixture.emit(input_ids, mask, ASKED, sampling, generators(4)))
    staged = mixture.rollout(input_ids, mask, ASKED, sampling, generators(4))
    assert torch.equal(staged.tokens, whole.tokens)
    assert torch.equal(staged.mask, whole.mask)
    torch.testing.assert_close(staged.logprobs, whole.logprobs)
    lengths = sorted(staged.mask.sum(-1).tolist())
    assert lengths[0] <= STAGE < lengths[-1], lengths


def test_stages_look_back_over_all_of_the_answer(mixture: Mixture):
    """What a stage does not see of the stages before it, a penalty and a stop text would forget."""
    input_ids, mask = mixture.encode(SHORT)
    stop = "f3"  # what the last answer writes where one stage ends and the next begins
    for sampling in (
        Sampling(1.0, max_new_tokens=20, repetition_penalty=0.1),
        Sampling(1.0, max_new_tokens=20, stop=[stop]),
    ):
        whole = Rollout.of(turn.written for turn in mixture.emit(input_ids, mask, ASKED, sampling, generators(4)))
        staged = mixture.rollout(input_ids, mask, ASKED, sampling, generators(4))
        assert torch.equal(staged.tokens, whole.tokens)
    assert staged.mask.sum(-1).tolist() == [20, 20, 20, STAGE + 1]


def test_those_that_have_ended_are_not_read_any_more(mixture: Mixture, monkeypatch: pytest.MonkeyPatch):
    """Else stages would cost as much as the batch that stays together."""
    input_ids, mask = mixture.encode(SHORT)
    read: list[int] = []
    step = Mixture.step

    def counting(self, state, tokens):
        read.append(len(tokens))
        return step(self, state, tokens)

    monkeypatch.setattr(Mixture, "step", counting)
    lengths = [3, 3, STAGE + 1, 3 * STAGE]
    samplings = [Sampling(0.0, max_new_tokens=length) for length in lengths]
    rollout = mixture.rollout(input_ids, mask, ASKED, samplings, [])
    assert rollout.mask.sum(-1).tolist() == lengths
    assert read == [4] * STAGE + [2] * STAGE + [1] * STAGE


def test_what_is_over_holds_no_distributions(mixture: Mixture, monkeypatch: pytest.MonkeyPatch):
    """At every token there are some for each expert and each word: they would fill the memory."""
    input_ids, mask = mixture.encode(SHORT)
    told: list[weakref.ref[Step]] = []
    alive: list[int] = []
    step = Mixture.step

    def noting(self, state, tokens):
        alive.append(sum(one() is not None for one in told))
        found = step(self, state, tokens)
        told.append(weakref.ref(found))
        return found

    monkeypatch.setattr(Mixture, "step", noting)
    mixture.rollout(input_ids, mask, ASKED, Sampling(0.0, max_new_tokens=STAGE), [])
    assert len(alive) == STAGE
    assert max(alive) <= 1


def test_what_has_ended_is_padded_with_what_pads():
    stage = Rollout(torch.tensor([[5, 6]]), torch.tensor([[1, 1]]), torch.tensor([[-1.0, -2.0]]))
    first = Rollout.empty(torch.zeros(2, 3, dtype=torch.long)).extended(stage, [1], pad_id=9)
    assert first.tokens.tolist() == [[9, 9], [5, 6]]
    assert first.mask.tolist() == [[0, 0], [1, 1]]
    assert first.logprobs.tolist() == [[0.0, 0.0], [-1.0, -2.0]]
