"""How one token is chosen: mixing rules, sampling and the loop. Knows tensors only, imports nothing of ours."""

from decoding.dimension import Dimension
from decoding.loop import Emitted, decode
from decoding.rules import RULES, Rule, anchored, logit, probability, rule_named, uniform_log_weights
from decoding.sampling import Sampling, choose

__all__ = [
    "RULES",
    "Dimension",
    "Emitted",
    "Rule",
    "Sampling",
    "anchored",
    "choose",
    "decode",
    "logit",
    "probability",
    "rule_named",
    "uniform_log_weights",
]
