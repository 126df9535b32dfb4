import pytest
import torch
import yaml
from test_rewards import as_trl_leaves_it
from test_text_rewards import TEXTS, dialogues  # noqa: F401 - a fixture
from tiny_exam import tiny_classifier

from experts.ensemble import RewardEnsemble
from experts.reward_sources import SeveralRewards, kind_of, load_rewards
from experts.rewards import RewardModels
from experts.text_rewards import TextRewards
from experts.train import command_parser


class Fixed(torch.nn.Module):
    """Gives each of its names a number, and remembers what it was asked."""

    version = "fixed"

    def __init__(self, **numbers):
        super().__init__()
        self.numbers, self.names, self.asked = numbers, tuple(numbers), []

    def score(self, texts, names=None, needed=None):
        self.asked.append((list(names), needed.tolist()))
        return torch.tensor([[self.numbers[name] for name in names]] * len(texts.lengths)) * needed


def test_rewards_of_several_kinds_give_the_columns_that_were_asked_for():
    first, second = Fixed(ant=1.0, cat=3.0), Fixed(bee=2.0)
    rewards = SeveralRewards([first, second], ["ant", "bee", "cat"])
    assert rewards.score(TEXTS)[0].tolist() == [1.0, 2.0, 3.0]
    assert rewards.score(TEXTS, ["cat", "bee"])[0].tolist() == [3.0, 2.0]
    assert rewards.version == "fixedfixed"
    with pytest.raises(ValueError, match=r"among \['ant', 'bee', 'cat'\], got \['dog'\]"):
        rewards.score(TEXTS, ["dog"])


def test_a_part_that_is_not_needed_is_not_asked():
    first, second = Fixed(ant=1.0, cat=3.0), Fixed(bee=2.0)
    needed = torch.tensor([[True, False, False], [False, False, True], [False, False, False]])
    scores = SeveralRewards([first, second], ["ant", "bee", "cat"]).score(TEXTS, needed=needed)
    assert scores.tolist() == [[1, 0, 0], [0, 0, 3], [0, 0, 0]]
    assert first.asked == [(["ant", "cat"], [[True, False], [False, True], [False, False]])]
    assert not second.asked


def test_every_reward_is_in_one_part():
    with pytest.raises(ValueError, match="every reward must be in one part"):
        SeveralRewards([Fixed(ant=1.0), Fixed(ant=1.0)], ["ant"])
    with pytest.raises(ValueError, match="every reward must be in one part"):
        SeveralRewards([Fixed(ant=1.0)], ["ant", "bee"])


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("rewards")
    for rank, name in enumerate(("ant", "quality", "bee"), start=2):
        as_trl_leaves_it(name, rank).save_pretrained(folder / name)
    return folder


def test_a_mapping_may_name_reward_models_and_functions(folder, dialogues):  # noqa: F811
    sources = {"five": "test_text_rewards:fives", "quality": f"{folder}/bee", "ant": f"{folder}/ant"}
    rewards = load_rewards(sources, tiny_classifier(), dialogues, ["ant", "five", "quality"])
    assert rewards.names == ("ant", "five", "quality")
    scores = rewards.score(TEXTS)
    expected = RewardModels.load(folder, tiny_classifier(), ["ant", "bee"]).score(TEXTS)
    torch.testing.assert_close(scores[:, [0, 2]], expected)
    torch.testing.assert_close(scores[:, 1], torch.tensor([2.2, 1.3, 1.1]).double())
    assert sum(1 for _ in rewards.parameters()) > 0


def test_rewards_of_one_kind_are_asked_directly(folder, dialogues):  # noqa: F811
    assert isinstance(load_rewards(folder, tiny_classifier(), dialogues, ["bee"]), RewardModels)
    sources = {"five": "test_text_rewards:fives"}
    assert isinstance(load_rewards(sources, tiny_classifier(), dialogues, ["five"]), TextRewards)


@pytest.mark.parametrize("kind", ["models", "ensemble", "texts", "several"])
def test_a_reward_that_is_not_there_is_refused_whatever_the_others_are(folder, dialogues, kind):  # noqa: F811
    text = {"five": "test_text_rewards:fives"}
    sources = {"texts": text, "several": text | {"ant": f"{folder}/ant"}}.get(kind, {"ant": f"{folder}/ant"})
    rewards = load_rewards(sources, tiny_classifier(), dialogues, list(sources))
    if kind == "ensemble":
        rewards = RewardEnsemble.read({"ant": folder / "ant"}, tiny_classifier())
    with pytest.raises(ValueError, match=r"rewards must be among \[.*\], got \['dog'\]"):
        rewards.score(TEXTS, ["dog"])


def test_a_source_is_known_by_what_lies_there(folder, tmp_path):
    (tmp_path / "config.json").write_text("{}")
    assert kind_of(str(folder / "ant")) == "adapter"
    assert kind_of(str(tmp_path)) == "classifier"
    assert kind_of("someone/reward-model@v2") == "classifier"
    assert kind_of("my_package.rewards:politeness") == "function"
    for wrong in (str(folder), "politeness", "my rewards:politeness", "", "../x", "./x", "owner/name@"):
        with pytest.raises(ValueError, match=r"a reward must be a folder .* or package\.module:function, got"):
            kind_of(wrong)


def test_a_kept_configuration_names_each_reward_as_the_given_one():
    given = {"warm": "rewards/warm", "brief": {"folder": "rewards/brief", "members": 2}, "quality": "judges:sound"}
    arguments = {"base": "base", "prompts": "prompts.jsonl", "output": "experts", "rewards": given}
    parser = command_parser()
    parsed = parser.parse_object(arguments)
    assert yaml.safe_load(parser.dump(parsed))["rewards"] == given
    assert yaml.safe_load(parser.dump(parser.parse_object(arguments | {"rewards": "rewards"})))["rewards"] == "rewards"
