"""What a reward model's head reads of an answer: its last state, or evidence gathered over all of its tokens.

Knows hidden states and token ids. Does not know adapters, training or what a score is used for.

The last state is how classifiers of transformers read. It serves what shows in a text as a whole; but whether an
answer is right shows token by token, in how likely each was, and a small trunk has no layers left to gather that at
the end. Evidence is the last state, the answer's mean state, and five numbers about its tokens: their mean and least
log-probability, how many surprise the model, how many say something new, and what share says again what was said
before. (What repeats itself is likely, and long: likelihood and length alone would praise it.) The prompt's tokens
count in none of them: a question is far less likely than its answer, and would drown it. A head of H numbers reads the
last state, one of 2H + 5 reads the evidence.
"""

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from transformers import PreTrainedModel
from transformers.modeling_outputs import SequenceClassifierOutput

from decoding.answered import Answered

SCALES = (20.0, 1.0, 1.0, 0.2, 20.0)
"""What the five numbers are multiplied by, to differ between answers by as much as a head can make use of.

A head moves its weights by one or two tenths in a training, whatever they weigh. Length is kept small: it tells most
about some dimensions, but is the easiest to buy.
"""
SURPRISING = -5.0  # nats; a token that the model takes for less likely than this
TOKENS_AT_ONCE = 2048  # whose logits are in memory together


def last_state(hidden: Tensor, lengths: Tensor) -> Tensor:
    """The state of the last real token, `(R, H)`.

    Args:
        hidden: `(R, T, H)`, padded on the right.
        lengths: `(R,)`.
    """
    return hidden[torch.arange(len(hidden), device=hidden.device), lengths - 1]


def evidence_size(hidden_size: int) -> int:
    """How many numbers the evidence of one text has."""
    return 2 * hidden_size + len(SCALES)


def evidence(hidden: Tensor, texts: Answered, unembedding: Tensor) -> Tensor:
    """The last state, the answer's mean state and five scaled numbers about its tokens, `(R, 2H + 5)`.

    Args:
        hidden: `(R, T, H)`.
        texts: left-aligned rows, a prompt of at least one token in each.
        unembedding: weights of the language-model head, `(V, H)`.
    """
    counted, following = texts.in_answer()[:, 1:], texts.input_ids[:, 1:]  # (R, T - 1)
    tokens = counted.sum(-1).clamp(min=1)  # (R,)
    mean = (hidden[:, 1:] * counted.unsqueeze(-1)).sum(1) / tokens[:, None]  # (R, H)
    told = logprobs(hidden[:, :-1][counted], following[counted], unembedding)  # (answer tokens,)
    likely = torch.zeros_like(counted, dtype=told.dtype).masked_scatter(counted, told)  # (R, T - 1)
    again = texts.repeats()  # (R,)
    likelihoods = [likely.sum(-1) / tokens, likely.amin(-1), (likely < SURPRISING).sum(-1)]
    numbers = [*likelihoods, texts.answer_lengths - again, again / tokens]
    scaled = torch.stack([number.to(told.dtype) for number in numbers], dim=-1) * told.new_tensor(SCALES)  # (R, 5)
    return torch.cat([last_state(hidden, texts.lengths), mean, scaled], dim=-1)


def logprobs(hidden: Tensor, following: Tensor, unembedding: Tensor) -> Tensor:
    """Log-probabilities `(N,)` of the tokens that follow each state `(N, H)`, some at a time to bound memory."""
    parts = zip(hidden.split(TOKENS_AT_ONCE), following.split(TOKENS_AT_ONCE), strict=True)
    return torch.cat([_logprobs(states, ids, unembedding) for states, ids in parts])


def _logprobs(hidden: Tensor, following: Tensor, unembedding: Tensor) -> Tensor:
    logits = (hidden @ unembedding.T).to(unembedding.dtype)  # (N, V)
    return -cross_entropy(logits, following, reduction="none")


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
        self.score = nn.Linear(evidence_size(head.weight.shape[1]), 1, bias=False, dtype=head.weight.dtype)
        nn.init.normal_(self.score.weight, std=self.config.get_text_config().initializer_range)

    def forward(
        self, input_ids: Tensor, attention_mask: Tensor, answer_lengths: Tensor, **ignored: object
    ) -> SequenceClassifierOutput:
        """The scores `(R, 1)` of texts `(R, T)` padded on the right, whose last `answer_lengths` tokens are answers."""
        hidden = self.base_model(input_ids=input_ids, attention_mask=attention_mask, use_cache=False).last_hidden_state
        read = evidence(hidden, Answered(input_ids, attention_mask, answer_lengths), self.unembedding)
        with torch.autocast(read.device.type, enabled=False):  # hundredths of a nat would be lost in bfloat16
            return SequenceClassifierOutput(logits=self.score(read))
