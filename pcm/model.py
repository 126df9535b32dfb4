"""The Preference Control Model: the weight of every asked expert at every token.

Knows the trunk's state, the experts' behaviour and how much each expert is asked for.
Does not know names or how many experts there are: one scorer is shared by all.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional

from decoding.rules import rule_named, uniform_log_weights
from pcm.behaviour import FEATURES
from pcm.controller import Controller
from pcm.trunk import BaseStates, OwnModel


class PreferenceControlModel(Controller):
    """Scores each asked expert from the trunk's state, its behaviour and the other asked experts.

    After 2407.04181 (section 3), with the base's own states as the trunk unless it gets a language model of its own,
    and one shared scorer instead of an output for each expert, so that experts can be added, dropped and reordered.
    The last layer starts at zero: an untrained controller is exactly the uniform mixture over the asked experts. Its
    weights are multiples of that one's, so that what is asked for half as much starts from half the weight.

    Args:
        hidden_size: size H of the trunk's states.
        width: size of the inner layers.
        rule: mixing rule the weights are for. `probability` and `logit` take weights that sum to one (softmax);
            `anchored` takes an independent gate for each expert, bounded by `max_gate`.
        max_gate: largest weight of one expert under `anchored`, above 1.
        trunk: what reads the text; None is the base.
        behaviour: whether what an expert is about to do enters its score. Without it a score knows the text and how
            much is asked for, and experts that are asked for alike are weighed alike.

    Raises:
        ValueError: if the rule is unknown, `max_gate` is not above 1, or the trunk's states are of another size.
    """

    form = "shared"
    settings = ("hidden_size", "width", "rule", "max_gate", "behaviour")
    places_matter = False

    def __init__(
        self,
        hidden_size: int,
        width: int = 64,
        rule: str = "anchored",
        max_gate: float = 3.0,
        trunk: OwnModel | None = None,
        behaviour: bool = True,
    ) -> None:
        super().__init__(trunk or BaseStates(hidden_size))
        if self.trunk.hidden_size != hidden_size:
            raise ValueError(f"hidden_size must be the trunk's {self.trunk.hidden_size}, got {hidden_size}")
        rule_named(rule)  # refuses an unknown rule by name
        if not max_gate > 1.0:
            raise ValueError(f"max_gate must be above 1, so that one expert can have weight 1, got {max_gate}")
        self.hidden_size, self.width, self.rule, self.max_gate = hidden_size, width, rule, max_gate
        self.behaviour = behaviour
        self.normalise = nn.LayerNorm(hidden_size)
        self.context = nn.Linear(hidden_size, width)
        self.expert = nn.Linear(1 + (len(FEATURES) if behaviour else 0), width)
        self.others = nn.Linear(width, width, bias=False)
        self.itself = nn.Linear(width, width)
        self.score = nn.Linear(width, 1)
        nn.init.zeros_(self.score.weight)
        nn.init.zeros_(self.score.bias)

    def forward(self, hidden: Tensor, behaviour: Tensor, asked: Tensor) -> Tensor:
        """Gives the log-weights of the experts (..., K), -inf where an expert is not asked.

        Args:
            hidden: the trunk's state (..., H).
            behaviour: features of each expert (..., K, F), see `pcm.behaviour`.
            asked: how much each expert is asked for, in [0, 1] (..., K).
        """
        scores = self.scores(hidden, behaviour, asked)  # (..., K)
        if self.rule == "anchored":
            return gate_log_weights(scores, asked, self.max_gate)
        return share_log_weights(scores, asked)

    def scores(self, hidden: Tensor, behaviour: Tensor, asked: Tensor) -> Tensor:
        """Gives one unbounded score for each expert (..., K); zero everywhere before training."""
        dtype = self.score.weight.dtype
        asked = asked.to(dtype)
        context = self.context(self.normalise(hidden.to(dtype))).unsqueeze(-2)  # (..., 1, width)
        seen = asked.unsqueeze(-1)  # (..., K, 1)
        if self.behaviour:
            seen = torch.cat((behaviour.to(dtype), seen), dim=-1)  # (..., K, F + 1)
        embedded = functional.gelu(self.expert(seen) + context)  # (..., K, width)
        members = (asked > 0).to(dtype).unsqueeze(-1)  # (..., K, 1)
        mean = (embedded * members).sum(-2, keepdim=True) / members.sum(-2, keepdim=True).clamp_min(1.0)
        inner = functional.gelu(self.itself(embedded) + self.others(mean))
        return self.score(inner).squeeze(-1)


def share_log_weights(scores: Tensor, asked: Tensor) -> Tensor:
    """Gives log-weights whose shares are softmax(score + log asked) over the asked experts (..., K).

    They sum to what the uniform mixture's do, which is one where everything is asked for in full.

    Args:
        scores: one score for each expert (..., K).
        asked: how much each is asked for (..., K); -inf is returned where it is zero.
    """
    unasked, asked = asked <= 0, asked.to(scores.dtype)
    # A finite floor keeps the gradient finite where a row asks for nothing.
    floored = scores.masked_fill(unasked, torch.finfo(scores.dtype).min)
    # Written as the uniform mixture plus a change: equal scores give it to the last bit.
    centred = scores - floored.amax(-1, keepdim=True)
    total = (asked * centred.masked_fill(unasked, -torch.inf).exp()).sum(-1, keepdim=True)
    tiny = torch.finfo(scores.dtype).tiny
    change = centred - (total / asked.sum(-1, keepdim=True).clamp_min(tiny)).clamp_min(tiny).log()
    return (uniform_log_weights(asked) + change).masked_fill(unasked, -torch.inf)


def gate_log_weights(scores: Tensor, asked: Tensor, max_gate: float) -> Tensor:
    """Gives log of the independent gates w = asked · max_gate · sigmoid(score + logit(1 / (n · max_gate))) (..., K).

    Args:
        scores: one score for each expert (..., K).
        asked: how much each is asked for (..., K); n is how many are, -inf is returned where it is zero.
        max_gate: the bound of a gate that is asked for in full, above 1.
    """
    unasked = asked <= 0
    members = (~unasked).sum(-1, keepdim=True).clamp_min(1).to(scores.dtype)
    offset = -torch.log(members * max_gate - 1.0)  # logit(1 / (n · max_gate))
    # log w = log(asked/n) + change; the change is exactly zero at score zero, whatever the rounding of the offset.
    change = functional.logsigmoid(scores + offset) - functional.logsigmoid(offset)
    return (uniform_log_weights(asked.to(scores.dtype)) + change).masked_fill(unasked, -torch.inf)
