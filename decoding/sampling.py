"""How the tokens of a response are drawn, as values that a person can give.

Knows the settings, their ranges and the order in which they act: mix, then bias and penalise, then temper, then
truncate. None of these commute: a bias is in the nats of the mixed distribution whatever the temperature, and tempering
decides what truncation keeps. Each is a logits processor of transformers, so it means here what it means there. Does
not know how the distribution was mixed, nor when a response ends (`stopping.py`).
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from transformers import (
    LogitsProcessorList,
    MinPLogitsWarper,
    PreTrainedTokenizerBase,
    RepetitionPenaltyLogitsProcessor,
    SequenceBiasLogitsProcessor,
    TemperatureLogitsWarper,
    TopKLogitsWarper,
    TopPLogitsWarper,
)


@dataclass(frozen=True)
class Sampling:
    """How tokens are drawn, and where a response ends.

    Args:
        temperature: Divides the mixed log-probabilities; 0 takes the most probable token.
        top_k: Keeps this many most probable tokens; 0 keeps all.
        top_p: Keeps the most probable tokens that together have this probability; 1 keeps all.
        max_new_tokens: Length limit of a response, in tokens.
        min_p: Keeps the tokens at least this fraction as probable as the most probable one (arXiv 2407.01082); 0 keeps
            all.
        repetition_penalty: Multiplies the mixed log-probability of every token that stands in the prompt or in the
            response so far (arXiv 1909.05858): above 1 it becomes less probable, below 1 more; 1 leaves it. On
            log-probabilities, which no constant shifts: `generate` penalises raw logits, whose zero means nothing.
        logit_bias: Nats added to a token's mixed log-probability, by the token's id or by a short text. A text of
            several tokens is biased at its last one, once the others stand there. A text is read as it stands: most
            tokenizers write a word inside a sentence with the space in front of it.
        stop: Texts that end a response; they and what follows them are not part of it.

    Raises:
        ValueError: If a value is out of its range.
    """

    temperature: float = 1.0
    top_k: int = 0
    top_p: float = 1.0
    max_new_tokens: int = 96
    min_p: float = 0.0
    repetition_penalty: float = 1.0
    logit_bias: Mapping[int | str, float] = field(default_factory=dict, hash=False)
    stop: Sequence[str] = ()

    def __post_init__(self) -> None:
        """Refuses values out of range."""
        _require(math.isfinite(self.temperature), "temperature must be finite and at least 0", self.temperature)
        _require(self.temperature >= 0, "temperature must be finite and at least 0", self.temperature)
        _require(self.top_k >= 0, "top_k must be at least 0 (0 keeps all tokens)", self.top_k)
        _require(0 < self.top_p <= 1, "top_p must be in (0, 1]", self.top_p)
        _require(self.max_new_tokens >= 1, "max_new_tokens must be at least 1", self.max_new_tokens)
        _require(0 <= self.min_p <= 1, "min_p must be in [0, 1]", self.min_p)
        penalty = self.repetition_penalty
        _require(0 < penalty < math.inf, "repetition_penalty must be finite and above 0", penalty)
        for token, nats in self.logit_bias.items():
            _require(token != "", "logit_bias must be given for token ids or texts that are not empty", token)
            _require(math.isfinite(nats), f"logit_bias of {token!r} must be finite", nats)
        whole = not isinstance(self.stop, str)  # a text would count as a list of its letters
        _require(whole and all(self.stop), "stop must list texts that are not empty", self.stop)

    @property
    def greedy(self) -> bool:
        """Whether nothing is drawn: the most probable token is taken."""
        return self.temperature == 0


def one_for_each(sampling: Sampling | Sequence[Sampling], requests: int) -> list[Sampling]:
    """Gives every request its sampling.

    Args:
        sampling: One for all, or one for each.
        requests: How many there are (B).

    Raises:
        ValueError: If there is neither one for all nor one for each.
    """
    samplings = [sampling] * requests if isinstance(sampling, Sampling) else list(sampling)
    if len(samplings) != requests:
        raise ValueError(f"there must be one sampling for all or one per request ({requests}), got {len(samplings)}")
    return samplings


def processors(sampling: Sampling, tokenizer: PreTrainedTokenizerBase | None = None) -> LogitsProcessorList:
    """Gives what happens to mixed log-probabilities before a token is taken, in order.

    Args:
        sampling: How tokens are drawn.
        tokenizer: Reads the texts of a bias and knows which ids there are; needed where there is a bias.

    Raises:
        ValueError: If a bias is for something that is no token.
    """
    listed = LogitsProcessorList()
    if sampling.logit_bias:
        listed.append(SequenceBiasLogitsProcessor(_biased_sequences(sampling.logit_bias, tokenizer)))
    if sampling.repetition_penalty != 1:
        listed.append(RepetitionPenaltyLogitsProcessor(float(sampling.repetition_penalty)))
    if sampling.greedy:  # neither tempering nor truncating changes which token is the most probable
        return listed
    if sampling.temperature != 1:
        listed.append(TemperatureLogitsWarper(float(sampling.temperature)))
    if sampling.top_k > 0:
        listed.append(TopKLogitsWarper(sampling.top_k))
    if sampling.top_p < 1:
        listed.append(TopPLogitsWarper(sampling.top_p))
    if sampling.min_p > 0:
        listed.append(MinPLogitsWarper(sampling.min_p))
    return listed


def _biased_sequences(
    logit_bias: Mapping[int | str, float], tokenizer: PreTrainedTokenizerBase | None
) -> list[list[list[int] | float]]:
    """The bias by token ids; what is said twice of the same ids adds up."""
    if tokenizer is None:
        raise ValueError("a logit_bias needs a tokenizer, got none")
    nats_by_ids: dict[tuple[int, ...], float] = {}
    for token, nats in logit_bias.items():
        ids = _ids(token, tokenizer)
        nats_by_ids[ids] = nats_by_ids.get(ids, 0.0) + float(nats)
    return [[list(ids), nats] for ids, nats in nats_by_ids.items()]


def _ids(token: int | str, tokenizer: PreTrainedTokenizerBase) -> tuple[int, ...]:
    """The ids of a token that is named by its id or by a text."""
    if isinstance(token, str):
        ids = tuple(tokenizer.encode(token, add_special_tokens=False))
        if not ids or tokenizer.unk_token_id in ids:
            raise ValueError(f"logit_bias must be for texts that the tokenizer can write, got {token!r}")
        return ids
    if not 0 <= token < len(tokenizer):
        raise ValueError(f"logit_bias must be for token ids from 0 to {len(tokenizer) - 1}, got {token}")
    return (token,)


def _require(holds: bool, what: str, value: object) -> None:
    if not holds:
        raise ValueError(f"{what}, got {value!r}")
