"""Learned reward models: one adapter with one linear head per dimension, all on one shared trunk.

Knows how scores are read and how reward models lie on disk: one ordinary PEFT sequence-classification folder each, as
TRL's RewardTrainer leaves them. Does not know how they were trained nor what their scores are used for. Scores of
different models have no common zero or unit; whoever compares them measures each against a reference answer first.
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from decoding.answered import Answered
from experts.adapters import CONFIG_FILE, Adapter, read_adapter, write_adapter
from experts.bank import ExpertBank
from experts.readout import evidence, evidence_size, last_state

QUALITY = "quality"
HEAD_WEIGHT = "score.weight"
_HEADS = ("score", "classifier")  # PEFT lists both for sequence classification; only the first exists here


class Rewards(Protocol):
    """What training asks about responses, whatever the scores are made by; one reward per name."""

    names: tuple[str, ...]

    @property
    def version(self) -> str:
        """Tells apart rewards that have the same names and parameters but score differently; mostly empty."""
        ...

    def score(self, texts: Answered, names: Sequence[str] | None = None, needed: Tensor | None = None) -> Tensor:
        """Raw scores `(N, D)` of answers, zero where not needed."""
        ...

    def parameters(self) -> Iterator[nn.Parameter]:
        """Everything learned that the scores depend on."""
        ...

    def to(self, device: torch.device) -> Any:
        """Moves it to where the answers are."""
        ...


def known(asked: Sequence[str] | None, names: Sequence[str]) -> Sequence[str]:
    """The rewards that are asked for, all where nobody says which.

    Raises:
        ValueError: if one that is asked for is not there.
    """
    if asked is None:
        return names
    if unknown := sorted(set(asked) - set(names)):
        raise ValueError(f"rewards must be among {list(names)}, got {unknown}")
    return asked


class RewardModels(nn.Module):
    """Scores of `D` reward models for any response, only where they are needed."""

    unembedding: Tensor
    version = ""

    def __init__(
        self,
        bank: ExpertBank,
        heads: Mapping[str, Tensor],
        unembedding: Tensor | None = None,
        rows_at_once: int = 128,
    ) -> None:
        """Reads the bank's experts as reward models.

        Args:
            bank: one adapter per reward model over the trunk.
            heads: weight `(H,)` or `(2H + 5,)` of each model's linear head; its size says what it reads (`readout`).
            unembedding: weights `(V, H)` of the base's language-model head, for heads that read evidence.
            rows_at_once: rows in one pass of the trunk; bounds memory.

        Raises:
            ValueError: if the heads and the adapters have different names, a head has another size, or evidence cannot
                be read.
        """
        super().__init__()
        if set(heads) != set(bank.names):
            raise ValueError(f"every adapter must have one head, got adapters {bank.names} and heads {sorted(heads)}")
        self.bank = bank.requires_grad_(False)
        self.names = tuple(bank.names)
        self.heads = nn.ParameterList([nn.Parameter(heads[name].detach(), requires_grad=False) for name in bank.names])
        self.rows_at_once = rows_at_once
        self.hidden_size = int(bank.base.config.get_text_config().hidden_size)
        sizes = {self.hidden_size, evidence_size(self.hidden_size)}
        if wrong := {name: len(heads[name]) for name in self.names if len(heads[name]) not in sizes}:
            raise ValueError(
                f"a head must have one of {sorted(sizes)} numbers, got {wrong}: of another base or version?"
            )
        if unembedding is None and any(len(head) > self.hidden_size for head in self.heads):
            raise ValueError("a head that reads evidence needs the base's language-model head, got a base without one")
        self.register_buffer("unembedding", unembedding, persistent=False)

    @torch.no_grad()
    def score(self, texts: Answered, names: Sequence[str] | None = None, needed: Tensor | None = None) -> Tensor:
        """Raw scores `(N, D)` of what each head reads, zero where not needed.

        Args:
            texts: prompts with answers.
            names: the `D` models asked for, in this order; all if none are given.
            needed: `(N, D)`, true where a score is wanted; everywhere if not given.

        Raises:
            ValueError: if a name is unknown.
        """
        columns = [self.names.index(name) for name in known(names, self.names)]
        texts = texts.left_aligned()
        shape, device = (len(texts.lengths), len(self.names)), texts.lengths.device
        wanted = torch.zeros(shape, dtype=torch.bool, device=device)
        wanted[:, columns] = True if needed is None else needed.bool()
        scores = self.heads[0].new_zeros(shape)
        requests, models = wanted.nonzero(as_tuple=True)  # (R,), (R,)
        for batch in texts.lengths[requests].argsort(stable=True).split(self.rows_at_once):
            rows = batch[models[batch].argsort(stable=True)]  # the bank wants the rows of one model together
            scores[requests[rows], models[rows]] = self._score_rows(texts.rows(requests[rows]).trimmed(), models[rows])
        return scores[:, columns]

    def _score_rows(self, texts: Answered, models: Tensor) -> Tensor:
        hidden = self.bank.forward_hidden(texts.input_ids, texts.attention_mask, models)  # (R, T, H)
        scores = hidden.new_zeros(len(models))
        for model in models.unique().tolist():
            mine = models == model
            if len(self.heads[model]) > self.hidden_size:
                read = evidence(hidden[mine], texts.rows(mine), self.unembedding)
            else:
                read = last_state(hidden[mine], texts.lengths[mine])
            scores[mine] = read @ self.heads[model]
        return scores

    @classmethod
    def load(cls, folder: str | Path, base: PreTrainedModel, names: Sequence[str] | None = None) -> "RewardModels":
        """Reads `folder/<name>/` for every name.

        Args:
            folder: holds one PEFT sequence-classification folder per model.
            base: model whose trunk the adapters were trained on; its linear layers become part of the bank.
            names: which to read and in which order; all, quality last, if none are given.

        Raises:
            ValueError: if there is no such folder, or an adapter is of a kind that is not supported.
        """
        names = names_in(folder) if names is None else names
        if not names:
            raise ValueError(f"there must be at least one reward model, got none in {folder}")
        return cls.read({name: Path(folder) / name for name in names}, base)

    @classmethod
    def read(cls, folders: Mapping[str, Path], base: PreTrainedModel) -> "RewardModels":
        """Reads one PEFT sequence-classification folder per name, wherever each lies; else as `load`."""
        trunk = base.base_model
        assert isinstance(trunk, PreTrainedModel)
        bank, heads = ExpertBank(trunk), {}
        for name, folder in folders.items():
            adapter = read_adapter(folder, allow_saved=_HEADS)
            bank.add(name, adapter.config, adapter.state)
            heads[name] = _head(adapter, folder).to(trunk.dtype)  # bundles keep them in bfloat16
        head = base.get_output_embeddings()
        return cls(bank, heads, None if head is None else head.weight.detach())

    def save(self, folder: str | Path) -> None:
        """Writes one ordinary PEFT sequence-classification folder per model, `folder/<name>/`."""
        prefix = self.bank.base.base_model_prefix  # the classifier around the trunk calls it so
        for name, head in zip(self.names, self.heads, strict=True):
            state = {f"{prefix}.{key}": tensor for key, tensor in self.bank.state_of(name).items()}
            saved = {HEAD_WEIGHT: head[None]}
            write_adapter(Path(folder) / name, Adapter(self.bank.configs[name], state, saved, task_type="SEQ_CLS"))


def names_in(folder: str | Path) -> list[str]:
    """The reward models that lie in a folder by name, quality last."""
    found = (path.parent.name for path in Path(folder).glob(f"*/{CONFIG_FILE}"))
    return sorted(found, key=lambda name: (name == QUALITY, name))


def _head(adapter: Adapter, folder: Path) -> Tensor:
    weight = adapter.saved.get(HEAD_WEIGHT)
    if weight is None or weight.shape[0] != 1:
        given = "none" if weight is None else str(tuple(weight.shape))
        raise ValueError(f"{folder} must hold one output {HEAD_WEIGHT} (1, H), got {given}: was it trained as SEQ_CLS?")
    return weight[0]
