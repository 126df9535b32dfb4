"""The composition: base, experts, controller and rule as one thing that answers.

`Mixture.step` is the only place where a response's next distribution is made: streaming, generation, rollouts and the
trace all call it. `Mixture.mix` makes the same distributions from a whole reading, for training.
Knows how the rooms fit together. Does not know how a rule mixes, a bank reads, a controller weighs, a page looks or
where the parts lie.
"""

import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, Self

import torch
from torch import Tensor
from transformers import Cache, PreTrainedTokenizerBase

from decoding.conversation import Conversation, encode, require_room
from decoding.divergence import capped, divergence
from decoding.history import History
from decoding.loop import Emitted, decode
from decoding.response import Response, Token
from decoding.rules import Rule, rule_named
from decoding.sampling import Sampling, one_for_each
from decoding.scribe import Scribe
from decoding.stages import in_stages
from decoding.step import Rollout, Step
from experts.lag import Lag
from experts.rows import Reading, Rows
from experts.state import State
from parts import Parts
from pcm.intensity.curves import Intensities
from pcm.mixing import mix
from pcm.preference import Preference, asked_for


class Mixture(Parts):
    """Answers conversations, each as its preference asks for it, one token at a time."""

    def compile(self, **settings: Any) -> None:
        """Compiles the experts' passes: the same tokens, faster only once the graphs are made.

        A prompt, a first step and all steps after it are one graph each, and again for every new grouping of rows (who
        asks for what, how many requests). Making them takes from seconds to minutes, growing with the base's layers, so
        it pays where the same preferences and batch sizes are served for long, and not for a single answer. After eight
        graphs torch goes back to plain passes and says so (`torch._dynamo.config.recompile_limit`).

        Args:
            settings: Those of `torch.compile`.

        Raises:
            ValueError: If the experts are whole models, or the base's forward pass is wrapped.
        """
        self.bank.compile(**settings)

    def asked(self, preference: Preference | None) -> Tensor:
        """Gives how much each dimension is asked for (K,), in [0, 1]; None asks for all alike, which is no wish."""
        if preference is None:
            return torch.ones(len(self.dimensions))
        return asked_for(preference, self.dimensions, self.reader, self.intensities)

    def _undecided(self, asked: Tensor) -> Tensor | None:
        """Where everything is asked for alike (..., K), each pole as much as its opposite: there nothing is preferred.

        None where no dimension has an opposite: to ask for all of them is a wish like others.
        """
        if {dimension.opposite for dimension in self.dimensions}.isdisjoint(self.names):
            return None
        return (asked == asked[..., :1]).all(-1)

    def uniform(self, rule: str | Rule | None = None) -> Self:
        """Gives the same experts without a controller, and without the gate and the curves that belong to it.

        Args:
            rule: Another mixing rule.
        """
        return replace(self, pcm=None, gate=None, budget=1.0, intensities=Intensities(), rule=rule or self.rule)

    def understood(self, preference: Preference | None) -> dict[str, float]:
        """Gives the dimensions that are asked for: as weights of a `Preference` they ask for the same."""
        wished = self.intensities.wished(self.asked(preference), self.names)
        return {name: value for name, value in zip(self.names, wished.tolist(), strict=True) if value > 0}

    def encode(self, conversations: Sequence[Conversation]) -> tuple[Tensor, Tensor]:
        """Gives token ids and mask, padded on the left, (B, T) each."""
        device = self.bank.base.device
        input_ids, attention_mask = encode(self.tokenizer, conversations)
        return input_ids.to(device), attention_mask.to(device)

    def start(self, attention_mask: Tensor, asked: Tensor, room: Tensor | None = None) -> State:
        """Gives the state of requests of which nothing is read yet.

        Args:
            attention_mask: Of the prompts (B, T).
            asked: How much each expert is asked for (B, K).
            room: The most tokens that count of each request (B,); None is no limit.
        """
        trunk_cache = None if self.pcm is None else self.pcm.trunk.empty_cache()
        lag = None if self.budget == 1 else Lag.fresh(self.bank.empty_cache(), len(asked), asked.device)
        return State(self._rows(asked), asked, attention_mask, self.bank.empty_cache(), room, trunk_cache, lag)

    @torch.no_grad()
    def step(self, state: State, tokens: Tensor) -> Step:
        """Reads tokens and gives what comes next; the state moves on.

        Args:
            state: From `start`.
            tokens: The prompt first, then what was chosen (B, t).

        Raises:
            ValueError: If something comes out that is no number, of whom it says, or the rule is one of your own and
                gives no distribution.
        """
        state.await_reading(tokens)
        step = self._mixed(state, tokens) if state.lag is None else self._sparing(state, state.lag, tokens)
        step.require_numbers(self.names)
        if self.rule_name is None:
            step.require_distribution()
        return step

    def _mixed(self, state: State, tokens: Tensor) -> Step:
        """Everybody reads tokens (B, t), and what they say next is mixed."""
        return Step(*(tensor[:, -1] for tensor in self._distributions(self._read(state, tokens), state.asked)))

    def _sparing(self, state: State, lag: Lag, tokens: Tensor) -> Step:
        """The base reads tokens (B, t); the experts catch up with it where the gate expects them to matter.

        Each request's step depends on its own gate alone, though everybody catches up where one has to.
        """
        assert self.gate is not None  # `require_budget` saw to it
        alone = self._read_base(state, lag, tokens)
        precise = torch.promote_types(alone.base.dtype, torch.float32)
        base = alone.base[:, -1].to(precise).log_softmax(-1)  # (B, V)
        unread = lag.waited(tokens)
        mixed = self.gate.opens(base, alone.hidden[:, -1], lag.divergence, lag.age, self.budget)  # (B,)
        if not bool(mixed.any()):
            return Step.of_base(base, len(self.names))
        step = self._mixed(state, unread)
        lag.caught_up(mixed, divergence(step.logprobs, step.base_logprobs))
        return step.only(mixed)

    def _read_base(self, state: State, lag: Lag, tokens: Tensor) -> Reading:
        """The base's reading of the last position, as `_read`."""
        rows = Rows.of(torch.zeros_like(state.asked))
        for piece, mask in self._pieces(tokens, state.mask, rows, lag.cache):
            reading = self.bank.read(piece, mask, rows, lag.cache, logits_to_keep=1)
        return reading

    def _read(self, state: State, tokens: Tensor) -> Reading:
        """The reading of the last position (B, 1, ...), after passes of at most `prefill_tokens` over all of them."""
        for piece, mask in self._pieces(tokens, state.mask, state.rows, state.cache):
            reading = self.read(piece, mask, state.asked, logits_to_keep=1, state=state)
        return reading

    def _pieces(self, tokens: Tensor, mask: Tensor, rows: Rows, cache: Cache) -> Iterator[tuple[Tensor, Tensor]]:
        """The tokens (B, t) of each pass with the mask up to its end; the cache is filled from pass to pass."""
        for piece in tokens.split(max(1, self.prefill_tokens // len(rows.pairs)), dim=-1):
            yield piece, mask[:, : cache.get_seq_length() + piece.shape[-1]]

    def read(
        self,
        input_ids: Tensor,
        attention_mask: Tensor,
        asked: Tensor,
        logits_to_keep: int = 0,
        state: State | None = None,
    ) -> Reading:
        """Gives what base, experts and the controller's trunk make of tokens, as `mix` takes it.

        Args:
            input_ids: What was not read yet, padded on the left (B, T).
            attention_mask: 1 where a token counts, over what was read and what is new (B, S).
            asked: How much each expert is asked for (B, K).
            logits_to_keep: Only this many last positions; 0 is all of them.
            state: What was read before; its caches are filled further. None reads whole texts without a cache.
        """
        rows = self._rows(asked) if state is None else state.rows
        caches = (None, None) if state is None else (state.cache, state.trunk_cache)
        reading = self.bank.read(input_ids, attention_mask, rows, caches[0], logits_to_keep=logits_to_keep)
        return self.heard(reading, input_ids, attention_mask, asked, caches[1])

    def heard(
        self,
        reading: Reading,
        input_ids: Tensor,
        attention_mask: Tensor,
        asked: Tensor,
        cache: Cache | None = None,
    ) -> Reading:
        """Gives a reading with the states of the controller's trunk when this is asked for; see `read`."""
        if self.pcm is None:
            return reading
        hidden = self.pcm.trunk.read(reading.hidden, input_ids, attention_mask, asked, cache)  # (B, T', H)
        return replace(reading, hidden=hidden)

    def mix(self, reading: Reading, asked: Tensor) -> tuple[Tensor, Tensor]:
        """Gives the mixture's log-probabilities (B, T, V) and log-weights (B, T, K) at every position of a reading."""
        return self._distributions(reading, asked)[:2]

    def _distributions(self, reading: Reading, asked: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """The four fields of a `Step` at every position of a reading (B, T, ...)."""
        precise = torch.promote_types(reading.base.dtype, torch.float32)
        base = reading.base.to(precise).log_softmax(dim=-1)  # (B, T, V)
        experts = reading.experts.to(precise).log_softmax(dim=-1)  # (B, T, K, V)
        everywhere = asked.to(base).unsqueeze(1).expand(-1, base.shape[1], -1)  # (B, T, K)
        logprobs, log_weights = mix(
            rule_named(self.rule),
            self.pcm,
            reading.hidden,
            base,
            experts,
            everywhere,
            undecided=self._undecided(everywhere),
        )
        return self.bounded(logprobs, base, experts), log_weights, base, experts

    def _rows(self, asked: Tensor) -> Rows:
        """Who reads requests (B, K): the base, the experts asked for, and the one from which the cap is measured."""
        if self.safe is None:
            return self.bank.rows(asked)
        place = torch.tensor([self.names.index(self.safe)], device=asked.device)
        return self.bank.rows(asked.index_fill(-1, place, 1.0))

    def bounded(self, logprobs: Tensor, base_logprobs: Tensor, expert_logprobs: Tensor) -> Tensor:
        """Gives a distribution (..., V) as near to the base, or to the safe expert, as the cap wants it.

        Args:
            logprobs: Log-probabilities (..., V).
            base_logprobs: Of the base (..., V).
            expert_logprobs: Of the experts (..., K, V), the safe one among those that read.
        """
        near = base_logprobs if self.safe is None else expert_logprobs[..., self.names.index(self.safe), :]
        return capped(logprobs, near, self.cap)

    def emit(
        self,
        input_ids: Tensor,
        mask: Tensor,
        asked: Tensor,
        sampling: Sampling | Sequence[Sampling],
        generators: Sequence[torch.Generator],
    ) -> Iterator[Emitted[Step]]:
        """Gives one token of each response at a time.

        Args:
            input_ids: Prompts, padded on the left (B, T).
            mask: 1 where a token counts (B, T).
            asked: How much each expert is asked for (B, K).
            sampling: How a token is chosen and where a response ends: one for all requests or one for each.
            generators: One for each request.

        Raises:
            ValueError: If a prompt and its response do not fit the model's window, or a sampling the tokenizer.
        """
        samplings = one_for_each(sampling, len(input_ids))
        state = self._begun(mask, asked, samplings)
        return decode(partial(self.step, state), input_ids, samplings, generators, *self._told(input_ids, mask))

    def rollout(
        self,
        input_ids: Tensor,
        mask: Tensor,
        asked: Tensor,
        sampling: Sampling | Sequence[Sampling],
        generators: Sequence[torch.Generator],
    ) -> Rollout:
        """Gives whole responses as tensors; arguments, tokens and errors are those of `emit`."""
        samplings = one_for_each(sampling, len(input_ids))
        state = self._begun(mask, asked, samplings)
        return in_stages(self.step, state, input_ids, samplings, generators, *self._told(input_ids, mask))

    def _begun(self, mask: Tensor, asked: Tensor, samplings: Sequence[Sampling]) -> State:
        """The state of requests that have room for their responses."""
        lengths = torch.tensor([one.max_new_tokens for one in samplings], device=mask.device)  # (B,)
        require_room(mask, lengths, self.window)
        return self.start(mask, asked.to(mask.device), room=mask.sum(dim=-1) + lengths)

    def _told(self, input_ids: Tensor, mask: Tensor) -> tuple[list[int], int, PreTrainedTokenizerBase, History]:
        """What the loop is told about tokens."""
        return self.stop_ids, self.tokenizer.pad_token_id, self.tokenizer, History.of(input_ids, mask)

    def stream(
        self,
        conversations: Sequence[Conversation],
        preferences: Sequence[Preference | None],
        sampling: Sampling | Sequence[Sampling],
        seeds: Sequence[int],
        alternatives: int = 0,
    ) -> Iterator[list[Token | None]]:
        """Gives the next token of each request, None where a response has ended.

        Args:
            conversations: One for each request (B).
            preferences: One for each request.
            sampling: How a token is chosen and where a response ends: one for all requests or one for each.
            seeds: One for each request: a response depends on its own seed alone.
            alternatives: How many of each reader's most probable tokens to note down.
        """
        samplings = one_for_each(sampling, len(conversations))
        input_ids, mask = self.encode(conversations)
        asked = torch.stack([self.asked(preference) for preference in preferences])  # (B, K)
        generators = [torch.Generator(input_ids.device).manual_seed(seed) for seed in seeds]
        stops = [one.stop for one in samplings]
        scribe = Scribe(self.tokenizer, self.names, self.rule_name, self.stop_ids, stops, alternatives)
        for emitted in self.emit(input_ids, mask, asked, samplings, generators):
            tokens = scribe.write(emitted)
            if all(token is None for token in tokens):
                return
            yield tokens

    def generate(
        self,
        conversations: Sequence[Conversation],
        preferences: Sequence[Preference | None],
        sampling: Sampling | Sequence[Sampling],
        seeds: Sequence[int],
    ) -> list[Response]:
        """Gives whole responses; the arguments are those of `stream`."""
        understood = [self.understood(preference) for preference in preferences]
        began = time.perf_counter()
        tokens: list[list[Token]] = [[] for _ in conversations]
        seconds = [0.0 for _ in conversations]
        for turn in self.stream(conversations, [Preference(weights=u) for u in understood], sampling, seeds):
            for row, token in enumerate(turn):
                if token is not None:
                    tokens[row].append(token)
                    seconds[row] = time.perf_counter() - began
        return [Response.of(*parts) for parts in zip(tokens, understood, seconds, strict=True)]
