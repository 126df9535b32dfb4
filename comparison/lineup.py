"""Everything that is compared: each way to answer with what can be chosen about it and what it costs.

Knows methods and how they are put together. Does not know what an answer is worth nor which settings win.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from functools import partial

import torch
from torch import Tensor

from comparison.choices import Settings
from comparison.combinations import Combination
from comparison.costs import CONTROLLER, EXPERTS, Cost, costs
from comparison.decoding import Decoded, Request
from comparison.methods import Base, Expert, Method, Mixed, MixedByText, PromptPreference, controlled_name
from comparison.phrasing import Phrase
from comparison.soups import Kitchen, Soup
from comparison.spared import spared
from comparison.static import StaticSoup
from comparison.yardsticks import BestOf, InContext
from decoding.conversation import Conversation
from decoding.rules import RULES, anchored
from experts.soup.recipes import RECIPES, recipe_named
from mixture import Mixture

SCALES = (0.5, 0.75, 1.0, 1.5, 2.0, 3.0)
SHARES = (0.5, 1.0, 2.0)
TEMPERINGS = (0.25, 0.5, 0.75, 1.0)


@dataclass(frozen=True)
class Entry:
    """One line of the comparison.

    Args:
        name: What reports call it.
        make: Gives the method for its settings, which never include the sampling temperature.
        grid: Candidates of each setting, in the order of the search.
        start: Value of each setting before anything is chosen.
        note: What it is, where the name does not say it.
        cost: What it needs, where that is known.
        soup: Gives the soup behind it for its settings, where there is one: reports check it.
        graded: Whether half a wish is something else to it than a whole one: fronts are drawn of such lines.
        rehearse: Gives who answers validation questions in its place, where it would hear what is kept for the test.
    """

    name: str
    make: Callable[[Settings], Method]
    grid: Mapping[str, Sequence[float]] = field(default_factory=dict)
    start: Settings = field(default_factory=dict)
    note: str = ""
    cost: Cost | None = None
    soup: Callable[[Settings], Soup] | None = None
    graded: bool = False
    rehearse: Callable[[Settings], Method] | None = None


class Tempered(Decoded):
    """Another method at another temperature: whether what looks like a better method is sharpening alone."""

    def __init__(self, name: str, method: Decoded, tempering: float) -> None:
        """Multiplies every temperature by `tempering`."""
        self.name, self.method, self.tempering = name, method, tempering
        self.listens, self.at_once = method.listens, method.at_once

    def request(self, conversations: Sequence[Conversation], asked: Combination, seed: int) -> Request:
        """Gives what the other method reads, to be drawn from cooler."""
        return self.requests(conversations, [asked], seed)[0]

    def requests(
        self, conversations: Sequence[Conversation], preferences: Sequence[Combination], seed: int
    ) -> list[Request]:
        """Gives what the other method reads under each preference, to be drawn from cooler."""
        theirs = self.method.requests(conversations, preferences, seed)
        return [one._replace(tempering=self.tempering) for one in theirs]


def lineup(
    mixture: Mixture,
    phrase: Phrase,
    held_out: Phrase,
    best: BestOf | None,
    shown: InContext | None,
    static: StaticSoup | None = None,
) -> list[Entry]:
    """Gives every line that a mixture can be compared in, baselines first.

    Args:
        mixture: Without a controller there are no lines of it, without a reader nothing is asked in words.
        phrase: Puts preferences into words for prompts.
        held_out: Puts preferences into words for the reader.
        best: Best-of-n; None where nothing can choose.
        shown: In-context examples; None where there are none.
        static: The soup of a controller's mean weights; None where there are no questions to average over.
    """
    plain = costs(mixture)
    entries = [
        _fixed(Base(mixture), "the base alone", plain["base"]),
        _fixed(PromptPreference(mixture, phrase), "the base, told what is preferred", plain["base"]),
    ]
    if shown is not None:
        entries.append(_fixed(shown, "the base, shown answers as the preference wants them", plain["chosen"]))
    if best is not None:
        cost = replace(plain["chosen"], readers=str(best.count))
        entries.append(_fixed(best, f"the best of {best.count} answers of the base by learned reward", cost))
    entries += [_fixed(Expert(mixture, name), "one expert alone", plain["soup"]) for name in mixture.names]
    entries += _soups(mixture, phrase, plain["soup"])
    entries += _mixtures(mixture, phrase, plain["mixture"])
    if mixture.pcm is not None:
        name = controlled_name(mixture)
        entries.append(controlled(name, Mixed(name, mixture), "mixed as the controller says"))
        told = Mixed(f"{name}-prompted", mixture, phrase)
        entries.append(_fixed(told, "mixed as the controller says, told what is preferred", plain["controlled"]))
        entries += [_fixed(one, one.note, plain["spared"]) for one in spared(mixture)]
        entries += [_static(static, plain["static"])] if static is not None else []
        if mixture.reader is not None:
            entries += _spoken(mixture, phrase, held_out, plain["spoken"])
    return entries


def controlled(name: str, method: Mixed, note: str, controller: str = CONTROLLER) -> Entry:
    """Gives the line of a mixture with a controller.

    Args:
        name: What reports call it.
        method: Answers; its own name tells archives one bundle from another.
        note: What it is.
        controller: What its controller is called where the optimiser's steps are told.
    """
    cost = replace(costs(method.mixture)["controlled"], trained=(EXPERTS, controller))
    return Entry(name, lambda settings: method, note=note, cost=cost, graded=True)


def some_of(entries: Sequence[Entry], patterns: Sequence[str]) -> list[str]:
    """Gives those of the patterns that some entry matches."""
    return [pattern for pattern in patterns if any(fnmatchcase(entry.name, pattern) for entry in entries)]


def only(entries: Sequence[Entry], patterns: Sequence[str]) -> list[Entry]:
    """Gives the entries whose names are given or match a pattern such as `soup-*`.

    Raises:
        ValueError: If a pattern matches nothing.
    """
    names = [entry.name for entry in entries]
    if idle := sorted({*patterns} - {*some_of(entries, patterns)}):
        raise ValueError(f"methods must be among {', '.join(names)} or patterns of them, got {', '.join(idle)}")
    return [entry for entry in entries if any(fnmatchcase(entry.name, pattern) for pattern in patterns)]


def _fixed(method: Method, note: str, cost: Cost) -> Entry:
    """A line about which nothing but the temperature is chosen."""
    return Entry(method.name, lambda settings: method, note=note, cost=cost)


def _spoken(mixture: Mixture, phrase: Phrase, held_out: Phrase, cost: Cost) -> Iterator[Entry]:
    """The lines that are asked in held-out words, read alone or told as well; temperatures are chosen in other ones."""
    for name, told in (("pcm-text", False), ("pcm-text-prompted", True)):
        spoken = MixedByText(name, mixture, held_out, told)
        rehearsed = MixedByText(f"{name}-rehearsed", mixture, phrase, told)
        note = "the same, asked in words" + (" that stand in the prompt too" if told else "")
        yield Entry(name, partial(_given, spoken), note=note, cost=cost, rehearse=partial(_given, rehearsed))


def _given(method: Method, settings: Settings) -> Method:
    """The method, about which nothing is chosen."""
    return method


def _soups(mixture: Mixture, phrase: Phrase, cost: Cost) -> Iterator[Entry]:
    """Each recipe, with and without the preference in the prompt."""
    kitchen = Kitchen(mixture)
    scaled = {"scale": SCALES}
    grids: dict[str, tuple[str, Mapping[str, Sequence[float]]]] = {
        "soup-uniform": ("exact", {}),
        "soup-best": ("exact", _tuning(mixture)),
        "soup-ties": ("ties", scaled),
        "soup-dare": ("dare", scaled),
        "soup-factors": ("factors", {}),
    }
    for name, (recipe, grid) in grids.items():
        for words, suffix in ((None, ""), (phrase, "-prompted")):
            start = dict.fromkeys(grid, 1.0)
            told = ", told what is preferred" if words else ""
            make = _soup_maker(name + suffix, kitchen, recipe, words)
            graded = recipe == "exact" and words is None
            yield Entry(name + suffix, make, grid, start, RECIPES[recipe].label + told, cost, make, graded)
    plain = Soup("soup-uniform", kitchen, RECIPES["exact"])
    yield replace(_tempered(plain, cost), soup=lambda settings: plain)


def _soup_maker(name: str, kitchen: Kitchen, recipe: str, phrase: Phrase | None) -> Callable[[Settings], Soup]:
    """What makes a soup of its settings; other settings are another name in the archive."""

    def make(settings: Settings) -> Soup:
        shares = {key.removeprefix("share "): value for key, value in settings.items() if key.startswith("share ")}
        full = keyed(name, settings)
        return Soup(full, kitchen, recipe_named(recipe), settings.get("scale", 1.0), shares, phrase)

    return make


def _static(soup: StaticSoup, cost: Cost) -> Entry:
    """The soup of a controller's mean weights."""
    note = "the exact soup of the controller's mean weights"
    return Entry(soup.name, lambda settings: soup, note=note, cost=cost, soup=lambda settings: soup, graded=True)


