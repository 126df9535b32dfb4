"""The whole command, on bundles whose answers are nonsense: it scores them zero, and must not stumble."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from tiny_bundle import tiny_controller

import comparison.cases as cases
import comparison.controllers.__main__ as command
from comparison.controllers.family import Family
from experts.miniature.corpus import Prompt
from mixture import Mixture

SHORT = [Prompt([{"role": "user", "content": text}], "the rain") for text in ("What is it?", "Rain?", "be kind")]


@pytest.fixture
def another(tiny_bundle: Path, tmp_path: Path) -> Path:
    """The tiny bundle with a controller of other numbers."""
    mixture = Mixture.load(tiny_bundle)
    replace(mixture, pcm=tiny_controller(32, seed=9)).save(tmp_path / "another", {"made_by": "a test"})
    return tmp_path / "another"


def test_the_command_writes_the_same_report_again_without_decoding_again(
    tiny_bundle: Path,
    another: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
):
    monkeypatch.setattr(cases.corpus, "prompts", lambda split: SHORT if split == "test" else [])
    bundles = json.dumps({"ours/1": str(tiny_bundle), "ours/2": str(another), "other": str(another)})
    arguments = ["--controllers", bundles, "--max_new_tokens", "4", "--output", str(tmp_path / "out")]
    arguments += ["--preferences", "friendly+concise,unfriendly"]
    assert command.main(arguments) == 0
    assert "Controllers at temperature 0" in " ".join(capsys.readouterr().out.split())
    first = (tmp_path / "out" / "report.json").read_bytes()
    monkeypatch.setattr(Mixture, "step", None)
    assert command.main(arguments) == 0
    assert (tmp_path / "out" / "report.json").read_bytes() == first
    report = json.loads(first)
    assert list(report["temperatures"]["1"]["controllers"]) == ["ours", "other"]
    assert report["settings"]["preferences"] == ["friendly+concise", "unfriendly"]
    identities = report["settings"]["controllers"]
    assert identities["ours/2"] == identities["other"] != identities["ours/1"]


def test_each_member_answers_with_its_own_controller_over_one_bank(tiny_bundle: Path, another: Path):
    family = Family.read({"ours": str(tiny_bundle), "other": str(another)})
    (ours, _), (other, _) = family.members.values()
    assert ours.bank is other.bank is family.mixture.bank
    assert family.mixture.pcm is None
    assert ours.pcm is not None
    assert other.pcm is not None
    pairs = zip(ours.pcm.parameters(), other.pcm.parameters(), strict=True)
    assert not any(torch.equal(*pair) for pair in pairs)


def test_each_rule_has_its_own_uniform_mixture_and_one_rule_has_one(tiny_bundle: Path, tmp_path: Path):
    replace(Mixture.load(tiny_bundle), rule="probability").save(tmp_path / "published", {})
    folders = {"ours/1": str(tiny_bundle), "ours/2": str(tiny_bundle), "published": str(tmp_path / "published")}
    uniform = Family.read(folders).uniform()
    assert {name: (method.name, method.mixture.rule) for name, method in uniform.items()} == {
        "ours/1": ("fixed-uniform", "anchored"),
        "ours/2": ("fixed-uniform", "anchored"),
        "published": ("fixed-probability", "probability"),
    }
    assert all(method.mixture.pcm is None for method in uniform.values())


def test_bundles_of_other_experts_and_without_a_controller_are_refused(tiny_bundle: Path, tmp_path: Path):
    mixture = Mixture.load(tiny_bundle)
    replace(mixture, pcm=None).save(tmp_path / "uniform", {})
    with pytest.raises(ValueError, match="must have a controller, second in"):
        Family.read({"first": str(tiny_bundle), "second": str(tmp_path / "uniform")})
    with torch.no_grad():
        mixture.bank.parameters_of("concise")[0].add_(1.0)
    mixture.save(tmp_path / "changed", {})
    with pytest.raises(ValueError, match="the same base and experts, got others in"):
        Family.read({"first": str(tiny_bundle), "second": str(tmp_path / "changed")})
    with pytest.raises(ValueError, match="at least one bundle"):
        Family.read({})
