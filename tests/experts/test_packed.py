"""Packed weights give what dense ones give, under adapters too, and are not lost by saving."""

from pathlib import Path

import pytest
import torch
from torch import nn

from decoding.sampling import Sampling
from experts import packed as packing
from experts.packed import PackedLinear, is_packed
from experts.precision import knows_bfloat16
from mixture import Mixture
from pcm.preference import Preference

QUESTION = [{"role": "user", "content": "What is a volcano?"}]
WISH = Preference(weights={"friendly": 1.0, "concise": 0.5})


OLD_CPU = pytest.mark.skipif(not knows_bfloat16(), reason="this CPU has no bfloat16 products")


@pytest.mark.parametrize("dtype", [torch.float32, pytest.param(torch.bfloat16, marks=OLD_CPU)], ids=str)
@pytest.mark.parametrize("bias", [False, True])
def test_a_packed_layer_keeps_widths_and_bias_and_lets_its_dense_weight_go(dtype: torch.dtype, bias: bool) -> None:
    dense = nn.Linear(24, 40, bias=bias, dtype=dtype)
    packed, inputs = PackedLinear(dense), torch.randn(3, 2, 24, dtype=dtype)
    assert (packed.in_features, packed.out_features, packed.weight.numel()) == (24, 40, 0)
    torch.testing.assert_close(packed(inputs), dense(inputs))


def test_a_packed_mixture_answers_the_same(tiny_bundle: Path) -> None:
    spoken = []
    for packed in (False, True):
        mixture = Mixture.load(tiny_bundle, packed=packed)
        assert is_packed(mixture.bank.base) == packed
        (answer,) = mixture.generate([QUESTION], [WISH], Sampling(0.0, max_new_tokens=12), [0])
        spoken.append(answer.tokens)
    dense, other = spoken
    assert [token.id for token in dense] == [token.id for token in other]
    assert [token.logprob for token in other] == pytest.approx([token.logprob for token in dense], abs=1e-4)


def test_a_packed_mixture_is_not_saved_without_its_weights(tiny_bundle: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="its base's weights as they were, got packed ones"):
        Mixture.load(tiny_bundle, packed=True).save(tmp_path / "new", {})


def test_what_cannot_be_packed_is_refused(tiny_bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ValueError, match=r"need a CPU and float32 or bfloat16, got cpu and torch\.float64"):
        Mixture.load(tiny_bundle, dtype=torch.float64, packed=True)
    monkeypatch.setattr(packing, "knows_bfloat16", lambda: False)
    with pytest.raises(ValueError, match="packed bfloat16 weights need a CPU with AVX-512"):
        Mixture.load(tiny_bundle, dtype=torch.bfloat16, packed=True)
