"""A quantised base keeps its layers: adapters hang on them and read as PEFT's do on the same base."""

from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
import torch
from households import Household
from peft import PeftModel
from torch import Tensor, nn
from transformers import AutoModelForCausalLM, PreTrainedModel, TorchAoConfig

from experts.bank import AdapterConfig, ExpertBank, Rows
from experts.targets import is_linear, widths

quantization = pytest.importorskip("torchao.quantization")

TEXT = torch.tensor([[3, 4, 5, 6], [7, 8, 9, 10]])
ONES = torch.ones_like(TEXT)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("base")


def int8(folder: Path, dtype: torch.dtype) -> PreTrainedModel:
    """A base whose linear weights are int8, all but the head's."""
    config = TorchAoConfig(quantization.Int8WeightOnlyConfig())
    return AutoModelForCausalLM.from_pretrained(folder, dtype=dtype, quantization_config=config)


@pytest.mark.parametrize(("dtype", "atol"), [(torch.float32, 2e-5), (torch.bfloat16, 2**-5)], ids=str)
@torch.no_grad()
def test_experts_on_an_int8_base_read_as_under_peft(
    llama: Household, folder: Path, dtype: torch.dtype, atol: float
) -> None:
    llama.base.save_pretrained(folder)
    base = int8(folder, dtype)
    layer = base.model.layers[0].mlp.up_proj
    assert layer.weight.qdata.dtype == torch.int8
    assert is_linear(layer)
    assert widths(layer) == (16, 24)
    before = base(input_ids=TEXT, attention_mask=ONES).logits
    bank = ExpertBank.load(base, llama.folders)
    assert {parameter.dtype for name in bank.names for parameter in bank.parameters_of(name)} == {torch.float32}
    reading = bank.read(TEXT, ONES, Rows.of(torch.ones(2, 3)))
    assert reading.base.dtype == dtype
    torch.testing.assert_close(reading.base, before, atol=atol, rtol=0)
    for index, expert in enumerate(llama.folders.values()):
        alone = PeftModel.from_pretrained(int8(folder, dtype), expert).eval()
        expected = alone(input_ids=TEXT, attention_mask=ONES).logits
        torch.testing.assert_close(reading.experts[:, :, index], expected, atol=atol, rtol=0)
        assert (expected - before).abs().max() > 0.1


def test_experts_on_an_int8_base_can_be_trained(llama: Household, folder: Path) -> None:
    llama.base.save_pretrained(folder)
    bank = ExpertBank.load(int8(folder, torch.float32), llama.folders)
    bank.forward_rows(TEXT, ONES, torch.tensor([0, 1])).logits.log_softmax(-1)[..., 5].sum().backward()
    for name, trained in (("expert0", True), ("expert1", True), ("expert2", False)):
        gradients = [parameter.grad for parameter in bank.parameters_of(name)]
        assert all((gradient is not None and bool(gradient.any())) == trained for gradient in gradients)


def test_a_quantised_layer_that_is_still_linear_is_adapted_by_its_named_widths() -> None:
    """As those of bitsandbytes: subclasses of Linear whose packed weight has another shape and an integer dtype."""

    class Linear4bit(nn.Linear):
        def __init__(self) -> None:
            super().__init__(6, 4, bias=False)
            self.weight = nn.Parameter(torch.zeros(12, 1, dtype=torch.uint8), requires_grad=False)

    assert is_linear(Linear4bit())
    assert widths(Linear4bit()) == (6, 4)


class OwnFunction(torch.autograd.Function):
    """A product whose result is a view, as that of bitsandbytes' 8-bit layers is."""

    @staticmethod
    def forward(ctx: Any, inputs: Tensor, weight: Tensor) -> Tensor:
        ctx.save_for_backward(weight)
        return (inputs.flatten(0, 1) @ weight.T).view(*inputs.shape[:2], -1)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        return gradient @ ctx.saved_tensors[0], None


@pytest.mark.parametrize("experts", [[0, 1], [-1, 0], [0, 0, 1]])
def test_a_layer_that_computes_by_a_function_of_its_own_keeps_its_gradient(
    llama_base: PreTrainedModel, experts: list[int]
) -> None:
    text, gradients = torch.tensor([[3, 4], [5, 6], [7, 8]])[: len(experts)], []
    for own in (False, True):
        base = deepcopy(llama_base)
        if own:
            for layer in (part for part in base.model.modules() if isinstance(part, nn.Linear)):
                layer.forward = lambda inputs, layer=layer: OwnFunction.apply(inputs, layer.weight)
        bank = ExpertBank(base)
        for seed, name in enumerate("ab"):
            bank.add(name, AdapterConfig(2, 4, "all-linear"))
            for parameter in bank.parameters_of(name):
                nn.init.normal_(parameter, std=0.3, generator=torch.Generator().manual_seed(seed))
        bank.forward_rows(text, torch.ones_like(text), torch.tensor(experts)).logits.square().sum().backward()
        gradients.append([parameter.grad for parameter in bank.parameters_of("a")])
    for plain, own_function in zip(*gradients, strict=True):
        assert plain.any()
        torch.testing.assert_close(own_function, plain, atol=1e-10, rtol=1e-10)
