"""One cell of the benchmark: servers at one batch size in one phase, timed in turn, as rows of numbers.

Prefill is the first turn of the decoding loop over fresh prompts. Decode is every later turn; it starts from one
request that was read once and repeated, which costs the same as requests that differ.
Knows servers, the loop and rounds. Does not know how servers are built or shown.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch
from torch import Tensor
from transformers import Cache

from comparison.bench.memory import bytes_of, cached_bytes, growth, no_room
from comparison.bench.rounds import rounds, timed
from comparison.bench.servers import AnyServer
from comparison.bench.summaries import median, paired_ratio, spread
from decoding.loop import StepLike, decode
from decoding.sampling import Sampling
from experts.lag import Lag

Row = dict[str, Any]
GREEDY = Sampling(temperature=0.0, max_new_tokens=4096)
PHASES = ("decode", "prefill")
OVERHEADS = ("bank-pass", "bank+controller", "bank+gate")
"""What tells where a mixture's own time goes."""
LARGEST_OVERHEAD = 8
"""Requests of a batch above which they are not measured: their caches would take the memory of everybody else's."""
OURS = ("soup", "floor", "bank", *OVERHEADS)
"""Measured however long they take, and in every round: what everything else is compared with."""
BARE = ("bank-pass",)
"""Run without the decoding loop, so that what the loop takes shows beside them."""
CACHE_COPIES = 2
"""How much memory caches take at most while they are made anew, in sizes of their own."""


@dataclass(frozen=True)
class Effort:
    """How much is measured.

    Args:
        prompt_tokens: Of a prompt.
        rounds: The most rounds of a cell.
        seconds: After which a cell starts no further round, once it has three.
        turns: Decoding turns that are timed together in a round.
        largest_prefill: The most tokens, over all rows, that one prefill may read; larger ones are left out.
        slowest_turn: Seconds that one turn may take of a way that is not ours; slower ones are left out of the cell.
    """

    prompt_tokens: int
    rounds: int
    seconds: float
    turns: int
    largest_prefill: int
    slowest_turn: float = math.inf


@dataclass
class Bench:
    """Times servers on one device, and keeps what one request had read for every batch size.

    Args:
        device: Where they run.
        vocabulary: Token ids are drawn below this.
        effort: How much is measured.
        left_out: A line for each server that was left out of the last cell: too slow, or too large.
    """

    device: torch.device
    vocabulary: int
    effort: Effort
    left_out: list[str] = field(default_factory=list)
    _read: dict[int, tuple[Any, Tensor]] = field(default_factory=dict)

    def cell(self, servers: Sequence[AnyServer], phase: str, batch: int) -> Iterator[list[Row]]:
        """Gives the cell's rows after each round, the later ones over more rounds.

        Args:
            servers: Those to time; the ones whose prefill would be too large are left out, and soups that would then
                be alone.
            phase: "prefill" or "decode".
            batch: How many requests.
        """
        servers = [server for server in servers if batch <= LARGEST_OVERHEAD or server.name not in OVERHEADS]
        fitting = [server for server in servers if phase == "decode" or self._fits(server, batch)]
        self.left_out = []
        if all(server.name == "soup" for server in fitting):
            return
        turns = 1 if phase == "prefill" else self.effort.turns
        tokens = self.effort.prompt_tokens if phase == "prefill" else turns
        servers, ready = self._warm(fitting, phase, batch)
        peaks = [self._peak(server, run) for server, run in zip(servers, ready, strict=True)]
        runs = {index: partial(self._turns, run, turns) for index, run in enumerate(ready)}
        taken: list[list[float]] = [[] for _ in servers]
        few = [index for index, server in enumerate(servers) if server.name not in OURS]
        for each in rounds(runs, self.effort.rounds, self.effort.seconds, few=few):
            for index, seconds in each.items():
                taken[index].append(1000 * seconds / tokens)
            yield rows_of(servers, taken, peaks, phase, batch)

    def _warm(self, servers: Sequence[AnyServer], phase: str, batch: int) -> tuple[list[AnyServer], list["Contestant"]]:
        """Those that are small and fast enough to be timed, each after its first turn."""
        kept = []
        for server in servers:
            if phase == "decode" and (refused := self._no_room(server, batch)):
                self.left_out.append(f"{phase} of {batch}: {server.name} of {server.experts} experts: {refused}")
                continue
            contestant = self.contestant(server, phase, batch)
            contestant.turn()  # the first one also reads the prompt
            seconds = timed(partial(self._turns, contestant, 1)) if server.name not in OURS else 0.0
            if seconds <= self.effort.slowest_turn:
                kept.append((server, contestant))
                continue
            self.left_out.append(
                f"{phase} of {batch}: {server.name} of {server.experts} experts takes {seconds:.1f} seconds for a turn"
            )
        return [server for server, _ in kept], [contestant for _, contestant in kept]

    def _no_room(self, server: AnyServer, batch: int) -> str | None:
        """Why a server's caches should not be put into memory, None where there is room for them.

        A turn makes every layer's cache anew, one entry longer, beside the old one, and freed pieces are seldom reused.
        """
        state, _ = self._going_on(server, 1)
        grown = 1 + self.effort.rounds * self.effort.turns / self.effort.prompt_tokens
        return no_room(int(CACHE_COPIES * grown * batch * cached_bytes(caches_of(state))), self.device)

    def contestant(self, server: AnyServer, phase: str, batch: int) -> "Contestant":
        """Gives what runs one turn of a server at a time; its first turns are not for timing."""
        begin = self._fresh if phase == "prefill" else self._going_on
        bare = server.name in BARE
        return Contestant(server, partial(begin, server, batch), again=phase == "prefill", bare=bare)

    def _fits(self, server: AnyServer, batch: int) -> bool:
        """Whether a prefill is small enough to be worth its time."""
        return server.rows * batch * self.effort.prompt_tokens <= self.effort.largest_prefill

    def _fresh(self, server: AnyServer, batch: int) -> tuple[Any, Tensor]:
        """A state of which nothing is read, and the prompts (B, T)."""
        generator = torch.Generator().manual_seed(0)
        prompts = torch.randint(self.vocabulary, (batch, self.effort.prompt_tokens), generator=generator)
        prompts = prompts.to(self.device)
        return server.start(prompts), prompts

    def _going_on(self, server: AnyServer, batch: int) -> tuple[Any, Tensor]:
        """A state that has read its prompts, and the token that comes next (B, 1)."""
        if id(server) not in self._read:
            state, prompt = self._fresh(server, 1)
            token = server.step(state, prompt).logprobs.argmax(dim=-1, keepdim=True)  # (1, 1)
            self._read[id(server)] = state, token
        state, token = self._read[id(server)]
        return server.widen(state, batch), token.repeat(batch, 1)

    def _turns(self, contestant: "Contestant", turns: int) -> None:
        """Runs some turns, and waits for the device."""
        for _ in range(turns):
            contestant.turn()
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)

    def _peak(self, server: AnyServer, contestant: "Contestant") -> int:
        """The most bytes that a server needs in one turn."""
        resident = bytes_of(server.modules()) + cached_bytes(contestant.caches())
        return resident + growth(contestant.turn, self.device)


