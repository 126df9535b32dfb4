"""Bundles that differ in their controllers alone, as methods.

Knows bundles and mixtures. Does not know what an answer is worth.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import bundle as bundles
from comparison.methods import Mixed
from mixture import Mixture

UNIFORM = "fixed-uniform"
"""The uniform mixture under the first member's rule."""
SAME = ("base", "experts")
"""The rooms of a bundle that must be the same."""


@dataclass(frozen=True)
class Family:
    """Controllers over one bank.

    Args:
        mixture: The bank as its uniform mixture, under the first bundle's rule.
        members: Its mixtures under each controller, by name, each with what tells its bundle from others.
    """

    mixture: Mixture
    members: Mapping[str, tuple[Mixture, str]]

    @classmethod
    def read(cls, folders: Mapping[str, str]) -> "Family":
        """Reads a bundle for each name; base and experts of the first serve all.

        Raises:
            FileNotFoundError: If a bundle is not there.
            ValueError: If there is none, one is damaged or has no controller, or base or experts differ.
        """
        if not folders:
            raise ValueError("there must be at least one bundle with a controller, got none")
        places = {name: bundles.locate(folder) for name, folder in folders.items()}
        read = {name: _controlled(name, place) for name, place in places.items()}
        first, *others = places
        for other in others:
            _require_same(places[first], places[other])
        bank = read[first].bank
        members = {
            name: (replace(mixture, bank=bank), bundles.sha256(places[name] / bundles.MANIFEST)[:12])
            for name, mixture in read.items()
        }
        return cls(read[first].uniform(), members)

    def uniform(self) -> dict[str, Mixed]:
        """Gives the uniform mixture under each member's rule, by the member's name."""
        rules = {name: mixture.rule_name for name, (mixture, _) in self.members.items()}
        names = {name: UNIFORM if rule == self.mixture.rule_name else f"fixed-{rule}" for name, rule in rules.items()}
        return {name: Mixed(names[name], self.mixture.uniform(rule)) for name, rule in rules.items()}

    def methods(self) -> dict[str, Mixed]:
        """Gives the method of each member by its name; its own name in the archive holds what tells its bundle."""
        return {
            name: Mixed(f"{name.replace('/', '-')}@{identity}", mixture)
            for name, (mixture, identity) in self.members.items()
        }


def variants(names: Mapping[str, object]) -> dict[str, list[str]]:
    """Gives the members of each variant: names that differ behind a slash alone are training seeds of one."""
    found: dict[str, list[str]] = {}
    for name in names:
        found.setdefault(name.partition("/")[0], []).append(name)
    return found


def _controlled(name: str, folder: Path) -> Mixture:
    """The mixture of a bundle that has a controller."""
    mixture = Mixture.load(folder)
    if mixture.pcm is None:
        raise ValueError(f"every bundle must have a controller, {name} in {folder} has none")
    return mixture


def _require_same(ours: Path, theirs: Path) -> None:
    """Refuses bundles of other experts: a difference between them would not be the controllers'."""
    first, second = (bundles.read_manifest(folder) for folder in (ours, theirs))
    if first.dimensions != second.dimensions:
        named = [[one.name for one in manifest.dimensions] for manifest in (first, second)]
        raise ValueError(f"bundles must have the same dimensions, got {named[0]} in {ours} and {named[1]} in {theirs}")
    held = [{path: code for path, code in one.files.items() if path.startswith(SAME)} for one in (first, second)]
    if held[0] != held[1] or (first.base, first.base_revision) != (second.base, second.base_revision):
        raise ValueError(f"bundles must have the same base and experts, got others in {theirs} than in {ours}")
