"""A taste as a latent variable, inferred from a user's choices by an encoder: variational preference learning.

VPL (arXiv 2408.10075): `q(z | choices)` is normal, a decoder makes a taste of z, and choices follow from the taste. All
of it is learned from a log of many users by the evidence lower bound, whose divergence is given weight slowly, since a
latent that nobody uses yet is else pressed flat. Knows numbers of answers. Does not know texts.
"""

import warnings
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from pcm.users.belief import Belief
from pcm.users.networks import ChoiceEncoder, Chosen, Everybody, Shown, fitted, preferred_first, shown

ACTIVE = 0.01
"""Variance over users of a latent's posterior mean, from which on it says something (arXiv 1509.00519, section 5.2)."""
USERS_AT_ONCE = 32
DRAWS = 256  # of the latent, for a belief


class Variational(nn.Module):
    """An encoder from choices to a latent, and a decoder from the latent to a taste.

    Args:
        axes: Of taste, J.
        latents: Numbers of the latent, Z.
        width: Of the layers.
    """

    scale: Tensor

    def __init__(self, axes: int, latents: int = 8, width: int = 64) -> None:
        super().__init__()
        self.encoder = ChoiceEncoder(axes, 2 * latents, width)
        self.decoder = nn.Sequential(nn.Linear(latents, width), nn.GELU(), nn.Linear(width, axes))
        self.register_buffer("scale", torch.ones(axes))

    def posterior(self, known: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and log-variance of the latent `(B, Z)` after choices `(B, N, J)`, preferred answer first."""
        mean, log_variance = self.encoder(known / self.scale, mask).chunk(2, dim=-1)
        return mean, log_variance.clamp(-8, 2)

    def tastes(self, latents: Tensor) -> Tensor:
        """What latents `(..., Z)` amount to on the axes `(..., J)`."""
        return self.decoder(latents) / self.scale

    def bound(self, batch: Shown, weight: float, generator: torch.Generator) -> Tensor:
        """The negative evidence lower bound, nats for each user, its divergence times `weight` (equation 3)."""
        mean, log_variance = self.posterior(batch.known, batch.mask)
        noise = torch.randn(mean.shape, generator=generator)
        surprise = batch.surprise(self.tastes(mean + noise * (log_variance / 2).exp()))
        return (surprise + weight * divergence(mean, log_variance)).mean()

    @torch.no_grad()
    def after(self, differences: Tensor, outcomes: Tensor) -> Belief:
        """The normal distribution over tastes that lies nearest to what the posterior's latents amount to.

        Args:
            differences: First answer minus second on the axes, of each choice `(N, J)`.
            outcomes: 1 where the first was preferred, ½ in a tie, 0 where the second was `(N,)`.
        """
        known = preferred_first(differences, outcomes)[None]
        mean, log_variance = self.posterior(known, torch.ones(known.shape[:2]))
        noise = torch.randn(DRAWS, mean.shape[1], generator=torch.Generator().manual_seed(0))
        drawn = self.tastes(mean + noise * (log_variance / 2).exp()).double()  # (D, J)
        return Belief(drawn.mean(0), drawn.T.cov() + 1e-6 * torch.eye(drawn.shape[1], dtype=torch.float64))

    @torch.no_grad()
    def active(self, users: Everybody) -> int:
        """How many latents differ between users; none means that the posterior has collapsed."""
        known = preferred_first(users.differences, users.outcomes)
        return int((self.posterior(known, users.mask)[0].var(0) > ACTIVE).sum())


def divergence(mean: Tensor, log_variance: Tensor) -> Tensor:
    """`KL(N(mean, variance) ‖ N(0, 1))` of each row `(B,)`, nats."""
    return 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance).sum(-1)


def variational(users: Sequence[Chosen], *, steps: int = 1500, seed: int = 0) -> Variational:
    """The network, learned from a log.

    Args:
        users: Of the log, at least two choices each.
        steps: Batches of 32 users; the divergence gets its full weight after half of them.
        seed: Of initial weights, batches and noise.

    Warns:
        UserWarning: If the posterior has collapsed: then everybody gets the same taste.
    """
    everybody, generator = Everybody.of(users), torch.Generator().manual_seed(seed)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = Variational(everybody.differences.shape[-1])
    network.scale.copy_(torch.cat([chosen.differences for chosen in users]).square().mean(0).sqrt().clamp(min=1e-6))

    def batch() -> Shown:
        return shown(everybody.drawn(USERS_AT_ONCE, generator), generator)

    def loss(some: Shown, step: int) -> Tensor:
        return network.bound(some, min(1.0, 2 * step / steps), generator)

    fitted(network, batch, loss, steps, rate=3e-3)
    if not network.active(everybody):
        warnings.warn("users must differ in a latent, got a posterior that has collapsed: more users?", stacklevel=2)
    return network
