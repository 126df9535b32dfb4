"""The reader of preferences: a small network that hears in a text which dimensions it asks for.

Knows tokens, and dimensions by their names and descriptions, never by their places in a list. Does not know experts,
the controller or responses, nor how it is trained.
"""

import json
import math
import warnings
from collections.abc import Sequence
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.rnn import pad_sequence
from transformers import PreTrainedTokenizerBase

from decoding.dimension import Dimension

LONGEST_TEXT = 512
"""Tokens of a preference text that are read; what follows is cut off."""
QUOTATION_MARKS = str.maketrans("", "", '"“”„«»')
"""People put them around a wish; they ask for nothing."""
APART = (1, 2, 4)
"""How far apart each layer of the encoder takes its three tokens: together they reach seven to either side."""


class PreferenceReader(nn.Module):
    """Reads from a text which dimensions it asks for; each dimension is known only by its name and description.

    Token embeddings and convolutions of growing reach give every place of a text a state in its context. A description,
    as the words it is made of, asks every place for evidence; a soft maximum over the places decides, so one phrase
    among others is enough. Beside it stands how well the description's own words occur in the text, so that a dimension
    nobody trained on is heard when it is asked for in the words that describe it.

    Args:
        tokenizer: gives the token ids; not saved with the reader.
        dimensions: the K dimensions that can be asked for; may be changed later, no parameter depends on them.
        width: size of the embedding and of the inner layers.
        dropout: share of embedding entries that training blanks.
        context_dropout: share of tokens that training hides from their neighbours, so that a word is understood in
            constructions it was not seen in.
    """

    common: Tensor
    temperature: Tensor

    def __init__(
        self,
        tokenizer: PreTrainedTokenizerBase,
        dimensions: Sequence[Dimension],
        width: int = 64,
        dropout: float = 0.05,
        context_dropout: float = 0.1,
    ) -> None:
        super().__init__()
        self.tokenizer, self.dimensions = tokenizer, tuple(dimensions)
        self.width, self.dropout, self.context_dropout = width, dropout, context_dropout
        self.embedding = nn.Embedding(len(tokenizer), width)
        self.layers = nn.ModuleList(
            nn.Conv1d(width, width, kernel_size=3, padding=apart, dilation=apart) for apart in APART
        )
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in APART)
        self.last_norm = nn.LayerNorm(width)
        self.key = nn.Linear(width, width)
        self.query = nn.Linear(width, width)
        self.importance = nn.Linear(width, 1)
        nn.init.constant_(self.importance.bias, -2.0)  # few words of a description are worth a quotation
        self.doubt = nn.Parameter(torch.tensor(4.0))
        self.register_buffer("common", torch.zeros(width))
        self.register_buffer("temperature", torch.ones(()))

    def forward(self, texts: Tensor, text_mask: Tensor, descriptions: Tensor, description_mask: Tensor) -> Tensor:
        """Gives the logit that each text asks for each described dimension (B, K).

        Args:
            texts: token ids (B, L).
            text_mask: 1 where a token counts (B, L).
            descriptions: token ids (K, M).
            description_mask: 1 where a token counts (K, M).
        """
        return self.heard(self.embedding(texts), text_mask, descriptions, description_mask)

    def heard(self, embedded: Tensor, text_mask: Tensor, descriptions: Tensor, description_mask: Tensor) -> Tensor:
        """Gives what `forward` gives for texts of embeddings (B, L, W), which need not be any word's."""
        words, states = self.encode(embedded, text_mask)  # (B, L, W) twice
        described = self.embedding(descriptions) * description_mask.unsqueeze(-1)  # (K, M, W)
        queries = self.query(self.gist(described, description_mask) - self.common)  # (K, W)
        evidence = (functional.gelu(self.key(states)) @ queries.T).mT  # (B, K, L)
        found = evidence.masked_fill(text_mask.unsqueeze(1) == 0, -1e4).logsumexp(-1)  # (B, K)
        importance = functional.softplus(self.importance(described)) * description_mask.unsqueeze(-1)
        return found + quotation(words, text_mask, described, importance) - self.doubt

    def gist(self, described: Tensor, mask: Tensor) -> Tensor:
        """Gives what each description says in all, from its words (K, M, W), as long as one word (K, W).

        No gradient goes to the words: queries that moved with every text would have to be learned again and again.
        """
        return described.detach().sum(-2) / mask.sum(-1, keepdim=True).clamp_min(1).sqrt()

    @torch.no_grad()
    def note_common(self) -> None:
        """Notes what the descriptions of its dimensions have in common: each is asked for by what sets it apart."""
        tokens, mask = self.tokenize([describe(dimension) for dimension in self.dimensions])
        self.common.copy_(self.gist(self.embedding(tokens) * mask.unsqueeze(-1), mask).mean(0))

    def encode(self, embedded: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """Gives each token's embedding and its state in context, both (B, L, W), zero where the mask is."""
        counts = mask.unsqueeze(-1).to(self.embedding.weight.dtype)
        words = functional.dropout(embedded, self.dropout, self.training) * counts
        states = words
        for layer, norm in zip(self.layers, self.norms, strict=True):
            states = states + functional.gelu(layer(self.overheard(norm(states) * counts).mT)).mT * counts
        return words, self.last_norm(states) * counts

    def overheard(self, states: Tensor) -> Tensor:
        """Gives the states (B, L, W) as neighbours see them: in training, some tokens say nothing to theirs."""
        if not self.training:
            return states
        return states * (torch.rand_like(states[..., :1]) >= self.context_dropout)

    @torch.no_grad()
    def start_from(self, embeddings: Tensor) -> None:
        """Begins with what a language model knows of the words: its embeddings (V, H) along their main directions.

        Each is made as long as one that is drawn. Where the reader is wider than they are, the rest stays as it was.
        """
        known = embeddings[: len(self.tokenizer)].float()
        known = known - known.mean(0)  # (V, H)
        directions = torch.linalg.eigh(known.T @ known).eigenvectors.flip(-1)  # (H, H), the longest first
        projected = functional.normalize(known @ directions[:, : self.width], dim=-1)
        self.embedding.weight[:, : projected.shape[1]] = projected * math.sqrt(projected.shape[1])

    @torch.no_grad()
    def probabilities(self, texts: Sequence[str]) -> Tensor:
        """Gives the calibrated probability that each text asks for each dimension (B, K)."""
        tokens, mask = self.tokenize(texts)
        return self.probabilities_of(self.embedding(tokens), mask)

    def probabilities_of(self, embedded: Tensor, mask: Tensor) -> Tensor:
        """Gives the same (B, K) for embeddings (B, L, W) in place of a text's."""
        described, described_mask = self.tokenize([describe(dimension) for dimension in self.dimensions])
        return (self.heard(embedded, mask, described, described_mask) / self.temperature).sigmoid()

    def asked(self, text: str, alone: bool = True) -> Tensor:
        """Gives how much each dimension is asked for (K,): its probability, or zero below one half.

        A text that asks for nothing known warns, and where it stands alone asks for every dimension alike: the uniform
        mixture over all.

        Args:
            text: what a person wrote.
            alone: whether nothing else says what is asked for.
        """
        probabilities = self.probabilities([text])[0]
        if bool((probabilities < 0.5).all()):
            known = ", ".join(dimension.name for dimension in self.dimensions)
            then = "all of them are mixed alike" if alone else "only what else is asked for is followed"
            message = f"the preference must ask for at least one of {known}, got {text!r}: {then}"
            warnings.warn(message, stacklevel=2)
            return torch.full_like(probabilities, float(alone))
        return torch.where(probabilities >= 0.5, probabilities, 0.0)

    def tokenize(self, texts: Sequence[str]) -> tuple[Tensor, Tensor]:
        """Gives token ids and mask of texts (N, L), padded on the right."""
        return padded([token_ids(self.tokenizer, text) for text in texts], self.embedding.weight.device)

    def save(self, folder: str | Path) -> None:
        """Writes `config.json` and, in bfloat16, `model.safetensors`; the bundle keeps tokenizer and dimensions."""
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        config = {"width": self.width, "dropout": self.dropout, "context_dropout": self.context_dropout}
        (folder / "config.json").write_text(json.dumps(config, indent=2, sort_keys=True) + "\n")
        state = {name: value.detach().bfloat16().contiguous().cpu() for name, value in self.state_dict().items()}
        save_file(state, folder / "model.safetensors")

    @classmethod
    def load(
        cls, folder: str | Path, tokenizer: PreTrainedTokenizerBase, dimensions: Sequence[Dimension]
    ) -> "PreferenceReader":
        """Reads a reader that `save` wrote.

        Raises:
            ValueError: if it was trained with a vocabulary of another size than the tokenizer's.
        """
        folder = Path(folder)
        reader = cls(tokenizer, dimensions, **json.loads((folder / "config.json").read_text()))
        state = load_file(folder / "model.safetensors")
        trained, given = state["embedding.weight"].shape[0], len(tokenizer)
        if trained != given:
            raise ValueError(f"the tokenizer must have the {trained} tokens the reader was trained with, got {given}")
        reader.load_state_dict(state)
        return reader.eval()


def describe(dimension: Dimension) -> str:
    """Gives the words through which the reader knows a dimension."""
    return f"{dimension.name}: {dimension.description}"


def token_ids(tokenizer: PreTrainedTokenizerBase, text: str) -> list[int]:
    """Gives the tokens of a text in lower case, each word as it stands inside a sentence; a very long text is cut."""
    spaced = "".join(f" {word}" for word in text.lower().translate(QUOTATION_MARKS).split())
    return tokenizer.encode(spaced, add_special_tokens=False)[:LONGEST_TEXT]


def quotation(words: Tensor, mask: Tensor, described: Tensor, importance: Tensor) -> Tensor:
    """Gives how much of each description is quoted in each text (B, K): the importance of its words found there.

    Each word of a description looks for its nearest word in the text by the cosine of their embeddings, and counts
    where that is above one half.

    Args:
        words: embeddings of the texts (B, L, W).
        mask: 1 where a token counts (B, L).
        described: embeddings of the descriptions (K, M, W).
        importance: of each word of the descriptions (K, M, 1), zero where there is none.
    """
    (batch, length, width), (count, longest, _) = words.shape, described.shape
    directions = functional.normalize(described, dim=-1).reshape(-1, width)
    cosines = directions @ functional.normalize(words, dim=-1).reshape(-1, width).T  # (K·M, B·L)
    cosines = cosines.view(count, longest, batch, length).masked_fill(mask == 0, -1.0)
    nearest = (2.0 * cosines.amax(-1) - 1.0).relu()  # (K, M, B)
    return (nearest * importance).sum(1).T


def padded(rows: Sequence[Sequence[int]], device: torch.device | None = None) -> tuple[Tensor, Tensor]:
    """Gives token ids and mask (N, L) from rows of unequal lengths, padded with token 0 on the right."""
    tokens = pad_sequence([torch.tensor(row or [0]) for row in rows], batch_first=True)  # an empty row has a place too
    lengths = torch.tensor([len(row) for row in rows])
    mask = (torch.arange(tokens.shape[1]) < lengths[:, None]).long()
    return tokens.to(device), mask.to(device)
