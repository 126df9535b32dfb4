"""Experts come from folders or from hub repositories at a pinned revision."""

from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
import torch
from households import Household

from experts import hub
from experts.bank import ExpertBank
from experts.hub import located, split_revision


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


def test_a_revision_is_what_follows_the_at_sign() -> None:
    assert split_revision("owner/name@refs/pr/1") == ("owner/name", "refs/pr/1")
    assert split_revision("owner/name@tuned@2") == ("owner/name", "tuned@2")
    assert split_revision("owner/name") == ("owner/name", None)
