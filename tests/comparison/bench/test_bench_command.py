import json
import math
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from comparison.bench import run
from comparison.bench.__main__ import main

ROOT = Path(__file__).parents[3]
TINY = ["--shape", "tiny", "--device", "cpu", "--dtypes", "[float32]", "--engines", "[eager]", "--quick"]


@pytest.fixture
def one_expert(monkeypatch):
    """As little as can be measured."""
    monkeypatch.setattr("comparison.bench.__main__.QUICK_EXPERTS", (1,))


def test_one_command_leaves_numbers_tables_plot_and_profile(one_expert, tmp_path, capsys):
    assert main([*TINY, "--profile", "--output", str(tmp_path)]) == 0
    assert {path.name for path in tmp_path.iterdir()} == {"bench.json", "bench.md", "cost-float32.png", "profile.md"}
    found = json.loads((tmp_path / "bench.json").read_text())
    assert {row["phase"] for row in found["rows"]} == {"prefill", "decode"}
    assert {"soup", "floor", "bank", "peft-loop", "peft-mixed", "separate"} == {row["name"] for row in found["rows"]}
    assert all(row["rounds"] == 3 for row in [*found["rows"], *found["load"]])
    assert len(found["load"]) == 4
    assert "operations dispatched" in (tmp_path / "profile.md").read_text()
    assert "Decode of 1 in float32" in capsys.readouterr().out


def test_without_time_only_the_smallest_batch_is_decoded_and_the_rest_is_listed(one_expert, tmp_path):
    assert main([*TINY, "--minutes", "0", "--output", str(tmp_path)]) == 0
    found = json.loads((tmp_path / "bench.json").read_text())
    assert {(row["phase"], row["batch"]) for row in found["rows"]} == {("decode", 1)}
    assert found["left_out"] == ["float32: prefill of 1 beside 1 experts: no time left"]


def test_an_interruption_keeps_what_was_measured(one_expert, tmp_path, monkeypatch, capsys):
    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("comparison.bench.__main__.measure_load", interrupted)
    assert main([*TINY, "--output", str(tmp_path)]) == 130
    found = json.loads((tmp_path / "bench.json").read_text())
    assert len(found["rows"]) == 12
    assert found["load"] == []
    assert "what was measured is in" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        (["--shape", "7b"], "one of tiny, 135m, 1b, 8b, got '7b'"),
        (["--engines", "[fast]"], "one of eager, packed, compiled, int8, got 'fast'"),
        (["--dtypes", "[float8]"], "among float32, bfloat16, float64, got ['float8']"),
        (["--dtypes", "[float64]"], "float32 or bfloat16, got cpu and torch.float64"),
        (["--experts", "[0]"], "at least one expert, got [0]"),
        (["--batches", "[]"], "at least one request, got []"),
        (["--rounds", "1"], "at least 3 rounds, got 1"),
    ],
)
def test_a_mistake_is_one_line_before_anything_is_measured(wrong, told, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(run.Material, "random", lambda *_: pytest.fail("measured"))
    assert main(["--device", "cpu", "--output", str(tmp_path / "none"), *wrong]) == 1
    error = capsys.readouterr().err
    assert told in error
    assert error.count("\n") == 1
    assert not (tmp_path / "none").exists()


def test_a_plan_is_plain_data():
    effort = run.Effort(prompt_tokens=4, rounds=3, seconds=1.0, turns=1, largest_prefill=100)
    plan = run.Plan(
        "tiny", torch.device("cpu"), (torch.bfloat16,), ("eager",), (1, 3), (3,), (1,), effort, run.LoadPlan()
    )
    assert json.loads(json.dumps(run.settings_of(plan)))["dtypes"] == ["bfloat16"]
    assert plan.vocabulary == 64
    assert plan.cells() == [("decode", 1), ("prefill", 1)]
    assert plan.share == math.inf
    assert replace(plan, minutes=10.0, dtypes=(torch.bfloat16, torch.float32)).share == 180.0


@pytest.mark.slow
def test_help_teaches():
    command = [sys.executable, "-m", "comparison.bench", "--help"]
    told = subprocess.run(command, cwd=ROOT, capture_output=True, text=True).stdout
    assert "Times what a mixture costs" in told
    assert all(f"--{name}" in told for name in ("shape", "engines", "experts", "quick", "profile"))


def test_make_bench_runs_it():
    rule = re.search(r"^bench:.*\n\t(.*)$", (ROOT / "Makefile").read_text(), flags=re.MULTILINE)
    assert rule is not None
    assert (
        rule[1] == "TORCH_CPP_LOG_LEVEL=ERROR MALLOC_MMAP_THRESHOLD_=4194304 MALLOC_TRIM_THRESHOLD_=8589934592 "
        "$(BIN)/python -m comparison.bench --profile"
    )
