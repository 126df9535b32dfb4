"""Where rewards come from: adapters on the base, sequence classifiers and Python functions, one for each dimension.

Knows what a configuration may name, and how rewards of several kinds are asked as one. Does not know how any of them
scores.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Literal, Required, TypedDict

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from decoding.answered import Answered
from experts.adapters import CONFIG_FILE
from experts.ensemble import RewardEnsemble, member_folders
from experts.hub import is_hub_id
from experts.rewards import RewardModels, Rewards, known, names_in
from experts.text_rewards import Classifier, Dialogues, Function, TextRewards


class EnsembleSource(TypedDict, total=False):
    """Reward models trained here that are scored as one, as a configuration says it.

    Attributes:
        folder: of the first member; the others lie in it.
        members: how many of them, the first ones; all where nothing is said.
        lower_bound: standard deviations between their mean and the score; the run's where nothing is said.
    """

    folder: Required[str]
    members: int
    lower_bound: float


Source = str | EnsembleSource
Sources = Path | Mapping[str, Source]
"""A folder with one reward model per name, or for each name a folder, hub id, `package.module:function` or ensemble."""
Kind = Literal["adapter", "classifier", "function"]
_READERS: dict[Kind, Callable[[str], Classifier | Function]] = {"classifier": Classifier, "function": Function}
_FUNCTION = re.compile(r"[^\W\d][\w.]*:[^\W\d]\w*")
_NEEDS_ENSEMBLE = "lower_bound needs an ensemble (reward_training --members 3)"


def place_of(source: Source) -> str:
    """The folder, hub id or function that a source names."""
    return source if isinstance(source, str) else source["folder"]


def kind_of(source: Source) -> Kind:
    """What a source names.

    Args:
        source: a folder that `experts.reward_training` wrote, a folder or hub id (`owner/name`, `owner/name@revision`)
            of a sequence classifier, or `package.module:function`; or an ensemble in such a folder.

    Raises:
        ValueError: if it is none of them.
    """
    place = place_of(source)
    folder = Path(place)
    if (folder / CONFIG_FILE).is_file():
        return "adapter"
    if (folder / "config.json").is_file():
        return "classifier"
    if not folder.exists() and _FUNCTION.fullmatch(place):
        return "function"
    if not folder.exists() and is_hub_id(place):
        return "classifier"
    raise ValueError(
        f"a reward must be a folder with {CONFIG_FILE} (a reward model trained here) or config.json (a sequence "
        f"classifier), a hub id owner/name, or package.module:function, got {source}"
    )


def told_of(source: Source) -> str | dict[str, str | int | float]:
    """What provenance says of a source: its kind, and of an ensemble how its members judged."""
    kind = kind_of(source)
    if kind != "adapter":
        return kind
    given: EnsembleSource = {"folder": source} if isinstance(source, str) else source
    members = given.get("members", len(member_folders(Path(given["folder"]))))
    bound = given.get("lower_bound", 0.0)
    return kind if members == 1 else {"kind": "ensemble", "members": members, "lower_bound": bound}


def reward_names(sources: Sources) -> list[str]:
    """The rewards that the sources hold, quality last if they lie in one folder."""
    return list(sources) if isinstance(sources, Mapping) else names_in(sources)


def chosen_sources(
    given: Sources | None, kept: Path | None, names: Sequence[str], optional: Sequence[str] = ()
) -> dict[str, Source]:
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
    if isinstance(given, Path) and not set(names_in(given)) & set(wanted):
        raise ValueError(f"{given} must hold a reward model of {', '.join(wanted)}, one folder for each, got none")
    folders = [folder for folder in (kept, given) if isinstance(folder, Path)]
    found: dict[str, Source] = {name: str(folder / name) for folder in folders for name in names_in(folder)}
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
        lower_bound: standard deviations that the score of an ensemble lies below its members' mean, unless its source
            says another number.

    Raises:
        ValueError: if there is a lower bound but no ensemble, an ensemble has not as many members, a source is of no
            known kind, or as the kind says.
        FileNotFoundError: if there is nothing at a source.
    """
    if not isinstance(sources, Mapping):
        sources = {name: str(sources / name) for name in names}
    kinds = {name: _kind_at(name, sources[name]) for name in names}
    parts: list[Rewards] = []
    if trained := {name: sources[name] for name in names if kinds[name] == "adapter"}:
        parts.append(_reward_models(trained, base, lower_bound))
    elif lower_bound:
        raise ValueError(f"{_NEEDS_ENSEMBLE}, got none in {sources}")
    if readers := {name: _READERS[kinds[name]](place_of(sources[name])) for name in names if kinds[name] != "adapter"}:
        parts.append(TextRewards(dialogues, readers))
    return parts[0] if len(parts) == 1 else SeveralRewards(parts, names, base.dtype)


def _kind_at(name: str, source: Source) -> Kind:
    kind = kind_of(source)
    if kind != "adapter" and not isinstance(source, str):
        raise ValueError(f"{name} must be made of reward models trained here to be an ensemble, got a {kind}: {source}")
    return kind


def _reward_models(sources: Mapping[str, Source], base: PreTrainedModel, lower_bound: float) -> Rewards:
    """Adapters on the base: single models where there are no others, else ensembles.

    Raises:
        ValueError: if there is a lower bound but no ensemble.
    """
    folders = {name: Path(place_of(source)) for name, source in sources.items()}
    told = {name: source for name, source in sources.items() if not isinstance(source, str)}
    counts = {name: len(member_folders(folder)) for name, folder in folders.items()}
    counts |= {name: source["members"] for name, source in told.items() if "members" in source}
    own = {name: source["lower_bound"] for name, source in told.items() if "lower_bound" in source}
    alone = [name for name, bound in own.items() if bound and counts[name] == 1]
    if alone or (lower_bound and set(counts.values()) == {1}):
        raise ValueError(f"{_NEEDS_ENSEMBLE}, got one model each in {alone or dict(sources)}")
    if not told and set(counts.values()) == {1}:
        return RewardModels.read(folders, base)
    bounds = dict.fromkeys(folders, lower_bound) | own
    return RewardEnsemble.read(folders, base, bounds, counts)


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
