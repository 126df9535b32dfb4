"""Two processes learn what one with twice the pairs learns."""

import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning import Callback, LightningModule, Trainer
from test_training import data_in, quiet_trainer, training

from mixture import Mixture


class Gradients(Callback):
    """Writes the gradients of every step of every process down."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.steps = folder, 0

    def on_before_optimizer_step(self, trainer: Trainer, pl_module: LightningModule, optimizer: Any) -> None:
        found = [parameter.grad.clone() for parameter in pl_module.parameters() if parameter.grad is not None]
        torch.save(found, self.folder / f"{trainer.global_rank}-{self.steps}.pt")
        self.steps += 1


def gradients(
    mixture: Mixture, folder: Path, processes: int, pairs: int, objective: str, against: str
) -> list[list[torch.Tensor]]:
    """Those of four steps of the first process."""
    data = data_in(folder, pairs, 1)
    module = training(mixture, minibatches=1, objective=objective)
    if against == "uniform":
        module.references = None
    with warnings.catch_warnings(action="ignore"):
        trainer = quiet_trainer(
            devices=processes,
            strategy="ddp_fork" if processes > 1 else "auto",
            use_distributed_sampler=False,
            max_epochs=1,
            enable_checkpointing=False,
            callbacks=[Gradients(folder)],
        )
        trainer.fit(module, datamodule=data)
    return [torch.load(folder / f"0-{step}.pt") for step in range(4)]


@pytest.mark.slow
@pytest.mark.parametrize(("objective", "against"), [("rebel", "base"), ("ppo", "base"), ("rebel", "uniform")])
def test_two_processes_have_the_gradients_of_one_with_twice_the_pairs(mixture, tmp_path, objective, against):
    one = gradients(mixture, tmp_path / "one", 1, 4, objective, against)
    two = gradients(mixture, tmp_path / "two", 2, 2, objective, against)
    for step in range(4):
        torch.testing.assert_close(two[step], one[step], atol=1e-9, rtol=1e-6)
    other = [torch.load(tmp_path / "two" / f"1-{step}.pt") for step in range(4)]
    assert all(torch.equal(a, b) for step in range(4) for a, b in zip(two[step], other[step], strict=True))
    assert max(float(gradient.abs().max()) for gradient in one[0]) > 1e-6
