import io
import json
import re
import resource
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch

import decode

ROOT = Path(__file__).parents[1]
QUESTION = "What is a volcano?"
HEAVY = ("trl", "lightning", "datasets", "peft", "matplotlib")
ABSENT = (*HEAVY, "scipy", "accelerate", "pandas", "sklearn", "tensorboard", "psutil")


@pytest.fixture
def command(tiny_bundle: Path) -> list[str]:
    return ["--bundle", str(tiny_bundle), "--max-new-tokens", "8"]


def test_an_answer_ends_with_one_line_that_sums_it_up(command: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert decode.main([QUESTION, "--weights", "friendly=1,concise=0.5", *command]) == 0
    out, err = capsys.readouterr()
    numbers = r"friendly 1.00, concise 0.50 \| mean weights: friendly \d+\.\d\d, concise \d+\.\d\d \| \d+\.\d tokens/s"
    assert re.search(rf"\n\nasked: {numbers}\n$", out)
    assert "\x1b[" not in out
    assert err == ""


def test_json_is_one_object_and_nothing_else(command: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert decode.main([QUESTION, "--preference", "be warm", "--json", *command]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert list(answer) == [
        "prompt", "preference", "text", "finish_reason", "tokens", "seconds", "tokens_per_second"
    ]  # fmt: skip
    assert (answer["prompt"], answer["preference"]["text"]) == (QUESTION, "be warm")
    assert answer["text"] == "".join(token["text"] for token in answer["tokens"])
    for token in answer["tokens"]:
        assert list(token) == ["text", "logprob", "weights"]
        assert token["weights"].keys() == answer["preference"]["asked"].keys()
        assert token["logprob"] <= 0


def test_greedy_is_the_default_and_a_seed_decides_the_rest(
    command: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    def text(*options: str) -> str:
        assert decode.main([QUESTION, "--json", *options, *command]) == 0
        return str(json.loads(capsys.readouterr().out)["text"])

    hot = ("--temperature", "2", "--seed")
    assert text("--seed", "1") == text("--seed", "2") == text(*hot, "1", "--top-k", "1")
    assert text(*hot, "1") == text(*hot, "1") != text(*hot, "2")
    assert text(*hot, "1", "--top-p", "1e-6") == text("--seed", "3")
    assert text("--rule", "probability") != text()


def test_options_of_drawing_reach_the_answer(command: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    def answer(*options: str) -> dict[str, str]:
        assert decode.main([QUESTION, "--json", *options, *command]) == 0
        return dict(json.loads(capsys.readouterr().out))

    hot = ("--temperature", "2", "--seed", "1")
    assert answer(*hot, "--min-p", "1")["text"] == answer()["text"]
    assert answer(*hot, "--repetition-penalty", "0.01") != answer(*hot)
    assert answer("--logit-bias", "friend=20, volcano=50")["text"].startswith("volcano volcano")
    stopped = answer("--logit-bias", " volcano=50", "--stop", "nobody writes this", "--stop", "no v")
    assert (stopped["text"], stopped["finish_reason"]) == ("volca", "stop")


def test_what_is_asked_for_can_be_said_in_the_prompt_too(
    command: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    def tokens(*options: str) -> list[dict[str, object]]:
        assert decode.main([QUESTION, "--json", "--temperature", "1", *options, *command]) == 0
        return list(json.loads(capsys.readouterr().out)["tokens"])

    warm = ("--preference", "be warm")
    assert tokens(*warm, "--tell") != tokens(*warm)
    assert tokens("--tell") == tokens()  # nothing is asked for


def test_a_text_that_names_nothing_known_warns_and_mixes_all_alike(
    command: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch

    from pcm.reader.model import PreferenceReader

    monkeypatch.setattr(PreferenceReader, "probabilities", lambda self, texts: torch.zeros(len(texts), 3))
    assert decode.main([QUESTION, "--preference", "zzz", *command]) == 0
    out, err = capsys.readouterr()
    assert "asked: friendly 1.00, unfriendly 1.00, concise 1.00" in out
    assert "mean weights: friendly 0.33, unfriendly 0.33, concise 0.33" in out
    assert err.startswith("warning: ")
    assert err.count("\n") == 1


def test_a_trace_is_written_beside_the_answer(command: list[str], tmp_path: Path) -> None:
    assert decode.main([QUESTION, "--trace", str(tmp_path / "page.html"), *command]) == 0
    page = (tmp_path / "page.html").read_text(encoding="utf-8")
    content = re.search(r'id="trace">(.*?)</script>', page, re.DOTALL)
    assert content
    (first, *_) = json.loads(content[1])["tokens"]
    assert first["alternatives"].keys() == {"mixture", "base", "friendly", "unfriendly", "concise"}
    assert first["logprobs"].keys() == first["alternatives"].keys()
    assert {len(best) for best in first["alternatives"].values()} == {6}


def test_an_explanation_follows_the_answer_and_enters_its_json(
    command: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    wish = ["--weights", "friendly=1,concise=0.5", "--explain"]
    page = tmp_path / "page.html"
    assert decode.main([QUESTION, *wish, "--trace", str(page), *command]) == 0
    out = capsys.readouterr().out
    assert re.search(r"tokens/s\nwhy: \d+\.\d\d nats .*\n  friendly: mean .*\n  concise: mean .*\n$", out)
    (tmp_path / "prompts.jsonl").write_text(json.dumps({"prompt": QUESTION}) + "\n")
    assert decode.main([QUESTION, *wish, "--json", *command]) == 0
    explanation = json.loads(capsys.readouterr().out)["explanation"]
    assert list(explanation["experts"]) == ["friendly", "concise"]
    assert decode.main(["--prompts", str(tmp_path / "prompts.jsonl"), *wish, "--json", *command]) == 0
    assert json.loads(capsys.readouterr().out)["explanation"] == explanation
    content = re.search(r'id="trace">(.*?)</script>', page.read_text(encoding="utf-8"), re.DOTALL)
    assert content
    assert json.loads(content[1])["explanation"]["experts"] == explanation["experts"]


def test_a_file_of_prompts_becomes_a_file_of_answers(
    command: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "prompts.jsonl").write_text('{"prompt": "a"}\n{"prompt": "b", "weights": {"friendly": 1}}\n')
    files = ["--prompts", str(tmp_path / "prompts.jsonl")]
    assert decode.main([*files, "--output", str(tmp_path / "answers.jsonl"), *command]) == 0
    assert capsys.readouterr().out == ""
    answers = [json.loads(line) for line in (tmp_path / "answers.jsonl").read_text().splitlines()]
    assert decode.main([*files, "--json", *command]) == 0
    printed = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [one["text"] for one in answers] == [one["text"] for one in printed]
    assert [one["preference"]["asked"].get("concise") for one in answers] == [1.0, None]


def test_without_a_prompt_a_conversation_starts(
    command: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("/weights friendly=1\nWhat is it?\n/quit\n"))
    assert decode.main(command) == 0
    assert "asked: friendly 1.00 | mean weights: friendly" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ([QUESTION, "--bundle", "no/such/folder"], "a bundle must be a folder that holds bundle.json"),
        ([QUESTION, "--weights", "bogus=1"], "dimensions must be among friendly, unfriendly, concise, got 'bogus'"),
        ([QUESTION, "--weights", "friendly=nan"], "must be a number in [-1, 1], got nan"),
        ([QUESTION, "--weights", "friendly=inf"], "must be a number in [-1, 1], got inf"),
        ([QUESTION, "--weights", "friendly=0,concise=0"], "at least one weight must differ from zero"),
        ([QUESTION, "--weights", "concise=-1"], "a negative weight needs a known opposite"),
        ([QUESTION, "--weights", "friendly"], "weights must be written name=number"),
        ([""], "a prompt must hold some text"),
        ([" \n"], "a prompt must hold some text"),
        (["volcano " * 90], "must fit the model's window of 96 tokens together"),
        ([QUESTION, "--rule", "average"], "a mixing rule must be one of probability, logit, anchored"),
        ([QUESTION, "--temperature", "-1"], "temperature must be finite and at least 0"),
        ([QUESTION, "--temperature", "warm"], "error: --temperature must be a number, got warm\n"),
        ([QUESTION, "--top-p", "0"], "top_p must be in (0, 1]"),
        ([QUESTION, "--top-k", "-1"], "top_k must be at least 0"),
        ([QUESTION, "--min-p", "2"], "min_p must be in [0, 1], got 2.0"),
        ([QUESTION, "--repetition-penalty", "0"], "repetition_penalty must be finite and above 0, got 0.0"),
        ([QUESTION, "--repetition-penalty", "much"], "error: --repetition-penalty must be a number, got much\n"),
        ([QUESTION, "--seed", "1.5"], "error: --seed must be a whole number, got 1.5\n"),
        ([QUESTION, "--stop", ""], "stop must list texts that are not empty"),
        ([QUESTION, "--stop"], "--stop"),
        ([QUESTION, "--logit-bias", "warm"], "a bias must be written token=number"),
        ([QUESTION, "--logit-bias", "warm=inf"], "logit_bias of 'warm' must be finite, got inf"),
        ([QUESTION, "--logit-bias", "330=1"], "logit_bias must be for token ids from 0 to 329, got 330"),
        ([QUESTION, "--max-new-tokens", "0"], "max_new_tokens must be at least 1"),
        ([QUESTION, "--seed", "-1"], "seed must be in [0, 2^63)"),
        ([QUESTION, "--budget", "0"], "a budget must be a share of tokens in (0, 1], got 0.0"),
        ([QUESTION, "--budget", "0.3"], "a budget below 1 needs a bundle with a gate"),
        ([QUESTION, "--budget", "0.3", "--explain"], "--trace and --explain tell what every token was mixed from"),
        ([QUESTION, "--unknown"], "--unknown"),
        ([QUESTION, "--device", "cuda"], "--device must be one that this machine has"),
        ([QUESTION, "--device", "abacus"], "--device must be one that torch knows, such as cpu or cuda, got abacus"),
        ([QUESTION, "--trace", "no/such/folder/page.html"], "--trace must name a file in a folder that exists"),
        ([QUESTION, "--prompts", "x.jsonl"], "give a prompt or --prompts, not both"),
        (["--json"], "--trace and --json need a prompt"),
        (["--prompts", "x.jsonl"], "--prompts needs --output"),
        (["--prompts", "x.jsonl", "--output", "x.jsonl"], "--output must not be the prompts file itself"),
        (["--prompts", "nowhere.jsonl", "--output", "x.jsonl"], "nowhere.jsonl"),
    ],
)
def test_a_mistake_is_one_line_on_standard_error(
    command: list[str],
    arguments: list[str],
    complaint: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    defaults = [*command, *arguments] if "--max-new-tokens" not in arguments else [*command[:2], *arguments]
    assert decode.main(defaults) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert complaint in err
    assert err.startswith("error: ")
    assert err.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_an_unreadable_line_leaves_no_output(
    command: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "prompts.jsonl").write_text('{"prompt": "a"}\n{"prompt":\n')
    output = tmp_path / "answers.jsonl"
    assert decode.main(["--prompts", str(tmp_path / "prompts.jsonl"), "--output", str(output), *command]) == 2
    assert "error: line 2 of " in capsys.readouterr().err
    assert not output.exists()


def test_a_damaged_bundle_is_one_line_on_standard_error(
    tiny_bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    copy = shutil.copytree(tiny_bundle, tmp_path / "copy")
    (copy / "base" / "config.json").write_text("{}")
    assert decode.main([QUESTION, "--bundle", str(copy)]) == 2
    err = capsys.readouterr().err
    assert "base/config.json must have the sha256" in err
    assert err.count("\n") == 1


def test_a_device_that_is_full_is_one_line_on_standard_error_and_a_defect_is_none(
    command: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def failing(problem: Exception) -> None:
        def load(*arguments: object, **settings: object) -> None:
            raise problem

        monkeypatch.setattr(decode, "_load", load)

    failing(torch.OutOfMemoryError("CUDA out of memory.\nTried to allocate 2 GiB."))
    assert decode.main(command) == 2
    assert capsys.readouterr().err == "error: CUDA out of memory. Tried to allocate 2 GiB.\n"
    failing(RuntimeError("shapes do not match"))
    with pytest.raises(RuntimeError, match="shapes do not match"):
        decode.main(command)


def test_help_teaches_with_examples(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        decode.main(["--help"])
    assert left.value.code == 0
    out = capsys.readouterr().out
    for option in (
        "--preference",
        "--weights",
        "--top-p",
        "--min-p",
        "--stop",
        "--logit-bias",
        "--max-new-tokens",
        "--trace",
        "examples:\n  decode.py",
    ):
        assert option in out


def in_a_fresh_process(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)


def test_help_waits_for_nothing_that_computes() -> None:
    code = "import sys, decode; decode._parser(); sys.exit('torch' in sys.modules)"
    assert in_a_fresh_process(code).returncode == 0


def test_decoding_imports_nothing_that_only_training_needs(command: list[str]) -> None:
    code = f"""
import sys, decode
assert decode.main({[QUESTION, "--json", *command]!r}) == 0
found = [name for name in {HEAVY!r} if name in sys.modules]
sys.exit(f"imported: {{found}}" if found else 0)
"""
    finished = in_a_fresh_process(code)
    assert finished.returncode == 0, finished.stderr
    assert json.loads(finished.stdout)["prompt"] == QUESTION


@pytest.mark.slow
def test_decoding_works_where_training_is_not_installed(command: list[str]) -> None:
    """Transformers looks for scipy and others by itself: where they are missing it must do without, and so must we."""
    code = f"""
import sys
sys.modules.update(dict.fromkeys({ABSENT!r}))
import decode
sys.exit(decode.main({[QUESTION, "--preference", "be warm", *command]!r}))
"""
    finished = in_a_fresh_process(code)
    assert finished.returncode == 0, finished.stderr
    assert "tokens/s" in finished.stdout


def test_the_users_commands_import_nothing_that_only_training_needs() -> None:
    code = f"""
import sys, pcm.users.__main__
found = [name for name in {HEAVY!r} if name in sys.modules]
sys.exit(f"imported: {{found}}" if found else 0)
"""
    finished = in_a_fresh_process(code)
    assert finished.returncode == 0, finished.stderr


@pytest.mark.slow
def test_a_user_is_known_where_training_is_not_installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MEDLEY_USERS", str(tmp_path / "users"))
    choice = {"user": "ada", "prompt": QUESTION, "chosen": "It is a mountain.", "rejected": "It is a river."}
    (tmp_path / "log.jsonl").write_text(json.dumps(choice), encoding="utf-8")
    code = f"""
import runpy, sys
sys.modules.update(dict.fromkeys({ABSENT!r}))
sys.argv[1:] = ["learn", "--log", {str(tmp_path / "log.jsonl")!r}]
runpy.run_module("pcm.users", run_name="__main__")
"""
    finished = in_a_fresh_process(code)
    assert finished.returncode == 0, finished.stderr
    assert "ada: 1 choices, kept in" in finished.stdout


@pytest.mark.slow
def test_an_answer_costs_less_than_ten_seconds_of_one_core(command: list[str]) -> None:
    """Seconds of computing, start included: seconds on the wall would measure what else the machine does."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, "decode.py", QUESTION, *command], cwd=ROOT, capture_output=True, check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime < 10
