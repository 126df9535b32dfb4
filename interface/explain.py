"""Explain one answer: which expert led where, what would have come without each, how far all of it is from the base.

Knows a mixture and one of its answers, which it reads once more, in a single pass. Does not know who is told.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import torch
from torch import Tensor

from decoding.attribution import moved_most
from decoding.choosing import choose, grouped
from decoding.conversation import Conversation
from decoding.detokenise import Detokeniser
from decoding.divergence import divergence
from decoding.history import History
from decoding.response import Response
from decoding.sampling import Sampling
from mixture import Mixture

END = "the end"
"""Stands for a token that ends a response: it has no text."""
LISTED = 6
"""Most spans and most changes of one expert that are printed; JSON and the trace page hold all of them."""
DIGITS = 6


@dataclass(frozen=True)
class Span:
    """Neighbouring tokens that one expert led: it moved each of them most.

    Args:
        first: Place of the first token, from 0.
        last: Place of the last one.
        text: Of all of them.
    """

    first: int
    last: int
    text: str


@dataclass(frozen=True)
class Change:
    """A token that would have been another one.

    Args:
        place: Of the token, from 0.
        text: What came.
        instead: What would have come.
    """

    place: int
    text: str
    instead: str


@dataclass(frozen=True)
class Part:
    """What one expert did in an answer.

    Args:
        mean_weight: Mean over tokens of its weight.
        led: Where it led.
        without: The tokens that would have differed without it, each after the answer's own tokens before it.
    """

    mean_weight: float
    led: Sequence[Span]
    without: Sequence[Change]


@dataclass(frozen=True)
class Explanation:
    """Why an answer reads as it does.

    Args:
        nats: Divergence KL(mixture‖base) at each token (n).
        parts: What each asked expert did.
    """

    nats: Sequence[float]
    parts: Mapping[str, Part]

    @property
    def nats_per_token(self) -> float:
        """Mean divergence from the base over tokens."""
        return sum(self.nats) / len(self.nats)

    def as_json(self) -> dict[str, Any]:
        """Gives the same as JSON values."""
        return {
            "nats_from_base": {"mean": round(self.nats_per_token, DIGITS), "sum": round(sum(self.nats), DIGITS)},
            "experts": {name: _part_as_json(part) for name, part in self.parts.items()},
        }

    def as_text(self) -> str:
        """Gives the same in lines for a person, the longest lists cut short."""
        head = f"why: {self.nats_per_token:.2f} nats from the base at a token, {sum(self.nats):.1f} in all"
        return "\n".join([head, *(f"  {name}: {_part_as_text(part)}" for name, part in self.parts.items())])


@torch.no_grad()
def explain(
    mixture: Mixture, conversation: Conversation, response: Response, sampling: Sampling, seed: int
) -> Explanation:
    """Gives the explanation of an answer that this mixture gave.

    What would have come without an expert is what the mixture that is not asked for it chooses after the same tokens,
    by the same settings and the same draws; where nobody else is asked, what the base would have said.

    Args:
        mixture: Gave the answer.
        conversation: What it answered.
        response: The answer, at least one token.
        sampling: How its tokens were chosen.
        seed: Of its draws.
    """
    prompt, mask = mixture.encode([conversation])
    tokens = prompt.new_tensor([[token.id for token in response.tokens]])  # (1, n)
    wished = torch.tensor([response.asked.get(name, 0.0) for name in mixture.names], device=prompt.device)  # (K,)
    asked = mixture.intensities.turned(wished, mixture.names).unsqueeze(0)  # (1, K), as decoding asked the controller
    whole = torch.cat([prompt, tokens], dim=-1)[:, :-1]  # the last token is said, never read
    whole_mask = torch.cat([mask, torch.ones_like(tokens)], dim=-1)[:, :-1]
    reading = mixture.read(whole, whole_mask, asked, logits_to_keep=tokens.shape[1])
    precise = torch.promote_types(reading.base.dtype, torch.float32)
    base = reading.base.to(precise).log_softmax(dim=-1)  # (1, n, V)
    nobody = mixture.bounded(base, base, reading.experts.to(precise).log_softmax(dim=-1))
    nats = divergence(mixture.mix(reading, asked)[0], base)[0].tolist()
    weights = response.mean_weights()
    parts: dict[str, Part] = {}
    for name in response.asked:
        others = asked.clone()
        others[0, mixture.names.index(name)] = 0.0
        heard = mixture.heard(reading, whole, whole_mask, others)
        left = mixture.mix(heard, others)[0] if bool((others > 0).any()) else nobody
        chosen = _chosen(mixture, left, History.of(prompt, mask), tokens, sampling, seed)
        parts[name] = Part(weights[name], _spans(response, name), _changes(mixture, response, chosen))
    return Explanation(nats, parts)


def _chosen(
    mixture: Mixture, logprobs: Tensor, prompt: History, tokens: Tensor, sampling: Sampling, seed: int
) -> list[int]:
    """The token chosen at each place from logprobs (1, n, V), after the prompt and the answer's tokens (1, n)."""
    generator = torch.Generator(logprobs.device).manual_seed(seed)
    groups = grouped([sampling], [generator], mixture.stop_ids, mixture.tokenizer)
    places = range(tokens.shape[1])
    return [int(choose(logprobs[:, n], History(prompt.prompt, tokens[:, :n]), groups)) for n in places]


def _spans(response: Response, name: str) -> list[Span]:
    leaders = [(moved_most(dict(token.moved)), place) for place, token in enumerate(response.tokens)]
    spans = []
    for leader, group in groupby(leaders, key=lambda pair: pair[0]):
        places = [place for _, place in group]
        if leader == name:
            text = "".join(response.tokens[place].text for place in places)
            spans.append(Span(places[0], places[-1], text))
    return spans


def _changes(mixture: Mixture, response: Response, chosen: Sequence[int]) -> list[Change]:
    detokeniser = Detokeniser(mixture.tokenizer)
    changes: list[Change] = []
    for place, (token, other) in enumerate(zip(response.tokens, chosen, strict=True)):
        if token.id != other:
            texts = [END if one in mixture.stop_ids else detokeniser.instead(one) for one in (token.id, other)]
            changes.append(Change(place, *texts))
        detokeniser.add(token.id)
    return changes


def _part_as_json(part: Part) -> dict[str, Any]:
    return {
        "mean_weight": round(part.mean_weight, DIGITS),
        "led": [vars(span) for span in part.led],
        "without": [vars(change) for change in part.without],
    }


def _part_as_text(part: Part) -> str:
    led = _listed([_quoted(span.text) for span in part.led]) or "nowhere"
    tokens = len(part.without)
    differ = f"without it {tokens} token{'s' * (tokens != 1)} would differ"
    changes = _listed([f"{_quoted(change.text)} → {_quoted(change.instead)}" for change in part.without])
    return f"mean weight {part.mean_weight:.2f}; led {led}; {differ}" + (f": {changes}" if changes else "")


def _listed(entries: Sequence[str]) -> str:
    more = [f"{len(entries) - LISTED} more"] if len(entries) > LISTED else []
    return ", ".join([*entries[:LISTED], *more])


def _quoted(text: str) -> str:
    """The text with its line breaks visible, so that an explanation keeps its lines; an end token has none."""
    return END if text in ("", END) else "“" + text.replace("\r", "").replace("\n", "↵") + "”"
