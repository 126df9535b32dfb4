"""Soft tokens in place of a preference text: some of their own for every known user, generic ones for a stranger.

P-RLHF (arXiv 2402.05133): `e_u = e_0 + o_u`, learned from a log of choices, half of the loss as the user and half as
anybody, so that the generic tokens serve whoever is not known. The tokens stand where the embedded words of a
preference would stand; the bundle's own reader, which is frozen, hears in them what is asked for. Knows the reader and
numbers of answers. Does not know texts.
"""

import copy
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits

from pcm.reader.model import PreferenceReader
from pcm.users.axes import Axes
from pcm.users.belief import Belief
from pcm.users.networks import Chosen, Everybody

LENGTH = 4  # soft tokens
OWN = 0.5  # share of the loss in which a user is taken for themselves (the paper's α)
PENALTY = 0.02  # nats for a unit of a squared offset: a user who has said little is nearly anybody
RATE = 0.03


class UserTokens(nn.Module):
    """Tokens, and what it is worth to a user that an axis goes where the reader hears them ask it to.

    Args:
        reader: Hears the tokens; it is not changed.
        axes: Of taste, of the reader's own dimensions.
        scale: How far two answers usually differ on each axis `(J,)`.
        seed: Of the first generic tokens.
    """

    scale: Tensor

    def __init__(self, reader: PreferenceReader, axes: Axes, scale: Tensor, seed: int = 0) -> None:
        super().__init__()
        self.reader = copy.deepcopy(reader).requires_grad_(False).eval()
        self.poles = axes.places
        words = reader.embedding.weight.detach()
        drawn = torch.randn(LENGTH, words.shape[1], generator=torch.Generator().manual_seed(seed))
        self.generic = nn.Parameter(drawn * words.std())
        self.gain = nn.Parameter(torch.ones(len(self.poles)))
        self.quality = nn.Parameter(torch.zeros(()))
        self.register_buffer("scale", scale.float())

    def tastes(self, offsets: Tensor) -> Tensor:
        """What tokens that lie `(B, L, W)` away from the generic ones amount to on the axes `(B, J)`."""
        asked = self.reader.probabilities_of(self.generic + offsets, torch.ones(offsets.shape[:2]))  # (B, K)
        wanted = [asked[:, a] if b is None else asked[:, a] - asked[:, b] for a, b in self.poles]
        poles = torch.stack(wanted, dim=-1) * self.gain.exp()
        return torch.cat([poles, self.quality.expand(len(poles), 1)], dim=-1) / self.scale

    def after(self, differences: Tensor, outcomes: Tensor, steps: int = 60) -> Belief:
        """What is believed of a new user, whose offset is fitted to the choices while all else stays.

        Args:
            differences: First answer minus second on the axes, of each choice `(N, J)`.
            outcomes: 1 where the first was preferred, ½ in a tie, 0 where the second was `(N,)`.
            steps: Of Adam.
        """
        offset = torch.zeros(1, *self.generic.shape, requires_grad=bool(len(outcomes)))
        optimiser = torch.optim.Adam([offset], lr=RATE)
        for _ in range(steps if len(outcomes) else 0):
            optimiser.zero_grad()
            margins = differences.float() @ self.tastes(offset)[0]
            missed = binary_cross_entropy_with_logits(margins, outcomes.float(), reduction="sum")
            (missed + PENALTY * offset.square().sum()).backward()
            optimiser.step()
        with torch.no_grad():
            taste = self.tastes(offset)[0].double()
        return Belief(torch.zeros_like(taste), torch.diag(1 / self.scale.double() ** 2)).around(taste, differences)


def user_tokens(
    users: Sequence[Chosen], reader: PreferenceReader, axes: Axes, *, steps: int = 300, seed: int = 0
) -> UserTokens:
    """The tokens, learned from a log.

    Args:
        users: Of the log.
        reader: Of the bundle.
        axes: Of taste.
        steps: Of Adam over the whole log.
        seed: Of the first generic tokens.
    """
    scale = torch.cat([chosen.differences for chosen in users]).square().mean(0).sqrt().clamp(min=1e-6)
    tokens = UserTokens(reader, axes, scale, seed)
    offsets = torch.zeros(len(users), *tokens.generic.shape, requires_grad=True)
    everybody = Everybody.of(users)
    optimiser = torch.optim.Adam([tokens.generic, tokens.gain, tokens.quality, offsets], lr=RATE)
    for _ in range(steps):
        optimiser.zero_grad()
        own, anybody = (surprise(everybody, tokens.tastes(some)) for some in (offsets, torch.zeros_like(offsets[:1])))
        (OWN * own + (1 - OWN) * anybody + PENALTY * offsets.square().sum()).backward()
        optimiser.step()
    return tokens.requires_grad_(False)


def surprise(users: Everybody, tastes: Tensor) -> Tensor:
    """Negative log-probability of all their choices under tastes, one for each or one for all `(U or 1, J)`, nats."""
    margins = (users.differences * tastes[:, None]).sum(-1)
    return (binary_cross_entropy_with_logits(margins, users.outcomes, reduction="none") * users.mask).sum()
