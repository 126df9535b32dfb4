"""What the bench asks about: pairs of base answers in the miniature world, with the truth about them.

Knows the world's questions, who tells the truth about answers, and how a bundle's base and rewards read them. Does not
know users.
"""

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import cast

import numpy as np
import torch
from torch import Tensor
from transformers import LlamaForCausalLM, PreTrainedTokenizerBase

import bundle as bundles
from comparison.scorers import GoldScorer
from comparison.users.methods import Features
from experts.miniature.corpus import Prompt, prompts
from experts.miniature.pairs import draw_answers
from experts.prompts import answered
from experts.readout import evidence
from experts.rewards import RewardModels
from pcm.users.axes import Axes

MOST_TOKENS = 112
BATCH = 216


@dataclass(frozen=True)
class Pairs:
    """Pairs of answers, in differences: first minus second.

    Args:
        true: On the axes of the gold judge `(N, J)`.
        features: By the name of what reads them `(N, F)`.
        said: Of each pair the question, the first answer and the second (N); none where only numbers are needed.
    """

    true: Tensor
    features: Features
    said: Sequence[tuple[Prompt, str, str]] = ()

    def __len__(self) -> int:
        """How many pairs there are."""
        return len(self.true)

    def rows(self, places: Tensor) -> "Pairs":
        """Some of them."""
        said = [self.said[place] for place in torch.arange(len(self.said))[places].tolist()] if self.said else ()
        return Pairs(self.true[places], {name: values[places] for name, values in self.features.items()}, said)


class World:
    """A bundle's base and reward models, which answer and read the miniature world's questions."""

    def __init__(self, folder: Path) -> None:
        """Reads a bundle of the miniature world."""
        manifest = bundles.read_manifest(folder)
        self.axes = Axes(manifest.dimensions)
        base, self.tokenizer = bundles.read_base(folder, manifest, torch.float32)
        self.base = cast(LlamaForCausalLM, base.eval())
        self.rewards = RewardModels.load(folder / "rewards", self.base)

    def pairs(self, split: str, answers: int, seed: int, most: int) -> Pairs:
        """Every pair among some answers of the base to each question of a split, drawn at temperature one.

        Args:
            split: Of the questions: train, validation or test.
            answers: To each question.
            seed: Of the draws.
            most: Questions, drawn from all of the split.
        """
        asked = prompts(split)
        asked = random.Random(f"users {split} {seed}").sample(asked, min(most, len(asked)))
        torch.manual_seed(seed)
        columns = [list(self._answers(asked)) for _ in range(answers)]
        places = [self._places(asked, texts) for texts in columns]
        found = [_minus(first, second) for first, second in combinations(places, 2)]
        names = found[0].features
        whole = Pairs(
            torch.cat([pairs.true for pairs in found]),
            {name: torch.cat([pairs.features[name] for pairs in found]) for name in names},
            [said for first, second in combinations(columns, 2) for said in zip(asked, first, second, strict=True)],
        )
        return whole.rows(whole.true.abs().sum(-1) > 0)  # two answers that are worth the same ask nothing

    def _answers(self, asked: Sequence[Prompt]) -> Iterator[str]:
        for start in range(0, len(asked), BATCH):
            batch = asked[start : start + BATCH]
            drawn = draw_answers(self.base, cast(PreTrainedTokenizerBase, self.tokenizer), batch, 1.0, MOST_TOKENS)
            yield from (text or "." for text, _ in drawn)

    def truth(self, asked: Sequence[Prompt], answers: Sequence[str]) -> Tensor:
        """Where answers truly lie on the axes `(N, J)`."""
        scores = GoldScorer(self.axes.scores[:-1]).score(asked, answers)
        return self.axes.of(torch.from_numpy(np.stack([*scores.dimensions.values(), scores.quality], axis=-1)))

    @torch.no_grad()
    def _places(self, asked: Sequence[Prompt], answers: Sequence[str]) -> Pairs:
        """Where answers lie; not yet in differences."""
        axes, states = [], []
        for start in range(0, len(asked), BATCH):
            part = slice(start, start + BATCH)
            messages = [prompt.messages for prompt in asked[part]]
            texts = answered(self.tokenizer, messages, list(answers[part]), MOST_TOKENS).left_aligned()
            axes.append(self.axes.of(self.rewards.score(texts, self.axes.scores)))
            hidden = self.base.model(texts.input_ids, texts.attention_mask, use_cache=False).last_hidden_state
            states.append(evidence(hidden, texts, self.base.lm_head.weight))
        return Pairs(self.truth(asked, answers), {"axes": torch.cat(axes), "states": torch.cat(states)})


def _minus(first: Pairs, second: Pairs) -> Pairs:
    features = {name: values - second.features[name] for name, values in first.features.items()}
    return Pairs(first.true - second.true, features)
