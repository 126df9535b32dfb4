from pathlib import Path

import pytest

from comparison.archive import Archive, Run

QUESTIONS = [[{"role": "user", "content": text}] for text in ("What is a fjord?", "Où est\u2028l'été?")]
RUN = Run("pcm-anchored", ("friendly", "concise"), 1.0, 2)


def test_answers_come_back_as_they_went(tmp_path: Path):
    archive = Archive(tmp_path, QUESTIONS)
    assert archive.read(RUN) is None
    archive.write(RUN, ["one\ntwo", "drei\u2028\u0085vier 🌋"])
    assert archive.read(RUN) == ["one\ntwo", "drei\u2028\u0085vier 🌋"]
    assert [path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*.jsonl")] == [
        "pcm-anchored/friendly+concise/t1-s2.jsonl"
    ]


def test_every_run_has_its_own_file():
    runs = [Run(m, a, t, s) for m in "xy" for a in ((), ("friendly",)) for t in (0.0, 0.5, 1.0) for s in (0, 1)]
    assert len({run.path for run in runs}) == len(runs)
    assert Run("base", (), 0.0, 0).path == Path("base/any/t0-s0.jsonl")


def test_a_file_is_written_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def stopped(self: Path, target: Path) -> None:
        raise KeyboardInterrupt

    archive = Archive(tmp_path, QUESTIONS)
    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", stopped)
        with pytest.raises(KeyboardInterrupt):
            archive.write(RUN, ["one", "two"])
    assert archive.read(RUN) is None
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


def test_answers_to_other_questions_are_refused(tmp_path: Path):
    Archive(tmp_path, QUESTIONS[:1]).write(RUN, ["one"])
    with pytest.raises(ValueError, match="must answer these 2 questions in order"):
        Archive(tmp_path, QUESTIONS).read(RUN)
