import pytest
import torch
from tiny_bundle import DIMENSIONS, tiny_tokenizer
from transformers import PreTrainedTokenizerBase

from pcm.reader.model import PreferenceReader


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> PreTrainedTokenizerBase:
    return tiny_tokenizer(tmp_path_factory.mktemp("tokenizer"))


@pytest.fixture
def reader(tokenizer: PreTrainedTokenizerBase) -> PreferenceReader:
    torch.manual_seed(0)
    return PreferenceReader(tokenizer, DIMENSIONS, width=8).eval()
