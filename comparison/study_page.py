"""The report of a study for people: Markdown, one HTML page with its pictures inside, tables for a terminal.

Knows the report's shape. Does not know how a number came about. Every sentence is made from the figures.
"""

import html
from collections.abc import Iterator, Mapping
from typing import Any

from matplotlib.figure import Figure

from comparison.page import Sheet, shown_estimate
from evaluation.intervals import Estimate
from evaluation.pictures import line_plot, matrix_plot, point_plot, svg
from evaluation.plots import dot_plot

Report = Mapping[str, Any]
SHOWN = 8
"""Lines in one picture: more cannot be told apart."""
ALPHA = 0.05
STYLE = (
    "body{font:15px/1.5 system-ui,sans-serif;max-width:62rem;margin:2rem auto;padding:0 1rem;color:#111}"
    "table{border-collapse:collapse;font-size:13px;margin:.5rem 0 1.5rem}td,th{padding:.15rem .6rem;text-align:right;"
    "border-bottom:1px solid #ddd}td:first-child,th:first-child{text-align:left}svg{max-width:100%;height:auto}"
)


def ranked(report: Report) -> list[str]:
    """Gives the methods' names, the one with the highest utility first."""
    return sorted(report["methods"], key=lambda name: -report["methods"][name]["utility"]["mean"])


def pair(report: Report, one: str, other: str) -> dict[str, Any]:
    """Gives the comparison of two methods in this order, whatever order the report has."""
    if f"{one}|{other}" in report["pairs"]:
        return dict(report["pairs"][f"{one}|{other}"])
    known = report["pairs"][f"{other}|{one}"]
    turned = {key: _turned(known[key]) for key in ("difference", "same_length") if key in known}
    rate = known["win_rate"]
    turned["win_rate"] = {"mean": 1 - rate["mean"], "low": 1 - rate["high"], "high": 1 - rate["low"]}
    return {**known, **turned}


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
            same = shown_estimate(found["same_length"]) if "same_length" in found else ""
            numbers = [shown_estimate(found["difference"]), shown_estimate(found["win_rate"]), same]
            rows.append([other, *numbers, f"{found['p_holm']:.3f}"])
    title = f"Utility of {reference} minus that of each other method, paired by question; p-values after Holm."
    return Sheet(title, ["minus", "difference", "win rate", "difference at equal length", "p"], rows)


def texts_sheet(report: Report) -> Sheet:
    """Gives what can be counted in the answers, and what they cost."""
    header = ["method", "words", "grade level", "distinct-2", "self-BLEU", "ms per token", "readers", "trained models"]
    rows = []
    for name in ranked(report):
        text, cost = report["methods"][name]["text"], report["methods"][name]["cost"]
        speed = f"{cost['milliseconds_per_token']:.2f}" if "milliseconds_per_token" in cost else ""
        counted = [f"{text['words']:.1f}", f"{text['grade_level']:.1f}"]
        varied = [f"{text['distinct_2']:.3f}", f"{text['self_bleu']:.3f}"]
        rows.append([name, *counted, *varied, speed, str(cost.get("readers", "")), str(cost.get("trained_models", ""))])
    return Sheet("Texts and costs; milliseconds of this machine, answers side by side.", header, rows)


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


def judge_sheet(report: Report) -> Sheet:
    """Gives how often a language model prefers the reference's answers."""
    spoken = report["language_judge"]
    rows = [[other, shown_estimate(rate)] for other, rate in spoken["win_rates"].items()]
    title = f"How often {spoken['model']}, asked in both orders, prefers {report['reference']}; disagreement is a tie."
    return Sheet(title, ["against", "win rate"], rows)


def sheets(report: Report) -> list[Sheet]:
    """Gives all tables."""
    found = [methods_sheet(report), temperatures_sheet(report), pairs_sheet(report)]
    found += [gap_sheet(report)] if report["gap"] else []
    found += [texts_sheet(report), choices_sheet(report)]
    if report["soups"]:
        found.append(soups_sheet(report))
    return [*found, judge_sheet(report)] if report.get("language_judge") else found


