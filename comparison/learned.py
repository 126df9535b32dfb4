"""What answers are worth to learned reward models, and to any sequence classifier.

Knows models that score texts. Does not know the gold judge nor who answered.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from transformers import AutoModelForSequenceClassification, AutoTokenizer, PreTrainedModel, PreTrainedTokenizerBase

from comparison.scorers import Array, Scores
from experts.miniature.corpus import Prompt
from experts.prompts import answered
from experts.references import References, beats_reference
from experts.rewards import QUALITY, RewardModels

BATCH = 32


class LearnedScorer:
    """The chance of beating a fixed answer of the base to the same prompt, by each reward model (arXiv 2407.04181)."""

    def __init__(
        self,
        rewards: RewardModels,
        tokenizer: PreTrainedTokenizerBase,
        names: Sequence[str],
        references: References,
        prompts: Sequence[Prompt],
        max_new_tokens: int,
    ) -> None:
        """Scores answers to these prompts.

        Args:
            rewards: One for each name, and one for quality.
            tokenizer: Of the base.
            names: Of the dimensions.
            references: An answer to each prompt with its scores by all the models.
            prompts: All that will ever be answered.
            max_new_tokens: An answer of as many tokens was cut off, and must look so.
        """
        self.rewards, self.tokenizer, self.names = rewards, tokenizer, tuple(names)
        columns = [rewards.names.index(name) for name in (*names, QUALITY)]
        rows = zip(prompts, references.scores[:, columns], strict=True)
        self._references = {repr(prompt.messages): row for prompt, row in rows}
        self.max_new_tokens = max_new_tokens

    def score(self, prompts: Sequence[Prompt], answers: Sequence[str]) -> Scores:
        """Gives the scores of one answer to each prompt."""
        told = answered(self.tokenizer, [prompt.messages for prompt in prompts], list(answers), self.max_new_tokens)
        raw = self.rewards.score(told, (*self.names, QUALITY))  # (N, D + 1)
        reference = torch.stack([self._references[repr(prompt.messages)] for prompt in prompts])
        relative = beats_reference(raw, reference).double().numpy()
        return Scores(relative[:, -1], {name: relative[:, place] for place, name in enumerate(self.names)})


class ClassifierScorer:
    """Any sequence classifier whose labels are named like the dimensions; one called quality is quality."""

    def __init__(self, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, names: Sequence[str]) -> None:
        """Reads answers with a classifier.

        Args:
            model: Independent labels if its configuration says multi_label_classification, else exclusive ones.
            tokenizer: Its own.
            names: The dimensions to score.

        Raises:
            ValueError: If there is no label for a dimension.
        """
        labels = {str(name): int(place) for name, place in (model.config.label2id or {}).items()}
        if missing := [name for name in names if name not in labels]:
            raise ValueError(f"a classifier must have a label for each of {list(names)}, got none for {missing}")
        self.model, self.tokenizer, self.names, self.labels = model.eval(), tokenizer, tuple(names), labels
        if tokenizer.pad_token_id is None:
            tokenizer.pad_token = tokenizer.eos_token
        model.config.pad_token_id = tokenizer.pad_token_id

    @classmethod
    def load(cls, folder: str | Path, names: Sequence[str]) -> "ClassifierScorer":
        """Reads a folder or hub id, as transformers saves it."""
        model = AutoModelForSequenceClassification.from_pretrained(folder)
        return cls(model, AutoTokenizer.from_pretrained(folder), names)

    @torch.no_grad()
    def score(self, prompts: Sequence[Prompt], answers: Sequence[str]) -> Scores:
        """Gives the probability of each label for the answers alone, whatever the question was."""
        parts = [self._probabilities(answers[start : start + BATCH]) for start in range(0, len(answers), BATCH)]
        found = np.concatenate(parts)  # (N, L)
        quality = found[:, self.labels[QUALITY]] if QUALITY in self.labels else np.ones(len(answers))
        return Scores(quality, {name: found[:, self.labels[name]] for name in self.names})

    def _probabilities(self, texts: Sequence[str]) -> Array:
        encoded = self.tokenizer(
            [text or self.tokenizer.eos_token for text in texts], padding=True, truncation=True, return_tensors="pt"
        )
        logits = self.model(input_ids=encoded["input_ids"], attention_mask=encoded["attention_mask"]).logits.double()
        independent = self.model.config.problem_type == "multi_label_classification"
        return np.asarray(logits.sigmoid() if independent else logits.softmax(-1))
