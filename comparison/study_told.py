"""What a comparison says in words, every sentence made from its figures.

Knows the report's shape. Does not know how a number came about.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from comparison.page import shown_estimate

Report = Mapping[str, Any]
ALPHA = 0.05


def ranked(report: Report) -> list[str]:
    """Gives the methods' names, the one with the highest utility first."""
    return sorted(report["methods"], key=lambda name: -report["methods"][name]["utility"]["mean"])


def pair(report: Report, one: str, other: str) -> dict[str, Any]:
    """Gives the comparison of two methods in this order, whatever order the report has."""
    if f"{one}|{other}" in report["pairs"]:
        return dict(report["pairs"][f"{one}|{other}"])
    known = report["pairs"][f"{other}|{one}"]
    turned = {key: _turned(known[key]) for key in ("difference", "same_length") if key in known}
    rates = {key: _of_the_other(known[key]) for key in ("win_rate", "decided") if key in known}
    return {**known, **turned, **rates}


def sentences(report: Report) -> Iterator[str]:
    """Gives what the figures say: who is best, where the reference wins, where it loses, and what is not known."""
    order, reference = ranked(report), report["reference"]
    first = report["methods"][order[0]]["utility"]
    yield f"The highest utility is that of {order[0]}, {shown_estimate(first)}."
    verdicts: dict[str, list[str]] = {"above": [], "below": [], "undecided": []}
    for other in (name for name in order if name != reference):
        found = pair(report, reference, other)
        gap = found["difference"]
        side = "undecided" if found["p_holm"] >= ALPHA else "above" if gap["mean"] > 0 else "below"
        verdicts[side].append(f"{other} ({gap['mean']:+.3f} [{gap['low']:+.3f}, {gap['high']:+.3f}])")
    corrected = f"corrected for {len(report['pairs'])} comparisons"
    if verdicts["above"]:
        yield f"{reference} is above, {corrected}: {', '.join(verdicts['above'])}."
    if verdicts["below"]:
        yield f"{reference} is below, {corrected}: {', '.join(verdicts['below'])}."
    if verdicts["undecided"]:
        yield f"Between {reference} and these nothing is decided, {corrected}: {', '.join(verdicts['undecided'])}."
    yield from _by_preference(report)
    if report["gap"] and report["gap"]["closed"]:
        gap = report["gap"]
        apart = [asked.replace("+", ", ") for asked, one in gap["by_preference"].items() if one["closed"] is None]
        left = f" (set apart, for want of a gap: {'; '.join(apart)})" if apart else ""
        told = f"{reference} closes {shown_estimate(gap['closed'])} of the gap between {gap['from']} and {gap['to']}"
        yield f"{told}{left}."
    yield from _by_front(report)
    for user, asked in report["settings"].get("users", {}).items():
        yield f"{user} asks for {asked.replace('+', ', ')}."
    if broken := [name for name, found in report["soups"].items() if found["broken"]]:
        yield f"WARNING: not the sum of their experts' updates, their figures are void: {', '.join(broken)}."
    if not any(choice["worth"] is not None for choice in report["choices"].values()):
        yield "Nothing was chosen on validation questions: every method runs with its plain settings."


def _by_preference(report: Report) -> Iterator[str]:
    """Under which preferences the reference is best."""
    reference = report["reference"]
    rivals = [name for name in report["methods"] if name not in (reference, "expert-oracle")]
    preferences = report["methods"][reference]["by_preference"]
    if not rivals:
        return
    won = [
        asked
        for asked, own in preferences.items()
        if all(own["mean"] > report["methods"][name]["by_preference"][asked]["mean"] for name in rivals)
    ]
    told = f": {'; '.join(one.replace('+', ', ') for one in won)}" if won else ""
    yield f"{reference} has the highest mean of all methods under {len(won)} of {len(preferences)} preferences{told}."


def _by_front(report: Report) -> Iterator[str]:
    """Which method offers most where more and less is asked for."""
    for swept, found in report.get("fronts", {}).items():
        best = max(found["methods"], key=lambda name: found["methods"][name]["hypervolume"]["mean"])
        told = shown_estimate(found["methods"][best]["hypervolume"])
        yield f"Sweeping {swept.replace('+', ' and ')}, the front of {best} commands most: {told}."


def conditions(report: Report) -> str:
    """Gives the sentence that says what was measured."""
    settings = report["settings"]
    return (
        f"{settings['prompts']} questions, {settings['preferences']} preferences, decoding seeds: {settings['seeds']}, "
        f"temperatures {', '.join(f'{one:g}' for one in settings['temperatures'])}; judged by {settings['judge']}, "
        f"chosen on {settings['validation_prompts']} other questions by {settings['chooser']}. "
        "Utility is quality times the mean score on what is asked, all in [0, 1]. "
        f"Models `{settings['identity'][:12]}`."
    )


def _turned(numbers: Mapping[str, float]) -> dict[str, float]:
    return {"mean": -numbers["mean"], "low": -numbers["high"], "high": -numbers["low"]}


def _of_the_other(rate: Mapping[str, float]) -> dict[str, float]:
    return {"mean": 1 - rate["mean"], "low": 1 - rate["high"], "high": 1 - rate["low"]}
