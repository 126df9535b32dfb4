"""The loop, with a step whose tokens are read off by eye."""

from dataclasses import dataclass

import pytest
import torch
from torch import Tensor

from decoding.dimension import Dimension
from decoding.loop import Emitted, decode
from decoding.sampling import Sampling

PAD, END, V = 0, 9, 10
GREEDY = Sampling(temperature=0, max_new_tokens=5)


@dataclass
class ScriptedStep:
    logprobs: Tensor


class Script:
    """Says the next scripted token of each request with probability one half, and keeps what it was given."""

    def __init__(self, *lines: list[int]) -> None:
        self.lines, self.turn, self.given = lines, 0, []

    def __call__(self, tokens: Tensor) -> ScriptedStep:
        self.given.append(tokens.tolist())
        probabilities = torch.full((len(self.lines), V), 0.5 / (V - 1))
        for row, line in enumerate(self.lines):
            probabilities[row, line[self.turn]] = 0.5
        self.turn += 1
        return ScriptedStep(probabilities.log())


def emitted(script: Script, sampling: Sampling | list[Sampling] = GREEDY) -> list[Emitted[ScriptedStep]]:
    prompts = torch.tensor([[1, 2]]).repeat(len(script.lines), 1)
    return list(decode(script, prompts, sampling, [], stop_ids=[END, 8], pad_id=PAD))


def test_the_prompt_goes_in_once_and_then_each_chosen_token() -> None:
    script = Script([3, 4, 5, 6, 7])
    assert [int(now.tokens) for now in emitted(script)] == [3, 4, 5, 6, 7]
    assert script.given == [[[1, 2]], [[3]], [[4]], [[5]], [[6]]]


def test_a_request_that_stopped_emits_padding_and_the_others_go_on() -> None:
    turns = emitted(Script([3, END, 4, 4], [5, 6, 7, 8]))
    assert [now.tokens.tolist() for now in turns] == [[3, 5], [END, 6], [PAD, 7], [PAD, 8]]
    assert [now.running.tolist() for now in turns] == [[True, True], [True, True], [False, True], [False, True]]


def test_the_loop_ends_when_all_have_stopped() -> None:
    script = Script([END, 3, 3], [4, END, 3])
    assert len(emitted(script)) == 2
    assert script.turn == 2


def test_the_loop_ends_at_the_limit() -> None:
    assert len(emitted(Script([3] * 5), Sampling(temperature=0, max_new_tokens=3))) == 3


def test_each_request_has_its_own_limit() -> None:
    """A request that may not go on must not stop the others, nor be taken for one that ended by itself."""
    short, long = (Sampling(temperature=0, max_new_tokens=length) for length in (2, 4))
    turns = emitted(Script([3, 4, 5, 6], [5, 6, 7, 4], [3, END, 5, 6]), [short, long, short])
    assert [now.tokens.tolist() for now in turns] == [[3, 5, 3], [4, 6, END], [PAD, 7, PAD], [PAD, 4, PAD]]
    assert [now.cut.tolist() for now in turns] == [[False] * 3, [True, False, False], [False] * 3, [False, True, False]]
    assert [now.stopped.tolist() for now in turns] == [[False] * 3, [False, False, True], [False] * 3, [False] * 3]


def test_a_prompt_neither_ends_a_response_nor_counts_for_its_length() -> None:
    prompts = torch.tensor([[1, END]])
    turns = list(decode(Script([3, 4, 5]), prompts, Sampling(0, max_new_tokens=3), [], [END], PAD))
    assert [int(now.tokens) for now in turns] == [3, 4, 5]


def test_a_loop_that_was_left_goes_on_from_its_history() -> None:
    """The penalty and the limit look back beyond the tokens that are read: token 3 comes twice where nobody does."""
    sampling = Sampling(temperature=0, max_new_tokens=4, repetition_penalty=50.0)
    lines = [3, 3, 3, 3]
    whole = emitted(Script(lines), sampling)
    first = emitted(Script(lines), sampling)[1]
    again = list(decode(Script(lines[2:]), first.tokens[:, None], sampling, [], [END, 8], PAD, history=first.history))
    assert [int(now.tokens) for now in again] == [int(now.tokens) for now in whole[2:]]
    assert len({int(now.tokens) for now in whole}) == 4
    assert first.history.tokens.tolist() == [[1, 2, *(int(now.tokens) for now in whole[:2])]]


def test_one_sampling_for_each_request_is_required_before_anything_is_read() -> None:
    script = Script([3], [4])
    with pytest.raises(ValueError, match=r"one per request \(2\), got 3"):
        decode(script, torch.ones(2, 1, dtype=torch.long), [GREEDY] * 3, [], [END], PAD)
    assert script.given == []


def test_log_probabilities_are_those_of_the_untempered_mixture() -> None:
    sampling = Sampling(temperature=1e-3, top_k=1, max_new_tokens=1)
    (now,) = decode(Script([3]), torch.tensor([[1]]), sampling, [torch.Generator()], [END], PAD)
    torch.testing.assert_close(now.logprobs.exp(), torch.tensor([0.5]))


def test_what_was_emitted_after_the_end_has_no_log_probability() -> None:
    turns = emitted(Script([END, 3], [4, END]))
    assert [now.logprobs[0].item() for now in turns] == [pytest.approx(torch.tensor(0.5).log().item()), 0]


def test_the_step_comes_along_with_its_token() -> None:
    script = Script([3], [4])
    (now,) = emitted(script, Sampling(temperature=0, max_new_tokens=1))
    assert now.step.logprobs.argmax(-1).tolist() == now.tokens.tolist() == [3, 4]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("", "short"), "name must not be empty"),
        (("concise", " "), "'concise' must have a description"),
        (("concise", "short", "concise"), "must not be its own opposite"),
    ],
)
def test_a_dimension_that_nobody_could_ask_for_is_refused(words: tuple[str, ...], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Dimension(*words)
