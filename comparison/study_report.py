"""From results to the report of a comparison, as plain data that becomes JSON.

    {"settings": {...}, "reference": NAME, "choices": {NAME: {"settings", "worth", "tried"}},
     "methods": {NAME: {"note", "utility": {"mean", "low", "high"}, "quality": {...}, "preference": {...},
                        "by_preference": {...}, "by_dimension": {...}, "worst_dimension": {...},
                        "by_temperature": {...}, "text": {...}, "nats": {...}, "rating", "on_front", "hypervolume",
                        "cost": {...}}},
     "pairs": {"A|B": {"difference": {...}, "win_rate": {...}, "decided": {...},
                      "same_length": {...}, "p", "p_holm"}},
     "gap": {"from", "to", "closed": {...}, "goal_minus_ours": {...},
             "by_preference": {LABEL: {"gap": {...}, "gain": {...}, "closed": {...}}}},
     "fronts": {SWEPT: {"dimensions",
                        "methods": {NAME: {"points", "hypervolume": {...}, "reference_minus_ours": {...}}}}},
     "matches": {"names", "wins", "ties"}, "soups": {NAME: {"error", "promised", "broken"}}}

The gap is that from the best soup to the specialists, None where one of them is not compared.

Knows results and statistics. Does not know models, nor how numbers are shown.
"""

from collections.abc import Mapping, Sequence
from itertools import combinations as pairs_of
from typing import Any

import numpy as np

from comparison.combinations import label, strengths
from comparison.composed import Answered
from comparison.gap import gap_closed
from comparison.lineup import Entry
from comparison.outcomes import Array
from comparison.study import BEST_SINGLE, ORACLE, Results, structure
from evaluation.corrections import holm, paired_p_values, swaps_for
from evaluation.fronts import hypervolume, pareto_front
from evaluation.intervals import decided_win_rate, difference, estimate, prompt_means, win_rate
from evaluation.lengths import length_controlled
from evaluation.ratings import ELO, bradley_terry, matches
from evaluation.texts import distinct_n, grade_level, self_bleu, type_token_ratio, words

Report = dict[str, Any]
NOTES = {
    BEST_SINGLE: "for each preference the expert that validation likes best",
    ORACLE: "for each answer the expert that the judge likes best: a bound, no method",
}
FEWEST_FOR_LENGTH = 3
BEST_SOUP, SPECIALIST = "soup-best", "specialist"


def study_report(
    results: Results,
    entries: Sequence[Entry],
    names: Sequence[str],
    reference: str,
    settings: Mapping[str, Any],
    costs: Mapping[str, Mapping[str, Any]] | None = None,
) -> Report:
    """Gives the whole report.

    Args:
        results: Of a study.
        entries: Its lines.
        names: Of the dimensions.
        reference: The method that reports hold against all others.
        settings: What was compared, without times and paths.
        costs: Of each method, as far as they are known.
    """
    lines = {entry.name: entry for entry in entries}
    methods = {name: _method(results, name, names) for name in results.records}
    for name, entry in methods.items():
        line = lines.get(name)
        entry["note"] = NOTES.get(name, "") if line is None else line.note
        entry["nats"] = estimate(results.nats[name]).as_dict() if name in results.nats else None
        entry["cost"] = dict((costs or {}).get(name, {}))
    return {
        "settings": dict(settings),
        "reference": reference,
        "choices": {name: choice.as_dict() for name, choice in results.choices.items()},
        "methods": _with_ratings(methods, results),
        "pairs": _pairs(results),
        "gap": _gap(results, reference),
        "matches": _matches(results),
        "soups": {entry.name: _checked(entry, results) for entry in entries if entry.soup is not None},
    }


def _checked(entry: Entry, results: Results) -> Report:
    """Whether a soup with its chosen settings is what it promises."""
    assert entry.soup is not None
    soup = entry.soup(structure(results.choices[entry.name].settings))
    found = soup.checked(list(results.chosen(entry.name).texts))
    return {"error": found.error, "promised": found.promised, "broken": found.broken}


def _method(results: Results, name: str, names: Sequence[str]) -> Report:
    """The numbers of one method."""
    record = results.chosen(name)
    outcome = record.outcome
    asked_somewhere = [one for one in names if any(one in strengths(asked) for asked in outcome.scores)]
    by_dimension = {one: estimate(outcome.dimension(one)).as_dict() for one in asked_somewhere}
    worst = min(by_dimension, key=lambda one: by_dimension[one]["mean"])
    return {
        "utility": estimate(outcome.utility()).as_dict(),
        "quality": estimate(outcome.quality()).as_dict(),
        "preference": estimate(outcome.preference()).as_dict(),
        "by_preference": {label(asked): estimate(outcome.utility_of(asked)).as_dict() for asked in outcome.scores},
        "by_dimension": by_dimension,
        "worst_dimension": {"name": worst, **by_dimension[worst]},
        "by_temperature": {
            f"{temperature:g}": {
                "utility": estimate(one.outcome.utility()).as_dict(),
                "quality": estimate(one.outcome.quality()).as_dict(),
                "preference": estimate(one.outcome.preference()).as_dict(),
            }
            for temperature, one in results.records[name].items()
        },
        "text": _text(record),
    }


