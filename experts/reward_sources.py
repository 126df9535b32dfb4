"""Where rewards come from: adapters on the base, sequence classifiers and Python functions, one for each dimension.

Knows what a configuration may name, and how rewards of several kinds are asked as one. Does not know how any of them
scores.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from decoding.answered import Answered
from experts.adapters import CONFIG_FILE
from experts.ensemble import RewardEnsemble, member_folders
from experts.rewards import RewardModels, Rewards, known, names_in
from experts.text_rewards import Classifier, Dialogues, Function, TextRewards

Sources = Path | Mapping[str, str]
"""A folder with one reward model per name, or for each name a folder, hub id or `package.module:function`."""
Kind = Literal["adapter", "classifier", "function"]
_READERS: dict[Kind, Callable[[str], Classifier | Function]] = {"classifier": Classifier, "function": Function}
_FUNCTION = re.compile(r"[^\W\d][\w.]*:[^\W\d]\w*")
_HUB_ID = re.compile(r"[\w.-]+/[\w.-]+(@.+)?")


def kind_of(source: str) -> Kind:
    """What a source names.

    Args:
        source: a folder that `experts.reward_training` wrote, a folder or hub id (`owner/name`, `owner/name@revision`)
            of a sequence classifier, or `package.module:function`.

    Raises:
        ValueError: if it is none of them.
    """
    folder = Path(source)
    if (folder / CONFIG_FILE).is_file():
        return "adapter"
    if (folder / "config.json").is_file():
        return "classifier"
    if not folder.exists() and _FUNCTION.fullmatch(source):
        return "function"
    if not folder.exists() and _HUB_ID.fullmatch(source):
        return "classifier"
    raise ValueError(
        f"a reward must be a folder with {CONFIG_FILE} (a reward model trained here) or config.json (a sequence "
        f"classifier), a hub id owner/name, or package.module:function, got {source}"
    )


def reward_names(sources: Sources) -> list[str]:
    """The rewards that the sources hold, quality last if they lie in one folder."""
    return list(sources) if isinstance(sources, Mapping) else names_in(sources)


def chosen_sources(
    given: Sources | None, kept: Path | None, names: Sequence[str], optional: Sequence[str] = ()
) -> dict[str, str]:
    """Where the reward of each name comes from, in their order: those given, and else those kept in a folder.

    Args:
        given: sources that come first.
        kept: folder with one reward model per name, or nothing.
        names: that must have a reward.
        optional: names that may have one.

    Raises:
        ValueError: if a name has no reward, or something else has one.
    """
    wanted = [*names, *optional]
    folders = [folder for folder in (kept, given) if isinstance(folder, Path)]
    found = {name: str(folder / name) for folder in folders for name in names_in(folder)}
    if isinstance(given, Mapping):
        if unknown := sorted(set(given) - set(wanted)):
            raise ValueError(f"rewards must be of {', '.join(wanted)}, got one of {', '.join(unknown)}")
        found |= given
    if missing := [name for name in names if name not in found]:
        raise ValueError(f"each of {', '.join(names)} must have a reward, got none for {', '.join(missing)}")
    return {name: found[name] for name in wanted if name in found}


def load_rewards(
    sources: Sources, base: PreTrainedModel, dialogues: Dialogues, names: Sequence[str], lower_bound: float = 0.0
) -> Rewards:
    """The rewards of these names, in this order, asked as one.

    Args:
        sources: of the rewards.
        base: model whose trunk the reward models' adapters were trained on.
        dialogues: the prompts whose answers are scored, for rewards that read texts.
        names: which rewards.
        lower_bound: standard deviations that the score of an ensemble lies below its members' mean.

    Raises:
        ValueError: if there is a lower bound but no ensemble, a source is of no known kind, or as the kind says.
        FileNotFoundError: if there is nothing at a source.
    """
    if not isinstance(sources, Mapping):
        sources = {name: str(sources / name) for name in names}
    kinds = {name: kind_of(sources[name]) for name in names}
    folders = {name: Path(sources[name]) for name in names if kinds[name] == "adapter"}
    ensembles = any(len(member_folders(folder)) > 1 for folder in folders.values())
    if lower_bound and not ensembles:
        raise ValueError(
            f"lower_bound needs an ensemble (reward_training --members 3), got one model each in {sources}"
        )
    parts: list[Rewards] = []
    if folders:
        read = RewardEnsemble.read(folders, base, lower_bound) if ensembles else RewardModels.read(folders, base)
        parts.append(read)
    if readers := {name: _READERS[kinds[name]](sources[name]) for name in names if kinds[name] != "adapter"}:
        parts.append(TextRewards(dialogues, readers))
    return parts[0] if len(parts) == 1 else SeveralRewards(parts, names, base.dtype)


class SeveralRewards(nn.Module):
    """Rewards of several kinds as one; each is asked only what is needed of it."""

    def __init__(self, parts: Sequence[Rewards], names: Sequence[str], dtype: torch.dtype = torch.float32) -> None:
        """Asks the parts.

        Args:
            parts: rewards with different names.
            names: all of the parts' names, in the order of the columns.
            dtype: of the scores.

        Raises:
            ValueError: if a name is missing, unknown or given twice.
        """
        super().__init__()
        given = [name for part in parts for name in part.names]
        if sorted(given) != sorted(names):
            raise ValueError(f"every reward must be in one part, got {given} for {list(names)}")
        self.parts, self.names, self.dtype = list(parts), tuple(names), dtype
        self.modules_of_parts = nn.ModuleList(part for part in parts if isinstance(part, nn.Module))

    @property
    def version(self) -> str:
        """The versions of all parts."""
        return "".join(part.version for part in self.parts)

    def score(self, texts: Answered, names: Sequence[str] | None = None, needed: Tensor | None = None) -> Tensor:
        """Raw scores `(N, D)`, zero where not needed; arguments as of `RewardModels.score`.

        Raises:
            ValueError: if a name is unknown.
        """
        names = known(names, self.names)
        shape, device = (len(texts.lengths), len(names)), texts.lengths.device
        wanted = torch.ones(shape, dtype=torch.bool, device=device) if needed is None else needed.bool()
        scores = torch.zeros(shape, dtype=self.dtype, device=device)
        for part in self.parts:
            columns = [column for column, name in enumerate(names) if name in part.names]
            if columns and wanted[:, columns].any():
                asked = [names[column] for column in columns]
                scores[:, columns] = part.score(texts, asked, wanted[:, columns]).to(self.dtype)
        return scores
