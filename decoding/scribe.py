"""Write down each emitted token with its reasons: who gave it what weight, who moved it, what could have come instead.

Knows the names behind the tensors and a tokenizer. Does not know models: it reads what one step computed.
"""

from collections.abc import Sequence

import torch
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from decoding.attribution import attribution
from decoding.detokenise import Detokeniser
from decoding.loop import Emitted
from decoding.response import Alternative, Token
from decoding.step import Step


class Scribe:
    """Writes for one batch of requests, in the order of their tokens."""

    def __init__(
        self,
        tokenizer: PreTrainedTokenizerBase,
        names: Sequence[str],
        rule: str,
        stop_ids: Sequence[int],
        alternatives: int = 0,
    ) -> None:
        """Starts a batch.

        Args:
            tokenizer: Turns ids into text.
            names: Of the experts, in their order (K).
            rule: Name of the mixing rule, which decides what it means to move a token.
            stop_ids: Tokens that end a response.
            alternatives: How many of each reader's most probable tokens to note down.
        """
        self.tokenizer, self.names, self.rule = tokenizer, tuple(names), rule
        self.stop_ids, self.alternatives = frozenset(stop_ids), alternatives
        self.detokenisers: list[Detokeniser] = []

    def write(self, emitted: Emitted[Step], last: bool) -> list[Token | None]:
        """Gives the token of each request (B), None where it had stopped before.

        Args:
            emitted: What the loop gave.
            last: Whether the length budget ends here, so that no unfinished character may be held back.
        """
        if not self.detokenisers:
            self.detokenisers = [Detokeniser(self.tokenizer) for _ in emitted.running]
        running = emitted.running.tolist()
        return [self._token(emitted, row, last) if runs else None for row, runs in enumerate(running)]

    def _token(self, emitted: Emitted[Step], row: int, last: bool) -> Token:
        step, chosen = emitted.step, int(emitted.tokens[row])
        base, experts = step.base_logprobs[row, chosen], step.expert_logprobs[row, :, chosen]  # (), (K,)
        moved = attribution(self.rule, base, experts, step.log_weights[row])  # (K,)
        asked = [place for place, weight in enumerate(step.log_weights[row].tolist()) if weight != -torch.inf]
        ends = chosen in self.stop_ids
        alternatives = self._alternatives(step, row, asked)  # before the chosen token is added to the text
        return Token(
            id=chosen,
            text=self._text(row, chosen, ends, last),
            logprob=float(emitted.logprobs[row]),
            weights=self._named(step.log_weights[row].exp(), asked),
            moved=self._named(moved, asked),
            logprobs={"base": float(base), **self._named(experts, asked)},
            alternatives=alternatives,
            ends=ends,
        )

    def _named(self, values: Tensor, asked: Sequence[int]) -> dict[str, float]:
        numbers = values.tolist()
        return {self.names[place]: numbers[place] for place in asked}

    def _text(self, row: int, chosen: int, ends: bool, last: bool) -> str:
        """What the token adds to the text: an end token only lets go of what was held back."""
        detokeniser = self.detokenisers[row]
        piece = "" if ends else detokeniser.add(chosen)
        return piece + detokeniser.finish() if ends or last else piece

    def _alternatives(self, step: Step, row: int, asked: Sequence[int]) -> dict[str, list[Alternative]]:
        if not self.alternatives:
            return {}
        readers = {"mixture": step.logprobs[row], "base": step.base_logprobs[row]}  # (V,) each
        readers |= {self.names[place]: step.expert_logprobs[row, place] for place in asked}
        return {name: self._top(logprobs, self.detokenisers[row]) for name, logprobs in readers.items()}

    def _top(self, logprobs: Tensor, detokeniser: Detokeniser) -> list[Alternative]:
        best = logprobs.topk(min(self.alternatives, logprobs.shape[-1]))
        pairs = zip(best.values.exp().tolist(), best.indices.tolist(), strict=True)
        return [Alternative(detokeniser.instead(token), probability) for probability, token in pairs]
