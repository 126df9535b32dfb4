"""Trainings as processes: what is done is kept, what fails is told with its log, and what waits is not begun."""

import subprocess
from pathlib import Path
from threading import Barrier, Lock
from typing import Any

import pytest

import comparison.ablation.runs as runs
from comparison.ablation.plan import Run


class Trainings:
    """Stands in for processes: leaves a bundle, or none for those that are to fail."""

    def __init__(self, failing: str = "", beside: int = 1) -> None:
        self.failing, self.begun, self.environments = failing, [], []  # type: ignore[var-annotated]
        self.together = Barrier(beside)  # nobody goes on before so many have begun
        self.running = self.most = 0
        self.lock = Lock()

    def __call__(self, command: list[str], env: dict[str, str], stdout: Any, **_: Any) -> subprocess.CompletedProcess:
        folder = Path(command[-1]).parent
        with self.lock:
            self.begun.append(folder.name)
            self.environments.append(env)
            self.running += 1
            self.most = max(self.most, self.running)
        self.together.wait(timeout=60)
        stdout.write(f"{folder.name} speaks\n")
        with self.lock:
            self.running -= 1
        if folder.name == self.failing:
            return subprocess.CompletedProcess(command, 1)
        (folder / "bundle").mkdir()
        (folder / "bundle" / "bundle.json").touch()
        return subprocess.CompletedProcess(command, 0)


def some(folder: Path) -> list[Run]:
    return [Run(f"{name}/0", folder / name, {"model": {}}) for name in ("one", "two", "three", "four")]


def test_what_is_done_is_not_trained_again_and_everything_is_told_of(tmp_path, monkeypatch):
    trainings, told = Trainings(), []
    monkeypatch.setattr(runs.subprocess, "run", trainings)
    runs.train(some(tmp_path)[:2], 1)
    runs.train(some(tmp_path), 1, told.append)
    assert trainings.begun == ["one", "two", "three", "four"]
    assert [run.name for run in told] == ["one/0", "two/0", "three/0", "four/0"]
    assert (tmp_path / "two" / "log.txt").read_text() == "two speaks\n"
    assert trainings.most == 1


@pytest.mark.parametrize(("workers", "threads"), [(2, "3"), (4, "1"), (8, "1")])
def test_workers_train_beside_each_other_and_share_the_cores(tmp_path, monkeypatch, workers, threads):
    trainings = Trainings(beside=min(4, workers))
    monkeypatch.setattr(runs.subprocess, "run", trainings)
    monkeypatch.setattr(runs.os, "cpu_count", lambda: 6)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    runs.train(some(tmp_path), workers)
    assert trainings.most == min(4, workers)
    assert {one["OMP_NUM_THREADS"] for one in trainings.environments} == {threads}
    trainings.together = Barrier(1)
    monkeypatch.setenv("OMP_NUM_THREADS", "5")
    runs.train([Run("five/0", tmp_path / "five", {})], workers)
    assert trainings.environments[-1]["OMP_NUM_THREADS"] == "5"


def test_a_training_that_fails_is_told_with_its_log_and_what_waits_is_not_begun(tmp_path, monkeypatch):
    trainings = Trainings("two")
    monkeypatch.setattr(runs.subprocess, "run", trainings)
    with pytest.raises(ValueError, match=r"training two/0 must leave .*two/bundle, .* see .*two/log.txt"):
        runs.train(some(tmp_path), 1)
    assert trainings.begun == ["one", "two"]
    with pytest.raises(ValueError, match="workers must be at least 1, got 0"):
        runs.train(some(tmp_path), 0)
