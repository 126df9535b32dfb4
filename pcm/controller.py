"""What every controller is: a trunk that reads, something that weighs, and a folder to be kept in.

Knows files and trunks. Does not know how weights are made.
"""

import json
from pathlib import Path
from typing import Any, ClassVar, Self

from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from pcm.trunk import BaseStates, OwnModel, load_trunk, save_trunk

CONFIG, WEIGHTS, TRUNK = "config.json", "model.safetensors", "trunk"


class Controller(nn.Module):
    """Gives the weight of every asked expert at every token.

    Args:
        trunk: what reads the text.
    """

    form: ClassVar[str]
    """Which controller it is, in its configuration."""
    settings: ClassVar[tuple[str, ...]]
    """The attributes that its constructor takes beside the trunk."""
    places_matter: ClassVar[bool]
    """Whether it must hear of all experts, each in its own place; else only those that are asked for come to it."""

    def __init__(self, trunk: BaseStates | OwnModel) -> None:
        super().__init__()
        self.trunk = trunk

    def forward(self, hidden: Tensor, behaviour: Tensor, asked: Tensor) -> Tensor:
        """Gives the log-weights of the experts (..., K), -inf where an expert is not asked.

        Args:
            hidden: the trunk's state (..., H).
            behaviour: features of each expert (..., K, F), see `pcm.behaviour`.
            asked: how much each expert is asked for, in [0, 1] (..., K).
        """
        raise NotImplementedError

    def save(self, folder: str | Path) -> None:
        """Writes `config.json`, `model.safetensors` and the trunk's own model, if it has one, into a folder."""
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        config: dict[str, Any] = {name: getattr(self, name) for name in self.settings}
        if self.form != "shared":  # the first form there was says nothing of it
            config["form"] = self.form
        if isinstance(self.trunk, OwnModel):
            config["prefixes"] = self.trunk.prefixes
            save_trunk(self.trunk, folder / TRUNK)
        (folder / CONFIG).write_text(json.dumps(config, indent=2, sort_keys=True) + "\n")
        state = {name: value.detach().contiguous().cpu() for name, value in self.state_dict().items()}
        save_file({name: value for name, value in state.items() if not name.startswith("trunk.")}, folder / WEIGHTS)

    @classmethod
    def load(cls, folder: str | Path) -> Self:
        """Reads a controller of this form that `save` wrote, in float32.

        Raises:
            FileNotFoundError: if the folder holds no controller.
        """
        folder = Path(folder)
        config = read_config(folder)
        config.pop("form", None)
        prefixes = config.pop("prefixes", None)
        trunk = {} if prefixes is None else {"trunk": load_trunk(folder / TRUNK, prefixes)}
        model = cls(**config, **trunk)
        own = {f"trunk.{name}": value for name, value in model.trunk.state_dict().items()}
        model.load_state_dict({**load_file(folder / WEIGHTS), **own})
        return model.eval()


def read_config(folder: Path) -> dict[str, Any]:
    """Gives the configuration of a controller.

    Args:
        folder: where `Controller.save` wrote.

    Raises:
        FileNotFoundError: if it did not write there.
    """
    if not (folder / CONFIG).is_file():
        raise FileNotFoundError(f"a controller must be a folder with {CONFIG}, got {folder}")
    return dict(json.loads((folder / CONFIG).read_text()))
