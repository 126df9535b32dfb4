"""How one token is chosen: mixing rules, sampling and the loop. Knows tensors only, imports nothing of ours."""

from decoding.choosing import Group, choose, grouped
from decoding.dimension import Dimension
from decoding.history import History
from decoding.loop import Emitted, decode
from decoding.rules import RULES, Rule, anchored, logit, name_of, probability, rule_named, uniform_log_weights
from decoding.sampling import Sampling

__all__ = [
    "RULES",
    "Dimension",
    "Emitted",
    "Group",
    "History",
    "Rule",
    "Sampling",
    "anchored",
    "choose",
    "decode",
    "grouped",
    "logit",
    "name_of",
    "probability",
    "rule_named",
    "uniform_log_weights",
]
