"""Packed rows teach what separate texts teach: nothing lost, nothing read across."""

import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from experts.miniature.packing import IGNORED, packed

TEXTS = [([5, 6, 7], [0, 1, 1]), ([8, 9], [0, 1]), ([10, 11, 12, 13], [0, 0, 1, 1])]


def test_rows_hold_every_text_whole_and_in_order():
    first, second = packed(TEXTS, 6, pad_id=0)
    assert first.input_ids == [5, 6, 7, 8, 9, 0]
    assert first.position_ids == [0, 1, 2, 0, 1, 0]
    assert first.labels == [IGNORED, 6, 7, IGNORED, 9, IGNORED]
    assert second.input_ids == [10, 11, 12, 13, 0, 0]


def test_a_text_longer_than_a_row_is_refused():
    with pytest.raises(ValueError, match="row of 3 tokens, got one of 4"):
        list(packed(TEXTS, 3, pad_id=0))


def test_a_packed_text_reads_as_it_does_alone():
    torch.manual_seed(0)
    config = LlamaConfig(vocab_size=16, hidden_size=8, intermediate_size=16, num_hidden_layers=2, num_attention_heads=2)
    model = LlamaForCausalLM(config).double().eval()
    (row,) = packed(TEXTS, 9, pad_id=0)
    together = model(
        input_ids=torch.tensor([row.input_ids]), position_ids=torch.tensor([row.position_ids]), use_cache=False
    ).logits[0]
    alone = [model(input_ids=torch.tensor([ids])).logits[0] for ids, _ in TEXTS]
    torch.testing.assert_close(together, torch.cat(alone))
