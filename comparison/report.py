"""From outcomes to the report: every number with its interval, as plain data that becomes JSON.

    {"settings": {...}, "axes": [[NAME, NAME]], "reader": {split: {"alone", "combined"}},
     "methods": {NAME: {TEMPERATURE: {"utility": {"mean", "low", "high"}, "quality": {...}, "preference": {...},
                                      "by_preference": {...}, "by_dimension": {...}, "contrast": {...}}}},
     "experts": {NAME: {TEMPERATURE: {"beyond_base": {...}, "nats": {...} or None}}},
     "pairs": {"A|B": {TEMPERATURE: {"difference": {...}, "win_rate": {...}}}},
     "acceptance": {TEMPERATURE: [{"claim", "value", "bound", "holds"}]}}

Knows outcomes and intervals. Does not know texts, models or how numbers are shown.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from comparison.acceptance import acceptance
from comparison.combinations import combinations, label, opposite
from comparison.outcomes import Array, Outcome
from decoding.dimension import Dimension, axes
from evaluation.intervals import difference, estimate, win_rate

Report = dict[str, Any]
Outcomes = Mapping[str, Mapping[float, Outcome]]
"""By method and temperature."""


def report_of(
    outcomes: Outcomes,
    dimensions: Sequence[Dimension],
    controlled: str,
    reader: Mapping[str, Any] | None,
    settings: Mapping[str, Any],
    nats: Mapping[str, Mapping[float, Array]] | None = None,
) -> Report:
    """Gives the whole report.

    Args:
        outcomes: Of every method, at the same temperatures.
        dimensions: What can be asked for.
        controlled: Name of the method that has to prove itself against each of the others.
        reader: Its accuracies, None if there is no reader.
        settings: What was compared, without times and paths.
        nats: How far from the base the answers of an expert are (N, 1, S), by its dimension and temperature, where this
            was measured.
    """
    methods = {
        name: {f"{temperature:g}": method_entry(one, dimensions) for temperature, one in by_temperature.items()}
        for name, by_temperature in outcomes.items()
    }
    pairs = {
        f"{controlled}|{other}": {
            f"{temperature:g}": pair_entry(ours, outcomes[other][temperature])
            for temperature, ours in outcomes[controlled].items()
        }
        for other in outcomes
        if other != controlled
    }
    report = {
        "settings": dict(settings),
        "controlled": controlled,
        "axes": [list(axis) for axis in axes(dimensions)],
        "reader": reader,
        "methods": methods,
        "experts": {one.name: expert_entry(one.name, outcomes, (nats or {}).get(one.name, {})) for one in dimensions},
        "pairs": pairs,
    }
    temperatures = [f"{temperature:g}" for temperature in outcomes[controlled]]
    return report | {"acceptance": {temperature: acceptance(report, temperature) for temperature in temperatures}}


def method_entry(outcome: Outcome, dimensions: Sequence[Dimension]) -> Report:
    """Gives the numbers of one method at one temperature."""
    preferences = combinations(dimensions)
    return {
        "utility": estimate(outcome.utility()).as_dict(),
        "quality": estimate(outcome.quality()).as_dict(),
        "preference": estimate(outcome.preference()).as_dict(),
        "by_preference": {label(asked): estimate(outcome.utility_of(asked)).as_dict() for asked in preferences},
        "by_dimension": {one.name: estimate(outcome.dimension(one.name)).as_dict() for one in dimensions},
        "contrast": contrasts(outcome, dimensions),
    }


def expert_entry(name: str, outcomes: Outcomes, nats: Mapping[float, Array]) -> Report:
    """Gives how much more quality an expert has than the base, paired by prompt, and how far from it that is."""
    base, expert = outcomes["base"], outcomes[f"expert-{name}"]
    return {
        f"{temperature:g}": {
            "beyond_base": difference(one.quality(), base[temperature].quality()).as_dict(),
            "nats": estimate(nats[temperature]).as_dict() if temperature in nats else None,
        }
        for temperature, one in expert.items()
    }


def contrasts(outcome: Outcome, dimensions: Sequence[Dimension]) -> Report:
    """Gives for each preference how much more of it its own answers show than those given for the opposite one.

    Both are scored on what the preference asks for, without quality, and paired by prompt.
    """
    return {
        label(asked): difference(
            outcome.preference_of(asked, asked), outcome.preference_of(opposite(asked, dimensions), asked)
        ).as_dict()
        for asked in combinations(dimensions)
    }


def pair_entry(ours: Outcome, theirs: Outcome) -> Report:
    """Gives how much more utility ours has, and how often, paired by prompt."""
    return {
        "difference": difference(ours.utility(), theirs.utility()).as_dict(),
        "win_rate": win_rate(ours.utility(), theirs.utility()).as_dict(),
    }
