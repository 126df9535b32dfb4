"""Rows of JSONL files: all that are there, and mistakes told with their line."""

import pytest

from decoding.jsonl import read_rows


@pytest.fixture
def lines(tmp_path):
    def write(*texts):
        (tmp_path / "rows.jsonl").write_text("\n".join(texts), encoding="utf-8")
        return tmp_path / "rows.jsonl"

    return write


def number(row):
    if row["n"] < 0:
        raise ValueError("a number must not be negative")
    return row["n"]


def test_every_line_is_a_row_and_empty_ones_are_none(lines):
    assert read_rows(lines('{"n": 1}', "", '{"n": 2}', ""), number) == [1, 2]


def test_a_text_may_hold_marks_that_end_lines_elsewhere(lines):
    assert read_rows(lines('{"n": 1, "text": "a\u2028b\x85c"}'), number) == [1]


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ("# a title", "line 2 of .*rows.jsonl must be JSON, got '# a title'"),
        ('{"m": 1}', r"line 2 of .*rows.jsonl must have what is read of it \('n'\)"),
        ("[]", "line 2 of .*rows.jsonl must have what is read of it"),
        ("3", "line 2 of .*rows.jsonl must have what is read of it"),
        ('{"n": -1}', "line 2 of .*rows.jsonl: a number must not be negative"),
    ],
)
def test_a_mistake_is_told_with_its_line(lines, line, complaint):
    with pytest.raises(ValueError, match=complaint):
        read_rows(lines('{"n": 1}', line), number)
