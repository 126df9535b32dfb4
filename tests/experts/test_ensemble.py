import json
import shutil

import pytest
import torch
from peft import PeftModel
from test_rewards import PAD, as_trl_leaves_it, favouring_pairs, side_of, word_tokenizer
from test_text_rewards import dialogues  # noqa: F401 - a fixture
from tiny_exam import tiny_base, tiny_classifier

from decoding.answered import Answered
from experts.ensemble import RewardEnsemble, member_folders
from experts.pair_tokens import tokenize_pairs
from experts.reward_sources import load_rewards
from experts.reward_training import train_rewards
from experts.reward_worth import calibration_error, measure_ensemble
from experts.rewards import RewardModels
from experts.train import command_parser

pytestmark = pytest.mark.filterwarnings("ignore:.*gradient_checkpointing.* is deprecated")  # inside TRL and PEFT


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Three members for ant with zeros 0, 1 and -2, one model for bee."""
    folder = tmp_path_factory.mktemp("rewards")
    for rank, place in enumerate(("ant", "ant/member-2", "ant/member-3", "bee"), start=2):
        as_trl_leaves_it("ant", rank).save_pretrained(folder / place)
    told = {"members": [{"zero": 0.0}, {"zero": 1.0}, {"zero": -2.0}]}
    (folder / "ant" / "ensemble.json").write_text(json.dumps(told))
    return folder


@pytest.fixture
def folders(folder):
    return {"ant": folder / "ant", "bee": folder / "bee"}


@pytest.fixture(scope="module")
def texts():
    ids = torch.randint(3, 40, (5, 9), generator=torch.Generator().manual_seed(0))
    mask = (torch.arange(9)[None] < torch.tensor([9, 4, 7, 2, 8])[:, None]).long()
    return Answered(torch.where(mask.bool(), ids, PAD), mask, torch.tensor([4, 2, 3, 1, 7]))


def test_an_ensemble_scores_its_members_mean_less_so_many_deviations(folder, folders, texts):
    alone = []
    for place, zero in zip(member_folders(folder / "ant"), (0.0, 1.0, -2.0), strict=True):
        model = PeftModel.from_pretrained(tiny_classifier(), place, autocast_adapter_dtype=False).eval()
        alone.append(model(input_ids=texts.input_ids, attention_mask=texts.attention_mask).logits[:, 0] - zero)
    mean = sum(alone) / 3
    deviation = (sum((scores - mean) ** 2 for scores in alone) / 3).sqrt()
    for beta in (0.0, 0.7):
        rewards = RewardEnsemble.read(folders, tiny_classifier(), lower_bound=beta)
        torch.testing.assert_close(rewards.score(texts)[:, 0], mean - beta * deviation)
        single = RewardModels.load(folder, tiny_classifier(), ["bee"]).score(texts)
        torch.testing.assert_close(rewards.score(texts, names=["bee"]), single)
    assert rewards.version != RewardEnsemble.read(folders, tiny_classifier()).version


def arms(folder):
    """Three rewards of one ensemble, and a model that has no other members."""
    ant = str(folder / "ant")
    return {
        "first": {"folder": ant, "members": 1},
        "mean": {"folder": ant, "lower_bound": 0.0},
        "low": {"folder": ant, "members": 3, "lower_bound": 0.7},
        "bee": str(folder / "bee"),
    }


def test_each_reward_has_members_and_a_lower_bound_of_its_own(folder, folders, texts, dialogues):  # noqa: F811
    rewards = load_rewards(arms(folder), tiny_classifier(), dialogues, ["first", "mean", "low", "bee"])
    assert rewards.lower_bounds == {"first": 0.0, "mean": 0.0, "low": 0.7, "bee": 0.0}
    scores = rewards.score(texts)
    alone = RewardModels.load(folder, tiny_classifier()).score(texts)  # zeros: 0 for the first member and for bee
    torch.testing.assert_close(scores[:, [0, 3]], alone)
    for column, beta in ((1, 0.0), (2, 0.7)):
        expected = RewardEnsemble.read(folders, tiny_classifier(), lower_bound=beta).score(texts)[:, 0]
        torch.testing.assert_close(scores[:, column], expected)
    assert (scores[:, 2] < scores[:, 1]).all()
    run_wide = load_rewards(arms(folder), tiny_classifier(), dialogues, ["first", "mean", "low"], lower_bound=0.2)
    assert run_wide.lower_bounds == {"first": 0.2, "mean": 0.0, "low": 0.7}  # of one member 0.2 x 0 deviations


def test_a_member_of_several_rewards_reads_an_answer_once(folder, texts, dialogues, monkeypatch):  # noqa: F811
    rewards, rows = load_rewards(arms(folder), tiny_classifier(), dialogues, ["first", "mean", "low"]), []
    everything = rewards.score(texts)
    assert len(rewards.models.names) == 3
    plain = rewards.models.bank.forward_hidden
    monkeypatch.setattr(
        rewards.models.bank, "forward_hidden", lambda *given: rows.extend(given[2].tolist()) or plain(*given)
    )
    needed = torch.tensor([[1, 0, 0], [0, 1, 1], [1, 0, 1], [0, 0, 0], [1, 0, 0]], dtype=torch.bool)
    torch.testing.assert_close(rewards.score(texts, needed=needed), everything * needed)
    assert sorted(rows) == [0, 0, 0, 0, 1, 1, 2, 2]


def test_an_ensemble_that_is_not_there_is_refused(folder, dialogues):  # noqa: F811
    def load(**source):
        return load_rewards({"ant": {"folder": f"{folder}/ant", **source}}, tiny_classifier(), dialogues, ["ant"])

    with pytest.raises(ValueError, match=r"ant must have 1 to 3 members of those in .*, got 4"):
        load(members=4)
    with pytest.raises(ValueError, match=r"lower_bound needs an ensemble .*, got one model each in \['ant'\]"):
        load(members=1, lower_bound=1.0)
    with pytest.raises(ValueError, match=r"ant must be made of reward models trained here .*, got a function"):
        load(folder="test_text_rewards:fives")


def test_a_configuration_may_name_ensembles_beside_other_rewards(tmp_path):
    def parsed(key):
        rewards = {"ant": "rewards/ant", "low": {"folder": "rewards/ant", key: 1}}
        path = tmp_path / "config.yaml"
        path.write_text(json.dumps({"base": "b", "prompts": "p", "output": "o", "rewards": rewards}))
        return command_parser().parse_args(["--config", str(path)]).as_dict()["rewards"]

    assert parsed("members") == {"ant": "rewards/ant", "low": {"folder": "rewards/ant", "members": 1}}
    assert parsed("lower_bound")["low"] == {"folder": "rewards/ant", "lower_bound": 1.0}
    with pytest.raises(SystemExit):
        parsed("number")


def test_only_members_of_needed_rewards_are_run(folders, texts, monkeypatch):
    rewards, rows = RewardEnsemble.read(folders, tiny_classifier(), lower_bound=0.5), []
    everything = rewards.score(texts)
    plain = rewards.models.bank.forward_hidden
    monkeypatch.setattr(
        rewards.models.bank, "forward_hidden", lambda *given: rows.extend(given[2].tolist()) or plain(*given)
    )
    needed = torch.tensor([[0, 1], [0, 1], [1, 0], [0, 0], [0, 0]], dtype=torch.bool)
    torch.testing.assert_close(rewards.score(texts, needed=needed), everything * needed)
    assert sorted(rows) == [0, 1, 2, 3, 3]
    with pytest.raises(ValueError, match=r"rewards must be among \['ant', 'bee'\], got \['dog'\]"):
        rewards.score(texts, names=["dog"])


def test_a_folder_with_members_becomes_an_ensemble_and_one_without_stays_as_it_was(
    folder,
    texts,
    dialogues,  # noqa: F811
):
    both = load_rewards(folder, tiny_classifier(), dialogues, ["ant", "bee"], lower_bound=0.3)
    assert isinstance(both, RewardEnsemble)
    assert both.lower_bounds == {"ant": 0.3, "bee": 0.3}
    assert isinstance(load_rewards(folder, tiny_classifier(), dialogues, ["bee"]), RewardModels)
    with pytest.raises(ValueError, match="lower_bound needs an ensemble"):
        load_rewards(folder, tiny_classifier(), dialogues, ["bee"], lower_bound=0.3)
    first = RewardModels.load(folder, tiny_classifier())
    assert first.names == ("ant", "bee")  # whoever reads single models finds the first member


def test_what_is_no_ensemble_is_refused(folder):
    models = RewardModels.load(folder, tiny_classifier())
    with pytest.raises(ValueError, match="must be a member of a reward"):
        RewardEnsemble(models, {"ant": ["ant"]})
    with pytest.raises(ValueError, match="must be a member of a reward"):
        RewardEnsemble(models, {"ant": ["ant", "ant"], "bee": ["bee"]})
    with pytest.raises(ValueError, match="at least 0 standard deviations, got -1"):
        RewardEnsemble(models, {"ant": ["ant"], "bee": ["bee"]}, lower_bound=-1)
    with pytest.raises(ValueError, match="members must be at least 1, got 0"):
        train_rewards(folder, folder, folder, members=0)


@pytest.fixture(scope="module")
def measured(folder, tmp_path_factory):
    """An ensemble's folder and base, its held-out pairs and what it is worth on them."""
    place = tmp_path_factory.mktemp("measured")
    tiny_base().float().save_pretrained(place / "base")
    word_tokenizer().save_pretrained(place / "base")
    shutil.copytree(folder / "ant", place / "rewards" / "ant")
    (place / "rewards" / "ant" / "ensemble.json").unlink()
    held_out = favouring_pairs(24, seed=1)
    return place, held_out, measure_ensemble(place / "base", place / "rewards" / "ant", held_out)


