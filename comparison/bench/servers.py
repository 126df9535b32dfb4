"""Servers: the ways of answering whose cost is compared, each an object with `start`, `step` and `widen`.

A server's `step` is what `decoding.loop.decode` calls, so that every method runs in the same loop. `widen` repeats what
one request has read for several, so that decoding of many need not begin with a prefill of many.
Knows models, caches and rows. Does not know clocks.
"""

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

import torch
from torch import Tensor, nn
from transformers import Cache, DynamicCache, PreTrainedModel

from decoding.loop import StepLike
from decoding.rules import anchored, uniform_log_weights
from experts.bank import ExpertBank
from experts.lag import Lag
from experts.passes import arguments
from experts.rows import Rows
from mixture import Mixture, State

StateType = TypeVar("StateType")


class Server(Protocol[StateType]):
    """One way of answering.

    Attributes:
        name: Of the method.
        experts: K, how many are mixed, or would be: soups and floors stand beside a bank of so many.
        engine: What computes its layers.
        rows: How many rows it reads for each request.
    """

    name: str
    experts: int
    engine: str
    rows: int

    def start(self, prompts: Tensor) -> StateType:
        """Gives the state of requests of which nothing is read yet; prompts are (B, T), without padding."""

    def step(self, state: StateType, tokens: Tensor) -> StepLike:
        """Reads tokens (B, t) and says what comes next; the state moves on."""

    def widen(self, state: StateType, repeats: int) -> StateType:
        """Gives a state in which each request has `repeats` copies beside each other; the old one stays as it is."""

    def modules(self) -> Sequence[nn.Module]:
        """Gives everything that holds weights."""


AnyServer = Server[Any]


@dataclass(frozen=True)
class Said:
    """What comes next, for the decoding loop.

    Args:
        logprobs: (B, V).
    """

    logprobs: Tensor


@dataclass
class Read:
    """What requests have read so far.

    Args:
        mask: 1 where a token counts (B, S).
        caches: Keys and values, one cache for each model or adapter that reads apart.
    """

    mask: Tensor
    caches: list[Cache]

    def extend(self, tokens: Tensor) -> None:
        """Counts tokens (B, t) that come after a prompt."""
        if self.caches[0].get_seq_length() > 0:
            self.mask = torch.cat([self.mask, self.mask.new_ones(tokens.shape)], dim=-1)

    def widened(self, repeats: int) -> "Read":
        """Gives the same with each request `repeats` times."""
        return Read(self.mask.repeat_interleave(repeats, dim=0), [widened(cache, repeats) for cache in self.caches])


def widened(cache: Cache, repeats: int) -> Cache:
    """Gives a copy of a cache with each row `repeats` times: rows of one expert stay together."""
    wide = copy.deepcopy(cache)
    wide.batch_repeat_interleave(repeats)
    return wide


def forward(model: nn.Module, tokens: Tensor, mask: Tensor, cache: Cache, **further: object) -> Tensor:
    """Gives the logits of the last position (R, V) after tokens (R, t), under a mask over all that was read (R, S)."""
    return model(**arguments(tokens, mask, cache), logits_to_keep=1, **further).logits[:, -1]


def logprobs_of(logits: Tensor) -> Tensor:
    """Gives log-probabilities, at least in float32."""
    return logits.to(torch.promote_types(logits.dtype, torch.float32)).log_softmax(dim=-1)


def mixed(logits: Tensor) -> Tensor:
    """Gives the uniform `anchored` mixture (B, V) of the base's and K experts' logits (1 + K, B, V)."""
    logprobs = logprobs_of(logits)
    experts = logprobs[1:].transpose(0, 1)  # (B, K, V)
    return anchored(logprobs[0], experts, uniform_log_weights(experts.new_ones(experts.shape[:2])))