def _mixtures(mixture: Mixture, phrase: Phrase, cost: Cost) -> Iterator[Entry]:
    """The uniform mixture under each rule, the bundle's own told in words as well, cooler, and tuned."""
    notes = {"probability": "probabilities averaged", "logit": "log-probabilities averaged (MOD)"}
    for rule in RULES:
        name = f"fixed-{rule}"
        method = Mixed(name, mixture.uniform(rule))
        yield replace(_fixed(method, notes.get(rule, "mean difference to the base added"), cost), graded=True)
    told = Mixed("fixed-uniform-prompted", mixture.uniform(), phrase)
    yield _fixed(told, "the uniform mixture by the bundle's rule, told what is preferred", cost)
    yield _tempered(Mixed("fixed-uniform", mixture.uniform()), cost)
    note = "differences to the base added with one scale and one weight per expert, the same at every token"
    tuned = _tuning(mixture)
    yield Entry("fixed-best", partial(_tuned, mixture), tuned, dict.fromkeys(tuned, 1.0), note, cost, graded=True)


def _tuning(mixture: Mixture) -> dict[str, Sequence[float]]:
    """What can be chosen of everything that has a scale and a share for each expert."""
    return {"scale": SCALES} | {f"share {name}": SHARES for name in mixture.names}


def _tuned(mixture: Mixture, settings: Settings) -> Mixed:
    """The uniform mixture, each expert's weight times the scale and a share of its own."""
    factors = torch.tensor([settings["scale"] * settings[f"share {name}"] for name in mixture.names])  # (K,)

    def rule(base_logprobs: Tensor, expert_logprobs: Tensor, log_weights: Tensor) -> Tensor:
        return anchored(base_logprobs, expert_logprobs, log_weights + factors.to(log_weights).log())

    return Mixed(keyed("fixed-best", settings), mixture.uniform(rule))


def _tempered(method: Decoded, cost: Cost) -> Entry:
    """The method with one temperature of its own, learned on validation."""
    name = f"{method.name}-tempered"

    def make(settings: Settings) -> Method:
        return Tempered(keyed(name, settings), method, settings["tempering"])

    return Entry(name, make, {"tempering": TEMPERINGS}, {"tempering": 1.0}, "with one learned temperature", cost)


def keyed(name: str, settings: Settings) -> str:
    """Gives a name that holds the settings, so that no archive confuses one choice with another."""
    listed = "_".join(f"{key.replace(' ', '-')}={value:g}" for key, value in sorted(settings.items()))
    return f"{name}@{listed}" if listed else name
