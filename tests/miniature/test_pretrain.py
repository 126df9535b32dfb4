"""The base's trainer computes TRL's loss, only faster."""

import ctypes
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from transformers import LlamaForCausalLM, TrainerControl, TrainerState, TrainingArguments, default_data_collator
from trl import SFTTrainer

from experts.miniature import pretrain
from experts.miniature.corpus import dialogues
from experts.miniature.optimiser import muon_with_adamw
from experts.miniature.packing import IGNORED
from experts.miniature.pretrain import (
    GiveMemoryBack,
    LearnedTokenTrainer,
    base_config,
    can_compile,
    fuse,
    sft_arguments,
    training_rows,
)
from experts.miniature.tokenizer import train_tokenizer


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory):
    texts = [message["content"] for dialogue in (next(dialogues(seed=n)) for n in range(40)) for message in dialogue]
    return train_tokenizer(texts, tmp_path_factory.mktemp("tokenizer"), vocab_size=400)


def loss_and_gradients(kind, tokenizer, folder, *, compiled=False):
    """The loss of a small model on packed rows as this trainer computes it, and its gradients."""
    rows = training_rows(tokenizer, 4, seed=0)
    batch = default_data_collator(list(rows))
    torch.manual_seed(0)
    model = LlamaForCausalLM(base_config(tokenizer, hidden_size=16, layers=2))
    trainer = kind(
        model=model,
        args=sft_arguments(folder, 1, 4, 1e-2, bf16=False, seed=0),
        train_dataset=rows,
        data_collator=default_data_collator,
        processing_class=tokenizer,
        optimizers=(muon_with_adamw(model, 1e-2), None),
    )
    if compiled:
        fuse(trainer, model)
    loss = trainer.compute_loss(model, batch, num_items_in_batch=(batch["labels"][:, 1:] != IGNORED).sum())
    loss.backward()
    return [loss.detach(), *(parameter.grad for parameter in model.parameters())]


@pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning")
def test_the_loss_over_learned_tokens_is_that_of_trl(tokenizer, tmp_path):
    ours = loss_and_gradients(LearnedTokenTrainer, tokenizer, tmp_path)
    torch.testing.assert_close(ours, loss_and_gradients(SFTTrainer, tokenizer, tmp_path))


@pytest.mark.slow
@pytest.mark.skipif(not can_compile(), reason="there is no C++ compiler")
@pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning")
def test_the_compiled_loss_is_the_plain_one(tokenizer, tmp_path):
    compiled = loss_and_gradients(LearnedTokenTrainer, tokenizer, tmp_path, compiled=True)
    torch.testing.assert_close(compiled, loss_and_gradients(LearnedTokenTrainer, tokenizer, tmp_path))


@pytest.mark.slow  # torch.compile's first call in a process takes ten seconds
def test_without_a_compiler_nothing_is_compiled(tmp_path):
    asked = "from experts.miniature.pretrain import can_compile; print(can_compile())"
    bare = {**os.environ, "PATH": "", "TORCHINDUCTOR_CACHE_DIR": str(tmp_path)}
    said = subprocess.run([sys.executable, "-c", asked], env=bare, capture_output=True, text=True, check=True)
    assert said.stdout == "False\n"


def resident() -> int:
    """Bytes of memory that this process holds."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


@pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "malloc_trim"), reason="the C library is not glibc")
def test_freed_memory_goes_back_every_so_many_steps(tmp_path):
    giving, given = GiveMemoryBack(every=3), []
    for step in range(1, 7):
        blocks = [bytes(20_000) for _ in range(4000)]
        held = blocks[-1]  # what lies behind the freed blocks keeps the heap from shrinking by itself
        del blocks
        before = resident()
        giving.on_step_end(TrainingArguments(tmp_path, use_cpu=True), TrainerState(global_step=step), TrainerControl())
        given.append(before - resident() > 40 << 20)
        assert len(held) == 20_000
    assert given == [False, False, True, False, False, True]


@pytest.mark.parametrize(("said", "known", "used"), [(None, True, True), (None, False, False), (True, False, True)])
def test_half_precision_is_used_where_there_are_products_for_it_or_where_it_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, said: bool | None, known: bool, used: bool
):
    """Elsewhere products are emulated: a step takes half a minute in place of half a second."""
    monkeypatch.setattr(pretrain, "trains_in_bfloat16", lambda: known)
    assert sft_arguments(tmp_path, 1, 4, 1e-2, bf16=said, seed=0).bf16 is used
