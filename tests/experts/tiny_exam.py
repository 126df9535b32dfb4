"""A tiny world for reinforcement learning: a base in float64, judges that count tokens, prompts and references."""

from collections.abc import Sequence
from pathlib import Path

import torch
from lightning import Trainer
from torch import Tensor, nn
from transformers import LlamaConfig, LlamaForCausalLM, LlamaForSequenceClassification

from decoding.answered import Answered
from experts.adapters import AdapterConfig
from experts.bank import ExpertBank
from experts.exam import Exam
from experts.joint import JointPPO
from experts.prompts import PromptStream
from experts.references import sample_references
from experts.train import fresh_bank

PAD, END, VOCABULARY = 0, 2, 40
FAVOURITES = {"ant": 7, "bee": 11, "cat": 13, "quality": 17}
CONFIG = AdapterConfig(4, 8, "all-linear")


def tiny_config() -> LlamaConfig:
    return LlamaConfig(
        vocab_size=VOCABULARY,
        hidden_size=16,
        intermediate_size=24,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=2,
        pad_token_id=PAD,
        bos_token_id=1,
        eos_token_id=END,
    )


def tiny_base() -> LlamaForCausalLM:
    torch.manual_seed(0)
    base = LlamaForCausalLM(tiny_config()).double().eval()
    for parameter in base.parameters():
        parameter.data.mul_(3.0)  # distributions that are far from uniform, so that mistakes show
    return base


def tiny_classifier() -> LlamaForSequenceClassification:
    torch.manual_seed(1)
    config = tiny_config()
    config.num_labels = 1
    return LlamaForSequenceClassification(config).double().eval()


class CountingRewards(nn.Module):
    """Scores how often a favourite token occurs; one favourite per name."""

    names = tuple(FAVOURITES)
    version = ""

    def score(self, texts: Answered, names: Sequence[str] | None = None, needed: Tensor | None = None) -> Tensor:
        real = texts.attention_mask
        columns = [((texts.input_ids == FAVOURITES[name]) * real).sum(-1) for name in names or self.names]
        scores = torch.stack(columns, dim=1).double()
        return scores if needed is None else scores * needed


def trained_looking(bank: ExpertBank) -> ExpertBank:
    """The bank with adapters that change something; fresh ones are all alike."""
    generator = torch.Generator().manual_seed(5)
    for name in bank.names:
        for parameter in bank.parameters_of(name):
            parameter.data += 0.3 * torch.randn(parameter.shape, generator=generator, dtype=parameter.dtype)
    return bank


def tiny_exam(names: Sequence[str] = ("ant", "bee", "cat"), **arguments: float) -> Exam:
    bank = trained_looking_alone(names)
    generator = torch.Generator().manual_seed(3)
    prompts = [torch.randint(3, VOCABULARY, (length,), generator=generator) for length in (2, 5, 3, 4, 6, 2)]
    references = sample_references(
        bank, CountingRewards(), prompts, end_id=END, pad_id=PAD, max_new_tokens=10, batch_size=4
    )
    budgets = {"least_budget": 6, "most_budget": 10}
    return Exam(bank, CountingRewards(), references, prompts, END, PAD, **(budgets | arguments))


def trained_looking_alone(names: Sequence[str]) -> ExpertBank:
    """Experts whose weights do not depend on who is beside them."""
    bank = fresh_bank(tiny_base(), list(names), CONFIG, seed=0)
    for name in names:
        generator = torch.Generator().manual_seed(FAVOURITES[name])
        for parameter in bank.parameters_of(name):
            parameter.data += 0.05 * torch.randn(parameter.shape, generator=generator, dtype=parameter.dtype)
    return bank


def run(module: JointPPO, folder: Path, *callbacks: object, checkpoint: Path | None = None, prompts: int = 4) -> None:
    trainer = Trainer(
        default_root_dir=folder,
        max_epochs=1,
        accelerator="cpu",
        logger=False,
        callbacks=list(callbacks),
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    stream = PromptStream(len(module.exam.prompts), prompts, module.updates)
    trainer.fit(module, stream, ckpt_path=checkpoint, weights_only=True)


def weights(module: JointPPO) -> dict[str, Tensor]:
    """Everything of every expert that training changes."""
    return {
        f"{name}/{number}": parameter.detach().clone()
        for k, name in enumerate(module.names)
        for number, parameter in enumerate([*module.bank.parameters_of(name), *module.values.parameters_of(k)])
    }
