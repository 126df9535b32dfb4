"""A taste read off a few choices at once, by a network that has seen many simulated users do the same.

Few-shot preference optimisation (FSPO, arXiv 2502.19312) takes a user's choices as the preference itself: nothing is
fitted for a new user, reading is all. What reads well is learned over many synthetic users, each of whom shows some
choices, and whose other choices are to be foreseen. Knows numbers of answers. Does not know texts.
"""

import torch
from torch import Tensor, nn

from pcm.users.belief import Belief
from pcm.users.networks import ChoiceEncoder, Everybody, Shown, fitted, preferred_first, shown

USERS_AT_ONCE = 64
CHOICES = 40  # of one simulated user


class InContext(nn.Module):
    """From choices to a taste, and how sure it is.

    Args:
        axes: Of taste, J.
        width: Of the layers.
    """

    scale: Tensor

    def __init__(self, axes: int, width: int = 64) -> None:
        super().__init__()
        self.encoder = ChoiceEncoder(axes, 2 * axes, width)
        self.register_buffer("scale", torch.ones(axes))

    def forward(self, known: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and log-variance of the taste `(B, J)` after choices `(B, N, J)`, preferred answer first."""
        mean, log_variance = self.encoder(known / self.scale, mask).chunk(2, dim=-1)
        return mean / self.scale, log_variance.clamp(-8, 4) - 2 * self.scale.log()

    @torch.no_grad()
    def after(self, differences: Tensor, outcomes: Tensor) -> Belief:
        """What is believed after the choices, of each axis by itself.

        Args:
            differences: First answer minus second on the axes, of each choice `(N, J)`.
            outcomes: 1 where the first was preferred, ½ in a tie, 0 where the second was `(N,)`.
        """
        known = preferred_first(differences, outcomes)[None]
        mean, log_variance = self(known, torch.ones(known.shape[:2]))
        return Belief(mean[0].double(), torch.diag(log_variance[0].double().exp()))


def in_context(pairs: Tensor, before: Belief, *, steps: int = 1500, seed: int = 0) -> InContext:
    """The network, learned over users who never were.

    Args:
        pairs: Differences of the pairs that simulated users choose between `(P, J)`.
        before: Whom they are drawn from: users like those of a log, or anybody.
        steps: Batches of 64 new users.
        seed: Of initial weights, users and noise.
    """
    generator = torch.Generator().manual_seed(seed)
    spread = torch.linalg.cholesky(before.covariance).float()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = InContext(pairs.shape[1])
    network.scale.copy_(pairs.square().mean(0).sqrt().clamp(min=1e-6))
    tastes = torch.zeros(USERS_AT_ONCE, pairs.shape[1])

    def batch() -> Shown:
        tastes.copy_(before.mean.float() + torch.randn(tastes.shape, generator=generator) @ spread.T)
        return shown(simulated(tastes, pairs, generator), generator)

    def loss(some: Shown, step: int) -> Tensor:
        mean, log_variance = network(some.known, some.mask)
        missed = ((tastes - mean).square() * (-log_variance).exp() + log_variance).sum(-1) / 2
        return (some.surprise(mean) + missed).mean()

    fitted(network, batch, loss, steps, rate=3e-3)
    return network


def simulated(tastes: Tensor, pairs: Tensor, generator: torch.Generator) -> Everybody:
    """What users of tastes `(U, J)` choose, each of pairs drawn for them from all `(P, J)`."""
    places = torch.randint(len(pairs), (len(tastes), CHOICES), generator=generator)
    differences = pairs[places].float()  # (U, N, J)
    likely = (differences * tastes.float()[:, None]).sum(-1).sigmoid()
    return Everybody(differences, torch.bernoulli(likely, generator=generator), torch.ones_like(likely))
