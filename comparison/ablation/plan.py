"""Which trainings an ablation has: a configuration, changed in one thing at a time, and its training seeds.

Knows configurations as nested mappings and where a run lies. Does not know what a setting means, nor how a run is run.
"""

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import yaml

import bundle as bundles

SEEDS = ("seed_everything", "model.seed", "data.seed")
"""The settings of `pcm.train` that a training seed is written to."""
Overrides = Mapping[str, Any]
"""Settings by their names as options, such as `model.beta`."""


@dataclass(frozen=True)
class Run:
    """One training.

    Args:
        name: Of its variant and its seed, as `comparison.controllers` takes them: `ppo/0`.
        folder: Where everything of it lies.
        config: For `pcm.train`, everything in the folder.
    """

    name: str
    folder: Path
    config: Mapping[str, Any]

    @property
    def bundle(self) -> Path:
        """What it leaves."""
        return self.folder / "bundle"

    @property
    def done(self) -> bool:
        """Whether it has left it."""
        return (self.bundle / bundles.MANIFEST).exists()

    @property
    def log(self) -> Path:
        """What it says while it runs."""
        return self.folder / "log.txt"

    def arguments(self) -> list[str]:
        """Writes the configuration, and gives the command line behind the interpreter: from the last checkpoint on."""
        self.folder.mkdir(parents=True, exist_ok=True)
        path = self.folder / "training.yaml"
        path.write_text(yaml.safe_dump(dict(self.config), sort_keys=False), encoding="utf-8")
        words = ["-m", "pcm.train", "fit", "--config", str(path)]
        last = next(iter(sorted(self.folder.rglob("last.ckpt"))), None)
        return words if last is None else [*words, "--ckpt_path", str(last)]


def plan(
    training: Mapping[str, Any],
    variants: Mapping[str, Overrides],
    seeds: Mapping[str, int],
    common: Overrides,
    output: Path,
) -> list[Run]:
    """Gives the runs, variant by variant.

    A run's folder is named after everything that it depends on, so that whatever is set otherwise is trained anew.

    Args:
        training: The configuration of the default.
        variants: What each changes; one that changes nothing is the default.
        seeds: How many training seeds a variant has, by its name; one where it is not named.
        common: What is changed for all of them.
        output: The folder for everything.

    Raises:
        FileNotFoundError: If the bundle that is trained for is not there.
        ValueError: If there is no variant, a name has a slash, or seeds belong to nobody or are none.
    """
    if not variants:
        raise ValueError("there must be at least one variant, got none")
    if wrong := [name for name in variants if "/" in name]:
        raise ValueError(f"a variant's name must have no slash, which stands before a training seed, got {wrong[0]}")
    if unknown := sorted(set(seeds) - set(variants)):
        raise ValueError(f"training seeds must be of {', '.join(variants)}, got some of {', '.join(unknown)}")
    if least := [name for name, count in seeds.items() if count < 1]:
        raise ValueError(f"every variant must have at least one training seed, got {seeds[least[0]]} of {least[0]}")
    runs = []
    for name, overrides in variants.items():
        for seed in range(seeds.get(name, 1)):
            config = overridden(training, {**common, **overrides, **dict.fromkeys(SEEDS, seed)})
            folder = output / "runs" / f"{name}-{seed}-{identity(config)}"
            runs.append(Run(f"{name}/{seed}", folder, placed(config, folder)))
    return runs


def overridden(config: Mapping[str, Any], overrides: Overrides) -> dict[str, Any]:
    """Gives a configuration with some settings changed.

    Args:
        config: Nested mappings.
        overrides: By names whose parts are joined by dots; sections that are missing are made.
    """
    changed = deepcopy(dict(config))
    for name, value in overrides.items():
        *sections, last = name.split(".")
        place = changed
        for section in sections:
            place = place.setdefault(section, {})
        place[last] = value
    return changed


def identity(config: Mapping[str, Any]) -> str:
    """Gives what tells a training from others: its settings, and what lies in the places that they name.

    Raises:
        FileNotFoundError: If the bundle that is trained for is not there.
    """
    held = {place: content(place) for place in sorted(places(config))}
    told = json.dumps([config, held], sort_keys=True)
    return hashlib.sha256(told.encode()).hexdigest()[:8]


def places(config: Mapping[str, Any]) -> set[str]:
    """Gives the folders, files, hub ids and functions that a training reads."""
    model, data = config["model"], config.get("data", {})
    bundle = model["bundle"]
    if isinstance(bundle, Mapping):
        read = [bundle.get(part) for part in ("base", "experts", "preferences")]
    else:
        read = [str(bundles.locate(bundle))]
    read += [
        model.get("rewards"),
        model.get("trunk"),
        *(data.get(part) for part in ("train", "validation", "wordings")),
    ]
    return set(words(read))


def words(setting: Any) -> list[str]:
    """Gives every text in a setting, whose parts may be nested."""
    if isinstance(setting, str):
        return [setting]
    parts = setting.values() if isinstance(setting, Mapping) else setting if isinstance(setting, list) else []
    return [word for part in parts for word in words(part)]


def content(place: str) -> Any:
    """Gives what tells a file, folder, bundle or function's module from what may lie there later; None is no place."""
    module, function, _ = place.partition(":")
    found = find_spec(module) if function and re.fullmatch(r"[\w.]+", module) else None
    path = Path(found.origin if found is not None and found.origin else place)
    if path.is_dir():
        manifest = path / bundles.MANIFEST
        files = [manifest] if manifest.exists() else sorted(one for one in path.rglob("*") if one.is_file())
        return {str(file.relative_to(path)): bundles.sha256(file) for file in files}
    return bundles.sha256(path) if path.is_file() else None


def placed(config: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """Gives a configuration whose run leaves everything in a folder: bundle, checkpoints and curves.

    Args:
        config: Whatever its trainer writes lies below its `default_root_dir`.
        folder: That takes its place.

    Raises:
        ValueError: If the trainer has no such folder.
    """
    root = config.get("trainer", {}).get("default_root_dir")
    if root is None:
        raise ValueError("the training's configuration must have a trainer.default_root_dir, got none")
    trainer = moved(config["trainer"], str(root), str(folder))
    return {**config, "output": str(folder / "bundle"), "trainer": trainer}


def moved(value: Any, before: str, after: str) -> Any:
    """Gives a value in which every path at or below one folder lies in another."""
    if isinstance(value, Mapping):
        return {name: moved(one, before, after) for name, one in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [moved(one, before, after) for one in value]
    if isinstance(value, str) and (value == before or value.startswith(f"{before}/")):
        return after + value[len(before) :]
    return value
