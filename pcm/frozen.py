"""The models beside a controller that do not learn: what draws responses, what reads them and what judges them.

Knows them as objects handed in. They stay outside every module tree, so that no checkpoint holds them, and therefore
have to be told where to compute. Does not know what a response is worth, nor what is learned from it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from decoding.answered import Answered
from decoding.sampling import Sampling
from pcm.controller import Controller
from pcm.data import Batch
from pcm.experience import Experience, Experts, Mixture, Rewards, Rollout, read_responses
from pcm.stored import Judged

QUALITY = "quality"


class Prompts(NamedTuple):
    """Prompts of S responses, as whoever answers them reads them."""

    input_ids: Tensor  # (S, T) padded on the left
    attention_mask: Tensor  # (S, T)
    asked: Tensor  # (S, K) how much each dimension is asked for


@dataclass(frozen=True)
class Frozen:
    """Mixture, readers and judges.

    Args:
        mixture: draws responses.
        experts: reads finished responses, with the mixture's own bank.
        rewards: the judges.
        poles: the names of the K dimensions.
    """

    mixture: Mixture
    experts: Experts
    rewards: Rewards
    poles: Sequence[str]

    @property
    def names(self) -> list[str]:
        """The judges' names (D): those of the dimensions, and quality last where anybody judges it."""
        return [*self.poles, *(name for name in (QUALITY,) if name in self.rewards.names)]

    def to(self, device: torch.device) -> None:
        """Moves everything to where the controller is."""
        self.mixture.bank.to(device)
        self.rewards.to(device)

    def prompts(self, batch: Batch, times: int = 1) -> Prompts:
        """Gives the prompts of a batch, round and round: S = P · `times`."""
        encoded = self.mixture.encode(batch.heard)
        return Prompts(*(tensor.repeat(times, 1) for tensor in (*encoded, batch.asked)))

    def draw(
        self,
        controller: Controller | None,
        prompts: Prompts,
        sampling: Sampling,
        generators: Sequence[torch.Generator],
    ) -> Rollout:
        """Gives a response to each prompt (S) by the mixture with this controller; None is the uniform one."""
        before, self.mixture.pcm = self.mixture.pcm, controller
        try:
            return self.mixture.rollout(*prompts, sampling, generators)
        finally:
            self.mixture.pcm = before

    def judged(
        self,
        batch: Batch,
        controller: Controller | None,
        prompts: Prompts,
        sampling: Sampling,
        generators: Sequence[torch.Generator],
    ) -> Judged:
        """Gives what `draw` gives with the judges' scores."""
        drawn = self.draw(controller, prompts, sampling, generators)
        return Judged(drawn.tokens, drawn.mask, drawn.logprobs, self.scores(batch, drawn))

    def read(self, prompts: Prompts, drawn: Rollout, places_matter: bool) -> Experience:
        """Gives what base and experts say about responses; see `pcm.experience.read_responses`."""
        input_ids, attention_mask, asked = prompts
        return read_responses(
            self.experts, input_ids, attention_mask, drawn.tokens, drawn.mask, asked, places_matter=places_matter
        )

    def scores(self, batch: Batch, drawn: Rollout) -> Tensor:
        """Gives the judges' scores (S, D) of responses, zero for what is not asked for; quality always is.

        Judges do not hear the words in which a prompt was told what is asked for.

        Args:
            batch: the P prompts, once.
            drawn: S responses to them, round and round.

        Raises:
            ValueError: if a judge gives something that is not a number.
        """
        times = len(drawn.tokens) // len(batch.conversations)
        input_ids, attention_mask = (part.repeat(times, 1) for part in self.mixture.encode(batch.conversations))
        asked = batch.asked.repeat(times, 1)
        texts = Answered.joined(input_ids, attention_mask, drawn.tokens, drawn.mask)
        needed = torch.ones(len(asked), len(self.names), dtype=torch.bool, device=asked.device)  # (S, D)
        needed[:, : asked.shape[-1]] = asked > 0
        raw = self.rewards.score(texts, self.names, needed)
        if not bool(raw.isfinite().all()):
            raise ValueError(f"rewards must be finite, got {int((~raw.isfinite()).sum())} that are not")
        return raw


def row_generators(seed: int, number: int, count: int, device: torch.device) -> list[torch.Generator]:
    """Gives one generator for each row, a function of the seed, a number and the row.

    Args:
        seed: of a training.
        number: which draw of it; negative numbers are other draws.
        count: rows.
        device: where the rows are computed.
    """
    first = (seed * 1_000_003 + number) * 4096
    return [torch.Generator(device).manual_seed((first + row) % 2**63) for row in range(count)]


def pair_generators(
    seed: int, number: int, pairs: int, device: torch.device, rank: int = 0, world: int = 1
) -> list[torch.Generator]:
    """Gives the generators of two responses to each of P pairs, first all first ones, then all second ones (2P).

    Several processes draw together what one process with all their pairs would draw.

    Args:
        seed: of a training.
        number: which draw of it.
        pairs: of this process, P; all processes have as many.
        device: where the rows are computed.
        rank: which of the processes draws.
        world: how many there are.
    """
    everybody = row_generators(seed, number, 2 * world * pairs, device)
    return [*everybody[rank * pairs :][:pairs], *everybody[(world + rank) * pairs :][:pairs]]
