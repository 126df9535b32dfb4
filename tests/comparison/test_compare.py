"""A user's own case, from model folder to report: adapters made by PEFT, own questions, a classifier as the judge."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from peft import LoraConfig, get_peft_model
from test_learned import tiny_classifier
from tiny_bundle import tiny_base, tiny_controller, tiny_tokenizer

import compare as command
import comparison.cases as cases
from experts.miniature.corpus import Prompt
from mixture import Mixture
from pcm.users.profile import Profile

NAMES = ("warm", "short", "plain")


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folders as a user has them."""
    folder = tmp_path_factory.mktemp("own")
    tokenizer = tiny_tokenizer(folder / "tokenizer")
    base = tiny_base(tokenizer)
    base.save_pretrained(folder / "base")
    tokenizer.save_pretrained(folder / "base")
    for seed, name in enumerate(NAMES):
        torch.manual_seed(seed)
        model = get_peft_model(tiny_base(tokenizer), LoraConfig(r=2, lora_alpha=4, target_modules=["v_proj"]))
        for key, parameter in model.named_parameters():
            if "lora_B" in key:
                torch.nn.init.normal_(parameter)
        model.save_pretrained(folder / name)
    classifier = tiny_classifier(tokenizer, list(NAMES), problem_type="multi_label_classification")
    classifier.save_pretrained(folder / "classifier")
    tokenizer.save_pretrained(folder / "classifier")
    for name, texts in {"test": ("What is it?", "Rain?", "be kind"), "validation": ("A volcano?", "mountain")}.items():
        rows = [json.dumps({"messages": [{"role": "user", "content": text}]}) + "\n" for text in texts]
        (folder / f"{name}.jsonl").write_text("".join(rows))
    return folder


@pytest.fixture
def arguments(own: Path) -> list[str]:
    config = {
        "base": str(own / "base"), "experts": {name: str(own / name) for name in NAMES},
        "prompts": str(own / "test.jsonl"), "validation": str(own / "validation.jsonl"),
        "scorers": [f"classifier:{own / 'classifier'}"], "temperatures": [1.0, 0.0], "max_new_tokens": 4,
        "methods": ["base", "expert-*", "soup-uniform", "soup-ties", "fixed-logit"], "preferences": ["warm+short"],
    }  # fmt: skip
    (own / "config.yaml").write_text(json.dumps(config))
    return ["--config", str(own / "config.yaml")]


def without_costs(report: Path) -> dict:
    """The report but for time and memory, which are the machine's."""
    found = json.loads(report.read_text())
    for method in found["methods"].values():
        del method["cost"]
    return found


def test_shares_leave_nothing_to_decode_and_the_report_of_one_process(arguments: list[str], tmp_path: Path):
    sweeps = ["--sweeps", "warm+short"]
    assert command.main([*arguments, *sweeps, "--output", str(tmp_path / "one")]) == 0
    shared = [*arguments, *sweeps, "--output", str(tmp_path / "shared")]
    for place in (1, 2, 3):
        assert command.main([*shared, "--share", f"{place}/3"]) == 0
    assert not (tmp_path / "shared" / "report.json").exists()
    answered = {path: path.stat().st_mtime_ns for path in tmp_path.glob("shared/answers/**/*.jsonl")}
    assert len(answered) > 20
    assert command.main(shared) == 0
    assert {path: path.stat().st_mtime_ns for path in tmp_path.glob("shared/answers/**/*.jsonl")} == answered
    one, other = (without_costs(tmp_path / name / "report.json") for name in ("one", "shared"))
    assert one == other


def test_several_processes_give_the_report_of_one(arguments: list[str], tmp_path: Path):
    for workers in ("1", "2"):
        output = tmp_path / workers
        assert command.main([*arguments, "--output", str(output), "--workers", workers]) == 0
    assert without_costs(tmp_path / "1" / "report.json") == without_costs(tmp_path / "2" / "report.json")


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (["--share", "3/2"], "a share must be K/N with K from 1 to N, got '3/2'"),
        (["--share", "first"], "a share must be K/N with K from 1 to N, got 'first'"),
        (["--workers", "0"], "workers must be at least 1, got 0"),
    ],
)
def test_a_share_that_is_none_is_refused(
    arguments: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str], given: list[str], message: str
):
    assert command.main([*arguments, "--output", str(tmp_path), *given]) == 1
    assert message in capsys.readouterr().err