def _text(record: Answered) -> dict[str, float]:
    """What can be counted in the answers; variety is that of answers to different questions."""
    runs = [texts for seeds in record.texts.values() for texts in seeds]
    everything = [text for texts in runs for text in texts]
    return {
        "words": float(np.mean([len(words(text)) for text in everything])),
        "grade_level": float(np.mean([grade_level(text) for text in everything])),
        "type_token_ratio": float(np.mean([type_token_ratio(text) for text in everything])),
        "distinct_2": float(np.mean([distinct_n(texts, 2) for texts in runs])),
        "self_bleu": float(np.mean([self_bleu(texts) for texts in runs])) if len(runs[0]) > 1 else 0.0,
    }


def _with_ratings(methods: dict[str, Report], results: Results) -> dict[str, Report]:
    """Adds what compares a method with all the others: rating, front, hypervolume."""
    strengths = bradley_terry(matches([_utility(results, name) for name in methods]).points)
    points = [(entry["quality"]["mean"], entry["preference"]["mean"]) for entry in methods.values()]
    for (name, entry), strength, on_front in zip(methods.items(), strengths, pareto_front(points), strict=True):
        sweep = [
            (one.outcome.quality().mean(), one.outcome.preference().mean()) for one in results.records[name].values()
        ]
        entry["rating"] = float(ELO * strength)
        entry["on_front"] = bool(on_front)
        entry["hypervolume"] = hypervolume(sweep, (0.0, 0.0))
    return methods


def _pairs(results: Results) -> Report:
    """Every two methods, each at its chosen temperature, with p-values corrected for their number."""
    found: Report = {}
    gaps: dict[str, Array] = {}
    lengths = {name: _lengths(results.chosen(name)) for name in results.records}
    for one, other in pairs_of(results.records, 2):
        pair = f"{one}|{other}"
        ours, theirs = results.chosen(one).outcome.utility(), results.chosen(other).outcome.utility()
        gaps[pair] = prompt_means(ours) - prompt_means(theirs)  # (N,)
        found[pair] = {
            "difference": difference(ours, theirs).as_dict(),
            "win_rate": win_rate(_by_prompt(ours), _by_prompt(theirs)).as_dict(),
        }
        if decided := decided_win_rate(_by_prompt(ours), _by_prompt(theirs)):
            found[pair]["decided"] = decided.as_dict()
        if len(ours) >= FEWEST_FOR_LENGTH:
            found[pair]["same_length"] = length_controlled(ours, theirs, lengths[one], lengths[other]).as_dict()
    return {pair: {**found[pair], **tested} for pair, tested in _p_values(gaps).items()}


def _p_values(gaps: Mapping[str, Array]) -> Report:
    """Of the differences at each question (N,), by pair, as they are and corrected for their number."""
    if not gaps:
        return {}
    found = paired_p_values(np.stack(list(gaps.values()), axis=1), resamples=swaps_for(len(gaps)))
    plain = dict(zip(gaps, found.tolist(), strict=True))
    corrected = holm(plain)
    return {pair: {"p": plain[pair], "p_holm": corrected[pair]} for pair in gaps}


def _gap(results: Results, reference: str) -> Report | None:
    """How much of the way from the best soup to the specialists the reference goes."""
    if not {BEST_SOUP, SPECIALIST} <= results.records.keys():
        return None
    ours, soup, ceiling = (results.chosen(name).outcome for name in (reference, BEST_SOUP, SPECIALIST))
    return {"from": BEST_SOUP, "to": SPECIALIST, **gap_closed(ours, soup, ceiling)}


def _matches(results: Results) -> Report:
    """Wins and ties of every method against every other one."""
    found = matches([_utility(results, name) for name in results.records])
    return {"names": list(results.records), "wins": found.wins.tolist(), "ties": found.ties.tolist()}


def _utility(results: Results, name: str) -> Array:
    return _by_prompt(results.chosen(name).outcome.utility())


def _by_prompt(utility: Array) -> Array:
    """Utility (N, P, S) without the seeds (N, P): methods at other temperatures have other numbers of them."""
    return utility.mean(axis=2)


def _lengths(record: Answered) -> Array:
    """Words of the answers, averaged for each prompt (N,)."""
    runs = [texts for seeds in record.texts.values() for texts in seeds]
    return np.array([[len(words(text)) for text in texts] for texts in runs], dtype=np.float64).mean(axis=0)
