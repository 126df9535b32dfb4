"""Who is paid what, in numbers that can be checked by head."""

import pytest
import torch
from torch import nn

import experts.ensemble as ensemble
from comparison.ensembles.arms import arms_of, objectives, reward_sources
from experts.objectives import shares
from experts.reward_sources import load_rewards

MEMBERS = (1.0, 2.0, 6.0)  # their mean is 3, their deviation the root of (4 + 1 + 9) / 3
NAMES = ("tone", "quality")


class Told(nn.Module):
    """Members that give every answer the same number, ten times as much where they judge quality."""

    version = ""

    def __init__(self, folders):
        super().__init__()
        self.names, self.folders = tuple(folders), folders

    def score(self, texts, names, needed):
        numbers = []
        for name in names:
            place = self.folders[name]
            member = int(place.name[-1]) - 1 if place.name.startswith("member") else 0
            numbers.append(MEMBERS[member] * (10.0 if "quality" in str(place) else 1.0))
        return torch.tensor([numbers, numbers])


@pytest.fixture
def rewards(tmp_path, monkeypatch):
    """The rewards of all arms of an ensemble for tone and one for quality."""
    for name in NAMES:
        for member in ("", "member-2", "member-3"):
            (tmp_path / name / member).mkdir(parents=True, exist_ok=True)
            (tmp_path / name / member / "adapter_config.json").write_text("{}")
    monkeypatch.setattr(ensemble.RewardModels, "read", lambda folders, base: Told(folders))
    sources = reward_sources(arms_of(3, 0.5), ["tone"], tmp_path)
    return load_rewards(sources, None, None, list(sources))


def test_single_hears_the_first_member_and_the_lower_bound_half_a_deviation_less_than_the_mean(rewards):
    low = 3.0 - 0.5 * (14 / 3) ** 0.5
    assert rewards.names == (
        *("tone-single", "quality-single", "tone-mean", "quality-mean", "tone-lower-bound", "quality-lower-bound"),
    )
    expected = torch.tensor([1.0, 10.0, 3.0, 30.0, low, 10 * low])
    torch.testing.assert_close(rewards.score(None), expected.expand(2, -1))
    assert len(rewards.models.names) == 6  # three members each, which the arms share


def test_every_expert_is_paid_half_by_its_own_arms_dimension_and_half_by_its_own_arms_quality(rewards):
    paid = objectives(arms_of(3, 0.5), ["tone"])
    assert list(paid) == ["tone-single", "tone-mean", "tone-lower-bound"]
    expected = [[0.5, 0.5, 0, 0, 0, 0], [0, 0, 0.5, 0.5, 0, 0], [0, 0, 0, 0, 0.5, 0.5]]
    assert shares(paid, list(rewards.names), [()])[:, 0].tolist() == expected


@pytest.mark.parametrize(("members", "bound"), [(1, 1.0), (3, 0.0), (3, -1.0)])
def test_arms_that_would_be_the_same_are_refused(members, bound):
    with pytest.raises(ValueError, match="at least 2 members and a lower bound above 0"):
        arms_of(members, bound)
