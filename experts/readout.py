"""What a reward model's head reads of a text: its last state, or evidence gathered over all of its tokens.

Knows hidden states and token ids. Does not know adapters, training or what a score is used for.

The last state is how classifiers of transformers read. It serves what shows in a text as a whole; but whether an
answer is right shows token by token, in how likely each was, and a small trunk has no layers left to gather that at
the end. Evidence is the last state, the mean state and the mean log-probability of the text's own tokens, all three.
A head of H numbers reads the last state, one of 2H + 1 reads the evidence.
"""

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from transformers import PreTrainedModel
from transformers.modeling_outputs import SequenceClassifierOutput

LIKELIHOOD_SCALE = 20.0
"""Mean log-probabilities differ by hundredths where states differ by ones: so one learning rate suits both."""
ROWS_AT_ONCE = 16  # whose logits are in memory together


def last_state(hidden: Tensor, lengths: Tensor) -> Tensor:
    """The state of the last real token, `(R, H)`.

    Args:
        hidden: `(R, T, H)`, padded on the right.
        lengths: `(R,)`.
    """
    return hidden[torch.arange(len(hidden), device=hidden.device), lengths - 1]


def evidence(hidden: Tensor, input_ids: Tensor, attention_mask: Tensor, unembedding: Tensor) -> Tensor:
    """The last state, the mean state and the scaled mean log-probability of the tokens, `(R, 2H + 1)`.

    The first token counts in neither mean: nothing stands before it that could make it likely.

    Args:
        hidden: `(R, T, H)`, padded on the right.
        input_ids: `(R, T)`, at least two real tokens in every row.
        attention_mask: `(R, T)`.
        unembedding: weights of the language-model head, `(V, H)`.
    """
    counted = attention_mask[:, 1:].to(unembedding.dtype)  # (R, T - 1)
    tokens = counted.sum(-1, keepdim=True)
    mean = (hidden[:, 1:] * counted.unsqueeze(-1)).sum(1) / tokens  # (R, H)
    likelihood = (logprobs(hidden[:, :-1], input_ids[:, 1:], unembedding) * counted).sum(-1, keepdim=True) / tokens
    return torch.cat([last_state(hidden, attention_mask.sum(-1)), mean, LIKELIHOOD_SCALE * likelihood], dim=-1)


def logprobs(hidden: Tensor, following: Tensor, unembedding: Tensor) -> Tensor:
    """Log-probabilities `(R, T)` of the tokens that follow each state, a few rows at a time to bound memory."""
    parts = zip(hidden.split(ROWS_AT_ONCE), following.split(ROWS_AT_ONCE), strict=True)
    return torch.cat([_logprobs(states, ids, unembedding) for states, ids in parts])


def _logprobs(hidden: Tensor, following: Tensor, unembedding: Tensor) -> Tensor:
    logits = (hidden @ unembedding.T).to(unembedding.dtype)  # (R, T, V)
    flat = -cross_entropy(logits.flatten(0, 1), following.flatten(), reduction="none")  # in one row, twice as fast
    return flat.view(following.shape)


class EvidenceClassifier(PreTrainedModel):
    """A language model's trunk under a head that reads evidence; in all else a classifier with one output."""

    unembedding: Tensor
    # How to attend is the trunk's to say: it refuses what it cannot do when it is built.
    _supports_sdpa = _supports_flash_attn = _supports_flex_attn = _supports_attention_backend = True

    def __init__(self, language_model: PreTrainedModel) -> None:
        """Takes over the trunk; the head of the language model is only read.

        Raises:
            ValueError: If the model has no language-model head.
        """
        head = language_model.get_output_embeddings()
        if head is None:
            raise ValueError(f"evidence needs a language-model head, {type(language_model).__name__} has none")
        super().__init__(language_model.config)
        self.config.num_labels = 1
        self.base_model_prefix = language_model.base_model_prefix
        setattr(self, self.base_model_prefix, language_model.base_model)
        self.register_buffer("unembedding", head.weight.detach(), persistent=False)
        width = 2 * head.weight.shape[1] + 1
        self.score = nn.Linear(width, 1, bias=False, dtype=head.weight.dtype)
        nn.init.normal_(self.score.weight, std=self.config.get_text_config().initializer_range)

    def forward(self, input_ids: Tensor, attention_mask: Tensor, **ignored: object) -> SequenceClassifierOutput:
        """The scores `(R, 1)` of texts `(R, T)`, padded on the right."""
        hidden = self.base_model(input_ids=input_ids, attention_mask=attention_mask, use_cache=False).last_hidden_state
        read = evidence(hidden, input_ids, attention_mask, self.unembedding)
        with torch.autocast(read.device.type, enabled=False):  # hundredths of a nat would be lost in bfloat16
            return SequenceClassifierOutput(logits=self.score(read))
