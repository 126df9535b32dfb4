import json
from pathlib import Path

import numpy as np
import pytest

from comparison.users.findings import COUNTS, Findings, page
from comparison.users.followed import Followed
from comparison.users.publish import main, publish

ROOT = Path(__file__).parents[3]


@pytest.fixture
def report():
    rising = np.linspace(0.5, 0.9, len(COUNTS)) + np.array([[0.0], [0.02]])
    worth = {"learned": [1.0, 2.0], "average": [0.5, 0.5], "true": [1.5, 2.5], "base": [0.0, 3.0], "texts": [0.5, 2.0]}
    answers = Followed({kind: np.array(values) for kind, values in worth.items()})
    found = Findings(
        {"dimensions": [rising, rising - 0.1]}, {"coin": [0.5, 0.7]}, [answers, answers], {"PReF": [0.8, 0.9]}
    )
    return found.report({"users": 2, "log_users": 3, "each": 4, "seeds": 2, "ablations": 2})


def test_the_report_tells_lines_doubts_and_what_answers_are_worth(report):
    line = report["lines"]["dimensions"]
    assert line["area"]["0"]["mean"] == pytest.approx(0.46)
    assert 10 < line["answers_to_goal"] < 15
    assert report["doubted"] == {"coin": pytest.approx(0.6)}
    gains = {"learned": 2 / 3, "average": 0.0, "true": 1.0, "base": 2 / 3, "texts": 1 / 2}
    assert report["followed"]["gain"] == {kind: pytest.approx(gain) for kind, gain in gains.items()}
    assert report["followed"]["learned_against"]["base"]["win_rate"]["mean"] == pytest.approx(0.5)


def test_the_page_shows_every_line(report):
    text = page(report)
    for told in (
        "2 users in each of 2 runs",
        "| dimensions | 0.460",
        "| learned from 10 choices | 67% |  |  |",
        "| learned from own texts | 50% | 0.250",
        "| PReF | 0.850 ± 0.071 |",
        "| coin | 60% |",
    ):
        assert told in text


def test_a_new_bench_is_kept_and_shown(report, tmp_path, capsys):
    new, kept, target = tmp_path / "new", tmp_path / "kept", tmp_path / "users.md"
    new.mkdir()
    (new / "users.json").write_text(json.dumps(report))
    (new / "users.png").write_text("a picture")
    target.write_text("<!-- users -->\n<!-- /users -->\n")
    files = ["--target", str(target), "--results", str(kept), "--take", str(new)]
    assert main([*files, "--check"]) == 1
    assert "comparison.users.publish" in capsys.readouterr().err
    assert not kept.exists()
    assert main(files) == 0
    assert "| dimensions |" in target.read_text()
    assert main([*files[:4], "--check"]) == 0
    assert (kept / "users.png").read_text() == "a picture"


def test_the_page_about_users_shows_the_figures_that_are_kept():
    assert publish(ROOT / "docs" / "users.md", ROOT / "docs" / "results", check=True), "run comparison.users.publish"
