"""Ensembles of reward models: several members per dimension, from different seeds, scored as one.

Knows how members lie on disk and how their scores become one. Does not know how they were trained. A policy finds what
one reward model overrates; members overrate different things (arXiv 2401.16635), so their mean is harder to deceive,
and their mean less their spread does not pay for what they disagree about.

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
        lower_bound: float = 0.0,
    ) -> None:
        """Reads the models as members.

        Args:
            models: all members of all ensembles.
            members: for each reward the names of its models.
            zeros: what counts as zero for each model, `(M,)`; zero if not given.
            lower_bound: how many standard deviations lie between the mean and the score.

        Raises:
            ValueError: if a model belongs to no reward or to two, or the lower bound is negative.
        """
        super().__init__()
        listed = [member for name in members for member in members[name]]
        if sorted(listed) != sorted(models.names) or not all(members.values()):
            raise ValueError(f"every model must be a member of one reward, got {models.names} and {dict(members)}")
        if lower_bound < 0:
            raise ValueError(f"lower_bound must be at least 0 standard deviations, got {lower_bound}")
        self.models, self.names, self.lower_bound = models, tuple(members), lower_bound
        self.members = {name: tuple(members[name]) for name in members}
        zeros = torch.zeros(len(models.names)) if zeros is None else zeros
        self.zeros = dict(zip(models.names, zeros.tolist(), strict=True))

    @property
    def version(self) -> str:
        """How the members' scores become one."""
        return f"mean - {self.lower_bound} std over {self.members} from {self.zeros}"

    @torch.no_grad()
    def score(self, texts: Answered, names: Sequence[str] | None = None, needed: Tensor | None = None) -> Tensor:
        """Scores `(N, D)`, zero where not needed; arguments as of `RewardModels.score`.

        Raises:
            ValueError: if a name is unknown.
        """
        names = known(names, self.names)
        sizes = torch.tensor([len(self.members[name]) for name in names], device=texts.lengths.device)
        asked = [member for name in names for member in self.members[name]]
        wanted = None if needed is None else needed.bool().repeat_interleave(sizes, dim=1)  # (N, members)
        scores = self.models.score(texts, asked, wanted)
        scores = scores - scores.new_tensor([self.zeros[member] for member in asked])
        together = torch.stack([self.together(part) for part in scores.split(sizes.tolist(), dim=1)], dim=1)
        return together if needed is None else together * needed.bool()

    def together(self, scores: Tensor) -> Tensor:
        """The one score `(N,)` of the scores of an ensemble's members `(N, m)`."""
        return scores.mean(1) - self.lower_bound * scores.std(1, correction=0)

    @classmethod
    def read(cls, folders: Mapping[str, Path], base: PreTrainedModel, lower_bound: float = 0.0) -> "RewardEnsemble":
        """Reads all members of the reward in each folder.

        Args:
            folders: for each reward the folder of its first member.
            base: model whose trunk the adapters were trained on.
            lower_bound: how many standard deviations lie between the mean and the score.

        Raises:
            ValueError: if an adapter is of a kind that is not supported, or the lower bound is negative.
        """
        places = {name: member_folders(folder) for name, folder in folders.items()}
        members = {name: [_member_name(name, number) for number in range(len(places[name]))] for name in places}
        found = {member: place for name in places for member, place in zip(members[name], places[name], strict=True)}
        zeros = torch.cat([_zeros(folder, len(places[name])) for name, folder in folders.items()])
        return cls(RewardModels.read(found, base), members, zeros, lower_bound)


def _member_name(name: str, number: int) -> str:
    return name if number == 0 else f"{name} {number + 1}"


def _zeros(folder: Path, count: int) -> Tensor:
    """What counts as zero for each member, `(count,)`."""
    path = folder / ENSEMBLE_FILE
    told = json.loads(path.read_text(encoding="utf-8"))["members"] if path.exists() else []
    return torch.tensor([member["zero"] for member in told] if len(told) == count else [0.0] * count)