def test_own_models_are_compared_without_gold_judge_and_without_decoding_twice(
    arguments: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    output = ["--output", str(tmp_path)]
    assert command.main([*arguments, *output]) == 0
    assert "The highest utility is that of" in capsys.readouterr().out
    files = ("report.json", "report.md", "report.html", "utility.png", "responses.jsonl")
    first = [(tmp_path / name).read_bytes() for name in files]
    monkeypatch.setattr(Mixture, "step", None)
    assert command.main([*arguments, *output]) == 0
    assert [(tmp_path / name).read_bytes() for name in files] == first
    report = json.loads(first[0])
    plain = ["base", *(f"expert-{name}" for name in NAMES), "soup-uniform", "soup-ties", "fixed-logit"]
    assert list(report["methods"]) == [*plain, "expert-oracle", "expert-best"]
    assert report["reference"] == "fixed-logit"
    assert not report["soups"]["soup-uniform"]["broken"]
    assert report["soups"]["soup-uniform"]["error"] < 1e-5
    assert report["soups"]["soup-ties"]["error"] > 0.05
    assert report["settings"]["judge"] == report["settings"]["chooser"] == "classifier"
    rows = [json.loads(line) for line in first[-1].decode().split("\n")[:-1]]
    assert {row["method"] for row in rows} == set(report["methods"])
    assert {row["messages"][0]["content"] for row in rows} == {"What is it?", "Rain?", "be kind"}


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["--scorers", '["gold"]'], "the gold judge knows questions of the miniature world alone"),
        (["--scorers", '["taste"]'], "a scorer must be gold, learned or classifier:FOLDER, got 'taste'"),
        (["--preferences", '["warm+rude"]'], "preferences must be of warm, short, plain joined by +, got rude"),
        (["--experts", "null"], "base and experts must be given together"),
        (["--preferences", '["warm=2+short"]'], "must be asked for with a number in (0, 1], got warm=2"),
        (["--preferences", '["warm=much"]'], "a preference must be as in friendly=0.5+concise, got warm=much"),
        (["--sweeps", '["warm"]'], "a front must have two or three different dimensions, got warm"),
        (["--sweeps", '["warm+rude"]'], "preferences must be of warm, short, plain joined by +, got rude"),
        (["--controllers", '{"pcm-other": "/nowhere"}'], "belong to the experts of a bundle, got base and experts"),
        (["--gradient_steps", '{"gate": 3}'], "gradient_steps must be those of experts, rewards, got gate"),
        (["--sweeps", "warm+short", "--methods", "base,soup-ties"], "sweeps need a method that hears half a wish"),
        (["--prompts", "tets.jsonl"], "questions must be in a file, folder or dataset on the hub, got nothing at tets"),
        (["--users", "nobody"], "a user must have a profile, got 'nobody'"),
        (["--reference", "pcm-anchored"], "the reference must be one of base"),
        (["--seeds", "0"], "seeds must be at least 1, got 0"),
        (["--bundle", "/nowhere", "--base", "null", "--experts", "null"], "must be a folder that holds bundle.json"),
    ],
)
def test_a_mistake_is_one_line(arguments, tmp_path, more, said, capsys):
    assert command.main([*arguments, "--output", str(tmp_path), *more]) == 1
    told = capsys.readouterr().err.strip()
    assert said in told
    assert told.count("\n") == 0


