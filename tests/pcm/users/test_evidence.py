import json

import pytest

from pcm.users.evidence import Choice, OwnText, read_choice, read_log, read_text, read_texts

ROW = {"user": "ada", "prompt": "What is a bee?", "chosen": "A bee.", "rejected": "An insect."}


def written(path, *rows):
    path.write_text("".join((row if isinstance(row, str) else json.dumps(row)) + "\n" for row in rows), "utf-8")
    return path


def test_a_log_holds_the_choices_of_each_user_in_order(tmp_path):
    messages = [{"role": "user", "content": "Why?"}]
    log = written(tmp_path / "log", ROW, "", ROW | {"user": "bob"}, ROW | {"prompt": messages, "tie": True})
    found = read_log(log)
    assert list(found) == ["ada", "bob"]
    assert found["ada"][0] == Choice([{"role": "user", "content": "What is a bee?"}], "A bee.", "An insect.")
    assert found["ada"][1] == Choice(messages, "A bee.", "An insect.", tie=True)
    assert [choice.outcome for choice in found["ada"]] == [1.0, 0.5]
    assert list(read_log(log, "bob")) == ["bob"]


def test_a_choice_is_read_as_it_was_written():
    choice = Choice([{"role": "user", "content": "Why?"}], "So.", "Thus.", chosen_was_left=False)
    assert read_choice(json.loads(json.dumps(choice.as_dict()))) == choice


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("{", "line 2"),
        ({"user": "ada", "prompt": "Why?", "chosen": "So."}, "got none of rejected"),
        (ROW | {"likes": 3}, "got likes"),
        (ROW | {"chosen": 3}, "chosen must be a text, got 3"),
        (ROW | {"rejected": " "}, "rejected must be a text"),
        (ROW | {"rejected": "A bee."}, "two different answers"),
        (ROW | {"prompt": []}, "a prompt must be messages"),
        (ROW | {"prompt": [{"role": "wizard", "content": "Why?"}]}, "a role of system, user, assistant"),
        (ROW | {"prompt": [{"role": "user"}]}, "a prompt must be messages with content"),
        (ROW | {"user": ""}, "must name its user"),
        ([1], "must name its user"),
    ],
)
def test_a_row_that_is_no_choice_is_refused_with_its_number(tmp_path, row, message):
    log = written(tmp_path / "log", ROW, row)
    with pytest.raises(ValueError, match=message) as refused:
        read_log(log)
    assert "line 2 of" in str(refused.value)


def test_a_log_that_is_not_there_is_told_of(tmp_path):
    with pytest.raises(FileNotFoundError, match="a log must be a JSONL file"):
        read_log(tmp_path / "nowhere")


def test_a_log_without_the_user_is_refused(tmp_path):
    with pytest.raises(ValueError, match="a choice of 'eve', got none"):
        read_log(written(tmp_path / "log", ROW), "eve")


def test_own_texts_are_paragraphs_or_rows_that_may_answer_something(tmp_path):
    (tmp_path / "mails.txt").write_text("Dear all,\nI am late.\n \n\nSorry!\n\n", "utf-8")
    assert read_texts(tmp_path / "mails.txt") == [OwnText("Dear all, I am late."), OwnText("Sorry!")]
    rows = [{"text": "A bee."}, {"text": "Late.", "prompt": "When?"}]
    (tmp_path / "mails.jsonl").write_text("\n".join(map(json.dumps, rows)), "utf-8")
    found = read_texts(tmp_path / "mails.jsonl")
    assert found == [OwnText("A bee.", []), OwnText("Late.", [{"role": "user", "content": "When?"}])]
    assert [read_text(text.as_dict()) for text in found] == found


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ('{"texts": "A bee."}', "line 2 of .*must be an object with text"),
        ('{"text": "A bee.", "user": "ada"}', "must be an object with text, and perhaps prompt"),
        ('{"text": "  "}', "text must be a text"),
        ('{"text": "A bee.", "prompt": [3]}', "a prompt must be messages"),
    ],
)
def test_rows_that_are_no_own_text_are_refused_by_number(tmp_path, row, message):
    (tmp_path / "mails.jsonl").write_text(f'{{"text": "fine"}}\n{row}\n', "utf-8")
    with pytest.raises(ValueError, match=message):
        read_texts(tmp_path / "mails.jsonl")


def test_own_texts_that_are_not_there_are_missed(tmp_path):
    (tmp_path / "empty.txt").write_text("\n \n")
    with pytest.raises(ValueError, match="must hold a text, got none"):
        read_texts(tmp_path / "empty.txt")
    with pytest.raises(FileNotFoundError, match=r"nowhere\.txt: there is none"):
        read_texts(tmp_path / "nowhere.txt")
