import pytest
import torch

from comparison.bench.engines import ENGINES, engine_named
from comparison.bench.lineup import Material, Shelf

CPU = torch.device("cpu")

PROMPTS = torch.tensor([[3, 9, 20, 41], [7, 7, 1, 60]])


def said(material, engine):
    """What soup, floor and bank say after a prompt and one more token."""
    heard = {}
    for server in Shelf.of(material, ENGINES[engine]).servers(material, 2, overheads=False):
        state = server.start(PROMPTS)
        heard[server.name] = [server.step(state, PROMPTS).logprobs, server.step(state, PROMPTS[:, :1]).logprobs]
    return heard


@pytest.fixture(scope="module")
def single():
    return Material.random("tiny", torch.float32, CPU, experts=3)


@pytest.mark.parametrize("engine", ["packed", pytest.param("compiled", marks=pytest.mark.slow)])
def test_an_engine_computes_what_torch_computes(single, engine):
    expected, found = said(single, "eager"), said(single, engine)
    for name in ("soup", "floor", "bank"):
        torch.testing.assert_close(found[name], expected[name], atol=1e-5, rtol=0)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_eight_bits_come_close(single):
    pytest.importorskip("torchao")
    expected, found = said(single, "eager"), said(single, "int8")
    for name in ("soup", "floor", "bank"):
        torch.testing.assert_close(found[name], expected[name], atol=2e-2, rtol=0)
        assert not torch.equal(found[name][0], expected[name][0])


def test_an_engine_that_cannot_run_is_refused():
    with pytest.raises(ValueError, match="one of eager, packed, compiled, int8, got 'fast'"):
        engine_named("fast", CPU, torch.float32)
    with pytest.raises(ValueError, match="need a CPU and float32 or bfloat16, got cuda"):
        engine_named("packed", torch.device("cuda"), torch.bfloat16)
    with pytest.raises(ValueError, match=r"got cpu and torch\.float64"):
        engine_named("packed", CPU, torch.float64)
