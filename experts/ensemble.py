"""Ensembles of reward models: several members per dimension, from different seeds, scored as one.

Knows how members lie on disk and how their scores become one. Does not know how they were trained. A policy finds what
one reward model overrates; members overrate different things (arXiv 2401.16635), so their mean is harder to deceive,
and their mean less their spread does not pay for what they disagree about.

Several ensembles may share members: one reward may be the first member alone and another the lower bound of all. Each
member then reads an answer once, whoever asked for it.

On disk the first member lies where a single reward model lies, the others beside it in `member-2/`, `member-3/`, ...:
whoever reads only single models finds the first. `ensemble.json` says what members and ensemble are worth, and each
member's zero, the mean of its held-out scores: members share a unit, log-odds, but no zero.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from decoding.answered import Answered
from experts.adapters import CONFIG_FILE
from experts.rewards import RewardModels, known

ENSEMBLE_FILE = "ensemble.json"
LowerBound = float | Mapping[str, float]
"""How many standard deviations lie between an ensemble's mean and its score, one number or one for each reward."""


def member_folder(folder: Path, number: int) -> Path:
    """Where a member lies, counted from one."""
    return folder if number == 1 else folder / f"member-{number}"


def member_folders(folder: Path) -> list[Path]:
    """The folders of all members of the reward model in a folder; the folder itself is the first."""
    further = len(list(folder.glob(f"member-*/{CONFIG_FILE}")))
    return [member_folder(folder, number) for number in range(1, further + 2)]


class RewardEnsemble(nn.Module):
    """Scores `mean_m s_m - lower_bound std_m s_m` over the members' scores `s_m`, only where they are needed."""

    def __init__(
        self,
        models: RewardModels,
        members: Mapping[str, Sequence[str]],
        zeros: Tensor | None = None,
        lower_bound: LowerBound = 0.0,
    ) -> None:
        """Reads the models as members.

        Args:
            models: all members of all ensembles.
            members: for each reward the names of its models.
            zeros: what counts as zero for each model, `(M,)`; zero if not given.
            lower_bound: how many standard deviations lie between the mean and the score, of all or for each reward.

        Raises:
            ValueError: if a model belongs to no reward or twice to one, or a lower bound is negative.
        """
        super().__init__()
        listed = {member for name in members for member in members[name]}
        twice = any(len(set(members[name])) < len(members[name]) for name in members)
        if listed != set(models.names) or twice or not all(members.values()):
            raise ValueError(f"every model must be a member of a reward, got {models.names} and {dict(members)}")
        self.models, self.names = models, tuple(members)
        self.members = {name: tuple(members[name]) for name in members}
        self.lower_bounds = {name: _of_each(lower_bound, name) for name in members}
        zeros = torch.zeros(len(models.names)) if zeros is None else zeros
        self.zeros = dict(zip(models.names, zeros.tolist(), strict=True))

    @property
    def version(self) -> str:
        """How the members' scores become one."""
        return f"mean - {self.lower_bounds} std over {self.members} from {self.zeros}"

    @torch.no_grad()
    def score(self, texts: Answered, names: Sequence[str] | None = None, needed: Tensor | None = None) -> Tensor:
        """Scores `(N, D)`, zero where not needed; arguments as of `RewardModels.score`.

        Raises:
            ValueError: if a name is unknown.
        """
        names = known(names, self.names)
        asked = list(dict.fromkeys(member for name in names for member in self.members[name]))
        columns = [[asked.index(member) for member in self.members[name]] for name in names]
        wanted = None
        if needed is not None:
            wanted = torch.zeros(len(needed), len(asked), dtype=torch.bool, device=needed.device)
            for column, members in enumerate(columns):
                wanted[:, members] |= needed[:, column, None].bool()  # (N, m)
        scores = self.models.score(texts, asked, wanted)
        scores = scores - scores.new_tensor([self.zeros[member] for member in asked])
        parts = zip(names, columns, strict=True)
        together = torch.stack([self.together(name, scores[:, members]) for name, members in parts], dim=1)  # (N, D)
        return together if needed is None else together * needed.bool()

    def together(self, name: str, scores: Tensor) -> Tensor:
        """The one score `(N,)` that a reward makes of its members' scores `(N, m)`."""
        return scores.mean(1) - self.lower_bounds[name] * scores.std(1, correction=0)

    @classmethod
    def read(
        cls,
        folders: Mapping[str, Path],
        base: PreTrainedModel,
        lower_bound: LowerBound = 0.0,
        counts: Mapping[str, int] | None = None,
    ) -> "RewardEnsemble":
        """Reads the members of the reward in each folder; rewards of one folder share them.

        Args:
            folders: for each reward the folder of its first member.
            base: model whose trunk the adapters were trained on.
            lower_bound: how many standard deviations lie between the mean and the score, of all or for each reward.
            counts: how many members a reward has, the first ones; all that lie there where nothing is said.

        Raises:
            ValueError: if an adapter is of a kind that is not supported, a lower bound is negative, or there are not as
                many members.
        """
        found: dict[Path, str] = {}  # the name of the model in each folder
        members, zeros = {}, []
        for name, folder in folders.items():
            places = member_folders(folder)
            count = (counts or {}).get(name, len(places))
            if not 1 <= count <= len(places):
                raise ValueError(f"{name} must have 1 to {len(places)} members of those in {folder}, got {count}")
            for number, zero in enumerate(_zeros(folder, len(places))[:count]):
                if places[number] not in found:
                    found[places[number]] = _member_name(name, number)
                    zeros.append(zero)
            members[name] = [found[place] for place in places[:count]]
        models = RewardModels.read({member: place for place, member in found.items()}, base)
        return cls(models, members, torch.tensor(zeros), lower_bound)


def _of_each(lower_bound: LowerBound, name: str) -> float:
    """The lower bound of one reward, in standard deviations."""
    found = lower_bound[name] if isinstance(lower_bound, Mapping) else lower_bound
    if found < 0:
        raise ValueError(f"lower_bound must be at least 0 standard deviations, got {found} for {name}")
    return found


def _member_name(name: str, number: int) -> str:
    return name if number == 0 else f"{name} {number + 1}"


def _zeros(folder: Path, count: int) -> list[float]:
    """What counts as zero for each of so many members."""
    path = folder / ENSEMBLE_FILE
    told = json.loads(path.read_text(encoding="utf-8"))["members"] if path.exists() else []
    return [member["zero"] for member in told] if len(told) == count else [0.0] * count