def test_an_ensemble_is_measured_beside_its_members(measured):
    place, held_out, metrics = measured
    tokens = tokenize_pairs(held_out, word_tokenizer())
    margins, zeros = [], []
    for folder in member_folders(place / "rewards" / "ant"):
        model = RewardModels.read({"one": folder}, tiny_base().float())
        scores = [model.score(side_of(tokens, side))[:, 0] for side in ("chosen", "rejected")]
        margins.append(scores[0] - scores[1])
        zeros.append(float(torch.cat(scores).mean()))
    mean = sum(margins) / 3
    assert metrics["accuracy"] == pytest.approx(float((mean > 0).float().mean()))
    assert metrics["calibration_error"] == pytest.approx(calibration_error(mean), abs=1e-5)
    for member, margin, zero in zip(metrics["members"], margins, zeros, strict=True):
        assert member["accuracy"] == pytest.approx(float((margin > 0).float().mean()))
        assert member["zero"] == pytest.approx(zero, abs=1e-4)
    read = RewardEnsemble.read({"ant": place / "rewards" / "ant"}, tiny_base().float())
    assert read.zeros["ant 3"] == pytest.approx(zeros[2], abs=1e-4)


def test_a_finished_ensemble_is_kept(measured):
    place, _, metrics = measured
    for folder in member_folders(place / "rewards" / "ant"):
        (folder / "metrics.json").write_text("{}")
    kept = train_rewards(place / "base", place / "no pairs", place / "rewards", names=["ant"], members=3)
    assert kept == {"ant": metrics}


@pytest.mark.slow
def test_members_are_trained_side_by_side_from_different_seeds(measured):
    place = measured[0]
    for split, count, seed in (("train", 24, 0), ("validation", 12, 1)):
        path = place / "pairs" / "five" / f"{split}.jsonl"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("\n".join(json.dumps(row) for row in favouring_pairs(count, seed)))
    settings = {"batch_size": 8, "learning_rate": 1e-2}
    metrics = train_rewards(place / "base", place / "pairs", place / "trained", members=2, **settings)
    assert len(metrics["five"]["members"]) == 2
    models = RewardEnsemble.read({"five": place / "trained" / "five"}, tiny_base().float()).models
    first, second = (models.bank.state_of(name) for name in ("five", "five 2"))
    assert not any(torch.equal(first[key], second[key]) for key in first)
    alone = train_rewards(place / "base", place / "pairs", place / "alone", **settings)
    further = {"scale", "train_pairs", "held_out_pairs", "seconds"}
    assert set(alone["five"]) == {*metrics["five"]["members"][0], *further} - {"zero"}
    again = RewardModels.load(place / "alone", tiny_base().float()).bank.state_of("five")
    assert all(torch.equal(first[key], again[key]) for key in first)
