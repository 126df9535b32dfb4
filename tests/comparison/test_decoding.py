"""One loop for every method."""

import pytest
import torch

from comparison.decoding import Request, answers, answers_together, batches, drawn
from decoding.sampling import Sampling
from mixture import Mixture

SHORT = [[{"role": "user", "content": text}] for text in ("What is it?", "A volcano?", "be warm", "kind friend")]
LONG = [*SHORT[0], {"role": "assistant", "content": "It opens."}, {"role": "user", "content": "Why?"}]
ASKED = torch.tensor([[1.0, 0.0, 0.0], [0.0, 0.9, 0.8], [0.7, 0.0, 1.0], [0.0, 0.0, 1.0]])


def test_an_answer_is_the_same_alone_and_among_others(mixture: Mixture):
    sampling = Sampling(temperature=1.0, max_new_tokens=12)
    everybody = Request(mixture, [LONG, *SHORT], torch.cat([ASKED[:1], ASKED]), (0,))
    together = answers(everybody, sampling)
    rows = zip(SHORT, ASKED, strict=True)
    alone = [answers(Request(mixture, [one], asked.unsqueeze(0), (0,)), sampling)[0] for one, asked in rows]
    assert together[1:] == alone
    assert together[:1] == answers(Request(mixture, [LONG], ASKED[:1], (0,)), sampling)
    assert together != answers(everybody._replace(seed=(1,)), sampling)


def test_requests_of_several_mixtures_and_temperatures_are_answered_as_alone(mixture: Mixture):
    sampling = Sampling(temperature=1.0, max_new_tokens=12)
    plain = Request(mixture, SHORT, ASKED, (0,))
    others = [plain._replace(mixture=mixture.uniform()), plain._replace(seed=(1,)), plain._replace(tempering=0.5)]
    longer = Request(mixture, [LONG], ASKED[1:2], (0,))
    everything = [plain, *others, longer]
    together = answers_together(everything, sampling)
    assert together == [answers(one, sampling) for one in everything]
    assert len({tuple(texts) for texts in together}) == 5


def test_a_prompt_that_leaves_no_room_is_refused_before_anything_is_decoded(mixture: Mixture):
    with pytest.raises(ValueError, match="must fit the model's window"):
        answers(Request(mixture, SHORT, ASKED, (0,)), Sampling(max_new_tokens=mixture.window))


def test_batches_hold_every_conversation_once_and_long_ones_apart():
    assert batches([*SHORT[:2], LONG, SHORT[3]]) == [[0, 1, 3], [2]]


def test_fingerprints_tell_parts_apart():
    assert drawn(0, "ab") == drawn(0, "ab")
    assert len({drawn(0, "ab"), drawn(1, "ab"), drawn("0", "ab"), drawn(0, "a", "b")}) == 4
    assert 0 <= drawn(0) < 2**63
