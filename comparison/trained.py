"""Methods that cost a training run of their own for what is asked: yardsticks for what mixing could reach.

A specialist for each preference is the costly ceiling: n axes need 2ⁿ of them. One policy that reads the preference in
its prompt and was trained on all of them (P-MORL, arXiv 2310.11564) is the single model. Knows adapters in folders.
Does not know how they were trained: `experts.train` does it.
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from bundle import sha256
from comparison.combinations import Combination, label
from comparison.costs import POLICY, SPECIALIST, Cost
from comparison.decoding import Decoded, Request, drawn
from comparison.lineup import Entry
from comparison.methods import asked_rows, without_experts
from comparison.phrasing import Phrase, prompted
from comparison.side_by_side import SideBySide
from decoding.conversation import Conversation
from decoding.dimension import Dimension
from experts.adapters import CONFIG_FILE, WEIGHTS_FILE
from experts.bank import ExpertBank
from mixture import Mixture

OBJECTIVE = "multi-objective"
CEILING, SINGLE = "specialist", f"prompt-{OBJECTIVE}"


class Specialists(Decoded):
    """For each preference the model that was trained for it alone."""

    listens = True

    def __init__(self, mixture: Mixture, folder: Path) -> None:
        """Reads the adapters beside a mixture's base.

        Args:
            mixture: Has the base.
            folder: Holds a PEFT folder for each preference, named as `combinations.label` names it.

        Raises:
            ValueError: If there is none.
        """
        names = sorted(path.parent.name for path in folder.glob(f"*/{CONFIG_FILE}"))
        if not names:
            raise ValueError(f"specialists must be PEFT folders named like friendly+concise, got none in {folder}")
        self.folder, self.mixture = folder, _alone(mixture, {name: folder / name for name in names})
        self.name = _named(CEILING, [folder / name for name in names])

    def request(self, conversations: Sequence[Conversation], asked: Combination, seed: int) -> Request:
        """Gives what the specialist reads.

        Raises:
            ValueError: If nobody was trained for this preference.
        """
        if label(asked) not in self.mixture.names:
            raise ValueError(f"every preference must have a specialist in {self.folder}, got none for {label(asked)}")
        rows = asked_rows(self.mixture, (label(asked),), len(conversations))
        return Request(self.mixture, conversations, rows, (seed, label(asked)))


class PromptedPolicy(Decoded):
    """One model trained on all preferences, which reads in its prompt which of them it is to follow."""

    listens = True

    def __init__(self, mixture: Mixture, folder: Path, phrase: Phrase) -> None:
        """Reads the adapter beside a mixture's base.

        Args:
            mixture: Has the base.
            folder: A PEFT folder.
            phrase: Puts preferences into words, as training did.
        """
        self.mixture, self.phrase = _alone(mixture, {OBJECTIVE: folder}), phrase
        self.name = _named(SINGLE, [folder])

    def request(self, conversations: Sequence[Conversation], asked: Combination, seed: int) -> Request:
        """Gives what the mixture reads."""
        told = prompted(self.phrase, conversations, asked, seed)
        rows = asked_rows(self.mixture, (OBJECTIVE,), len(told))
        return Request(self.mixture, told, rows, (seed, label(asked)))


def trained(mixture: Mixture, phrase: Phrase, specialists: Path | None, policy: Path | None) -> list[Entry]:
    """Gives the lines of what was trained for the comparison, as far as there is any.

    Args:
        mixture: Has the base.
        phrase: Puts preferences into words for prompts.
        specialists: Folder with an adapter for each preference.
        policy: Folder of the adapter of one policy for all preferences.
    """
    entries = []
    if specialists is not None:
        ceiling = Specialists(mixture, specialists)
        count = f"{len(ceiling.mixture.names)}, one a preference"
        entries.append(_entry(CEILING, ceiling, "the model trained for this preference alone", SPECIALIST, count))
    if policy is not None:
        single = PromptedPolicy(mixture, policy, phrase)
        entries.append(_entry(SINGLE, single, "one model trained on all preferences, told which", POLICY, "1"))
    return entries


def _entry(name: str, method: Specialists | PromptedPolicy, note: str, part: str, models: str) -> Entry:
    bank = method.mixture.bank
    assert isinstance(bank, ExpertBank)  # `_alone` made it
    parameters = sum(parameter.numel() for name in bank.names for parameter in bank.parameters_of(name))
    cost = Cost("1", parameters, models, (part,))
    return Entry(name, lambda settings: method, note=note, cost=cost)


def _named(name: str, folders: Sequence[Path]) -> str:
    """A name that tells these adapters from others, so that no archive takes one for the other."""
    return f"{name}@{drawn([sha256(folder / WEIGHTS_FILE) for folder in folders]):014x}"


def _alone(mixture: Mixture, folders: dict[str, Path]) -> Mixture:
    """The mixture's base with these adapters, of which one speaks at a time."""
    bank = SideBySide.load(mixture.bank.base, folders)
    dimensions = tuple(Dimension(name, f"The answer is {name}.") for name in folders)
    return replace(without_experts(mixture), bank=bank, dimensions=dimensions)
