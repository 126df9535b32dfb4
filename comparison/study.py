"""One comparison from beginning to end: choose on validation, answer the report's questions, score.

Knows the order of things and what is kept on disk. Does not know how an answer is made or how a number is shown.
The judge of the report never chooses, and what chooses never sees the report's questions.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

from rich.progress import Progress

from comparison.archive import Archive, Run
from comparison.cases import Case
from comparison.chain import Draws, answered, by_preference, groups
from comparison.choices import Choice, Settings, choose
from comparison.composed import Answered, always, best_single, composed, oracle
from comparison.decoding import Decoded
from comparison.distance import distances
from comparison.lineup import Entry
from comparison.methods import Method
from comparison.outcomes import Array, Outcome
from comparison.scorers import Scorer, Scores
from comparison.spared import Spared
from experts.miniature.corpus import Prompt

EXPERT = "expert-"
BEST_SINGLE, ORACLE = "expert-best", "expert-oracle"
TEMPERATURE = "temperature"

Records = dict[str, dict[float, Answered]]
"""By method and temperature."""


@dataclass(frozen=True)
class Plan:
    """How much is decoded.

    Args:
        temperatures: Of the sweep; choices start at the first.
        seeds: Draws at each temperature above 0.
        max_new_tokens: The most tokens of an answer.

    Raises:
        ValueError: If there is no temperature twice or none at all, or not at least one seed.
    """

    temperatures: tuple[float, ...]
    seeds: int
    max_new_tokens: int

    def __post_init__(self) -> None:
        """Refuses a plan of nothing."""
        if not self.temperatures or len(set(self.temperatures)) < len(self.temperatures):
            raise ValueError(f"temperatures must be different ones, at least one, got {self.temperatures}")
        if self.seeds < 1:
            raise ValueError(f"seeds must be at least 1, got {self.seeds}")

    def draws(self, temperatures: Sequence[float], seeds: int) -> Draws:
        """Gives the seeds at each of these temperatures; at 0 one is all there is."""
        return {temperature: range(seeds if temperature > 0 else 1) for temperature in temperatures}


@dataclass(frozen=True)
class Results:
    """What a study found.

    Args:
        records: Answers and their worth by method and temperature.
        choices: What was chosen for each method, its temperature among it.
        nats: From the base, of each method's answers to the first questions (N', P, S), where one mixture made them.
    """

    records: Records
    choices: Mapping[str, Choice]
    nats: Mapping[str, Array] = field(default_factory=dict)

    def structure(self, name: str) -> Settings:
        """Gives the chosen settings of a method, its temperature left out."""
        return structure(self.choices[name].settings)

    def chosen(self, name: str) -> Answered:
        """Gives a method's answers at its chosen temperature."""
        return self.records[name][self.temperature(name)]

    def temperature(self, name: str) -> float:
        """Gives the chosen temperature of a method."""
        return self.choices[name].settings[TEMPERATURE]


