"""A bundle put together from folders, with experts that its controller and its texts never met."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import PreTrainedTokenizerBase

import pcm.__main__ as command
from decoding.dimension import Dimension
from mixture import Mixture
from pcm.reader import training
from pcm.reader.training import train_reader

MET = """dimensions:
  friendly: {opposite: unfriendly, description: The answer is warm and kind.}
  concise: {description: The answer is short.}
"""
LATER = """dimensions:
  unfriendly: {opposite: friendly, description: The answer is cold and rude.}
"""


def test_a_controller_takes_in_an_expert_that_came_later(
    tiny_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    taught: list[str] = []

    def watched(tokenizer: PreTrainedTokenizerBase, dimensions: Sequence[Dimension], *others: Any, **more: Any) -> Any:
        taught.extend(dimension.name for dimension in dimensions)
        return train_reader(tokenizer, dimensions, *others, **more)

    monkeypatch.setattr(training, "train_reader", watched)
    controller = Mixture.load(tiny_bundle, rule="logit", cap=0.5, safe="concise")
    controller.save_with(tiny_bundle, tmp_path / "controller", {})
    (tmp_path / "met.yaml").write_text(MET, encoding="utf-8")
    (tmp_path / "later.yaml").write_text(LATER, encoding="utf-8")
    rows = [
        {"text": text, "asked": {name: 1.0}} for text, name in (("be warm", "friendly"), ("keep it short", "concise"))
    ]
    for split in ("train", "validation"):
        lines = "".join(json.dumps(row) + "\n" for row in rows * 4)
        (tmp_path / f"{split}.jsonl").write_text(lines, encoding="utf-8")
    command.assemble(
        str(tiny_bundle / "base"),
        tiny_bundle / "experts",
        [tmp_path / "met.yaml", tmp_path / "later.yaml"],
        tmp_path,
        tmp_path / "bundle",
        controller=tmp_path / "controller",
        steps=2,
    )
    mixture, trained = Mixture.load(tmp_path / "bundle"), Mixture.load(tiny_bundle)
    assert mixture.names == ["friendly", "concise", "unfriendly"]
    assert taught == ["friendly", "concise"]  # a reader that met texts without it would never hear the third
    assert mixture.reader is not None
    assert mixture.reader.probabilities(["be warm"]).shape == (1, 3)
    assert mixture.pcm is not None
    assert trained.pcm is not None
    pairs = zip(mixture.pcm.parameters(), trained.pcm.parameters(), strict=True)
    assert all(torch.equal(*pair) for pair in pairs)
    assert (mixture.rule, mixture.cap, mixture.safe) == ("logit", 0.5, "concise")  # it was trained for that one


def test_another_rule_than_the_controllers_is_refused_before_anything_is_trained(
    tiny_bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    nowhere = ["--base", "none", "--experts", "none", "--dimensions", "none", "--preferences", "none"]
    others = ["--output", str(tmp_path / "bundle"), "--controller", str(tiny_bundle), "--rule", "probability"]
    assert command.main([*nowhere, *others]) == 1
    assert "the rule must be the controller's, anchored, got probability: leave --rule" in capsys.readouterr().err
