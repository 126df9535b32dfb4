"""What a person receives: tokens with their reasons, joined to responses.

Knows the shape of an answer. Does not know how it came about, nor how it is shown.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Alternative:
    """A token that could have come instead.

    Args:
        text: What it would have added to the text.
        probability: Under the reader that proposed it.
    """

    text: str
    probability: float


@dataclass(frozen=True)
class Token:
    """One token of a response and why it is there.

    Args:
        id: Number in the vocabulary.
        text: The text that it completes: "" inside a character of several tokens, and for the end token.
        logprob: Log-probability under the untempered mixture, nats.
        weights: What the mixture gave each asked dimension at this token.
        moved: How much each asked dimension moved it (`decoding.attribution`).
        logprobs: Its log-probability under "base" and under each asked dimension, nats.
        alternatives: The likeliest tokens under "mixture", "base" and each asked dimension, if wanted.
        ends: Whether it is the token that ends a response.
    """

    id: int
    text: str
    logprob: float
    weights: Mapping[str, float]
    moved: Mapping[str, float] = field(default_factory=dict)
    logprobs: Mapping[str, float] = field(default_factory=dict)
    alternatives: Mapping[str, Sequence[Alternative]] = field(default_factory=dict)
    ends: bool = False


@dataclass(frozen=True)
class Response:
    """One answer.

    Args:
        text: The pieces of its tokens, joined.
        finish_reason: "stop" when the model ended it, "length" when the budget did.
        tokens: Every token, the end token included.
        asked: How strongly each dimension was asked for, in [0, 1]; the others are left out.
        seconds: From the start of its batch to its last token.
    """

    text: str
    finish_reason: str
    tokens: Sequence[Token]
    asked: Mapping[str, float]
    seconds: float

    @classmethod
    def of(cls, tokens: Sequence[Token], asked: Mapping[str, float], seconds: float) -> "Response":
        """Gives the response that these tokens make.

        Args:
            tokens: What was emitted, in order.
            asked: How strongly each dimension was asked for.
            seconds: What it took.
        """
        ended = bool(tokens) and tokens[-1].ends
        text = "".join(token.text for token in tokens)
        return cls(text, "stop" if ended else "length", tuple(tokens), dict(asked), seconds)

    @property
    def tokens_per_second(self) -> float:
        """Speed, the reading of the prompt included."""
        return len(self.tokens) / self.seconds if self.seconds > 0 else 0.0

    def mean_weights(self) -> dict[str, float]:
        """Gives the mean over tokens of each asked dimension's weight, zero where the base spoke alone."""
        names = dict.fromkeys(name for token in self.tokens for name in token.weights)
        return {name: sum(token.weights.get(name, 0.0) for token in self.tokens) / len(self.tokens) for name in names}
