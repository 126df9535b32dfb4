"""Questions are found in files and datasets, and what cannot be found is said."""

import json
from pathlib import Path

import datasets
import pytest

from comparison.questions import read_questions

ASKED = {"role": "user", "content": "Why?"}
TOLD = {"role": "assistant", "content": "Because."}


@pytest.fixture(autouse=True)
def _quiet(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")


def dataset(folder: Path, **splits: list[dict[str, object]]) -> str:
    folder.mkdir()
    for name, rows in splits.items():
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(folder)


@pytest.mark.parametrize(
    ("row", "messages"),
    [
        ({"messages": [ASKED, TOLD]}, [ASKED]),
        ({"messages": [ASKED, TOLD, ASKED]}, [ASKED, TOLD, ASKED]),
        ({"prompt": [ASKED], "completion": [TOLD]}, [ASKED]),
        ({"prompt": "Why?", "category": "x"}, [ASKED]),
        ({"prompt": ["Why?", "And then?"], "category": "x"}, [ASKED]),
        ({"question": "Why?", "answer": "Because."}, [ASKED]),
    ],
)
def test_the_questions_of_a_dataset_come_without_their_answers(tmp_path: Path, row, messages):
    folder = dataset(tmp_path / "data", test=[row], train=[{**row}, {**row}])
    assert [one.messages for one in read_questions(folder)] == [messages]
    assert [one.messages for one in read_questions(f"{folder}:train")] == [messages] * 2


def test_a_file_is_read_as_rows_of_messages(tmp_path: Path):
    (tmp_path / "own.jsonl").write_text(json.dumps({"messages": [ASKED]}) + "\n")
    assert [one.messages for one in read_questions(str(tmp_path / "own.jsonl"))] == [[ASKED]]


def test_what_cannot_be_found_is_said(tmp_path: Path):
    two = dataset(tmp_path / "two", train=[{"text": "Why?"}], validation=[{"text": "Why?"}])
    with pytest.raises(ValueError, match=r"name one of the splits of .*two:train, got \['train', 'validation'\]"):
        read_questions(two)
    with pytest.raises(ValueError, match=r"must have a column messages, prompt, question, instruction, .* \['text'\]"):
        read_questions(f"{two}:train")
    with pytest.raises(ValueError, match="there must be a question in row 0 of"):
        read_questions(dataset(tmp_path / "mute", train=[{"messages": [TOLD]}]))
    foreign = dataset(tmp_path / "foreign", train=[{"messages": [{"from": "human", "value": "Why?"}]}])
    with pytest.raises(ValueError, match=r"must be a text or turns with role and content, got \[{'from'"):
        read_questions(foreign)
    for missing in (str(tmp_path / "nowhere"), "tets.jsonl"):
        with pytest.raises(FileNotFoundError, match="got nothing at"):
            read_questions(missing)


def test_no_more_is_read_than_is_wanted(tmp_path: Path):
    folder = dataset(tmp_path / "long", train=[{"prompt": "Why?"}, {"prompt": "How?"}, {"prompt": ""}])
    assert [one.messages[0]["content"] for one in read_questions(folder, 2)] == ["Why?", "How?"]
