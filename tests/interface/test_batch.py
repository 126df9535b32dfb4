import io
import json
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

from decoding.sampling import Sampling
from interface.answer import Settings
from interface.batch import answer_all, write_all
from interface.requests import conversation_of, read_requests, require_answerable
from mixture import Mixture
from pcm.preference import Preference

LINES = [
    {"prompt": "What is a volcano?"},
    {"prompt": "é 🙂\u2028\x85", "weights": {"friendly": -1}},
    {"prompt": "Hi", "preference": "be warm", "weights": {"concise": 0.5}},
    {"prompt": "Hi"},
]
SETTINGS = Settings(Sampling(1.0, max_new_tokens=6), seed=7)


@pytest.fixture
def prompts(tmp_path: Path) -> Path:
    path = tmp_path / "prompts.jsonl"
    path.write_text("\n".join(json.dumps(line, ensure_ascii=False) for line in LINES) + "\n\n", encoding="utf-8")
    return path


def test_what_is_usual_holds_for_lines_with_a_wish_of_their_own_too(prompts: Path) -> None:
    usual = Preference(usual=Preference(weights={"concise": 1.0}))
    requests = read_requests(prompts, usual)
    assert [one.preference.usual for one in requests if one.preference] == [usual.usual] * len(LINES)
    assert {one.preference.text is None for one in requests if one.preference} == {True, False}


def written(mixture: Mixture, prompts: Path, output: Path, batch_size: int = 3) -> list[dict[str, object]]:
    requests = read_requests(prompts, Preference(weights={"concise": 1.0}))
    write_all(mixture, requests, output, SETTINGS, batch_size, Console(file=io.StringIO()))
    return [json.loads(line) for line in output.read_text(encoding="utf-8").split("\n")[:-1]]


def essence(answers: list[dict[str, object]]) -> list[object]:
    return [(answer["prompt"], answer["preference"], answer["text"]) for answer in answers]


def test_every_line_is_answered_in_order_whatever_the_batch_size(
    mixture: Mixture, prompts: Path, tmp_path: Path
) -> None:
    answers = written(mixture, prompts, tmp_path / "a.jsonl")
    assert [answer["prompt"] for answer in answers] == [line["prompt"] for line in LINES]
    assert [answer["preference"]["asked"] for answer in answers][1::2] == [{"unfriendly": 1.0}, {"concise": 1.0}]
    assert essence(answers) == essence(written(mixture, prompts, tmp_path / "b.jsonl", batch_size=1))


def test_a_file_is_told_what_each_line_asks_for(mixture: Mixture, prompts: Path) -> None:
    requests = read_requests(prompts, None)
    unfriendly = next(one.description for one in mixture.dimensions if one.name == "unfriendly")
    fronts = [conversation_of(request, mixture, tell=True)[0] for request in requests]
    assert [front["role"] for front in fronts] == ["user", "system", "system", "user"]
    assert [front["content"] for front in fronts[1:3]] == [unfriendly, "be warm"]
    told = list(answer_all(mixture, requests, replace(SETTINGS, told=True), first=0, batch_size=2))
    plain = list(answer_all(mixture, requests, SETTINGS, first=0, batch_size=2))
    same = [json.loads(a)["text"] == json.loads(b)["text"] for a, b in zip(told, plain, strict=True)]
    assert same == [True, False, False, True]


def test_a_prompt_that_has_no_room_for_what_it_is_told_is_refused(mixture: Mixture, tmp_path: Path) -> None:
    path = tmp_path / "long.jsonl"
    path.write_text(json.dumps({"prompt": "Hi", "preference": "be warm " * mixture.window, "weights": {"concise": 1}}))
    sampling = Sampling(max_new_tokens=6)
    require_answerable(mixture, read_requests(path, None), sampling)
    with pytest.raises(ValueError, match="line 1: prompt and response must fit"):
        require_answerable(mixture, read_requests(path, None), sampling, tell=True)


@pytest.mark.parametrize("kept", [0, 1, 3, 4])
@pytest.mark.parametrize("torn", [0, 5, 60])
def test_an_interrupted_run_goes_on_where_it_stopped(
    mixture: Mixture, prompts: Path, tmp_path: Path, kept: int, torn: int
) -> None:
    whole = essence(written(mixture, prompts, tmp_path / "whole.jsonl"))
    lines = (tmp_path / "whole.jsonl").read_bytes().splitlines(keepends=True)
    rest = lines[kept][:torn] if kept < len(lines) else b""
    output = tmp_path / "resumed.jsonl"
    output.write_bytes(b"".join(lines[:kept]) + rest)
    assert essence(written(mixture, prompts, output)) == whole
    assert output.read_bytes().splitlines(keepends=True)[:kept] == lines[:kept]


