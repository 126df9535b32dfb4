"""The README: every command in it runs, or parses where running takes longer than a minute."""

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text("utf-8")
FENCED = re.findall(r"^```(\w*)\n(.*?)^```$", README, flags=re.DOTALL | re.MULTILINE)
BLOCKS = [text for language, text in FENCED if not language]
LINES = [line.split("  #")[0].strip() for block in BLOCKS for line in block.splitlines()]
PYTHON = [line for line in LINES if line.startswith("python ")]
MAKE = [line for line in LINES if line.startswith("make ")]
TRAINS = ("experts.", "pcm", "comparison")


def test_the_readme_shows_its_two_commands_first():
    assert MAKE[:2] == ["make demo", "make test"]
    assert PYTHON


@pytest.mark.parametrize("line", MAKE)
def test_a_make_target_in_the_readme_exists(line):
    rules = (ROOT / "Makefile").read_text("utf-8")
    assert re.search(rf"^{line.split()[1]}:", rules, flags=re.MULTILINE)


@pytest.mark.slow
@pytest.mark.parametrize("line", PYTHON)
def test_a_python_command_in_the_readme_works(line, tmp_path):
    words = shlex.split(line)[1:]
    if words[0] == "-m" and words[1].startswith(TRAINS):
        parses = [*words, "--print_config"] if "--config" in words else [*words[:2], "--help"]
        done = subprocess.run([sys.executable, *parses], cwd=ROOT, capture_output=True, text=True)
    else:
        words[0] = str(ROOT / words[0])
        done = subprocess.run([sys.executable, *words], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip()
