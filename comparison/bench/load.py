"""The mixed-preference load: many requests with a few different preferences, answered on the same hardware.

Four ways: ours, one batch in which every request reads the base and the experts it asks for; soups merged into one
model and swapped, requests grouped by preference, the time of every merge counted; soups kept as one resident model for
each preference; soups stacked as adapters of an expert bank, one row for each request, which is the strongest way to
serve them. The last two know every preference before the clock starts, which favours them.
Nothing is compiled here: every merge would have to be compiled anew.
Knows mixtures, banks and soups. Does not know how times are summarised.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import combinations
from typing import Any, Protocol, cast

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from comparison.bench.engines import Engine, unchanged
from comparison.bench.lineup import Material, mixture_of
from comparison.bench.memory import bytes_of, no_room
from comparison.bench.servers import AnyServer, Floor, Read, Said, logprobs_of
from comparison.bench.shapes import bank_of, merged_copy, twin
from decoding.loop import decode
from decoding.sampling import Sampling
from experts.bank import ExpertBank
from experts.soup import merged_adapter, merged_update
from mixture import Mixture


@dataclass(frozen=True)
class Load:
    """Requests and what each asks for.

    Args:
        prompts: (B, T), without padding.
        asked: 1 where a request asks for an expert (B, K); requests of one preference lie together.
        new_tokens: Of every answer.
    """

    prompts: Tensor
    asked: Tensor
    new_tokens: int

    @classmethod
    def random(
        cls, requests: int, preferences: int, experts: int, each: int, tokens: tuple[int, int], vocabulary: int
    ) -> "Load":
        """Draws prompts, and spreads different preferences evenly over them.

        Args:
            requests: B.
            preferences: How many different ones, spread over all combinations.
            experts: K.
            each: How many experts a preference asks for.
            tokens: Of a prompt and of an answer.
            vocabulary: Token ids are drawn below this.

        Raises:
            ValueError: If the preferences do not divide the requests, or there are not so many.
        """
        every = list(combinations(range(experts), each))
        if requests % preferences or len(every) < preferences:
            raise ValueError(f"{requests} requests must share {preferences} of {len(every)} preferences evenly")
        chosen = every[:: len(every) // preferences][:preferences]
        asked = torch.zeros(preferences, experts)
        for row, members in enumerate(chosen):
            asked[row, list(members)] = 1.0
        generator = torch.Generator().manual_seed(0)
        prompts = torch.randint(vocabulary, (requests, tokens[0]), generator=generator)
        return cls(prompts, asked.repeat_interleave(requests // preferences, dim=0), tokens[1])

    def to(self, device: torch.device) -> "Load":
        """Gives the same load on a device."""
        return Load(self.prompts.to(device), self.asked.to(device), self.new_tokens)

    def beginning(self, new_tokens: int) -> "Load":
        """Gives the same load with shorter answers."""
        return Load(self.prompts, self.asked, new_tokens)

    def groups(self) -> list[tuple[tuple[int, ...], Tensor]]:
        """Gives each preference, as the experts it asks for, with the prompts of its requests."""
        members = [tuple(row.nonzero().flatten().tolist()) for row in self.asked]
        found: dict[tuple[int, ...], list[int]] = {}
        for request, experts in enumerate(members):
            found.setdefault(experts, []).append(request)
        return [(experts, self.prompts[rows]) for experts, rows in found.items()]


class LoadServer(Protocol):
    """One way of answering a load, by a name and an engine."""

    @property
    def name(self) -> str:
        """Of the method."""

    @property
    def engine(self) -> str:
        """What computes its layers."""

    def answer(self, load: Load) -> Tensor:
        """Gives every request's tokens (B, n)."""


def answers(step: Any, prompts: Tensor, new_tokens: int) -> Tensor:
    """Gives greedy answers of exactly so many tokens (B, n), through the decoding loop."""
    turns = decode(step, prompts, Sampling(temperature=0.0, max_new_tokens=new_tokens), [], [], pad_id=0)
    return torch.stack([turn.tokens for turn in turns], dim=-1)


def served(server: AnyServer, prompts: Tensor, new_tokens: int) -> Tensor:
    """Gives a server's answers (B, n)."""
    return answers(partial(server.step, server.start(prompts)), prompts, new_tokens)


@dataclass(frozen=True)
class Ours:
    """All requests in one batch of a mixture."""

    name: str
    engine: str
    mixture: Mixture

    def answer(self, load: Load) -> Tensor:
        """Answers everybody at once."""
        state = self.mixture.start(torch.ones_like(load.prompts), load.asked)
        return answers(partial(self.mixture.step, state), load.prompts, load.new_tokens)


