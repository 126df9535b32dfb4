"""One loop for every method."""

import pytest
import torch

from comparison.decoding import answers, batches, drawn
from decoding.sampling import Sampling
from mixture import Mixture

SHORT = [[{"role": "user", "content": text}] for text in ("What is it?", "A volcano?", "be warm", "kind friend")]
LONG = [*SHORT[0], {"role": "assistant", "content": "It opens."}, {"role": "user", "content": "Why?"}]
ASKED = torch.tensor([[1.0, 0.0, 0.0], [0.0, 0.9, 0.8], [0.7, 0.0, 1.0], [0.0, 0.0, 1.0]])


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
