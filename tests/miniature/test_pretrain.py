"""The base's trainer computes TRL's loss, only faster."""

import pytest
import torch
from transformers import LlamaForCausalLM, default_data_collator
from trl import SFTTrainer

from experts.miniature.corpus import dialogues
from experts.miniature.optimiser import muon_with_adamw
from experts.miniature.pretrain import LearnedTokenTrainer, base_config, sft_arguments, training_rows
from experts.miniature.tokenizer import train_tokenizer


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory):
    texts = [message["content"] for dialogue in (next(dialogues(seed=n)) for n in range(40)) for message in dialogue]
    return train_tokenizer(texts, tmp_path_factory.mktemp("tokenizer"), vocab_size=400)


@pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning")
def test_the_loss_over_learned_tokens_is_that_of_trl(tokenizer, tmp_path):
    rows = training_rows(tokenizer, 4, seed=0)
    batch = default_data_collator(list(rows))
    torch.manual_seed(0)
    model = LlamaForCausalLM(base_config(tokenizer, hidden_size=16, layers=2))
    count = (batch["labels"][:, 1:] != -100).sum()
    gradients = []
    for kind in (SFTTrainer, LearnedTokenTrainer):
        arguments = sft_arguments(tmp_path, 1, 4, 1e-2, bf16=False, seed=0)
        trainer = kind(
            model=model,
            args=arguments,
            train_dataset=rows,
            data_collator=default_data_collator,
            processing_class=tokenizer,
            optimizers=(muon_with_adamw(model, 1e-2), None),
        )
        loss = trainer.compute_loss(model, dict(batch), num_items_in_batch=count)
        model.zero_grad()
        loss.backward()
        gradients.append([loss.detach(), *(parameter.grad.clone() for parameter in model.parameters())])
    torch.testing.assert_close(*gradients)