def utility_plot(report: Report) -> Figure:
    """Gives the utility of every method with its interval, the best one first."""
    shown = {name: Estimate(**report["methods"][name]["utility"]) for name in ranked(report)}
    return dot_plot({"utility": shown}, "utility (quality × mean score on what is asked), 95 % intervals")


def pictures(report: Report) -> dict[str, str]:
    """Gives the pictures as SVG, by their titles."""
    order, methods = ranked(report), report["methods"]
    top = [name for name in order if name != report["reference"]][: SHOWN - 1]
    top = [name for name in order if name in (*top, report["reference"])]
    by_preference = {n: {p.replace("+", "\n"): v["mean"] for p, v in methods[n]["by_preference"].items()} for n in top}
    swept = {n: {t: v["utility"]["mean"] for t, v in methods[n]["by_temperature"].items()} for n in top}
    places = {name: (methods[name]["quality"]["mean"], methods[name]["preference"]["mean"]) for name in order}
    front = [name for name in order if methods[name]["on_front"]]
    drawn = {
        "Utility of every method, with 95 % intervals": utility_plot(report),
        "Utility under each preference": line_plot(by_preference, "preference", "utility"),
        "Utility against temperature": line_plot(swept, "temperature", "utility"),
        "Quality against what is asked; the front is joined": point_plot(
            places, "quality", "score on what is asked", front
        ),
        "Who beats whom": matrix_plot(order, _shares(report, order), "row beats column, % (ties half)"),
    }
    speed = {n: methods[n]["cost"].get("milliseconds_per_token") for n in order}
    if costs := {n: (ms, methods[n]["utility"]["mean"]) for n, ms in speed.items() if ms is not None}:
        drawn["Utility against cost"] = point_plot(costs, "milliseconds per token", "utility")
    return {title: svg(figure) for title, figure in drawn.items()}


def page(report: Report) -> str:
    """Gives the report in Markdown."""
    said = "".join(f"- {one}\n" for one in sentences(report))
    return "\n".join(["# Comparison\n", f"{conditions(report)}\n", said, *(one.markdown() for one in sheets(report))])


def summary(report: Report) -> str:
    """Gives what the README shows: conditions, what the figures say, and the tables that hold them."""
    said = "".join(f"- {one}\n" for one in sentences(report))
    shown = [methods_sheet(report), temperatures_sheet(report), pairs_sheet(report)]
    shown += [gap_sheet(report)] if report["gap"] else []
    return "\n".join([f"{conditions(report)}\n", said, *(one.markdown() for one in shown)])


def html_page(report: Report) -> str:
    """Gives the report as one HTML page that needs nothing beside itself."""
    said = "".join(f"<li>{html.escape(one)}</li>" for one in sentences(report))
    drawn = "".join(f"<h2>{html.escape(title)}</h2>{picture}" for title, picture in pictures(report).items())
    tables = "".join(_table(one) for one in sheets(report))
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>Comparison</title><style>{STYLE}</style>'
        f"<h1>Comparison</h1><p>{html.escape(conditions(report))}</p><ul>{said}</ul>{drawn}{tables}</html>\n"
    )


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


def _shares(report: Report, order: list[str]) -> list[list[float]]:
    """Points of the row against the column as a share of their matches, in this order."""
    known = report["matches"]
    place = {name: number for number, name in enumerate(known["names"])}

    def share(row: str, column: str) -> float:
        wins, losses = known["wins"][place[row]][place[column]], known["wins"][place[column]][place[row]]
        ties = known["ties"][place[row]][place[column]]
        return (wins + ties / 2) / (wins + losses + ties) if row != column else 0.0

    return [[share(row, column) for column in order] for row in order]


def _turned(numbers: Mapping[str, float]) -> dict[str, float]:
    return {"mean": -numbers["mean"], "low": -numbers["high"], "high": -numbers["low"]}


def _table(sheet: Sheet) -> str:
    """A sheet in HTML."""
    head = "".join(f"<th>{html.escape(one)}</th>" for one in sheet.header)
    rows = "".join("<tr>" + "".join(f"<td>{html.escape(one)}</td>" for one in row) + "</tr>" for row in sheet.rows)
    return f"<p>{html.escape(sheet.title)}</p><table><tr>{head}</tr>{rows}</table>"
