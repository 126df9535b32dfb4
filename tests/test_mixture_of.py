"""A mixture of any base and any experts in one call, and compiled by one option."""

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from tiny_bundle import DIMENSIONS, tiny_base
from transformers import AutoModelForCausalLM, AutoTokenizer

import bundle
import decode
from decoding.dimension import Dimension
from decoding.sampling import Sampling
from experts import hub
from experts.whole import WholeModels
from mixture import Mixture
from pcm.preference import Preference

WISHES = [Preference(weights={"friendly": 1.0}), Preference(weights={"concise": 1.0, "unfriendly": 0.5})]
COMMIT = "0123456789abcdef0123456789abcdef01234567"
QUESTION = [{"role": "user", "content": "What is a volcano?"}]


def adapters(folder: Path) -> dict[str, Path]:
    return {dimension.name: folder / "experts" / dimension.name for dimension in DIMENSIONS}


def spoken(mixture: Mixture) -> list[list[int]]:
    responses = mixture.generate([QUESTION] * 2, WISHES, Sampling(0.0, max_new_tokens=8), [0, 0])
    return [[token.id for token in response.tokens] for response in responses]


def test_a_base_and_peft_folders_are_a_mixture_in_one_call(tiny_bundle: Path) -> None:
    made = Mixture.of(tiny_bundle / "base", adapters(tiny_bundle))
    uniform = replace(Mixture.load(tiny_bundle), pcm=None)
    assert spoken(made) == spoken(uniform)
    assert made.dimensions[0] == Dimension("friendly", "The answer is friendly.")
    assert made.base_id == "base"
    assert spoken(Mixture.of(tiny_bundle / "base", adapters(tiny_bundle), rule="probability")) != spoken(made)


def test_an_adapter_that_changes_nothing_is_refused_when_it_is_loaded(tiny_bundle: Path, tmp_path: Path) -> None:
    silent = shutil.copytree(tiny_bundle / "experts" / "friendly", tmp_path / "silent") / "adapter_model.safetensors"
    save_file({name: tensor * 1e-12 for name, tensor in load_file(silent).items()}, silent)
    with pytest.raises(ValueError, match="'friendly' must change the base's logits"):
        Mixture.of(tiny_bundle / "base", adapters(tiny_bundle) | {"friendly": silent.parent})


def test_dimensions_say_what_the_experts_are_for_and_in_which_order(tiny_bundle: Path) -> None:
    made = Mixture.of(str(tiny_bundle / "base"), adapters(tiny_bundle), dimensions=DIMENSIONS)
    assert made.dimensions == DIMENSIONS
    with pytest.raises(ValueError, match=r"must be the dimensions .* in order"):
        Mixture.of(tiny_bundle / "base", adapters(tiny_bundle), dimensions=DIMENSIONS[::-1])


def test_a_base_in_memory_stays_as_it_is_and_brings_its_tokenizer(tiny_bundle: Path) -> None:
    base = AutoModelForCausalLM.from_pretrained(tiny_bundle / "base", dtype=torch.float64)
    made = Mixture.of(base, adapters(tiny_bundle))
    assert made.bank.base is base
    assert spoken(made) == spoken(Mixture.of(tiny_bundle / "base", adapters(tiny_bundle), dtype=torch.float64))
    nowhere = tiny_base(made.tokenizer)
    assert Mixture.of(nowhere, adapters(tiny_bundle), tokenizer=made.tokenizer).bank.base is nowhere
    with pytest.raises(ValueError, match="must come with a tokenizer, got none"):
        Mixture.of(nowhere, adapters(tiny_bundle))


@pytest.mark.parametrize("revision", ["main", COMMIT])
def test_a_base_on_the_hub_at_a_revision_stays_there_at_its_commit(
    tiny_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, revision: str
) -> None:
    """A branch alone would be another base tomorrow."""
    asked = []
    monkeypatch.setattr(hub, "snapshot_download", lambda name, **settings: str(tmp_path / "snapshots" / COMMIT))
    for kind in (AutoModelForCausalLM, AutoTokenizer):
        read = kind.from_pretrained

        def fetched(where: object, read: Callable[..., object] = read, **settings: object) -> object:
            asked.append((where, settings.pop("revision", None)))
            return read(tiny_bundle / "base", **settings)

        monkeypatch.setattr(kind, "from_pretrained", fetched)
    pinned = Mixture.of(f"someone/base@{revision}", adapters(tiny_bundle))
    assert asked == [("someone/base", COMMIT)] * 2
    pinned.save(tmp_path / "bundle", {})
    manifest = bundle.read_manifest(tmp_path / "bundle")
    assert (manifest.base, manifest.base_revision) == ("someone/base", COMMIT)
    assert not (tmp_path / "bundle" / "base" / "model.safetensors").exists()
    assert Mixture.of("someone/base", adapters(tiny_bundle)).base_id == "base"


def test_whole_models_are_a_mixture_in_one_call(tiny_bundle: Path, tmp_path: Path) -> None:
    made = Mixture.of(tiny_bundle / "base", adapters(tiny_bundle))
    tiny_base(made.tokenizer, seed=7).save_pretrained(tmp_path / "other")
    models = Mixture.of(tiny_bundle / "base", {"other": tmp_path / "other"}, kind=WholeModels)
    assert isinstance(models.bank, WholeModels)
    assert models.names == ["other"]


def test_an_expert_that_changes_nothing_is_refused(tiny_bundle: Path) -> None:
    with pytest.raises(ValueError, match="'same' must change the base's logits"):
        Mixture.of(tiny_bundle / "base", {"same": tiny_bundle / "base"}, kind=WholeModels)


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The compiled passes that ran; nothing is compiled."""
    ran: list[str] = []

    def compiling(forward: Callable[..., object], **settings: object) -> Callable[..., object]:
        def compiled(*arguments: object, **named: object) -> object:
            ran.append(str(settings))
            return forward(*arguments, **named)

        return compiled

    monkeypatch.setattr(torch, "compile", compiling)
    return ran


def test_one_option_compiles_a_bundles_passes(tiny_bundle: Path, calls: list[str]) -> None:
    plain = spoken(Mixture.load(tiny_bundle))
    assert calls == []
    compiled = Mixture.load(tiny_bundle, compile=True)
    assert calls == [], "the trial of the experts needs no graphs"
    assert spoken(compiled) == plain
    assert len(calls) == 8
    compiled.compile(dynamic=True)
    spoken(compiled)
    assert calls[8:] == ["{'dynamic': True}"] * 8


def test_the_command_compiles_by_one_option(
    tiny_bundle: Path, calls: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["What is a volcano?", "--json", "--bundle", str(tiny_bundle), "--max-new-tokens", "4"]
    texts = []
    for options in ([], ["--compile"]):
        assert decode.main([*command, *options]) == 0
        texts.append(json.loads(capsys.readouterr().out)["text"])
        assert len(calls) == (4 if options else 0)
    assert texts[0] == texts[1]
