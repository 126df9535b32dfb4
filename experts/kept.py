"""How a bundle keeps experts: adapters as PEFT folders, whole models as folders or by their place on the hub.

Knows where each kind of expert is written and read. Does not know manifests, hashes or what an expert is for.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

from transformers import PreTrainedModel

from experts.bank import ExpertBank
from experts.hub import is_pinned
from experts.reading import Bank
from experts.whole import WholeModels

ROOM = "experts"
"""The folder of a bundle in which each expert has its own."""


def write_experts(bank: Bank, folder: Path) -> dict[str, str]:
    """Writes a bank's experts into a bundle, except whole models that lie on the hub at a commit.

    Args:
        bank: Adapters or whole models.
        folder: The bundle.

    Returns:
        Where each whole model lies, `experts/<name>` or `owner/name@commit`; nothing for adapters.
    """
    pinned = bank.pinned if isinstance(bank, WholeModels) else {}
    for name in bank.names:
        if name not in pinned:
            bank.save(name, folder / ROOM / name)
    return {name: pinned.get(name, f"{ROOM}/{name}") for name in bank.names} if isinstance(bank, WholeModels) else {}


def read_experts(
    base: PreTrainedModel, names: Sequence[str], whole_models: Mapping[str, str], folder: Path
) -> ExpertBank | WholeModels:
    """Gives the bank of the experts that a bundle keeps.

    Args:
        base: What they were made from.
        names: In their order.
        whole_models: What `write_experts` gave.
        folder: The bundle.

    Raises:
        ValueError: If an expert does not fit the base or changes nothing.
    """
    if not whole_models:
        return ExpertBank.load(base, {name: folder / ROOM / name for name in names})
    places = {name: whole_models[name] for name in names}
    return WholeModels.load(
        base, {name: place if is_pinned(place) else folder / place for name, place in places.items()}
    )


def require_places(names: Sequence[str], whole_models: Mapping[str, str]) -> None:
    """Refuses whole models that are not those of a bundle's experts, or may change under our feet.

    Args:
        names: Of the experts.
        whole_models: Where each lies; nothing where experts are adapters.

    Raises:
        ValueError: If an expert is missing or unknown, or lies neither in its own folder nor on the hub at a commit.
    """
    if whole_models and whole_models.keys() != set(names):
        raise ValueError(f"whole_models must be given for every expert or none, {list(names)}, got {[*whole_models]}")
    for name, place in whole_models.items():
        if place != f"{ROOM}/{name}" and not is_pinned(place):
            raise ValueError(
                f"the whole model {name!r} must lie in {ROOM}/{name}, or on the hub as owner/name@commit, the commit "
                f"being 40 hexadecimal digits, got {place!r}"
            )
