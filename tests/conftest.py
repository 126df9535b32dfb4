"""Fixtures that several rooms' tests share."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from tiny_bundle import tiny_mixture

from mixture import Mixture


@pytest.fixture(autouse=True, scope="session")
def one_thread() -> None:
    """Tiny models are slower on many threads, and sums come in another order."""
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def _double(tmp_path_factory: pytest.TempPathFactory) -> Mixture:
    return tiny_mixture(tmp_path_factory.mktemp("tokenizer"), torch.float64)


@pytest.fixture
def mixture(_double: Mixture) -> Iterator[Mixture]:
    """A tiny mixture in float64; what a test exchanges is put back."""
    before = dict(vars(_double))
    yield _double
    vars(_double).update(before)


@pytest.fixture(scope="session")
def tiny_bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same as a bundle on disk. Read only: copy it before you damage it."""
    folder = tmp_path_factory.mktemp("bundles") / "tiny"
    tiny_mixture(tmp_path_factory.mktemp("tokenizer")).save(folder, {"made_by": "a test"})
    return folder
