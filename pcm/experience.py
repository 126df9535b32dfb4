"""What frozen experts said about the tokens that were drawn, kept so that several passes can learn from it.

Knows the interface of the frozen models (as protocols) and the packing of real tokens. Does not know rewards.

Responses differ in length and a request asks for few of the K experts, so only real tokens (N) and only slots for the
asked experts (k, the most that any request asks for) are kept. The controller is shared by all experts, so which slot
an expert sits in changes nothing.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import Protocol

import torch
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from decoding.answered import Answered
from decoding.conversation import Conversation
from decoding.rules import Rule
from decoding.sampling import Sampling
from pcm.behaviour import behaviour
from pcm.controller import Controller
from pcm.mixing import mix
from pcm.trunk import Texts


class Placed(Protocol):
    """What computes somewhere."""

    def to(self, device: torch.device, /) -> object:
        """Moves it to another device."""


class Reading(Protocol):
    """What base and experts say."""

    @property
    def base(self) -> Tensor:
        """Logits of the base (B, T, V)."""

    @property
    def experts(self) -> Tensor:
        """Logits of the experts (B, T, K, V)."""

    @property
    def hidden(self) -> Tensor:
        """The base's last hidden state (B, T, H)."""


class Experts(Protocol):
    """The frozen base and experts."""

    def __call__(self, input_ids: Tensor, attention_mask: Tensor, asked: Tensor, logits_to_keep: int) -> Reading:
        """Reads the last positions of texts (B, T) with the base and the experts that each request asks for (B, K)."""


class Rollout(Protocol):
    """Responses that were drawn."""

    @property
    def tokens(self) -> Tensor:
        """Token ids (B, n)."""

    @property
    def mask(self) -> Tensor:
        """1 where a token counts (B, n)."""

    @property
    def logprobs(self) -> Tensor:
        """Log-probability of each token under the mixture, in nats (B, n)."""


class Mixture(Protocol):
    """What draws responses through the one step that decoding uses; `pcm` None is the uniform mixture."""

    pcm: Controller | None
    rule: str | Rule
    tokenizer: PreTrainedTokenizerBase

    @property
    def bank(self) -> Placed:
        """Base and experts."""

    def encode(self, conversations: Sequence[Conversation]) -> tuple[Tensor, Tensor]:
        """Gives token ids and mask (B, T), padded on the left."""

    def rollout(
        self,
        input_ids: Tensor,
        attention_mask: Tensor,
        asked: Tensor,
        sampling: Sampling,
        generators: Sequence[torch.Generator],
        /,
    ) -> Rollout:
        """Draws a response to each prompt."""


class Rewards(Placed, Protocol):
    """The learned judges, one for each dimension and mostly one called `quality`."""

    @property
    def names(self) -> Sequence[str]:
        """Theirs."""

    def score(self, texts: Answered, names: Sequence[str] | None = None, needed: Tensor | None = None) -> Tensor:
        """Gives raw scores (N, D); where `needed` (N, D) is false the judge is not asked and 0 stands."""


@dataclass(frozen=True)
class Experience:
    """What was read at N response tokens, and to which of the responses each token belongs."""

    hidden: Tensor  # (N, H) the base's states
    features: Tensor  # (N, k, F)
    asked: Tensor  # (N, k)
    slots: Tensor  # (N, k) which expert of the K sits in the slot
    base_logprobs: Tensor  # (N, V)
    expert_logprobs: Tensor  # (N, k, V)
    tokens: Tensor  # (N,)
    response: Tensor  # (N,) numbers of responses, also where only some of them are left
    texts: Texts  # the responses that are left, for a controller with a language model of its own

    def only(self, chosen: Tensor) -> "Experience":
        """Gives the tokens of the responses where `chosen` (S,) is true; nothing may be left out before."""
        tokens = chosen[self.response]
        kept = {name: getattr(self, name)[tokens] for name in TOKEN_FIELDS}
        return Experience(**kept, texts=self.texts.only(chosen))

    def mixed(self, rule: Rule, controller: Controller | None) -> tuple[Tensor, Tensor]:
        """Gives mixed log-probabilities (N, V) and log-weights (N, k) at every token."""
        hidden = self.hidden if controller is None else controller.trunk.reread(self.texts, self.hidden)
        return mix(
            rule, controller, hidden, self.base_logprobs, self.expert_logprobs, self.asked, features=self.features
        )

    def chosen(self, logprobs: Tensor) -> Tensor:
        """Gives the log-probability (N,) of the tokens that were drawn, from logprobs (N, V)."""
        return logprobs.gather(-1, self.tokens.unsqueeze(-1)).squeeze(-1)

    def drawn_alone(self) -> "Experience":
        """Gives what is left where the vocabulary is the drawn token alone: V = 1, the token is number 0.

        The rule `probability` mixes each token by itself, so what it says of the drawn ones stays the same; the others
        divide by a sum over the vocabulary. The features were read before and stay.
        """
        slots = self.slots.shape[-1]
        drawn = self.tokens.view(-1, 1, 1).expand(-1, slots, 1)  # (N, k, 1)
        base, experts = self.chosen(self.base_logprobs).unsqueeze(-1), self.expert_logprobs.gather(-1, drawn)
        return replace(self, base_logprobs=base, expert_logprobs=experts, tokens=torch.zeros_like(self.tokens))

    def summed(self, values: Tensor, responses: int) -> Tensor:
        """Gives the sum of values (N,) over the tokens of each response (S,), S = `responses`."""
        return values.new_zeros(responses).index_add(0, self.response, values)

    def divergence(self, logprobs: Tensor, responses: int) -> Tensor:
        """Gives KL(mixture‖base) of each response (S,) in nats, summed over its tokens, from logprobs (N, V)."""
        return self.summed((logprobs.exp() * (logprobs - self.base_logprobs)).sum(-1), responses)

    def log_ratio(self, chosen: Tensor, responses: int) -> Tensor:
        """Gives ln(mixture/base) of each response (S,) in nats, from its tokens' log-probabilities `chosen` (N,).

        Its mean over responses is the divergence. It is what a sampled response pays: the divergence at a place is the
        same whichever token was drawn there, so a difference of two responses could never teach to lower it.
        """
        return self.summed(chosen - self.chosen(self.base_logprobs), responses)


