"""Experts come from folders or from hub repositories at a pinned revision."""

from copy import deepcopy
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from households import Household
from huggingface_hub import snapshot_download

from experts import hub
from experts.bank import ExpertBank
from experts.hub import is_pinned, located, pinned, split_revision

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture
def asked_for(llama: Household, monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """What would have been fetched; the answer is a folder that is here."""
    calls: list[dict[str, Any]] = []

    def snapshot_download(repo_id: str, **settings: Any) -> str:
        calls.append({"repo_id": repo_id, **settings})
        return str(llama.folders["expert0"])

    monkeypatch.setattr(hub, "snapshot_download", snapshot_download)
    return calls


def test_a_hub_id_loads_like_the_folder_it_holds(llama: Household, asked_for: list[dict[str, Any]]) -> None:
    bank = ExpertBank.load(deepcopy(llama.base), {"pinned": "someone/kind-lora@v1", "newest": "someone/kind-lora"})
    files = ["adapter_config.json", "adapter_model.safetensors"]
    assert asked_for == [
        {"repo_id": "someone/kind-lora", "revision": "v1", "allow_patterns": files},
        {"repo_id": "someone/kind-lora", "revision": None, "allow_patterns": files},
    ]
    expected = llama.bank.state_of("expert0")
    assert all(torch.equal(tensor, expected[key]) for key, tensor in bank.state_of("pinned").items())


def test_a_folder_that_is_here_comes_before_the_hub(
    tmp_path: Path, asked_for: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "owner/name@v1").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    assert located("owner/name@v1", ["a"]) == Path("owner/name@v1")
    assert not asked_for


@pytest.mark.parametrize(
    "source", ["nowhere", "./owner/name", "../name", "a/b/c", "owner/name@", Path("owner/name"), "~/x"]
)
def test_what_is_neither_folder_nor_hub_id_is_refused(source: str | Path, asked_for: list[dict[str, Any]]) -> None:
    with pytest.raises(FileNotFoundError, match="must be a folder, or a hub id owner/name"):
        located(source, ["a"])
    assert not asked_for


def test_a_file_is_no_expert(tmp_path: Path, asked_for: list[dict[str, Any]]) -> None:
    (tmp_path / "expert").write_text("words")
    with pytest.raises(FileNotFoundError, match="must be a folder, or a hub id owner/name"):
        located(str(tmp_path / "expert"), ["a"])
    assert not asked_for


@pytest.mark.parametrize("kind", [OSError, ValueError])
def test_what_the_hub_does_not_give_is_refused_with_its_words(
    monkeypatch: pytest.MonkeyPatch, kind: type[Exception]
) -> None:
    def snapshot_download(repo_id: str, **settings: Any) -> str:
        raise kind("no such repository\nand much more")

    monkeypatch.setattr(hub, "snapshot_download", snapshot_download)
    with pytest.raises(FileNotFoundError, match=r"got someone/gone \(the hub says: no such repository\)$"):
        located("someone/gone", ["a"])


@pytest.mark.parametrize("revision", ["main", "v1", "refs/pr/1", COMMIT[:7]])
def test_a_revision_is_pinned_by_the_commit_that_it_names_now(monkeypatch: pytest.MonkeyPatch, revision: str) -> None:
    calls = []

    def snapshot_download(repo_id: str, **settings: Any) -> str:
        calls.append((repo_id, settings["revision"]))
        return f"/cache/models--someone--model/snapshots/{COMMIT}"

    monkeypatch.setattr(hub, "snapshot_download", snapshot_download)
    assert not is_pinned(f"someone/model@{revision}")
    assert pinned(f"someone/model@{revision}") == f"someone/model@{COMMIT}"
    assert is_pinned(f"someone/model@{COMMIT}")
    assert calls == [("someone/model", revision)]


def test_what_cannot_change_or_names_no_revision_is_left_as_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, asked_for: list[dict[str, Any]]
) -> None:
    (tmp_path / "owner/name@v1").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    model = torch.nn.Identity()
    for source in (f"owner/model@{COMMIT}", "owner/model", "owner/name@v1", Path("owner/model@v1"), model):
        assert pinned(source) is source
    assert not asked_for


def test_the_commit_of_a_copy_here_is_known_without_the_hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    repository = tmp_path / "models--someone--model"
    (repository / "snapshots" / COMMIT).mkdir(parents=True)
    (repository / "snapshots" / COMMIT / "config.json").write_text("{}")
    (repository / "refs").mkdir()
    (repository / "refs" / "v1").write_text(COMMIT)
    monkeypatch.setattr(hub, "snapshot_download", partial(snapshot_download, cache_dir=tmp_path, local_files_only=True))
    assert pinned("someone/model@v1") == f"someone/model@{COMMIT}"
    with pytest.raises(FileNotFoundError, match="a model must be a folder, or a hub id that can be fetched"):
        pinned("someone/model@v2")


def test_a_revision_is_what_follows_the_at_sign() -> None:
    assert split_revision("owner/name@refs/pr/1") == ("owner/name", "refs/pr/1")
    assert split_revision("owner/name@tuned@2") == ("owner/name", "tuned@2")
    assert split_revision("owner/name") == ("owner/name", None)


def test_a_folder_that_is_here_has_no_revision(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "owner/name@v1").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    assert split_revision("owner/name@v1") == ("owner/name@v1", None)
    assert split_revision(tmp_path / "owner/name@v1") == (str(tmp_path / "owner/name@v1"), None)
