"""The chain from nothing to a bundle: the same seed gives the same bundle, bit for bit, on one machine."""

import os
import subprocess
import sys

import pytest


@pytest.mark.slow
def test_the_quick_chain_gives_the_same_bundle_twice(tmp_path):
    bundles = []
    for run in ("first", "second"):
        command = [sys.executable, "-m", "experts.miniature", "--scale", "quick", "--root", str(tmp_path / run)]
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        subprocess.run(command, check=True, env=environment, stdout=subprocess.DEVNULL)
        made = tmp_path / run / "build" / "miniature" / "bundle"
        bundles.append([(made / name).read_text("utf-8") for name in ("bundle.json", "questions.jsonl")])
    assert bundles[0] == bundles[1]
