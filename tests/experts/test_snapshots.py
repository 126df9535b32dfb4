"""What training leaves on its way: copies of the experts, and answers as judges read them."""

import json

import pytest
import torch
from test_rewards import word_tokenizer
from tiny_exam import run, tiny_base, tiny_exam

from experts.bank import ExpertBank
from experts.joint import JointPPO
from experts.progress import AnswerLog
from experts.snapshots import Snapshots, snapshot

pytestmark = [
    pytest.mark.filterwarnings("ignore:Found .* in eval mode"),
    pytest.mark.filterwarnings("ignore:.*treespec, LeafSpec.*"),
]


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A run of four updates, copied after every second, and its folder."""
    folder = tmp_path_factory.mktemp("run")
    module = JointPPO(tiny_exam(("ant", "bee")), updates=4, learning_rate=0.01)
    log = AnswerLog(folder / "answers.jsonl", word_tokenizer(), module.names, every=1)
    run(module, folder, Snapshots(folder, every=2), log)
    return module, folder


def test_experts_are_copied_as_the_update_left_them(trained):
    module, folder = trained
    assert sorted(path.name for path in (folder / "snapshots").iterdir()) == ["2", "4"]
    for update in (2, 4):
        bank = ExpertBank.load(tiny_base(), {name: snapshot(folder, update, name) for name in module.names})
        for name in module.names:
            pairs = [(tensor, bank.state_of(name)[key]) for key, tensor in module.bank.state_of(name).items()]
            assert all(torch.equal(now, then) for now, then in pairs) == (update == 4)


def test_there_are_updates_between_snapshots(tmp_path):
    with pytest.raises(ValueError, match="at least 1 update between snapshots, got 0"):
        Snapshots(tmp_path, every=0)


def test_logged_answers_are_bare_texts_that_say_whether_they_ended(trained):
    rows = [json.loads(line) for line in (trained[1] / "answers.jsonl").read_text().splitlines()]
    assert len(rows) == 8
    assert {row["ended"] for row in rows} == {True, False}
    assert not [row for row in rows if {"<s>", "</s>", "<pad>"} & {*row["answer"].split(), *row["prompt"].split()}]
    assert all(row["answer"] == row["answer"].strip() for row in rows)
