import io
import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

import decode
from decoding.sampling import Sampling
from interface.answer import Settings
from interface.batch import answer_all, write_all
from interface.requests import Request, conversation_of, read_requests, require_answerable
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
    write_all(mixture, requests, output, SETTINGS, batch_size, "bundle", Console(file=io.StringIO()))
    return lines_of(output)


def lines_of(output: Path) -> list[dict[str, object]]:
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
    told = list(answer_all(mixture, requests, replace(SETTINGS, told=True), 0, 2, "bundle"))
    plain = list(answer_all(mixture, requests, SETTINGS, 0, 2, "bundle"))
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
        next(answer_all(mixture, read_requests(prompts, None), SETTINGS, 0, 0, "bundle"))
    with pytest.raises(ValueError, match="batch_size must be at least 1, got 0"):
        written(mixture, prompts, tmp_path / "answers.jsonl", batch_size=0)
    assert not (tmp_path / "answers.jsonl").exists()


def test_answers_to_other_numbers_are_not_taken_for_these(mixture: Mixture, prompts: Path, tmp_path: Path) -> None:
    output = tmp_path / "answers.jsonl"
    before = written(mixture, prompts, output)
    other = [{**line, "weights": {"friendly": 1}} if number == 1 else line for number, line in enumerate(LINES)]
    prompts.write_text("\n".join(json.dumps(line) for line in other))
    with pytest.raises(ValueError, match=r"line 2 of .* must be made with the same preference .* as now: give another"):
        written(mixture, prompts, output)
    assert lines_of(output) == before


WISHED = Preference("be warm", {"concise": 0.5}, usual=Preference(weights={"unfriendly": 1.0}))


@pytest.fixture
def answered(mixture: Mixture, tmp_path: Path) -> Path:
    """Answers to one request in words, numbers and a profile."""
    output = tmp_path / "answered.jsonl"
    goes_on(mixture, output, WISHED)
    return output


def goes_on(
    mixture: Mixture, output: Path, wish: Preference, settings: Settings = SETTINGS, bundle: str = "bundle"
) -> None:
    requests = [Request("Hi", wish, line=1)]
    write_all(mixture, requests, output, settings, 1, bundle, Console(file=io.StringIO()))


@pytest.mark.parametrize(
    "wish",
    [
        replace(WISHED, weights={"concise": 1.0}),
        replace(WISHED, weights=None),
        replace(WISHED, usual=Preference(weights={"unfriendly": 0.5})),
        replace(WISHED, usual=None),
    ],
)
def test_the_same_words_with_other_numbers_or_another_profile_are_another_request(
    mixture: Mixture, answered: Path, wish: Preference
) -> None:
    with pytest.raises(ValueError, match=r"line 1 of .* the same preference \(weights or profile\) as now"):
        goes_on(mixture, answered, wish)


@pytest.mark.parametrize(
    "settings",
    [
        replace(SETTINGS, seed=8),
        replace(SETTINGS, told=True),
        replace(SETTINGS, explained=True),
        replace(SETTINGS, sampling=replace(SETTINGS.sampling, temperature=0.5)),
        replace(SETTINGS, sampling=replace(SETTINGS.sampling, max_new_tokens=7)),
        replace(SETTINGS, sampling=replace(SETTINGS.sampling, logit_bias={2: 1.0, "warm": 1.0})),
        replace(SETTINGS, sampling=replace(SETTINGS.sampling, stop=["."])),
    ],
)
def test_answers_of_other_settings_are_refused(mixture: Mixture, answered: Path, settings: Settings) -> None:
    with pytest.raises(ValueError, match=r"line 1 of .* the same settings \(rule, .*\) as now"):
        goes_on(mixture, answered, WISHED, settings)


def test_answers_of_another_rule_cap_or_bundle_are_refused(mixture: Mixture, answered: Path) -> None:
    before = answered.read_bytes()
    goes_on(mixture, answered, WISHED)  # the same is kept
    with pytest.raises(ValueError, match="the same bundle as now: give another --output, or delete the file"):
        goes_on(mixture, answered, WISHED, bundle="another")
    mixture.cap = 0.5
    with pytest.raises(ValueError, match="the same settings"):
        goes_on(mixture, answered, WISHED)
    mixture.cap, mixture.rule = None, "probability"
    with pytest.raises(ValueError, match="the same bundle and settings"):
        goes_on(mixture, answered, WISHED, bundle="another")
    assert answered.read_bytes() == before


def test_a_bias_is_the_same_in_any_order(mixture: Mixture, answered: Path) -> None:
    answered.unlink()
    for bias in ({2: 1.0, "warm": 1.0}, {"warm": 1.0, 2: 1.0}):
        settings = replace(SETTINGS, sampling=replace(SETTINGS.sampling, logit_bias=bias))
        goes_on(mixture, answered, WISHED, settings)
    assert len(lines_of(answered)) == 1


def test_answers_of_an_earlier_version_are_refused(mixture: Mixture, answered: Path) -> None:
    (answer,) = lines_of(answered)
    assert list(answer)[-1] == "made_from"
    del answer["made_from"]
    answered.write_text(json.dumps(answer) + "\n")
    with pytest.raises(ValueError, match=r"line 1 of .* must say what it was made from, which earlier"):
        goes_on(mixture, answered, WISHED)


def test_the_command_refuses_to_go_on_with_another_bundle(
    tiny_bundle: Path, prompts: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    prompts.write_text(json.dumps(LINES[0]) + "\n")
    other = tmp_path / "other"
    Mixture.load(tiny_bundle, rule="logit").save(other, {"made_by": "another test"})
    shutil.copytree(tiny_bundle, tmp_path / "moved")
    files = ["--prompts", str(prompts), "--output", str(tmp_path / "a.jsonl"), "--max-new-tokens", "4", "--bundle"]
    assert decode.main([*files, str(tiny_bundle)]) == 0
    assert decode.main([*files, str(tmp_path / "moved")]) == 0  # where it lies makes no difference
    capsys.readouterr()
    assert decode.main([*files, str(other), "--rule", "anchored"]) == 2
    assert "must be made with the same bundle as now" in capsys.readouterr().err
    assert len(lines_of(tmp_path / "a.jsonl")) == 1
