"""The frozen models compute where the controller does, and no checkpoint holds them."""

import warnings
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
import torch
from test_training import Judges, batch, data_in, quiet_trainer, training
from torch import Tensor
from torch.overrides import TorchFunctionMode

from decoding.answered import Answered
from mixture import Mixture
from pcm.frozen import pair_generators, row_generators
from pcm.stored import StoredPairs

CPU = torch.device("cpu")


def moves(mixture: Mixture, monkeypatch: Any) -> list[torch.device]:
    """Where the bank was told to go."""
    told: list[torch.device] = []
    monkeypatch.setattr(mixture.bank, "to", lambda device: told.append(device))
    return told


class Followers(Judges):
    """Judges that tell what they heard, in its order."""

    def __init__(self) -> None:
        super().__init__()
        self.heard: list[object] = []

    def to(self, device: torch.device) -> None:
        self.heard.append(device)

    def score(self, texts: Answered, names: Sequence[str] | None = None, needed: Tensor | None = None) -> Tensor:
        self.heard.append("a question")
        return super().score(texts, names, needed)


@pytest.mark.parametrize("begin", ["fit", "validate"])
def test_mixture_and_judges_go_where_the_controller_is_before_they_are_asked(mixture, tmp_path, monkeypatch, begin):
    told, judges, module = moves(mixture, monkeypatch), Followers(), training(mixture)
    module.frozen = replace(module.frozen, rewards=judges)
    trainer = quiet_trainer(max_epochs=1, enable_checkpointing=False)
    with warnings.catch_warnings(action="ignore"):
        getattr(trainer, begin)(module, datamodule=data_in(tmp_path, 3, 2))
    assert set(told) == {CPU}
    assert judges.heard[:2] == [CPU, "a question"]
    assert not [name for name, _ in module.named_parameters() if not name.startswith("controller.")]


class Strays(TorchFunctionMode):
    """Notes down whatever makes a tensor on the default device, which is none of those that anything lies on."""

    def __init__(self) -> None:
        super().__init__()
        self.made_by: list[str] = []

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        made = func(*args, **(kwargs or {}))
        if isinstance(made, Tensor) and made.device.type == "meta":
            self.made_by.append(str(func))
        return made


@pytest.mark.parametrize("settings", [{}, {"objective": "ppo", "worth": "raw"}, {"objective": "dpo", "stored": True}])
def test_every_tensor_that_learning_makes_lies_where_the_responses_do(mixture, tmp_path, settings):
    """On a graphics card one that lay on the default device would end the first step."""
    if "stored" in settings:
        settings = {**settings, "stored": StoredPairs(tmp_path, "the tiny one")}
    module = training(mixture, temperature=0.5, **settings)
    prompts = module.frozen.prompts(batch(), times=2)
    drawn = module.pairs(batch(), prompts)
    with torch.device("meta"), Strays() as strays:
        utilities = module.judge(batch(), drawn.scores, drawn.scores[:3])
        experience = module.frozen.read(prompts, drawn, places_matter=False)
        old, _, seen = module.look(experience, drawn)
        numbers = torch.arange(3, device=old.device)
        module.loss(experience, old, utilities, numbers, numbers + 3).backward()
    assert strays.made_by == []
    assert {value.device for value in (*seen.values(), utilities)} == {CPU}


def test_rows_draw_alike_whoever_draws_beside_them():
    def seeds(generators: list[torch.Generator]) -> list[int]:
        return [generator.initial_seed() for generator in generators]

    whole = seeds(pair_generators(3, 8, 4, CPU))
    parts = [seeds(pair_generators(3, 8, 2, CPU, rank, 2)) for rank in range(2)]
    assert whole == parts[0][:2] + parts[1][:2] + parts[0][2:] + parts[1][2:]
    assert whole == seeds(row_generators(3, 8, 8, CPU))
    assert len({*whole, *seeds(row_generators(3, 9, 8, CPU)), *seeds(row_generators(4, 8, 8, CPU))}) == 24
