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
from decoding.stopping import Withheld


class Scribe:
    """Writes for one batch of requests, in the order of their tokens."""

    def __init__(
        self,
        tokenizer: PreTrainedTokenizerBase,
        names: Sequence[str],
        rule: str | None,
        stop_ids: Sequence[int],
        stops: Sequence[Sequence[str]],
        alternatives: int = 0,
    ) -> None:
        """Starts a batch.

        Args:
            tokenizer: Turns ids into text.
            names: Of the experts, in their order (K).
            rule: Name of the mixing rule, which decides what it means to move a token; None if it has none.
            stop_ids: Tokens that end a response.
            stops: Texts that end it, for each request (B).
            alternatives: How many of each reader's most probable tokens to note down.
        """
        self.tokenizer, self.names, self.rule = tokenizer, tuple(names), rule
        self.stop_ids, self.alternatives = frozenset(stop_ids), alternatives
        self.detokenisers = [Detokeniser(tokenizer) for _ in stops]
        self.withheld = [Withheld(texts) for texts in stops]

    def write(self, emitted: Emitted[Step]) -> list[Token | None]:
        """Gives the token of each request (B), None where it had stopped before.

        A stop text ends the response here, also where tokens that write no text stand in it, or bytes that are no
        character: of these only the text knows.

        Args:
            emitted: What the loop gave.
        """
        running = emitted.running.tolist()
        open_rows = [runs and not one.stopped for runs, one in zip(running, self.withheld, strict=True)]
        return [self._token(emitted, row) if is_open else None for row, is_open in enumerate(open_rows)]

    def _token(self, emitted: Emitted[Step], row: int) -> Token:
        step, chosen = emitted.step, int(emitted.tokens[row])
        base, experts = step.base_logprobs[row, chosen], step.expert_logprobs[row, :, chosen]  # (), (K,)
        moved = attribution(self.rule, base, experts, step.log_weights[row])  # (K,)
        asked = [place for place, weight in enumerate(step.log_weights[row].tolist()) if weight != -torch.inf]
        alternatives = self._alternatives(step, row, asked)  # before the chosen token is added to the text
        text = self._text(row, chosen, last=not bool(emitted.going[row]))
        return Token(
            id=chosen,
            text=text,
            logprob=float(emitted.logprobs[row]),
            weights=self._named(step.log_weights[row].exp(), asked),
            moved=self._named(moved, asked),
            logprobs={"base": float(base), **self._named(experts, asked)},
            alternatives=alternatives,
            ends=bool(emitted.stopped[row]) or self.withheld[row].stopped,
        )

    def _named(self, values: Tensor, asked: Sequence[int]) -> dict[str, float]:
        numbers = values.tolist()
        return {self.names[place]: numbers[place] for place in asked}

    def _text(self, row: int, chosen: int, last: bool) -> str:
        """What the token adds to the text: an end token only lets go of what was held back."""
        detokeniser, withheld = self.detokenisers[row], self.withheld[row]
        piece = "" if chosen in self.stop_ids else detokeniser.add(chosen)
        if not last:
            return withheld.add(piece)
        return withheld.add(piece + detokeniser.finish()) + withheld.finish()

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
