from pathlib import Path

import pytest

from decoding.prompts import read_prompts


def test_prompts_are_read_from_rows_with_messages(tmp_path: Path) -> None:
    path = tmp_path / "prompts.jsonl"
    path.write_text('{"messages": [{"role": "user", "content": "hi"}], "asked": ["warm"]}\n\n')
    assert read_prompts(path) == [[{"role": "user", "content": "hi"}]]


@pytest.mark.parametrize("row", ['{"messages": []}', '{"messages": null}', '{"prompt": "hi"}', '["messages"]', "7"])
def test_a_row_without_messages_is_refused_with_its_line(tmp_path: Path, row: str) -> None:
    """Who trains a controller took an empty list for a prompt."""
    path = tmp_path / "prompts.jsonl"
    path.write_text('{"messages": [{"role": "user", "content": "hi"}]}\n' + row + "\n")
    with pytest.raises(ValueError, match=r"line 2 of .*prompts\.jsonl"):
        read_prompts(path)


def test_an_empty_file_of_prompts_is_refused(tmp_path: Path) -> None:
    (tmp_path / "none.jsonl").write_text("")
    with pytest.raises(ValueError, match="at least one prompt, got none"):
        read_prompts(tmp_path / "none.jsonl")
