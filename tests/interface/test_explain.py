"""An explanation is what really would have come, read off a second time."""

import pytest
import torch

from decoding.choosing import choose, grouped
from decoding.detokenise import Detokeniser
from decoding.history import History
from decoding.response import Response, Token
from decoding.sampling import Sampling
from interface.answer import Settings, answer
from interface.explain import END, Change, Explanation, Part, Span, explain
from mixture import Mixture
from pcm.intensity.curves import Intensities

CONVERSATION = [{"role": "user", "content": "What is a volcano?"}]
ASKED = {"friendly": 1.0, "concise": 0.5}
SEED = 4


def explained(mixture: Mixture, asked: dict[str, float], sampling: Sampling) -> tuple[Response, Explanation]:
    response = answer(mixture, CONVERSATION, asked, Settings(sampling, SEED), lambda token: None)
    return response, explain(mixture, CONVERSATION, response, sampling, SEED)


def forced(mixture: Mixture, asked: dict[str, float], tokens: list[int], sampling: Sampling) -> list[int]:
    """What the mixture says step by step when another answer's tokens are put into its mouth."""
    prompt, mask = mixture.encode([CONVERSATION])
    wished = torch.tensor([asked.get(name, 0.0) for name in mixture.names])
    row = mixture.intensities.turned(wished, mixture.names).unsqueeze(0)
    state, read, history, said = mixture.start(mask, row), prompt, History.of(prompt, mask), []
    groups = grouped([sampling], [torch.Generator().manual_seed(SEED)], mixture.stop_ids, mixture.tokenizer)
    for token in tokens:
        said.append(int(choose(mixture.step(state, read).logprobs, history, groups)))
        read = torch.tensor([[token]])
        history = history.extended(torch.tensor([token]))
    return said


@pytest.mark.parametrize("curves", [{}, {"concise": (0.0, 0.06, 1.0)}], ids=["", "half a wish is asked for little"])
@pytest.mark.parametrize("rule", ["anchored", "probability"])
@pytest.mark.parametrize("sampling", [Sampling(0.0, max_new_tokens=10), Sampling(1.0, 0, 0.9, 10, 0.0, 1.2)])
def test_the_tokens_without_an_expert_are_those_of_the_mixture_not_asked_for_it(
    mixture: Mixture, rule: str, sampling: Sampling, curves: dict[str, tuple[float, ...]]
) -> None:
    mixture.rule, mixture.intensities = rule, Intensities(curves)
    response, explanation = explained(mixture, ASKED, sampling)
    ids = [token.id for token in response.tokens]
    assert forced(mixture, ASKED, ids, sampling) == ids
    found = 0
    for name, part in explanation.parts.items():
        others = {other: value for other, value in ASKED.items() if other != name}
        expected = forced(mixture, others, ids, sampling)
        places = [place for place, (came, other) in enumerate(zip(ids, expected, strict=True)) if came != other]
        assert [change.place for change in part.without] == places
        for change in part.without:
            detokeniser = Detokeniser(mixture.tokenizer)
            for token in ids[: change.place]:
                detokeniser.add(token)
            assert change.instead == detokeniser.instead(expected[change.place])
        found += len(places)
    assert found > 0


def test_without_the_only_expert_the_base_would_have_spoken(mixture: Mixture) -> None:
    mixture.rule = "probability"
    sampling = Sampling(0.0, max_new_tokens=8)
    response, explanation = explained(mixture, {"friendly": 1.0}, sampling)
    mixture.rule = "anchored"
    ids = [token.id for token in response.tokens]
    expected = forced(mixture, {}, ids, sampling)
    places = [place for place, (came, other) in enumerate(zip(ids, expected, strict=True)) if came != other]
    assert [change.place for change in explanation.parts["friendly"].without] == places
    assert places


def test_the_divergence_is_that_of_each_step(mixture: Mixture) -> None:
    response, explanation = explained(mixture, ASKED, Sampling(0.0, max_new_tokens=6))
    prompt, mask = mixture.encode([CONVERSATION])
    state, read, nats = mixture.start(mask, torch.tensor([[1.0, 0.0, 0.5]])), prompt, []
    for token in response.tokens:
        step = mixture.step(state, read)
        nats.append(float((step.logprobs.exp() * (step.logprobs - step.base_logprobs)).sum()))
        read = torch.tensor([[token.id]])
    assert list(explanation.nats) == pytest.approx(nats, abs=1e-6)
    assert explanation.nats_per_token == pytest.approx(sum(nats) / 6, abs=1e-6)


def test_spans_are_the_runs_of_tokens_that_one_expert_moved_most(mixture: Mixture) -> None:
    response, explanation = explained(mixture, ASKED, Sampling(0.0, max_new_tokens=10))
    strongest = [max((nats, name) for name, nats in token.moved.items()) for token in response.tokens]
    movers = [name if nats >= 0.01 else None for nats, name in strongest]
    for name, part in explanation.parts.items():
        assert part.mean_weight == response.mean_weights()[name]
        for span in part.led:
            assert set(movers[span.first : span.last + 1]) == {name}
            assert span.text == "".join(token.text for token in response.tokens[span.first : span.last + 1])
            assert span.first == 0 or movers[span.first - 1] != name
            assert span.last + 1 == len(movers) or movers[span.last + 1] != name
    places = [place for part in explanation.parts.values() for s in part.led for place in range(s.first, s.last + 1)]
    assert sorted(places) == [place for place, name in enumerate(movers) if name is not None]
    assert None in movers
    assert max(len(part.led) for part in explanation.parts.values()) > 1


def test_the_text_is_one_line_for_each_expert_and_long_lists_are_cut() -> None:
    changes = [Change(place, " a", " b\n") for place in range(8)]
    parts = {"warm": Part(0.5, [Span(0, 1, " kind"), Span(3, 3, "")], changes), "cold": Part(0.25, [], [])}
    lines = Explanation([1.0, 0.5], parts).as_text().split("\n")
    assert lines[0] == "why: 0.75 nats from the base at a token, 1.5 in all"
    assert lines[1].startswith(
        f"  warm: mean weight 0.50; led “ kind”, {END}; without it 8 tokens would differ: “ a” → “ b↵”, "
    )
    assert lines[1].endswith(", 2 more")
    assert lines[2] == "  cold: mean weight 0.25; led nowhere; without it 0 tokens would differ"


def test_json_holds_all_of_it() -> None:
    part = Part(0.5, [Span(0, 1, " kind")], [Change(place, "a", "b") for place in range(9)])
    content = Explanation([1.0, 0.5], {"warm": part}).as_json()
    assert content["nats_from_base"] == {"mean": 0.75, "sum": 1.5}
    assert content["experts"]["warm"]["led"] == [{"first": 0, "last": 1, "text": " kind"}]
    assert content["experts"]["warm"]["without"][8] == {"place": 8, "text": "a", "instead": "b"}


def test_a_token_that_ends_is_called_the_end(mixture: Mixture) -> None:
    tokens = [Token(mixture.stop_ids[0], "", -0.1, {"friendly": 1.0}, {"friendly": 0.5}, ends=True)]
    explanation = explain(mixture, CONVERSATION, Response.of(tokens, {"friendly": 1.0}, 1.0), Sampling(0.0), 0)
    assert [change.text for change in explanation.parts["friendly"].without] == [END]
