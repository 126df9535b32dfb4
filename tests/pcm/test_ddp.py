"""Two processes learn what one with twice the pairs learns."""

import json
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning import Callback, LightningModule, Trainer
from test_training import PROMPTS, training
from tiny_bundle import DIMENSIONS

from mixture import Mixture
from pcm.data import PromptsAndPreferences


class Gradients(Callback):
    """Writes the gradients of every step of every process down."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.steps = folder, 0

    def on_before_optimizer_step(self, trainer: Trainer, pl_module: LightningModule, optimizer: Any) -> None:
        found = [parameter.grad.clone() for parameter in pl_module.parameters() if parameter.grad is not None]
        torch.save(found, self.folder / f"{trainer.global_rank}-{self.steps}.pt")
        self.steps += 1


def gradients(mixture: Mixture, folder: Path, processes: int, pairs: int, objective: str) -> list[list[torch.Tensor]]:
    """Those of four steps of the first process."""
    folder.mkdir()
    path = folder / "prompts.jsonl"
    path.write_text("".join(json.dumps({"messages": prompt}) + "\n" for prompt in PROMPTS))
    data = PromptsAndPreferences(DIMENSIONS, str(path), str(path), pairs=pairs, iterations=2, validation_pairs=1)
    module = training(mixture, minibatches=1, objective=objective)
    with warnings.catch_warnings(action="ignore"):
        trainer = Trainer(
            accelerator="cpu",
            devices=processes,
            strategy="ddp_fork" if processes > 1 else "auto",
            use_distributed_sampler=False,
            max_epochs=1,
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            num_sanity_val_steps=0,
            callbacks=[Gradients(folder)],
        )
        trainer.fit(module, datamodule=data)
    return [torch.load(folder / f"0-{step}.pt") for step in range(4)]


@pytest.mark.slow
@pytest.mark.parametrize("objective", ["rebel", "ppo"])
def test_two_processes_have_the_gradients_of_one_with_twice_the_pairs(mixture, tmp_path, objective):
    one = gradients(mixture, tmp_path / "one", 1, 4, objective)
    two = gradients(mixture, tmp_path / "two", 2, 2, objective)
    for step in range(4):
        torch.testing.assert_close(two[step], one[step], atol=1e-9, rtol=1e-6)
    other = [torch.load(tmp_path / "two" / f"1-{step}.pt") for step in range(4)]
    assert all(torch.equal(a, b) for step in range(4) for a, b in zip(two[step], other[step], strict=True))
    assert max(float(gradient.abs().max()) for gradient in one[0]) > 1e-6
