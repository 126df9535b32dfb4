"""Puts a bundle together that has no controller of its own yet: base, experts, rewards, and a reader of preferences.

    python -m pcm --config configs/miniature/bundle.yaml

Trains the reader on texts with what they ask for. The bundle answers as the uniform mixture; `pcm.train` gives it a
controller, or `--controller` one that was trained beside other experts. Composes: knows where everything lies, not how
any of it works.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import torch
import yaml
from jsonargparse import auto_cli
from transformers import AutoModelForCausalLM, AutoTokenizer

import bundle as bundles
from decoding.dimension import Dimension
from decoding.mistakes import exit_status
from experts.bank import ExpertBank
from mixture import Mixture
from pcm.forms import load_controller
from pcm.intensity.curves import Intensities
from pcm.reader.training import read_reader


def read_dimensions(path: Path) -> tuple[Dimension, ...]:
    """The dimensions of a YAML file: `dimensions: {name: {description, opposite}}`.

    Raises:
        ValueError: if the file has no such entry.
    """
    entries = yaml.safe_load(path.read_text(encoding="utf-8"))
    if not isinstance(entries, Mapping) or not entries.get("dimensions"):
        raise ValueError(f"{path} must have an entry `dimensions`, got {list(entries or [])}")
    named = entries["dimensions"].items()
    return tuple(Dimension(name, entry["description"], entry.get("opposite")) for name, entry in named)


def assemble(
    base: str,
    experts: Path,
    dimensions: Path | list[Path],
    preferences: Path,
    output: Path,
    rewards: Path | None = None,
    controller: str | Path | None = None,
    rule: str | None = None,
    steps: int = 6000,
    seed: int = 0,
) -> None:
    """Write a bundle without a controller, or with one that was trained beside other experts.

    Args:
        base: folder of the base model.
        experts: folder with one PEFT adapter for each dimension.
        dimensions: YAML with `dimensions: {name: {description, opposite}}`, in the experts' order; several files count
            on.
        preferences: folder with `train.jsonl` and `validation.jsonl`, rows `{"text", "asked": {name: intensity}}`. A
            dimension that none of them asks for is understood by its description.
        output: the bundle.
        rewards: folder with one reward adapter for each dimension and one for quality.
        controller: folder or hub id of a bundle whose controller takes these experts in without training. Its rule, its
            curves of intensities and its cap come along.
        rule: name of the mixing rule; when not given the controller's, and `anchored` without one.
        steps: of the reader's training.
        seed: of the reader's training.

    Raises:
        ValueError: if the controller was trained for another rule.
    """
    folder = None if controller is None else bundles.locate(controller)
    rule = rule_with(folder, rule)
    files = dimensions if isinstance(dimensions, list) else [dimensions]
    known = tuple(dimension for file in files for dimension in read_dimensions(file))
    tokenizer = AutoTokenizer.from_pretrained(base)
    model = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
    bank = ExpertBank.load(model, {dimension.name: experts / dimension.name for dimension in known})
    words = model.get_input_embeddings().get_parameter("weight")
    reader = read_reader(tokenizer, known, preferences, embeddings=words, seed=seed, steps=steps)
    provenance = {"reader": {"steps": steps, "seed": seed}}
    mixture = Mixture(bank, tokenizer, known, rule, None, reader)
    if folder is not None:
        mixture = controlled(mixture, folder)
    mixture.save(output, provenance, rewards=rewards)


def rule_with(folder: Path | None, rule: str | None) -> str:
    """Gives the mixing rule of a bundle with the controller of another one, if there is one; see `assemble`."""
    if folder is None:
        return rule or "anchored"
    trained = bundles.read_manifest(folder).rule
    if rule not in (None, trained):
        raise ValueError(f"the rule must be the controller's, {trained}, got {rule}: leave --rule out")
    return trained


def controlled(mixture: Mixture, folder: Path) -> Mixture:
    """Gives the mixture with the controller of a bundle of the same rule, and with all that belongs to it."""
    manifest = bundles.read_manifest(folder)
    curves = Intensities(manifest.intensities)
    return replace(
        mixture, pcm=load_controller(folder / "pcm"), intensities=curves, cap=manifest.cap, safe=manifest.safe
    )


def main(arguments: list[str] | None = None) -> int:
    """Runs the command and gives its exit status: a mistake is one line on standard error."""
    return exit_status(lambda: auto_cli(assemble, as_positional=False, args=arguments))


if __name__ == "__main__":
    raise SystemExit(main())
