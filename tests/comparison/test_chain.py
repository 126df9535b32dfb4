from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from rich.progress import Progress
from scripted import PREFERENCES, PROMPTS, Echo

import comparison.chain as chain
from comparison.archive import Archive, Run
from comparison.chain import answer_all, draws, runs, score_all
from comparison.decoding import Request
from comparison.methods import Mixed
from comparison.scorers import Scores
from decoding.sampling import Sampling
from mixture import Mixture

PLANNED = draws(2)


class Length:
    """Scores an answer by its last word and whether it names what is asked."""

    def score(self, prompts, answers):
        seeds = np.array([float(answer.split()[-1]) for answer in answers])
        return Scores(seeds, {name: np.array([float(name in one) for one in answers]) for name in ("warm", "cold")})


def archive(folder: Path) -> Archive:
    return Archive(folder, [prompt.messages for prompt in PROMPTS])


def answered(methods, folder: Path) -> Archive:
    kept = archive(folder)
    answer_all(methods, PREFERENCES, PLANNED, kept, 8, Progress(disable=True))
    return kept


def test_temperature_zero_needs_one_seed_and_a_method_that_does_not_listen_one_preference():
    assert [(t, list(seeds)) for t, seeds in PLANNED.items()] == [(1.0, [0, 1]), (0.0, [0])]
    assert len(list(runs(Echo("hears"), PREFERENCES, PLANNED))) == 2 * 3
    assert list(runs(Echo("deaf", listens=False), PREFERENCES, PLANNED)) == [
        Run("deaf", (), 1.0, 0), Run("deaf", (), 1.0, 1), Run("deaf", (), 0.0, 0),
    ]  # fmt: skip
    with pytest.raises(ValueError, match="seeds must be at least 1, got 0"):
        draws(0)


def test_an_interrupted_comparison_goes_on_where_it_stopped(tmp_path: Path):
    stopped = Echo("hears", interrupted_at=4)
    with pytest.raises(KeyboardInterrupt):
        answered([stopped], tmp_path / "twice")
    again = Echo("hears")
    answered([again], tmp_path / "twice")
    assert (stopped.calls, again.calls) == (4, 2)
    answered([Echo("hears")], tmp_path / "once")
    files = sorted(path.relative_to(tmp_path / "once") for path in (tmp_path / "once").rglob("*.jsonl"))
    assert len(files) == 6
    assert all((tmp_path / "once" / name).read_bytes() == (tmp_path / "twice" / name).read_bytes() for name in files)


def test_what_was_decoded_together_is_decoded_together_again_if_some_of_it_is_missing(
    mixture: Mixture, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    kept, method = archive(tmp_path), Mixed("pcm", mixture)
    group = [Run("pcm", asked, 1.0, 0) for asked in (("friendly",), ("concise",), ("friendly", "concise"))]
    first = chain.answered(method, group, kept, 8)
    assert [kept.read(run) for run in group] == first
    asked: list[int] = []
    together = chain.answers_together

    def counting(requests: Sequence[Request], sampling: Sampling) -> list[list[str]]:
        asked.append(len(requests))
        return together(requests, sampling)

    monkeypatch.setattr(chain, "answers_together", counting)
    assert chain.answered(method, group, kept, 8) == first
    (kept.folder / group[1].path).unlink()
    assert chain.answered(method, group, kept, 8) == first
    assert asked == [3]


def test_each_answer_is_scored_under_its_preference_temperature_and_seed(tmp_path: Path):
    methods = [Echo("hears"), Echo("deaf", listens=False)]
    kept = answered(methods, tmp_path)
    outcomes = score_all(methods, PREFERENCES, PLANNED, kept, PROMPTS, Length(), Progress(disable=True))
    hears = outcomes["hears"][1.0]
    assert hears.quality().shape == (3, 2, 2)  # prompts, preferences, seeds
    assert hears.quality()[0].tolist() == [[0.0, 1.0], [0.0, 1.0]]
    assert hears.preference().min() == 1.0  # every answer names what it was asked for
    assert hears.preference_of(("warm",), ("cold",)).max() == 0.0
    assert outcomes["hears"][0.0].quality().shape == (3, 2, 1)
    assert outcomes["deaf"][1.0].preference().max() == 0.0


def test_what_is_not_answered_cannot_be_scored(tmp_path: Path):
    with pytest.raises(ValueError, match=r"base/any/t1-s0\.jsonl is missing"):
        score_all([Echo("base", False)], PREFERENCES, PLANNED, archive(tmp_path), PROMPTS, Length(), Progress())