class Floor:
    """A bare model fed several rows for each request: what a bank of that many rows cannot be faster than.

    With one row, and a merged model, it is a soup.

    Args:
        name: Of the method.
        model: Runs without adapters.
        engine: What computes it.
        experts: Of the bank that it stands beside.
        rows: For each request; None is as many as that bank has.
    """

    def __init__(self, name: str, model: PreTrainedModel, engine: str, experts: int, rows: int | None = None) -> None:
        self.name, self.experts, self.engine = name, experts, engine
        self.rows = experts + 1 if rows is None else rows
        self.model = model

    def start(self, prompts: Tensor) -> Read:
        """Gives an empty cache."""
        return Read(torch.ones_like(prompts), [DynamicCache(config=self.model.config)])

    @torch.no_grad()
    def step(self, state: Read, tokens: Tensor) -> Said:
        """Reads every request in `rows` rows, and takes the first of them for the answer."""
        state.extend(tokens)
        rows = tokens.repeat(self.rows, 1), state.mask.repeat(self.rows, 1)
        logits = forward(self.model, *rows, state.caches[0])
        return Said(logprobs_of(logits[: tokens.shape[0]]))

    def widen(self, state: Read, repeats: int) -> Read:
        """Gives the same for more requests."""
        return state.widened(repeats)

    def modules(self) -> list[nn.Module]:
        """Gives the model."""
        return [self.model]


class MixtureServer:
    """A mixture as it is used: `Mixture.step` with every expert of its bank asked for."""

    def __init__(self, name: str, mixture: Mixture, engine: str) -> None:
        self.name, self.experts, self.engine = name, len(mixture.names), engine
        self.rows = self.experts + 1
        self.mixture = mixture

    def start(self, prompts: Tensor) -> State:
        """Gives the mixture's own state."""
        asked = torch.ones(prompts.shape[0], self.experts, device=prompts.device)
        return self.mixture.start(torch.ones_like(prompts), asked)

    def step(self, state: State, tokens: Tensor) -> StepLike:
        """The mixture's own step."""
        return self.mixture.step(state, tokens)

    def widen(self, state: State, repeats: int) -> State:
        """Gives the same for more requests."""
        wide = self.mixture.start(
            state.mask.repeat_interleave(repeats, dim=0), state.asked.repeat_interleave(repeats, dim=0)
        )
        wide.cache = widened(state.cache, repeats)
        if state.lag is not None:
            lag = state.lag
            numbers = (one.repeat_interleave(repeats, dim=0) for one in (lag.unread, lag.divergence, lag.age))
            wide.lag = Lag(widened(lag.cache, repeats), *numbers)
        return wide

    def modules(self) -> list[nn.Module]:
        """Gives the bank and the controller."""
        return [self.mixture.bank, *([self.mixture.pcm] if self.mixture.pcm is not None else [])]


class BankPass:
    """The bank's forward pass alone, without rule and controller: what a mixture's own overhead is measured against."""

    def __init__(self, name: str, bank: ExpertBank, engine: str) -> None:
        self.name, self.experts, self.engine = name, len(bank.names), engine
        self.rows = self.experts + 1
        self.bank = bank

    def start(self, prompts: Tensor) -> Read:
        """Gives an empty cache."""
        return Read(torch.ones_like(prompts), [self.bank.empty_cache()])

    @torch.no_grad()
    def step(self, state: Read, tokens: Tensor) -> Said:
        """Reads every row, and takes the base's for the answer."""
        state.extend(tokens)
        rows = Rows.of(torch.ones(tokens.shape[0], self.experts))
        reading = self.bank.forward_rows(
            tokens[rows.requests], state.mask[rows.requests], rows.experts, state.caches[0], logits_to_keep=1
        )
        return Said(logprobs_of(reading.logits[: tokens.shape[0], -1]))

    def widen(self, state: Read, repeats: int) -> Read:
        """Gives the same for more requests."""
        return state.widened(repeats)

    def modules(self) -> list[nn.Module]:
        """Gives the bank."""
        return [self.bank]