@dataclass
class Contestant:
    """A server in the decoding loop, one turn at a time.

    Args:
        server: Who answers.
        begin: Gives a state and the first tokens.
        again: Whether every turn begins anew: a prefill.
        bare: Whether turns are the server's own steps, each with the most probable token of the one before.
    """

    server: AnyServer
    begin: Callable[[], tuple[Any, Tensor]]
    again: bool = True
    bare: bool = False
    _state: Any = None
    _loop: Iterator[object] | None = None

    def turn(self) -> None:
        """Runs one turn of the loop, or one bare step."""
        if self._loop is None or self.again:
            self._state, tokens = self.begin()
            step = partial(self.server.step, self._state)
            self._loop = steps(step, tokens) if self.bare else decode(step, tokens, GREEDY, [], [], pad_id=0)
        next(self._loop)

    def caches(self) -> list[Cache]:
        """Gives what is cached before the next turn."""
        return [] if self.again else caches_of(self._state)


def steps(step: Callable[[Tensor], StepLike], tokens: Tensor) -> Iterator[Tensor]:
    """Gives the most probable tokens (B, 1) after tokens (B, t), and after these, without end and without a loop."""
    while True:
        tokens = step(tokens).logprobs.argmax(dim=-1, keepdim=True)
        yield tokens


def caches_of(state: Any) -> list[Cache]:
    """Gives the caches of any server's state."""
    found: list[object] = []
    for held in vars(state).values():
        found += held if isinstance(held, list) else [held.cache] if isinstance(held, Lag) else [held]
    return [one for one in found if isinstance(one, Cache)]


def rows_of(
    servers: Sequence[AnyServer], taken: Sequence[Sequence[float]], peaks: Sequence[int], phase: str, batch: int
) -> list[Row]:
    """Gives one row for each server.

    `ratio_to_soup` is to the fastest soup of any engine, `ratio_to_floor` to the floor of the same engine and as many
    experts; None where there is none.

    Args:
        servers: In the order of the next two.
        taken: Milliseconds for each token of a request, by server and round.
        peaks: Bytes.
        phase: "prefill" or "decode".
        batch: How many requests.
    """
    soups = [times for server, times in zip(servers, taken, strict=True) if server.name == "soup"]
    soup = min(soups, key=median, default=None)
    floors = {(s.engine, s.experts): times for s, times in zip(servers, taken, strict=True) if s.name == "floor"}
    rows = []
    for server, times, peak in zip(servers, taken, peaks, strict=True):
        floor = floors.get((server.engine, server.experts))
        rows.append(
            {
                "name": server.name,
                "experts": server.experts,
                "engine": server.engine,
                "batch": batch,
                "phase": phase,
                "ms_per_token": median(times),
                "spread": spread(times),
                "ratio_to_soup": None if soup is None else paired_ratio(times, soup),
                "ratio_to_floor": None if floor is None else paired_ratio(times, floor),
                "peak_bytes": peak,
                "rounds": len(times),
                "each_round": [round(time, 3) for time in times],
            }
        )
    return rows
