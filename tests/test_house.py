"""The house: imports point one way, decoding stays light, and every configuration fits its command."""

import ast
import subprocess
from importlib import import_module
from pathlib import Path

import pytest

from experts.miniature.__main__ import STAGES

ROOT = Path(__file__).parents[1]
MAY_IMPORT = {
    "decoding": {"decoding"},
    "experts": {"experts", "decoding"},
    "pcm": {"pcm", "decoding"},
    "evaluation": {"evaluation"},
}
ROOMS = {"decoding", "experts", "pcm"}
FILE_MAY_IMPORT = {
    "bundle.py": ROOMS,
    "parts.py": ROOMS | {"bundle"},
    "mixture.py": ROOMS | {"parts"},
    "causal_lm.py": ROOMS | {"mixture"},
}
OURS = {"decoding", "experts", "pcm", "evaluation", "comparison", "interface"}
OURS |= {"mixture", "parts", "bundle", "causal_lm", "decode", "compare"}
COMMANDS = {"train.py", "__main__.py"}


def imported(path: Path) -> set[str]:
    nodes = list(ast.walk(ast.parse(path.read_text("utf-8"))))
    modules = [alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names]
    modules += [node.module or "" for node in nodes if isinstance(node, ast.ImportFrom)]
    return {module.split(".")[0] for module in modules}


@pytest.mark.parametrize("room", MAY_IMPORT)
def test_imports_point_one_way(room):
    files = [path for path in (ROOT / room).rglob("*.py") if path.name not in COMMANDS]
    assert files
    crossings = {str(path): imported(path) & OURS - MAY_IMPORT[room] - {"evaluation"} for path in files}
    assert not {path: found for path, found in crossings.items() if found}


@pytest.mark.parametrize("file", FILE_MAY_IMPORT)
def test_a_file_above_the_rooms_imports_nothing_beside_or_above_it(file):
    found = imported(ROOT / file) & OURS
    assert found
    assert found <= FILE_MAY_IMPORT[file]


def test_no_training_module_reads_the_gold_judge():
    """Only the annotator's side of the world, the final scorers and tests may know the truth."""
    allowed = {"annotator.py", "pairs.py", "judge.py"}
    readers = [
        path
        for room in ("experts", "pcm", "decoding", "interface")
        for path in (ROOT / room).rglob("*.py")
        if "miniature.judge" in path.read_text("utf-8") and path.name not in allowed
    ]
    assert not readers


def test_no_configuration_or_stage_but_the_comparison_reads_what_is_held_out():
    told = {path: path.read_text("utf-8") for path in sorted((ROOT / "configs").rglob("*.yaml"))}
    told[ROOT / "chain"] = " ".join(stage.command for stage in STAGES)
    assert not [path.name for path, text in told.items() if "test.jsonl" in text]


@pytest.mark.parametrize("room", ["experts", "pcm", "decoding", "interface"])
def test_who_trains_puts_preferences_into_training_phrasings_alone(room):
    """Development, held-out and unseen ones have no name outside the corpus, which gives them to who names a split."""
    others = {"development", "held_out", "unseen"}
    readers = []
    for path in sorted({*(ROOT / room).rglob("*.py")} - {ROOT / "experts/miniature/corpus.py"}):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            named = isinstance(node, ast.Constant) and node.value in others
            called = isinstance(node, ast.Call) and ast.unparse(node.func).split(".")[-1] == "preference"
            readers += [path.name] if named or (called and any(one.arg == "split" for one in node.keywords)) else []
    assert not readers


def test_what_git_holds_stays_small():
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True)
    if listed.returncode:
        pytest.skip("this is no git checkout")
    files = [ROOT / name for name in listed.stdout.split("\0") if name]
    assert sum(path.stat().st_size for path in files if path.exists()) < 15e6


COMMAND_OF = {
    "rewards.yaml": "experts.reward_training",
    "experts.yaml": "experts.train",
    "specialists.yaml": "experts.train",
    "multi_objective.yaml": "experts.train",
    "bundle.yaml": "pcm",
    "pcm.yaml": "pcm.train fit",
    "ablation.yaml": "comparison.ablation",
    "compare.yaml": "compare",
    "results.yaml": "compare",
    "ensembles.yaml": "comparison.ensembles",
}


@pytest.mark.parametrize("config", sorted((ROOT / "configs").rglob("*.yaml")), ids=lambda path: path.name)
def test_every_configuration_parses_against_its_command(config, monkeypatch, capfd):
    module, *words = COMMAND_OF[config.name].split()
    file = ROOT / f"{module.replace('.', '/')}.py"
    command = import_module(module if file.exists() else f"{module}.__main__")
    monkeypatch.chdir(ROOT)
    codes = []
    for last in (["--print_config"], ["--no_such_key", "1"]):
        with pytest.raises(SystemExit) as ended:
            command.main([*words, "--config", str(config), *last])
        codes.append(ended.value.code)
    assert not codes[0], capfd.readouterr().err
    assert codes[1], "an unknown key must be refused"