class Swapped:
    """One working model, into whose weights the soup of one preference after the other is merged."""

    name = "soups, merge and swap"

    def __init__(self, engine: Engine, bank: ExpertBank) -> None:
        self.engine, self.bank = engine.name, bank
        self._pack = engine.weights
        self._working = merged_copy(bank.base, merged_update(bank, {bank.names[0]: 1.0}))

    def answer(self, load: Load) -> Tensor:
        """Merges and answers, for each preference in turn."""
        told = []
        for experts, prompts in load.groups():
            self._merge({self.bank.names[expert]: 1 / len(experts) for expert in experts})
            told.append(served(Floor("soup", self._ready(), self.engine, 0), prompts, load.new_tokens))
        return torch.cat(told)

    @torch.no_grad()
    def _merge(self, weights: Mapping[str, float]) -> None:
        """Writes base plus soup into the working model; nothing has to be taken out again."""
        for name, update in merged_update(self.bank, weights).items():
            weight = cast(nn.Linear, self.bank.base.get_submodule(name)).weight
            torch.add(weight, update.to(weight), out=cast(nn.Linear, self._working.get_submodule(name)).weight)

    def _ready(self) -> PreTrainedModel:
        """The working model in its engine's layout, which has to be made anew after every merge."""
        if self._pack is unchanged:
            return self._working
        model = twin(self._working)
        self._pack(model)
        return model


@dataclass(frozen=True)
class Resident:
    """One merged model for each preference, all in memory."""

    engine: str
    models: Mapping[tuple[int, ...], PreTrainedModel]
    name: str = "soups, resident"

    def answer(self, load: Load) -> Tensor:
        """Answers one preference after the other."""
        servers = {experts: Floor("soup", model, self.engine, 0) for experts, model in self.models.items()}
        groups = load.groups()
        return torch.cat([served(servers[experts], prompts, load.new_tokens) for experts, prompts in groups])


class Stacked:
    """Every soup an adapter of its own in one bank: all requests in one batch, one row each."""

    name = "soups, stacked adapters"

    def __init__(self, engine: str, bank: ExpertBank, order: Sequence[tuple[int, ...]]) -> None:
        self.engine, self.bank, self.order = engine, bank, list(order)

    def answer(self, load: Load) -> Tensor:
        """Answers everybody at once."""
        rows = torch.tensor([self.order.index(experts) for experts, prompts in load.groups() for _ in prompts])
        state = Read(torch.ones_like(load.prompts), [self.bank.empty_cache()])
        return answers(partial(self._step, rows, state), load.prompts, load.new_tokens)

    @torch.no_grad()
    def _step(self, rows: Tensor, state: Read, tokens: Tensor) -> Said:
        """Reads one row for each request."""
        state.extend(tokens)
        output = self.bank.forward_rows(tokens, state.mask, rows, state.caches[0], logits_to_keep=1)
        return Said(logprobs_of(output.logits[:, -1]))


def load_servers(material: Material, load: Load, engine: Engine) -> tuple[list[LoadServer], list[str]]:
    """Gives the ways of answering a load, and a line for what this machine has no memory for."""
    adapters = material.first(load.asked.shape[1])
    dense, base = bank_of(twin(material.base), adapters, material.rank), twin(material.base)
    engine.weights(base)
    bank = bank_of(twin(base), adapters, material.rank)
    stacked = ExpertBank(twin(base))
    groups = [experts for experts, _ in load.groups()]
    soups = {experts: {dense.names[expert]: 1 / len(experts) for expert in experts} for experts in groups}
    for experts, weights in soups.items():
        stacked.add("-".join(map(str, experts)), *merged_adapter(dense, weights))
    servers: list[LoadServer] = [
        Ours("mixture", engine.name, mixture_of(bank)),
        Swapped(engine, dense),
        Stacked(engine.name, stacked.eval(), groups),
    ]
    if refused := no_room(len(groups) * bytes_of([material.base]), material.base.device):
        return servers, [f"resident soups: {refused}"]
    return [*servers, Resident(engine.name, dict(_resident(dense, soups, engine)))], []


def _resident(
    bank: ExpertBank, soups: Mapping[tuple[int, ...], Mapping[str, float]], engine: Engine
) -> Iterator[tuple[tuple[int, ...], PreTrainedModel]]:
    """A merged model for each soup."""
    for experts, weights in soups.items():
        model = merged_copy(bank.base, merged_update(bank, weights))
        engine.weights(model)
        yield experts, model
