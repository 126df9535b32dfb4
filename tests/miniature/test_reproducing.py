"""The chain does what is not done yet, stops where a stage fails, and goes on from there."""

import pytest

from experts.miniature import __main__ as chain
from experts.miniature.__main__ import BUILD, Stage, reproduce

STAGE = """
import sys
from pathlib import Path
made, *options = sys.argv[1:]
Path(made).parent.mkdir(parents=True, exist_ok=True)
if "bundle" in made.split("/")[-1] and Path("broken").exists():
    (Path(made).parent / "last.ckpt").touch()
    sys.exit(1)
with open(made, "a") as file:
    file.write(" ".join(["made", *options]))
"""


@pytest.fixture
def root(tmp_path, monkeypatch):
    stages = [("first", "first/done", None), ("second", "bundle/bundle.json", "bundle/last.ckpt")]
    told = [Stage(name, f"stage BUILD/{made}", made, checkpoint=checkpoint) for name, made, checkpoint in stages]
    monkeypatch.setattr(chain, "STAGES", tuple(told))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "stage.py").write_text(STAGE)
    return tmp_path


def test_a_chain_that_was_stopped_goes_on_where_it_stopped_and_ends_with_a_table(root, capsys):
    (root / "broken").touch()
    with pytest.raises(SystemExit, match=r"the stage 'second' must write .*bundle/bundle.json, it ended without"):
        reproduce(root=root, ship=root / "shipped")
    assert not (root / "shipped").exists()
    (root / "broken").unlink()
    reproduce(root=root, ship=root / "shipped")
    said = capsys.readouterr().out
    assert "1/2 first: done before" in said
    assert all(word in said for word in ("The miniature bundle", "first", "second", "minutes"))
    assert (root / BUILD / "first" / "done").read_text() == "made"
    resumed = f"made --ckpt_path {BUILD / 'bundle' / 'last.ckpt'}"
    assert (root / "shipped" / "bundle.json").read_text() == resumed


def test_a_quick_run_is_not_taken_for_what_a_full_one_has_made(root):
    reproduce(scale="quick", root=root)
    with pytest.raises(SystemExit, match="must hold a full run, a quick one was begun there: give another --root"):
        reproduce(root=root, ship=root / "shipped")
    assert not (root / "shipped").exists()
