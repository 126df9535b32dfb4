import pytest
import torch
from rich.console import Console
from tiny_exam import run, tiny_exam

from experts.checkpoints import LAST, PREVIOUS, LastCheckpoint, begun, damage, newest_whole, remaining
from experts.joint import JointPPO

pytestmark = [
    pytest.mark.filterwarnings("ignore:Found .* in eval mode"),
    pytest.mark.filterwarnings("ignore:.*treespec, LeafSpec.*"),
]


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A folder with the checkpoints of updates 2 and 3."""
    folder = tmp_path_factory.mktemp("checkpoints")
    run(JointPPO(tiny_exam(("ant",)), updates=3), folder, LastCheckpoint(folder / LAST, every=1))
    return folder


@pytest.fixture
def folder(trained, tmp_path):
    for name in (LAST, PREVIOUS):
        (tmp_path / name).write_bytes((trained / name).read_bytes())
    return tmp_path


def updates_done(path):
    return torch.load(path, weights_only=True)["updates_done"]


def test_the_last_two_checkpoints_are_kept(folder):
    assert updates_done(folder / LAST) == 3
    assert updates_done(folder / PREVIOUS) == 2
    assert newest_whole(folder, ["ant"]) == folder / LAST


def flip(path):
    """Changes one bit of the first part; between parts there is room that nobody reads."""
    content = bytearray(path.read_bytes())
    content[5000] ^= 1
    path.write_bytes(content)


def cut(path):
    path.write_bytes(path.read_bytes()[:-200])


@pytest.mark.parametrize("harm", [cut, flip, lambda path: path.write_bytes(b"")])
def test_a_damaged_checkpoint_is_named_and_the_one_before_it_is_used(folder, harm):
    console = Console(record=True, width=300)
    harm(folder / LAST)
    assert newest_whole(folder, ["ant"], console) == folder / PREVIOUS
    assert f"{folder / LAST} is damaged and not used" in console.export_text()


def test_what_goes_on_before_a_damaged_checkpoint_ends_with_the_same_weights(trained, folder, tmp_path):
    cut(folder / LAST)
    module = JointPPO(tiny_exam(("ant",)), updates=3)
    run(module, tmp_path / "run", checkpoint=newest_whole(folder, ["ant"]))
    expected = torch.load(trained / LAST, weights_only=True)["state_dict"]
    state = module.state_dict()
    assert all(torch.equal(state[name], tensor) for name, tensor in expected.items())


def test_where_all_checkpoints_are_damaged_nothing_starts_anew_unasked(folder):
    cut(folder / LAST)
    cut(folder / PREVIOUS)
    with pytest.raises(ValueError, match=r"must be whole, got damage in \[.*last.ckpt.*previous.ckpt'\]; remove them"):
        newest_whole(folder, ["ant"])


def test_a_kill_between_the_two_renames_leaves_the_one_before(folder):
    (folder / LAST).unlink()
    assert newest_whole(folder, ["ant"]) == folder / PREVIOUS
    (folder / PREVIOUS).unlink()
    assert newest_whole(folder, ["ant"]) is None


def test_what_follows_a_damaged_checkpoint_does_not_take_the_place_of_the_whole_one(folder, tmp_path):
    cut(folder / LAST)
    run(JointPPO(tiny_exam(("ant",)), updates=1), tmp_path / "run", LastCheckpoint(folder / LAST, every=1))
    assert damage(folder / LAST) is None
    assert updates_done(folder / PREVIOUS) == 2


def finish(folder, *names):
    for name in names:
        (folder / name).mkdir()
        (folder / name / "adapter_config.json").write_text("{}")


def test_an_expert_that_is_added_is_trained_alone_and_an_interrupted_training_with_all_of_its_own(folder):
    assert remaining(folder / "elsewhere", ["ant", "bee"]) == ["ant", "bee"]
    assert remaining(folder, ["ant"]) == ["ant"]
    finish(folder, "ant")
    assert remaining(folder, ["ant", "bee"]) == ["bee"]
    assert remaining(folder, ["ant"]) == []
    finish(folder, "bee")
    both = torch.load(folder / LAST, weights_only=True) | {"experts": ["ant", "bee", "cat"]}
    torch.save(both, folder / LAST)
    assert remaining(folder, ["ant", "bee", "cat"]) == ["ant", "bee", "cat"]  # killed while adapters were written
    cut(folder / LAST)
    assert remaining(folder, ["ant", "bee", "cat"]) == ["cat"]


def test_what_is_finished_or_in_the_last_whole_checkpoint_is_begun(folder):
    assert begun(folder / "elsewhere", ["ant", "bee"]) == []
    assert begun(folder, ["bee", "ant"]) == ["ant"]
    finish(folder, "bee")
    assert begun(folder, ["bee", "ant"]) == ["bee", "ant"]
    cut(folder / LAST)
    assert begun(folder, ["ant"]) == ["ant"]
    cut(folder / PREVIOUS)
    assert begun(folder, ["ant"]) == []


def test_checkpoints_of_other_experts_are_passed_over_once_these_are_finished(folder):
    with pytest.raises(ValueError, match=r"no unfinished training of other experts, got one of \['ant'\]"):
        newest_whole(folder, ["bee"])
    finish(folder, "ant")
    assert newest_whole(folder, ["bee"]) is None


def test_a_suspicious_update_is_not_kept(tmp_path):
    suspicions = iter([False, True, True, False])
    kept = LastCheckpoint(tmp_path / LAST, every=2, suspicious=lambda: next(suspicions))
    run(JointPPO(tiny_exam(("ant",)), updates=6), tmp_path, kept)
    assert updates_done(tmp_path / PREVIOUS) == 2
    assert updates_done(tmp_path / LAST) == 6


def test_whole_files_have_no_damage(folder):
    assert damage(folder / LAST) is None