def test_an_interruption_loses_no_finished_line(
    mixture: Mixture, prompts: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    generate, batches = Mixture.generate, []

    def interrupted(self: Mixture, *arguments: object) -> object:
        if len(batches) == 2:
            raise KeyboardInterrupt
        batches.append(arguments)
        return generate(self, *arguments)

    monkeypatch.setattr(Mixture, "generate", interrupted)
    with pytest.raises(KeyboardInterrupt):
        written(mixture, prompts, tmp_path / "a.jsonl", batch_size=1)
    content = (tmp_path / "a.jsonl").read_text(encoding="utf-8")
    assert content.endswith("\n")
    assert len([json.loads(line) for line in content.split("\n")[:-1]]) == 2


@pytest.mark.parametrize(
    "content",
    ['{"prompt": "other", "preference": {"text": null}}\n', "my diary\n", "my diary", '{"prompt": "What is y'],
)
def test_another_file_is_never_overwritten(mixture: Mixture, prompts: Path, tmp_path: Path, content: str) -> None:
    output = tmp_path / "precious"
    output.write_text(content)
    with pytest.raises(ValueError, match=r"precious must|line 1 of .*precious"):
        written(mixture, prompts, output)
    assert output.read_text() == content


def test_more_answers_than_prompts_are_refused(mixture: Mixture, prompts: Path, tmp_path: Path) -> None:
    written(mixture, prompts, tmp_path / "a.jsonl")
    prompts.write_text('{"prompt": "What is a volcano?"}\n')
    with pytest.raises(ValueError, match="answers to these 1 prompts, got 4 lines"):
        written(mixture, prompts, tmp_path / "a.jsonl")


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        (b'{"prompt": ', "not JSON"),
        (b'"What?"', 'a text under "prompt"'),
        (b'{"question": "x"}', 'a text under "prompt"'),
        (b'{"prompt": 3}', 'a text under "prompt"'),
        (b'{"prompt": " "}', "must hold some text"),
        (b'{"prompt": "x", "wish": "y"}', "keys must be among prompt, preference, weights, got wish"),
        (b'{"prompt": "x", "preference": ["y"]}', '"preference" must be a text'),
        (b'{"prompt": "x", "weights": {"friendly": true}}', '"weights" must give numbers'),
        (b'{"prompt": "\xff"}', "not JSON"),
        (b'{"prompt": "half \\ud83d"}', "whole characters"),
        (b'{"prompt": "x", "preference": "\\udc00"}', "whole characters"),
    ],
)
def test_a_line_that_cannot_be_read_is_told_by_its_number(tmp_path: Path, line: bytes, complaint: str) -> None:
    path = tmp_path / "prompts.jsonl"
    path.write_bytes(b'{"prompt": "fine"}\n\n' + line + b"\n")
    with pytest.raises(ValueError, match=complaint) as caught:
        read_requests(path, None)
    assert str(caught.value).startswith("line 3 of ")


def test_a_file_without_lines_is_refused(tmp_path: Path) -> None:
    (tmp_path / "empty.jsonl").write_text("\n\n")
    with pytest.raises(ValueError, match="at least one line"):
        read_requests(tmp_path / "empty.jsonl", None)


def test_settings_that_do_not_fit_the_tokenizer_are_refused_before_the_first_answer(
    mixture: Mixture, tmp_path: Path
) -> None:
    path = tmp_path / "prompts.jsonl"
    path.write_text(json.dumps({"prompt": "fine"}))
    with pytest.raises(ValueError, match="token ids from 0 to 329, got 400"):
        require_answerable(mixture, read_requests(path, None), Sampling(max_new_tokens=6, logit_bias={400: 1.0}))


@pytest.mark.parametrize(
    ("second", "complaint"),
    [
        ({"prompt": "long " * 90}, "line 2: prompt and response must fit"),
        ({"prompt": "x", "weights": {"bogus": 1}}, "line 2: dimensions must be among"),
        ({"prompt": "x", "weights": {"friendly": 0}}, "line 2: at least one weight"),
        ({"prompt": "x", "preference": "be warm"}, "line 2: a preference in words needs a reader"),
    ],
)
def test_a_request_that_cannot_be_answered_is_refused_before_the_first_answer(
    mixture: Mixture, tmp_path: Path, second: dict[str, object], complaint: str
) -> None:
    mixture.reader = None
    path = tmp_path / "prompts.jsonl"
    path.write_text(json.dumps({"prompt": "fine"}) + "\n" + json.dumps(second))
    with pytest.raises(ValueError, match=complaint):
        require_answerable(mixture, read_requests(path, None), Sampling(max_new_tokens=6))


def test_a_zero_beside_a_text_can_be_answered_and_an_unknown_name_cannot(mixture: Mixture, tmp_path: Path) -> None:
    path = tmp_path / "prompts.jsonl"
    line = {"prompt": "x", "preference": "be warm"}
    path.write_text(json.dumps(line | {"weights": {"friendly": 0}}))
    require_answerable(mixture, read_requests(path, None), Sampling(max_new_tokens=6))
    path.write_text(json.dumps(line | {"weights": {"bogus": 0}}))
    with pytest.raises(ValueError, match="line 1: dimensions must be among"):
        require_answerable(mixture, read_requests(path, None), Sampling(max_new_tokens=6))


def test_an_impossible_batch_size_is_refused_and_writes_nothing(
    mixture: Mixture, prompts: Path, tmp_path: Path
) -> None:
    with pytest.raises(ValueError, match="batch_size must be at least 1, got 0"):
        next(answer_all(mixture, read_requests(prompts, None), SETTINGS, first=0, batch_size=0))
    with pytest.raises(ValueError, match="batch_size must be at least 1, got 0"):
        written(mixture, prompts, tmp_path / "answers.jsonl", batch_size=0)
    assert not (tmp_path / "answers.jsonl").exists()


def test_answers_to_other_numbers_are_not_taken_for_these(mixture: Mixture, prompts: Path, tmp_path: Path) -> None:
    output = tmp_path / "answers.jsonl"
    before = written(mixture, prompts, output)
    other = [{**line, "weights": {"friendly": 1}} if number == 1 else line for number, line in enumerate(LINES)]
    prompts.write_text("\n".join(json.dumps(line) for line in other))
    with pytest.raises(ValueError, match=r"line 2 of .* must answer line 2 of the prompts"):
        written(mixture, prompts, output)
    assert [json.loads(line) for line in output.read_text(encoding="utf-8").split("\n")[:-1]] == before
