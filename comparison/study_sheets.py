"""The tables of a comparison, for a terminal and for pages.

Knows the report's shape. Does not know how a number came about.
"""

from collections.abc import Mapping
from typing import Any

from comparison.page import Sheet, shown_estimate
from comparison.study_told import Report, pair, ranked

PLAINLY: Mapping[str, str] = {
    "pcm-anchored": "**experts mixed at each token by the controller**",
    "pcm-anchored-prompted": "controller, told the preference in the prompt too",
    "pcm-text": "controller, the preference read from words alone",
    "specialist": "a model of its own for each preference",
    "prompt-multi-objective": "one model trained for all preferences, told in the prompt",
    "soup-best": "experts merged, scale and weights tuned",
    "soup-best-prompted": "tuned merge, told the preference in the prompt too",
    "soup-uniform": "experts merged evenly",
    "fixed-anchored": "experts mixed evenly at each token",
    "expert-best": "the best single expert",
    "prompt-preference": "the base, told the preference in the prompt",
    "base": "the base",
}
"""What a newcomer asks about, in the newcomer's words."""


def methods_sheet(report: Report) -> Sheet:
    """Gives every method at its chosen temperature."""
    header = ["method", "utility", "quality", "score on what is asked", "worst dimension", "rating", "temperature"]
    rows = []
    for name in ranked(report):
        entry = report["methods"][name]
        chosen = report["choices"][name]["settings"]["temperature"]
        worst = entry["worst_dimension"]
        numbers = [shown_estimate(entry[key]) for key in ("utility", "quality", "preference")]
        told = [f"{worst['mean']:.3f} {worst['name']}", f"{entry['rating']:+.0f}", f"{chosen:g}"]
        rows.append([name, *numbers, *told])
    return Sheet("Every method at the temperature that validation chose; ratings are Elo points.", header, rows)


def headline_sheet(report: Report) -> Sheet:
    """Gives the methods that a newcomer asks about, and what the reference is ahead of each."""
    reference, hottest = report["reference"], f"{max(report['settings']['temperatures']):g}"
    rows = []
    for name in (name for name in ranked(report) if name in PLAINLY):
        entry = report["methods"][name]
        drawn = f"{entry['by_temperature'][hottest]['utility']['mean']:.3f}"
        found = None if name == reference else pair(report, reference, name)
        ahead = ["", ""] if found is None else [shown_estimate(found["difference"]), f"{found['win_rate']['mean']:.1%}"]
        told = f"{PLAINLY[name]} (`{name}`)"
        rows.append([told, shown_estimate(entry["utility"]), drawn, *ahead])
    header = [
        "how answers are made",
        "utility",
        f"at temperature {hottest}",
        f"`{reference}` beyond it",
        "wins against it",
    ]
    return Sheet("", header, rows)


def temperatures_sheet(report: Report) -> Sheet:
    """Gives every method at each temperature of the sweep."""
    rows = []
    swept = [f"{one:g}" for one in report["settings"]["temperatures"]]
    for name in ranked(report):
        found = [report["methods"][name]["by_temperature"][one] for one in swept]
        rows.append([name, *(f"{one['utility']['mean']:.3f} ({one['quality']['mean']:.3f})" for one in found)])
    return Sheet("Utility (and quality) of every method at each temperature.", ["method", *swept], rows)


def gap_sheet(report: Report) -> Sheet:
    """Gives how much of the way from the best soup to the specialists the reference goes."""
    gap, reference = report["gap"], report["reference"]
    rows = []
    for asked, one in gap["by_preference"].items():
        closed = "set apart" if one["closed"] is None else shown_estimate(one["closed"])
        rows.append([asked.replace("+", ", "), shown_estimate(one["gap"]), shown_estimate(one["gain"]), closed])
    title = f"The gap in utility from {gap['from']} to {gap['to']}, and the share of it that {reference} closes."
    return Sheet(title, ["preference", "gap", f"{reference} beyond {gap['from']}", "closed"], rows)


def pairs_sheet(report: Report) -> Sheet:
    """Gives the reference against every other method."""
    reference = report["reference"]
    rows = []
    for other in ranked(report):
        if other != reference:
            found = pair(report, reference, other)
            numbers = (found.get(key) for key in ("difference", "win_rate", "decided", "same_length"))
            told = [shown_estimate(one) if one else "" for one in numbers]
            rows.append([other, *told, f"{found['p_holm']:.3f}"])
    title = (
        f"Utility of {reference} minus that of each other method, paired by question; p-values after Holm. "
        "In win rates a tie counts as half; among the decided answers there are none."
    )
    return Sheet(title, ["minus", "difference", "win rate", "of the decided", "difference at equal length", "p"], rows)