@dataclass(frozen=True)
class Study:
    """A comparison that can be stopped and goes on.

    Args:
        case: What is compared on.
        plan: How much.
        judge: Of the report.
        chooser: Of the hyper-parameters; None chooses nothing.
        tested: Keeps the answers to the report's questions.
        validated: Keeps the answers to the validation questions.
        progress: Shows how far it is.
    """

    case: Case
    plan: Plan
    judge: Scorer
    chooser: Scorer | None
    tested: Archive
    validated: Archive
    progress: Progress

    def run(self, entries: Sequence[Entry]) -> Results:
        """Gives the results of these lines, those composed of experts' answers added."""
        choices = self._choices(entries)
        bar = self.progress.add_task("answering", total=len(entries))
        records: Records = {}
        everywhere = self.plan.draws(self.plan.temperatures, self.plan.seeds)
        for entry in entries:
            self.progress.update(bar, description=f"answering: {entry.name}")
            method = entry.make(structure(choices[entry.name].settings))
            records[entry.name] = self._answered(method, self.tested, self.case.prompts, everywhere, self.judge)
            self.progress.advance(bar)
        experts = [entry for entry in entries if entry.name.startswith(EXPERT)]
        if len(experts) > 1:
            self._compose(experts, records, choices)
        return Results(records, choices, self._nats(entries, records, choices))

    def swept(self, entries: Sequence[Entry], choices: Mapping[str, Choice]) -> dict[str, Outcome]:
        """Gives what these lines are worth with their chosen settings, under this case's preferences.

        Args:
            entries: Lines.
            choices: Of each, perhaps made under other preferences.
        """
        bar = self.progress.add_task("sweeping", total=len(entries))
        found = {}
        for entry in entries:
            self.progress.update(bar, description=f"sweeping: {entry.name}")
            settings = choices[entry.name].settings
            planned = self.plan.draws([settings[TEMPERATURE]], self.plan.seeds)
            method = entry.make(structure(settings))
            answered = self._answered(method, self.tested, self.case.prompts, planned, self.judge)
            found[entry.name] = answered[settings[TEMPERATURE]].outcome
            self.progress.advance(bar)
        return found

    def _choices(self, entries: Sequence[Entry]) -> dict[str, Choice]:
        """What validation chooses for each line, its temperature among it."""
        bar = self.progress.add_task("choosing", total=len(entries))
        found = {}
        for entry in entries:
            self.progress.update(bar, description=f"choosing: {entry.name}")
            start = {**entry.start, TEMPERATURE: self.plan.temperatures[0]}
            if self.chooser is None or not self.case.validation:
                found[entry.name] = Choice(start, None)
            else:
                grid = {TEMPERATURE: self.plan.temperatures, **entry.grid}
                found[entry.name] = choose(start, grid, partial(self._worth, entry))
            self.progress.advance(bar)
        return found

    def _worth(self, entry: Entry, settings: Settings) -> float:
        """The mean utility to the chooser on validation questions."""
        return float(self._validation(entry, settings).outcome.utility().mean())

    def _validation(self, entry: Entry, settings: Settings) -> Answered:
        """The answers of a line with these settings to the validation questions, scored by the chooser."""
        assert self.chooser is not None
        temperature = settings[TEMPERATURE]
        planned = self.plan.draws([temperature], 1)
        method = (entry.rehearse or entry.make)(structure(settings))
        return self._answered(method, self.validated, self.case.validation, planned, self.chooser)[temperature]

    def _answered(
        self, method: Method, archive: Archive, prompts: Sequence[Prompt], planned: Draws, scorer: Scorer
    ) -> dict[float, Answered]:
        """A method's answers and their worth at each temperature."""
        texts: dict[Run, list[str]] = {}
        scores: dict[Run, Scores] = {}
        for group in groups(method, self.case.preferences, planned):
            texts |= zip(group, answered(method, group, archive, self.plan.max_new_tokens), strict=True)
            scores |= {run: scorer.score(prompts, texts[run]) for run in group}
        found = {}
        for temperature, seeds in planned.items():
            runs = method, self.case.preferences, temperature, seeds
            found[temperature] = Answered(Outcome(by_preference(*runs, scores)), by_preference(*runs, texts))
        return found

    def _nats(self, entries: Sequence[Entry], records: Records, choices: Mapping[str, Choice]) -> dict[str, Array]:
        """How far each method's answers are from the base, where that can be told."""
        bar = self.progress.add_task("distances", total=len(entries))
        found = {}
        for entry in entries:
            self.progress.update(bar, description=f"distances: {entry.name}")
            settings = choices[entry.name].settings
            method, temperature = entry.make(structure(settings)), settings[TEMPERATURE]
            if isinstance(method, Decoded) and not isinstance(method, Spared):
                texts = records[entry.name][temperature].texts
                found[entry.name] = distances(method, texts, temperature, self.tested, self.plan.max_new_tokens)
            self.progress.advance(bar)
        return found

    def _compose(self, experts: Sequence[Entry], records: Records, choices: dict[str, Choice]) -> None:
        """Adds the best single expert for each preference, chosen on validation, and the judge's own choice."""
        names = [entry.name for entry in experts]
        tested = {t: [records[name][t] for name in names] for t in self.plan.temperatures}
        start = {TEMPERATURE: self.plan.temperatures[0]}
        records[ORACLE] = {t: composed(found, oracle(found)) for t, found in tested.items()}
        choices[ORACLE] = Choice(start, None)
        if self.chooser is None or not self.case.validation:
            return
        validated = {
            t: [self._validation(entry, {**entry.start, TEMPERATURE: t}) for entry in experts]
            for t in self.plan.temperatures
        }
        picks = {t: best_single(found) for t, found in validated.items()}
        records[BEST_SINGLE] = {t: composed(found, always(picks[t], found[0])) for t, found in tested.items()}
        single = {t: composed(found, always(picks[t], found[0])) for t, found in validated.items()}
        freely = {t: composed(found, oracle(found)) for t, found in validated.items()}
        for name, known in ((BEST_SINGLE, single), (ORACLE, freely)):
            grid = {TEMPERATURE: self.plan.temperatures}
            choices[name] = choose(start, grid, partial(_mean_utility, known))


def _mean_utility(known: Mapping[float, Answered], settings: Settings) -> float:
    return float(known[settings[TEMPERATURE]].outcome.utility().mean())


def structure(settings: Settings) -> Settings:
    """The settings without the temperature."""
    return {name: value for name, value in settings.items() if name != TEMPERATURE}
