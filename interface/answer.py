"""One answer while it comes: tokens to whoever watches, the whole response at the end.

Knows a mixture's stream and a clock. Does not know who watches.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass

from decoding.conversation import Conversation
from decoding.response import Response, Token
from decoding.sampling import Sampling
from mixture import Mixture
from pcm.preference import Preference


@dataclass(frozen=True)
class Settings:
    """How answers are drawn.

    Args:
        sampling: How a token is chosen.
        seed: Of the first answer.
        alternatives: How many of each reader's most probable tokens to note down.
        explained: Whether each answer comes with an explanation.
        told: Whether what is asked for is said in the prompt too.

    Raises:
        ValueError: If the seed is not in [0, 2^63).
    """

    sampling: Sampling
    seed: int = 0
    alternatives: int = 0
    explained: bool = False
    told: bool = False

    def __post_init__(self) -> None:
        """Refuses a seed that a generator would not take."""
        if not 0 <= self.seed < 2**63:
            raise ValueError(f"seed must be in [0, 2^63), got {self.seed}")


def answer(
    mixture: Mixture,
    conversation: Conversation,
    asked: dict[str, float],
    settings: Settings,
    watch: Callable[[Token], None],
) -> Response:
    """Gives the response to one conversation, and each of its tokens to `watch` as soon as it is there.

    Args:
        mixture: Answers.
        conversation: Ends with what shall be answered.
        asked: How strongly each dimension is asked for, as `Mixture.understood` gives it.
        settings: How it is drawn.
        watch: Called once for each token.
    """
    began = time.perf_counter()
    tokens: list[Token] = []
    turns = mixture.stream(
        [conversation], [Preference(weights=asked)], settings.sampling, [settings.seed], settings.alternatives
    )
    for (token,) in turns:
        assert token is not None  # a lone request ends the stream when it ends
        tokens.append(token)
        watch(token)
    return Response.of(tokens, asked, time.perf_counter() - began)
