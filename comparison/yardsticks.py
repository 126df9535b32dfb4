"""Methods that spend more at answering time than a mixture does, to know what there is to gain.

Knows the base, and a scorer of answers where one is needed. Does not know the judge of the final report.
"""

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import torch

from comparison.combinations import Combination, label
from comparison.decoding import Decoded, Request, answers, drawn
from comparison.methods import without_experts
from comparison.scorers import Scorer
from decoding.conversation import Conversation
from decoding.sampling import Sampling
from experts.miniature.corpus import Prompt
from mixture import Mixture

Example = tuple[str, str]
"""A question and its answer."""


class BestOf:
    """The best of n answers of the base by learned reward: what search alone can do, at n times the cost."""

    listens = True

    def __init__(self, mixture: Mixture, scorer: Scorer, count: int) -> None:
        """Takes the base out of a mixture.

        Args:
            mixture: Has the base.
            scorer: Chooses; never the judge of the report.
            count: How many answers are drawn.

        Raises:
            ValueError: If there is nothing to choose from.
        """
        if count < 2:
            raise ValueError(f"best-of-n needs at least 2 answers, got {count}")
        self.name, self.mixture, self.scorer, self.count = f"base-best-of-{count}", mixture, scorer, count
        self._base = without_experts(mixture)
        self._drawn: tuple[int, list[list[str]]] | None = None  # the same draws serve every preference

    def respond(
        self, conversations: Sequence[Conversation], asked: Combination, sampling: Sampling, seed: int
    ) -> list[str]:
        """Gives the best answer to each conversation."""
        attempts = self._attempts(conversations, sampling, seed)
        prompts = [Prompt([dict(turn) for turn in one], "") for one in conversations]
        worth = np.stack([self.scorer.score(prompts, texts).utility(asked) for texts in attempts])  # (n, B)
        return [attempts[best][place] for place, best in enumerate(worth.argmax(axis=0))]

    def _attempts(self, conversations: Sequence[Conversation], sampling: Sampling, seed: int) -> list[list[str]]:
        """All answers (n, B)."""
        known = drawn([list(map(dict, one)) for one in conversations], sampling.temperature, seed)
        if self._drawn is None or self._drawn[0] != known:
            nobody = torch.zeros(len(conversations), 0)
            attempts = 1 if sampling.greedy else self.count  # at temperature 0 all would be the same one
            requests = [Request(self._base, conversations, nobody, (seed, n)) for n in range(attempts)]
            found = [answers(one, sampling) for one in requests]
            self._drawn = (known, found)
        return self._drawn[1]


class InContext(Decoded):
    """The base, shown answers to other questions that are as the preference wants them."""

    name = "prompt-examples"
    listens = True

    def __init__(
        self, mixture: Mixture, examples: Callable[[Combination], Sequence[Example]], max_new_tokens: int
    ) -> None:
        """Takes the base out of a mixture.

        Args:
            mixture: Has the base.
            examples: Gives what is shown for a preference, the least important first.
            max_new_tokens: That an answer needs room for.
        """
        self.mixture, self.examples, self.room = without_experts(mixture), examples, max_new_tokens

    def request(self, conversations: Sequence[Conversation], asked: Combination, seed: int) -> Request:
        """Gives what the base reads; where the window is too small, fewer examples are shown."""
        shown = self.examples(asked)
        prompted = [fitting(self.mixture, shown, one, self.room) for one in conversations]
        nobody = torch.zeros(len(conversations), 0)
        return Request(self.mixture, prompted, nobody, (seed, label(asked)))


def fitting(mixture: Mixture, shown: Sequence[Example], conversation: Conversation, room: int) -> Conversation:
    """Gives the conversation behind as many of the examples as fit.

    Args:
        mixture: Whose window they must fit.
        shown: Examples, the least important first.
        conversation: To be answered.
        room: Tokens that the answer needs.
    """
    for skipped in range(len(shown) + 1):
        found = with_examples(shown[skipped:], conversation)
        if mixture.encode([found])[0].shape[-1] + room <= mixture.window:
            break
    return found


def with_examples(shown: Sequence[Example], conversation: Conversation) -> Conversation:
    """Gives the conversation behind earlier turns, which stay behind a system message."""
    turns: list[Mapping[str, str]] = []
    for question, answer in shown:
        turns += [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]
    first = 1 if conversation[0]["role"] == "system" else 0
    return [*conversation[:first], *turns, *conversation[first:]]


class Demonstrations:
    """Examples for in-context learning: the base's own answers, the best of a few by learned reward."""

    def __init__(self, best: BestOf, prompts: Sequence[Prompt], max_new_tokens: int) -> None:
        """Makes examples when a preference is first asked for.

        Args:
            best: Answers.
            prompts: Questions that are neither tested on nor chosen on.
            max_new_tokens: The most tokens of an answer.
        """
        self.best, self.prompts, self.max_new_tokens = best, prompts, max_new_tokens
        self._known: dict[Combination, list[Example]] = {}

    def __call__(self, asked: Combination) -> list[Example]:
        """Gives one example for each prompt."""
        if asked not in self._known:
            sampling = Sampling(temperature=1.0, max_new_tokens=self.max_new_tokens)
            texts = self.best.respond([one.messages for one in self.prompts], asked, sampling, 0)
            questions = [one.messages[-1]["content"] for one in self.prompts]
            self._known[asked] = [pair for pair in zip(questions, texts, strict=True) if pair[1].strip()]
        return self._known[asked]
