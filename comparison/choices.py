"""How hyper-parameters are chosen, for every method alike: one after the other until none changes, by validation.

Knows numbers with names and a function that says what they are worth. Does not know methods, answers or scorers.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from evaluation.intervals import TIE

Settings = dict[str, float]


@dataclass(frozen=True)
class Choice:
    """What was chosen, and everything that was tried on the way.

    Args:
        settings: The chosen ones.
        worth: Of the chosen ones on validation; None where nothing could be measured.
        tried: Every candidate with its worth, in order.
    """

    settings: Settings
    worth: float | None
    tried: tuple[tuple[Settings, float], ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """Gives it as plain data."""
        tried = [{"settings": settings, "worth": worth} for settings, worth in self.tried]
        return {"settings": self.settings, "worth": self.worth, "tried": tried}


def choose(
    start: Mapping[str, float], grid: Mapping[str, Sequence[float]], worth: Callable[[Settings], float]
) -> Choice:
    """Gives the best settings of a search along one coordinate after the other, round after round.

    It ends with a round in which no setting changes: none of them alone can be set better. Of candidates whose worths
    are a `TIE` the earlier one stays.

    Args:
        start: A value for every setting; what is not in the grid stays.
        grid: Candidates of each setting, in the order in which they are searched.
        worth: Of settings, more is better; asked once for each candidate.

    Raises:
        ValueError: If the grid has a setting that start has not.
    """
    if unknown := [name for name in grid if name not in start]:
        raise ValueError(f"every setting of the grid must have a start, got none for {unknown}")
    best, settled = dict(start), False
    known = {_key(best): worth(best)}
    tried = [(dict(best), known[_key(best)])]
    while not settled:
        before = best
        for name, values in grid.items():
            for candidate in [best | {name: value} for value in values]:
                if _key(candidate) not in known:
                    known[_key(candidate)] = worth(candidate)
                    tried.append((candidate, known[_key(candidate)]))
                if known[_key(candidate)] > known[_key(best)] + TIE:
                    best = candidate
        settled = best == before
    return Choice(best, known[_key(best)], tuple(tried))


def _key(settings: Settings) -> tuple[tuple[str, float], ...]:
    return tuple(sorted(settings.items()))