def test_users_are_compared_by_what_they_are_known_to_want(arguments, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("MEDLEY_USERS", str(tmp_path / "users"))
    Profile("ada", weights={"warm": 0.5, "short": 1.0}).save()
    Profile("bob").save()
    output = ["--output", str(tmp_path / "out"), "--methods", "base,soup-uniform,fixed-logit"]
    assert command.main([*arguments, *output, "--users", "bob"]) == 1
    assert "users must be known to want something, got bob" in capsys.readouterr().err
    assert command.main([*arguments, *output, "--users", "ada"]) == 0
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    assert list(report["methods"]["fixed-logit"]["by_preference"]) == ["warm=0.5+short"]
    assert report["settings"]["users"] == {"ada": "warm=0.5+short"}
    assert "- ada asks for warm=0.5, short." in capsys.readouterr().out
    assert set(report["methods"]["fixed-logit"]["by_dimension"]) == {"warm", "short"}


def test_sweeping_two_dimensions_gives_a_front_of_every_method_that_hears_half_a_wish(arguments, tmp_path):
    output = ["--output", str(tmp_path), "--methods", "base,soup-uniform,soup-ties,fixed-logit,fixed-best"]
    assert command.main([*arguments, *output, "--sweeps", "warm+short,warm+short+plain"]) == 0
    fronts = json.loads((tmp_path / "report.json").read_text())["fronts"]
    assert list(fronts) == ["warm+short", "warm+short+plain"]
    methods = fronts["warm+short"]["methods"]
    assert list(methods) == ["soup-uniform", "fixed-logit", "fixed-best"]
    assert list(methods["soup-uniform"]["points"]) == [
        "warm",
        "warm+short=0.5",
        "warm+short",
        "warm=0.5+short",
        "short",
    ]
    assert "reference_minus_ours" in methods["soup-uniform"]
    assert len(fronts["warm+short+plain"]["methods"]["fixed-best"]["points"]) == 19
    page = (tmp_path / "report.html").read_text()
    assert page.count("Front: ") == 1
    assert "Sweeping warm and short and plain, the front of" in page


def test_questions_of_the_report_are_never_chosen_on(arguments, own, tmp_path, capsys):
    assert command.main([*arguments, "--validation", str(own / "test.jsonl"), "--output", str(tmp_path)]) == 1
    assert "choices must be made on other questions than the report's, got 3 in both lists" in capsys.readouterr().err


def test_a_bundle_is_compared_with_other_controllers_and_with_what_is_left_of_its_own(
    tiny_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    splits = {"test": ("What is it?", "Rain?"), "validation": ("A volcano?",), "train": ("be kind",)}
    found = {name: [Prompt([{"role": "user", "content": one}], "the rain") for one in splits[name]] for name in splits}
    monkeypatch.setattr(cases.corpus, "prompts", found.__getitem__)
    mixture = Mixture.load(tiny_bundle)
    replace(mixture, pcm=tiny_controller(32, seed=9)).save(tmp_path / "other", {})
    arguments = ["--bundle", str(tiny_bundle), "--controllers", json.dumps({"pcm-other": str(tmp_path / "other")})]
    arguments += ["--temperatures", "[1.0]", "--max_new_tokens", "4", "--output", str(tmp_path / "out")]
    arguments += ["--preferences", "friendly+concise,friendly", "--sweeps", "friendly+concise"]
    arguments += ["--gradient_steps", '{"experts": 5, "controller": 7}']
    assert command.main(arguments) == 0
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    methods = report["methods"]
    controlled = ["pcm-anchored", "pcm-anchored-prompted", "static-pcm", "pcm-text", "pcm-text-prompted", "pcm-other"]
    assert list(methods)[-len(controlled) :] == controlled
    steps = {name: methods[name]["cost"]["gradient_steps"] for name in ("base", "soup-best", "static-pcm", "pcm-other")}
    assert steps == {"base": 0, "soup-best": 5, "static-pcm": 12, "pcm-other": None}
    assert methods["pcm-anchored"]["nats"]["mean"] > methods["base"]["nats"]["mean"] == pytest.approx(0, abs=1e-5)
    assert methods["pcm-other"]["nats"] != methods["pcm-anchored"]["nats"]
    assert methods["base"]["cost"]["peak_bytes"] < methods["pcm-anchored"]["cost"]["peak_bytes"]
    assert list(report["fronts"]["friendly+concise"]["methods"])[-3:] == ["pcm-anchored", "static-pcm", "pcm-other"]
    monkeypatch.setattr(Mixture, "step", None)
    assert command.main(arguments) == 0
    assert json.loads((tmp_path / "out" / "report.json").read_text()) == report
