"""Fixtures: tiny material and the servers made of it."""

import pytest
import torch

from comparison.bench.engines import ENGINES
from comparison.bench.lineup import Material, Shelf, rival_servers


@pytest.fixture(scope="session")
def material() -> Material:
    """Three random experts on a tiny base in float64; tests leave it as it is."""
    return Material.random("tiny", torch.float64, torch.device("cpu"), experts=3)


@pytest.fixture(scope="session")
def servers(material: Material) -> dict:
    """Every server of a bank of three, by name."""
    ours = Shelf.of(material, ENGINES["eager"]).servers(material, 3, overheads=True)
    rivals, left_out = rival_servers(material, 3)
    assert not left_out
    return {server.name: server for server in [*ours, *rivals]}
