"""A study whose answers and worths can be read off by eye."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
from rich.progress import Progress
from scripted import PREFERENCES, PROMPTS, Echo

from comparison.archive import Archive
from comparison.lineup import Entry
from comparison.scorers import Scores
from comparison.study import Plan, Study
from comparison.study_report import study_report
from experts.miniature.corpus import Prompt

VALIDATION = [Prompt([{"role": "user", "content": text}], "") for text in ("Who?", "When?")]


COSTS = {
    "base": {
        "readers": "1", "trained_parameters": 0, "trained_models": "0", "gradient_steps": 0,
        "milliseconds_per_token": 2.5, "peak_bytes": 3_000_000,
    },
    "soup-best": {
        "readers": "1", "trained_parameters": 12_000, "trained_models": "2, one a pole", "gradient_steps": None,
    },
}  # fmt: skip


class Likes:
    """Gives an answer what stands behind `worth` in it, and tells which questions it saw."""

    def __init__(self) -> None:
        self.seen: set[str] = set()

    def score(self, prompts, answers):
        self.seen |= {one.messages[-1]["content"] for one in prompts}
        worth = np.array([float(answer.split("worth ")[1].split()[0]) for answer in answers])
        return Scores(np.ones(len(answers)), {"warm": worth, "cold": worth / 2})


class Worth(Echo):
    """Answers that are worth more the nearer a setting is to 2, and the cooler they are; expert a is good at why."""

    def __init__(
        self, name: str, setting: float = 0.0, gift: str = "", listens: bool = True, warmer: float = -0.1
    ) -> None:
        super().__init__(name, listens)
        self.setting, self.gift, self.warmer = setting, gift, warmer

    def respond(self, conversations, asked, sampling, seed):
        texts = super().respond(conversations, asked, sampling, seed)
        worth = 0.9 - 0.2 * abs(self.setting - 2) + self.warmer * sampling.temperature
        return [f"{text} worth {worth + 0.05 * (self.gift in text) * bool(self.gift):.4f} end." for text in texts]


def tuned() -> Entry:
    return Entry(
        "soup-best", lambda s: Worth(f"soup-best@{s['scale']:g}", s["scale"]), {"scale": (1.0, 2.0)}, {"scale": 1.0}
    )


def entries() -> list[Entry]:
    gifted = [Worth(f"expert-{letter}", 1.0, gift, False) for letter, gift in (("a", "Why"), ("b", "W"))]
    plain = [Worth("base", 1.0, listens=False), *gifted]
    return [*(Entry(method.name, lambda s, m=method: m) for method in plain), tuned()]


def study(folder: Path, judge, chooser, validation=VALIDATION) -> Study:
    case = SimpleNamespace(prompts=PROMPTS, validation=validation, preferences=PREFERENCES)
    archives = [Archive(folder / n, [one.messages for one in q]) for n, q in (("t", PROMPTS), ("v", validation))]
    return Study(case, Plan((1.0, 0.0), 2, 8), judge, chooser, *archives, Progress(disable=True))


def reported(folder: Path, chooser=None, validation=VALIDATION, further: tuple[Entry, ...] = ()):
    lines = [*entries(), *further]
    results = study(folder, Likes(), chooser, validation).run(lines)
    settings = {"prompts": 3, "preferences": 2, "seeds": 2, "temperatures": [1.0, 0.0], "judge": "gold"}
    settings |= {"validation_prompts": 2, "chooser": "learned", "identity": "0123456789abcdef"}
    return study_report(results, lines, ["warm", "cold"], "soup-best", settings, COSTS)
