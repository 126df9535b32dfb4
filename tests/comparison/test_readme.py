import json
from pathlib import Path

import pytest
from scripted_study import Likes, reported

from comparison.readme import Section, main, update_readme

ROOT = Path(__file__).parents[2]
BEGIN, END = "<!-- results -->", "<!-- /results -->"


@pytest.fixture
def files(tmp_path: Path) -> list[str]:
    report = reported(tmp_path / "study", Likes())
    (tmp_path / "report.json").write_text(json.dumps(report))
    (tmp_path / "README.md").write_text(f"# Title\n\n{BEGIN}\nold\n{END}\n\nThe end.\n")
    return ["--page", str(tmp_path / "README.md"), "--report", str(tmp_path / "report.json")]


@pytest.mark.parametrize(
    ("page", "report", "section"),
    [
        ("README.md", "report.json", "headline"),
        ("docs/results.md", "report.json", "results"),
        ("docs/results.md", "bars/report.json", "bars"),
        ("docs/comparison.md", "all/report.json", "results"),
        ("docs/experts.md", "ensembles/report.json", "ensembles"),
        ("docs/experts.md", "training/training.json", "training"),
    ],
)
def test_pages_show_the_latest_results(page: str, report: str, section: Section):
    path = ROOT / "docs" / "results" / report
    if not path.exists():
        pytest.skip("there are no results yet")
    assert update_readme(ROOT / page, path, section=section, check=True), "run python -m comparison.readme"


def test_checking_writes_nothing_and_says_what_to_do(files: list[str], capsys: pytest.CaptureFixture[str]):
    before = Path(files[1]).read_text()
    assert main([*files, "--check"]) == 1
    assert "run python -m comparison.readme" in capsys.readouterr().err
    assert Path(files[1]).read_text() == before


def test_writing_makes_the_check_pass(files: list[str]):
    assert main(files) == 0
    assert "| soup-best | 0.675" in Path(files[1]).read_text()
    assert Path(files[1]).read_text().endswith(f"{END}\n\nThe end.\n")
    assert main([*files, "--check"]) == 0


def test_the_headline_tells_a_newcomer_what_is_ahead_of_what(files: list[str]):
    page = Path(files[1])
    page.write_text("<!-- headline -->\n<!-- /headline -->\n")
    assert main([*files, "--section", "headline"]) == 0
    lines = page.read_text().splitlines()
    assert lines[1] == "| how answers are made | utility | at temperature 1 | `soup-best` beyond it | wins against it |"
    assert lines[3].startswith("| experts merged, scale and weights tuned (`soup-best`) | 0.675 [")
    assert lines[3].endswith("|  |  |")
    assert [line.split("`")[1] for line in lines[3:6]] == ["soup-best", "expert-best", "base"]
    assert lines[-2].startswith("3 questions, 2 preferences")
    assert not any("expert-a" in line for line in lines)


def test_a_comparison_is_taken_over_with_its_picture(files: list[str], tmp_path: Path):
    made = tmp_path / "made"
    made.mkdir()
    for name in ("report.md", "utility.png", "front-warm+cold.png"):
        (made / name).write_text(name)
    report = json.loads(Path(files[3]).read_text())
    point = {"points": {"warm": [0.5, 0.25]}, "hypervolume": {"mean": 0.125, "low": 0.1, "high": 0.2}}
    report["fronts"] = {"warm+cold": {"dimensions": ["warm", "cold"], "methods": {"base": point}}}
    (made / "report.json").write_text(json.dumps(report))
    (made / "front-of-an-earlier-run.png").write_text("old")
    kept = tmp_path / "kept" / "report.json"
    assert main([*files[:2], "--report", str(kept), "--take", str(made)]) == 0
    assert (kept.parent / "utility.png").read_text() == "utility.png"
    assert [path.name for path in kept.parent.glob("front-*")] == ["front-warm+cold.png"]
    assert (
        "Sweeping warm and cold, the front of base commands most: 0.125 [0.100, 0.200]." in Path(files[1]).read_text()
    )
    assert "| soup-best | 0.675" in Path(files[1]).read_text()


def test_a_report_that_is_not_there_is_one_line(files: list[str], capsys: pytest.CaptureFixture[str]):
    assert main([*files[:2], "--report", "nowhere.json"]) == 1
    assert capsys.readouterr().err.count("\n") == 1


def test_help_shows_how_the_command_is_run_and_says_nothing_twice(capsys: pytest.CaptureFixture[str]):
    with pytest.raises(SystemExit) as left:
        main(["--help"])
    assert left.value.code == 0
    out = capsys.readouterr().out
    assert "\n    python -m comparison.readme --section headline --page README.md\n" in out
    assert out.count("Writes a page's figures") == 1
