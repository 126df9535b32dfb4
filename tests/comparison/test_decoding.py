"""One loop for every method: faster than a rollout, and token for token the same."""

import pytest
import torch

from comparison.decoding import STAGE, answers, batches, drawn, in_stages
from decoding.sampling import Sampling
from mixture import Mixture

SHORT = [[{"role": "user", "content": text}] for text in ("What is it?", "A volcano?", "be warm", "kind friend")]
LONG = [*SHORT[0], {"role": "assistant", "content": "It opens."}, {"role": "user", "content": "Why?"}]
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
    free = mixture.rollout(input_ids, mask, ASKED, sampling, generators(4)).tokens
    # Tokens that some answer reaches early and some late, so that the answers end at different lengths.
    monkeypatch.setattr(Mixture, "stop_ids", [int(free[0, 4]), int(free[1, 11]), int(free[2, 19])])
    rollout = mixture.rollout(input_ids, mask, ASKED, sampling, generators(4))
    staged = in_stages(mixture, input_ids, mask, ASKED, sampling, generators(4))
    assert staged == [row[counts.bool()].tolist() for row, counts in zip(rollout.tokens, rollout.mask, strict=True)]
    lengths = sorted(len(row) for row in staged)
    assert lengths[0] <= STAGE < lengths[-1], lengths


def test_stages_look_back_over_all_of_the_answer(mixture: Mixture):
    """What a stage does not see of the stages before it, a penalty and a stop text would forget."""
    input_ids, mask = mixture.encode(SHORT)
    stop = "fZ"  # what the third answer writes where one stage ends and the next begins
    for sampling in (
        Sampling(1.0, max_new_tokens=20, repetition_penalty=0.1),
        Sampling(1.0, max_new_tokens=20, stop=[stop]),
    ):
        rollout = mixture.rollout(input_ids, mask, ASKED, sampling, generators(4))
        staged = in_stages(mixture, input_ids, mask, ASKED, sampling, generators(4))
        assert staged == [row[counts.bool()].tolist() for row, counts in zip(rollout.tokens, rollout.mask, strict=True)]
    assert len(staged[2]) == STAGE + 1


def test_an_answer_is_the_same_alone_and_among_others(mixture: Mixture):
    sampling = Sampling(temperature=1.0, max_new_tokens=12)
    together = answers(mixture, [LONG, *SHORT], torch.cat([ASKED[:1], ASKED]), sampling, (0,))
    alone = [
        answers(mixture, [one], asked.unsqueeze(0), sampling, (0,))[0] for one, asked in zip(SHORT, ASKED, strict=True)
    ]
    assert together[1:] == alone
    assert together[:1] == answers(mixture, [LONG], ASKED[:1], sampling, (0,))
    assert together != answers(mixture, [LONG, *SHORT], torch.cat([ASKED[:1], ASKED]), sampling, (1,))


def test_a_prompt_that_leaves_no_room_is_refused_before_anything_is_decoded(mixture: Mixture):
    with pytest.raises(ValueError, match="must fit the model's window"):
        answers(mixture, SHORT, ASKED, Sampling(max_new_tokens=mixture.window), (0,))


def test_batches_hold_every_conversation_once_and_long_ones_apart():
    assert batches([*SHORT[:2], LONG, SHORT[3]]) == [[0, 1, 3], [2]]


def test_fingerprints_tell_parts_apart():
    assert drawn(0, "ab") == drawn(0, "ab")
    assert len({drawn(0, "ab"), drawn(1, "ab"), drawn("0", "ab"), drawn(0, "a", "b")}) == 4
    assert 0 <= drawn(0) < 2**63