def texts_sheet(report: Report) -> Sheet:
    """Gives what can be counted in the answers, and how far they are from the base."""
    header = ["method", "words", "grade level", "distinct-2", "self-BLEU", "temperature", "nats from the base"]
    rows = []
    for name in ranked(report):
        text, nats = report["methods"][name]["text"], report["methods"][name]["nats"]
        counted = [f"{text['words']:.1f}", f"{text['grade_level']:.1f}"]
        varied = [f"{text['distinct_2']:.3f}", f"{text['self_bleu']:.3f}"]
        cooled = f"{report['choices'][name]['settings']['temperature']:g}"
        rows.append([name, *counted, *varied, cooled, shown_estimate(nats) if nats else ""])
    title = "Answers counted; nats are KL(method at its temperature‖base at 1) summed over the tokens of an answer."
    return Sheet(title, header, rows)


def costs_sheet(report: Report) -> Sheet:
    """Gives what the methods cost."""
    header = ["method", "ms per token", "peak MB", "readers", "trained parameters", "gradient steps", "trained models"]
    rows = []
    for name in ranked(report):
        cost = report["methods"][name]["cost"]
        speed = f"{cost['milliseconds_per_token']:.2f}" if "milliseconds_per_token" in cost else ""
        memory = f"{cost['peak_bytes'] / 1e6:.1f}" if "peak_bytes" in cost else ""
        counts = (cost.get(key) for key in ("trained_parameters", "gradient_steps"))
        trained = ["" if one is None else f"{one:,}" for one in counts]
        rows.append([name, speed, memory, str(cost.get("readers", "")), *trained, str(cost.get("trained_models", ""))])
    title = "Costs of one request on this machine, weights in memory included; one reader is taken for a merged model."
    return Sheet(title, header, rows)


def choices_sheet(report: Report) -> Sheet:
    """Gives what was chosen on validation."""
    rows = []
    for name, choice in report["choices"].items():
        settings = ", ".join(f"{key} {value:g}" for key, value in choice["settings"].items())
        worth = "" if choice["worth"] is None else f"{choice['worth']:.3f}"
        rows.append([name, settings, worth, str(len(choice["tried"]))])
    title = "What was chosen on validation questions, by what the judge has no part in."
    return Sheet(title, ["method", "settings", "worth", "tried"], rows)


def soups_sheet(report: Report) -> Sheet:
    """Gives how far each soup is from the exact sum of its experts' updates."""
    rows = [
        [name, f"{found['error']:.2g}", "yes" if found["promised"] else "no", "BROKEN" if found["broken"] else "fine"]
        for name, found in report["soups"].items()
    ]
    return Sheet("Merged updates against the exact sum.", ["soup", "relative error", "promises the sum", "is"], rows)


def fronts_sheet(swept: str, found: Mapping[str, Any], reference: str) -> Sheet:
    """Gives how much room each method's front commands, the most first.

    Args:
        swept: The dimensions, joined by +.
        found: Their front.
        reference: The method that is held against the others.
    """
    rows = []
    for name, entry in sorted(found["methods"].items(), key=lambda pair: -pair[1]["hypervolume"]["mean"]):
        against = entry.get("reference_minus_ours")
        rows.append([name, shown_estimate(entry["hypervolume"]), shown_estimate(against) if against else ""])
    title = f"Hypervolume of quality times score, from none to all asked for of {swept.replace('+', ' and of ')}."
    return Sheet(title, ["method", "hypervolume", f"{reference} beyond it"], rows)


def judge_sheet(report: Report) -> Sheet:
    """Gives how often a language model prefers the reference's answers."""
    spoken = report["language_judge"]
    rows = [[other, shown_estimate(rate)] for other, rate in spoken["win_rates"].items()]
    title = f"How often {spoken['model']}, asked in both orders, prefers {report['reference']}; disagreement is a tie."
    title += f" Of {spoken['replies']} replies {spoken['undecided']} held no verdict and count as ties."
    return Sheet(title, ["against", "win rate"], rows)


def sheets(report: Report) -> list[Sheet]:
    """Gives all tables."""
    found = [methods_sheet(report), temperatures_sheet(report), pairs_sheet(report)]
    found += [gap_sheet(report)] if report["gap"] else []
    found += [texts_sheet(report), costs_sheet(report), choices_sheet(report)]
    if report["soups"]:
        found.append(soups_sheet(report))
    found += [fronts_sheet(swept, one, report["reference"]) for swept, one in report.get("fronts", {}).items()]
    return [*found, judge_sheet(report)] if report.get("language_judge") else found
