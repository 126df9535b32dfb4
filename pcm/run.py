"""Lightning's command line for a training run: what every run is told and keeps, so that no configuration repeats it.

Knows Lightning. Does not know what is trained, nor what is made of it.
"""

from typing import Any

from lightning import Trainer
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.cli import LightningArgumentParser, LightningCLI
from lightning.pytorch.loggers import CSVLogger, TensorBoardLogger

TRAINER = {
    "max_epochs": 8,
    "num_sanity_val_steps": 0,  # the uniform mixture is measured at the start instead
    "use_distributed_sampler": False,  # batches know their rank
    "log_every_n_steps": 1,
}
"""What the trainer is told where a configuration does not say otherwise."""
CHECKPOINTS: dict[str, dict[str, Any]] = {
    "best": {"filename": "best", "monitor": "validation/reward", "mode": "max", "enable_version_counter": False},
    "last": {"filename": "last", "enable_version_counter": False},  # to go on from; `save_last` would keep the best
}
"""The checkpoints of every run, by the names of their sections."""


class Run(LightningCLI):
    """The command line of a training that writes `output` at its end.

    Checkpoints and curves lie in the trainer's `default_root_dir`, which is `<output>-training` if nothing is said.
    """

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        """Adds the output and the checkpoints."""
        parser.add_argument("--output", type=str, required=True, help="folder of the bundle that gets the controller")
        for name, settings in CHECKPOINTS.items():
            parser.add_lightning_class_args(ModelCheckpoint, name)
            parser.set_defaults({f"{name}.{setting}": value for setting, value in settings.items()})
            parser.link_arguments(("trainer.default_root_dir", "output"), f"{name}.dirpath", compute_fn=checkpoints_in)

    def instantiate_trainer(self, **settings: Any) -> Trainer:
        """Gives the trainer, with curves beside the checkpoints where a configuration names no logger."""
        config = self.config_init[self.subcommand]
        root = kept_in(config.trainer.default_root_dir, config.output)
        if config.trainer.logger is None:
            settings["logger"] = [CSVLogger(root, name="csv"), TensorBoardLogger(root, name="tensorboard")]
        return super().instantiate_trainer(default_root_dir=root, **settings)

    @property
    def best(self) -> str:
        """The path of the best checkpoint, once there is one."""
        checkpoint: ModelCheckpoint = self.config_init[self.subcommand].best
        return checkpoint.best_model_path


def kept_in(root: str | None, output: str) -> str:
    """Gives the folder of checkpoints and curves.

    Args:
        root: the trainer's `default_root_dir`.
        output: what the run writes, which must hold nothing else.
    """
    return f"{output}-training" if root is None else str(root)


def checkpoints_in(root: str | None, output: str) -> str:
    """Gives the folder of the checkpoints; the arguments are those of `kept_in`."""
    return f"{kept_in(root, output)}/checkpoints"
