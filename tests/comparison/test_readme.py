import json
from pathlib import Path

import pytest
from scripted_study import Likes, reported

from comparison.readme import main, update_readme

ROOT = Path(__file__).parents[2]
BEGIN, END = "<!-- results -->", "<!-- /results -->"


@pytest.fixture
def files(tmp_path: Path) -> list[str]:
    report = reported(tmp_path / "study", Likes())
    (tmp_path / "report.json").write_text(json.dumps(report))
    (tmp_path / "README.md").write_text(f"# Title\n\n{BEGIN}\nold\n{END}\n\nThe end.\n")
    return ["--readme", str(tmp_path / "README.md"), "--report", str(tmp_path / "report.json")]


def test_the_readme_shows_the_latest_results():
    report = ROOT / "docs" / "results" / "report.json"
    if not report.exists():
        pytest.skip("there are no results yet")
    assert update_readme(ROOT / "README.md", report, check=True), "run python -m comparison.readme"


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
