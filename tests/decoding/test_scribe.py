import pytest
import torch
from tiny_bundle import tiny_tokenizer
from transformers import PreTrainedTokenizerBase

from decoding.history import History
from decoding.loop import Emitted
from decoding.response import Response
from decoding.scribe import Scribe
from decoding.step import Step

NAMES = ("warm", "short", "cold")


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> PreTrainedTokenizerBase:
    return tiny_tokenizer(tmp_path_factory.mktemp("tokenizer"))


def emitted(tokens: list[int], running: list[bool], vocabulary: int, end: int = 2, cut: bool = False) -> Emitted[Step]:
    generator = torch.Generator().manual_seed(0)
    requests = len(tokens)
    base = torch.randn(requests, vocabulary, generator=generator).log_softmax(-1)
    experts = torch.randn(requests, 3, vocabulary, generator=generator).log_softmax(-1)
    log_weights = torch.tensor([0.5, 0.25, 0.0]).log().expand(requests, 3)
    step = Step(base, log_weights, base, experts)
    chosen, counts = torch.tensor(tokens), torch.tensor(running)
    stopped, full = counts & (chosen == end), counts & (chosen != end) & cut
    history = History(chosen.unsqueeze(-1)[:, :0], chosen.unsqueeze(-1))
    return Emitted(chosen, torch.full((requests,), -1.5), counts, stopped, full, history, step)


def test_a_token_comes_with_its_weights_and_reasons(tokenizer: PreTrainedTokenizerBase) -> None:
    word = tokenizer.encode("volcano", add_special_tokens=False)[0]
    turn = emitted([word], [True], len(tokenizer))
    (token,) = Scribe(tokenizer, NAMES, "anchored", [2], [()]).write(turn)
    assert token is not None
    assert (token.id, token.logprob, token.ends, token.alternatives) == (word, -1.5, False, {})
    assert token.weights == {"warm": 0.5, "short": 0.25}
    base, warm = turn.step.base_logprobs[0, word], turn.step.expert_logprobs[0, 0, word]
    assert token.logprobs["base"] == pytest.approx(float(base))
    assert token.logprobs["warm"] == pytest.approx(float(warm))
    assert token.moved["warm"] == pytest.approx(0.5 * float(warm - base))
    assert "cold" not in token.moved


def test_alternatives_are_the_likeliest_tokens_of_each_reader(tokenizer: PreTrainedTokenizerBase) -> None:
    turn = emitted([70], [True], len(tokenizer))
    (token,) = Scribe(tokenizer, NAMES, "anchored", [2], [()], alternatives=3).write(turn)
    assert token is not None
    assert list(token.alternatives) == ["mixture", "base", "warm", "short"]
    best = turn.step.expert_logprobs[0, 1].topk(3)
    assert [one.probability for one in token.alternatives["short"]] == pytest.approx(best.values.exp().tolist())
    (token,) = Scribe(tokenizer, NAMES, "anchored", [2], [()], alternatives=len(tokenizer) + 1).write(turn)
    assert token is not None
    assert len(token.alternatives["base"]) == len(tokenizer)


def test_a_request_that_had_stopped_gets_nothing(tokenizer: PreTrainedTokenizerBase) -> None:
    turn = emitted([70, 0], [True, False], len(tokenizer))
    first, second = Scribe(tokenizer, NAMES, "anchored", [2], [(), ()]).write(turn)
    assert first is not None
    assert second is None


def test_an_unfinished_character_is_let_go_at_the_end(tokenizer: PreTrainedTokenizerBase) -> None:
    beginning = tokenizer.encode("🙂", add_special_tokens=False)[-4]
    for final, expected in ((tokenizer.eos_token_id, ["", "�"]), (None, ["�"])):
        end = tokenizer.eos_token_id
        scribe = Scribe(tokenizer, NAMES, "anchored", [end], [()])
        tokens = [beginning] if final is None else [beginning, final]
        turns = [emitted([token], [True], len(tokenizer), end, cut=final is None) for token in tokens]
        written = [scribe.write(turn)[0] for turn in turns]
        assert [token.text for token in written if token] == expected


def test_a_response_knows_how_it_ended_and_its_mean_weights(tokenizer: PreTrainedTokenizerBase) -> None:
    scribe = Scribe(tokenizer, NAMES, "anchored", [2], [()])
    tokens = [scribe.write(emitted([token], [True], len(tokenizer)))[0] for token in (70, 71, 2)]
    whole = Response.of([token for token in tokens if token], {"warm": 1.0}, seconds=2.0)
    assert (whole.finish_reason, whole.tokens_per_second) == ("stop", 1.5)
    assert whole.mean_weights() == {"warm": 0.5, "short": 0.25}
    cut = Response.of([token for token in tokens[:2] if token], {"warm": 1.0}, seconds=2.0)
    assert (cut.finish_reason, cut.text) == ("length", whole.text)
    empty = Response.of([], {}, seconds=0.0)
    assert (empty.finish_reason, empty.text, empty.mean_weights(), empty.tokens_per_second) == ("length", "", {}, 0.0)