TOKEN_FIELDS = tuple(field.name for field in fields(Experience) if field.name != "texts")


@torch.no_grad()
def read_responses(
    experts: Experts,
    input_ids: Tensor,
    attention_mask: Tensor,
    tokens: Tensor,
    mask: Tensor,
    asked: Tensor,
    chunk: int = 16,
    places_matter: bool = False,
) -> Experience:
    """Gives what base and asked experts say before each response token, teacher-forced, in chunks of requests.

    Args:
        experts: the frozen readers.
        input_ids: prompts, padded on the left (S, T).
        attention_mask: 1 where a prompt token counts (S, T).
        tokens: responses (S, n).
        mask: 1 where a response token counts (S, n).
        asked: how much each expert is asked for (S, K).
        chunk: requests read at once; bounds the memory at chunk · n · (K + 1) · V numbers.
        places_matter: keep a slot for every expert, in order, also for those that are not asked for.
    """
    slots = asked.argsort(dim=-1, descending=True, stable=True)[:, : int((asked > 0).sum(-1).max())]  # (S, k)
    if places_matter:
        slots = torch.arange(asked.shape[-1], device=asked.device).expand_as(asked)
    whole = torch.cat((input_ids, tokens), dim=1)[:, :-1]  # the last token is predicted, never read
    whole_mask = torch.cat((attention_mask, mask.to(attention_mask.dtype)), dim=1)[:, :-1]
    texts = Texts(whole, whole_mask, asked, mask.bool())
    parts: list[dict[str, Tensor]] = []
    for start in range(0, len(tokens), chunk):
        rows = slice(start, start + chunk)
        reading = experts(whole[rows], whole_mask[rows], asked[rows], logits_to_keep=tokens.shape[1])
        parts.append(packed(reading, tokens[rows], mask[rows].bool(), asked[rows], slots[rows], start))
    return Experience(**{name: torch.cat([part[name] for part in parts]) for name in TOKEN_FIELDS}, texts=texts)


def packed(
    reading: Reading, tokens: Tensor, counts: Tensor, asked: Tensor, slots: Tensor, first: int
) -> dict[str, Tensor]:
    """Gives the experience of one chunk, by the names of its fields: real tokens and the slots' experts only.

    Args:
        reading: what was read at the n positions before each response token.
        tokens: responses (b, n).
        counts: where a token counts (b, n), bool.
        asked: how much each expert is asked for (b, K).
        slots: experts in the order of their slots (b, k).
        first: number of the chunk's first response.
    """
    row = counts.nonzero()[:, 0]  # (m,) the response of each token
    slots = slots[row]  # (m, k)
    precise = torch.promote_types(reading.base.dtype, torch.float32)
    base = reading.base[counts].to(precise).log_softmax(-1)  # (m, V)
    wanted = slots.unsqueeze(-1).expand(-1, -1, base.shape[-1])
    logprobs = reading.experts[counts].gather(1, wanted).to(precise).log_softmax(-1)  # (m, k, V)
    asked = asked[row].gather(-1, slots)
    features = behaviour(base, logprobs, asked)
    values = (reading.hidden[counts], features, asked, slots, base, logprobs, tokens[counts], row + first)
    return dict(zip(TOKEN_FIELDS, values, strict=True))


def monitors(
    experience: Experience, log_weights: Tensor, logprobs: Tensor, rule: Rule, names: Sequence[str]
) -> dict[str, Tensor]:
    """Gives what shows a collapsed controller: entropy of the weights, mean weights and shares, tokens that they move.

    `weights/entropy` is in nats, and `weights/evenness` is it as a part of the largest that the asked experts allow;
    `weights/<expert>` is a mean weight, and `share/<expert>` a mean share where 1 is as much as everybody else;
    `weights/moved` is the share of tokens that would be others, greedily, under the uniform mixture.

    Args:
        experience: the tokens.
        log_weights: of the slots (N, k).
        logprobs: mixed log-probabilities (N, V).
        rule: the mixing rule, for the uniform mixture beside it.
        names: the K dimensions, for one mean weight each (over the tokens that ask for it).
    """
    shares = log_weights.softmax(-1)
    entropy = -torch.special.xlogy(shares, shares).sum(-1).mean()
    uniform, _ = experience.mixed(rule, None)
    moved = (uniform.argmax(-1) != logprobs.argmax(-1)).float().mean()
    found = {"weights/entropy": entropy, "weights/moved": moved}
    weights, asked = log_weights.exp(), experience.asked > 0
    members = asked.sum(-1, keepdim=True)  # (N, 1)
    most = members.to(entropy).log().mean()
    if float(most) > 0:
        found["weights/evenness"] = entropy / most
    for index, name in enumerate(names):
        where = (experience.slots == index) & asked
        if bool(where.any()):
            found[f"weights/{name}"] = weights[where].mean()
            found[f"share/{name}"] = (shares * members)[where].mean()
    return found
