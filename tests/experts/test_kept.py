"""Whole models in a bundle: kept, found again, and pinned where they lie on the hub."""

from copy import deepcopy
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from tiny_bundle import DIMENSIONS, rounded, tiny_mixture
from transformers import AutoModelForCausalLM, PreTrainedModel

import bundle
from decoding.sampling import Sampling
from experts.bank import ExpertBank
from experts.soup import merged_update
from experts.whole import WholeModels
from mixture import Mixture
from pcm.preference import Preference

NAMES = [dimension.name for dimension in DIMENSIONS]
COMMIT = "0123456789abcdef0123456789abcdef01234567"
HUB = f"someone/concise@{COMMIT}"


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Mixture:
    """The tiny mixture with each expert merged into a model of its own; tests leave it as it is."""
    adapted = tiny_mixture(tmp_path_factory.mktemp("tokenizer"))
    models = WholeModels(adapted.bank.base)
    for name in adapted.names:
        merged = deepcopy(adapted.bank.base)
        with torch.no_grad():
            for module, update in merged_update(adapted.bank, {name: 1.0}).items():
                merged.get_submodule(module).weight += update
        models.add(name, rounded(merged))
    return replace(adapted, bank=models)


@pytest.fixture
def hub(whole: Mixture, monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str]]:
    """What was asked of a hub that holds one of the experts."""
    asked: list[tuple[str, str]] = []
    read = AutoModelForCausalLM.from_pretrained

    def fetched(where: object, revision: str, **settings: object) -> PreTrainedModel:
        if where != "someone/concise":
            return read(where, revision=revision, **settings)
        asked.append((str(where), revision))
        return deepcopy(whole.bank._model("concise"))

    monkeypatch.setattr(AutoModelForCausalLM, "from_pretrained", fetched)
    return asked


def spoken(mixture: Mixture) -> list[list[int]]:
    wishes = [Preference(weights={name: 1.0}) for name in ("friendly", "concise")]
    question = [{"role": "user", "content": "What is a volcano?"}]
    responses = mixture.generate([question] * 2, wishes, Sampling(0.0, max_new_tokens=6), [0, 0])
    return [[token.id for token in response.tokens] for response in responses]


def test_a_bundle_of_whole_models_answers_the_same_after_saving_and_loading(whole: Mixture, tmp_path: Path) -> None:
    whole.save(tmp_path / "bundle", {})
    again = Mixture.load(tmp_path / "bundle")
    assert isinstance(again.bank, WholeModels)
    assert again.names == NAMES
    assert spoken(again) == spoken(whole)
    assert len({str(tokens) for tokens in spoken(whole)}) == 2
    again.save(tmp_path / "again", {})
    assert (tmp_path / "again" / "bundle.json").read_bytes() == (tmp_path / "bundle" / "bundle.json").read_bytes()


def test_whole_models_are_bfloat16_on_disk_like_their_base(whole: Mixture, tmp_path: Path) -> None:
    whole.save(tmp_path / "bundle", {})
    folder = tmp_path / "bundle" / "experts" / "concise"
    assert {tensor.dtype for tensor in load_file(folder / "model.safetensors").values()} == {torch.bfloat16}
    assert AutoModelForCausalLM.from_pretrained(folder).dtype == torch.bfloat16


def test_a_whole_model_on_the_hub_stays_there_and_is_read_at_its_revision(
    whole: Mixture, hub: list[tuple[str, str]], tmp_path: Path
) -> None:
    models = WholeModels(whole.bank.base)
    for name in NAMES:
        models.add(name, HUB if name == "concise" else whole.bank._model(name))
    replace(whole, bank=models).save(tmp_path / "bundle", {})
    kept = sorted(path.name for path in (tmp_path / "bundle" / "experts").iterdir())
    assert kept == ["friendly", "unfriendly"]
    manifest = bundle.read_manifest(tmp_path / "bundle")
    assert manifest.whole_models == {
        "friendly": "experts/friendly", "unfriendly": "experts/unfriendly", "concise": HUB
    }  # fmt: skip
    assert spoken(Mixture.load(tmp_path / "bundle")) == spoken(whole)
    assert hub == [("someone/concise", COMMIT)] * 2


def test_a_tag_of_a_whole_model_is_kept_as_the_commit_that_it_names(
    whole: Mixture, hub: list[tuple[str, str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("experts.hub.snapshot_download", lambda name, **settings: str(tmp_path / COMMIT))
    whole.bank.base.save_pretrained(tmp_path / "base")
    of_the_hub = {"concise": "someone/concise@v1"}
    models = Mixture.of(tmp_path / "base", of_the_hub, kind=WholeModels, tokenizer=whole.tokenizer)
    models.save(tmp_path / "bundle", {})
    assert bundle.read_manifest(tmp_path / "bundle").whole_models == {"concise": HUB}
    assert hub == [("someone/concise", COMMIT)]


def test_only_what_is_on_the_hub_at_a_commit_is_pinned(
    whole: Mixture, hub: list[tuple[str, str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    models, own = WholeModels(whole.bank.base), whole.bank._model("friendly")
    sources = {"latest": "someone/concise", "commit": HUB, "branch": "someone/concise@main", "own": own}
    for name, source in sources.items():
        models.add(name, source)
    own.save_pretrained(HUB)
    models.add("folder", HUB)
    assert models.pinned == {"commit": HUB}
    assert len(hub) == 3


@pytest.mark.parametrize(
    ("places", "message"),
    [
        ({"friendly": "experts/friendly"}, r"for every expert or none, .*got \['friendly'\]"),
        (dict.fromkeys(NAMES, "someone/model"), "must lie in experts/friendly, or on the hub as owner/name@commit"),
        (dict.fromkeys(NAMES, "someone/model@main"), "40 hexadecimal digits, got 'someone/model@main'"),
        (dict.fromkeys(NAMES, f"../outside@{COMMIT}"), r"got '\.\./outside@0123"),
        (dict.fromkeys(NAMES, "experts/friendly"), "'unfriendly' must lie in experts/unfriendly"),
    ],
)
def test_a_whole_model_whose_place_is_unsure_is_refused(places: dict[str, str], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        bundle.Manifest(DIMENSIONS, "anchored", whole_models=places)


def test_an_adapter_is_kept_as_ever(tiny_bundle: Path) -> None:
    assert bundle.read_manifest(tiny_bundle).whole_models == {}
    assert isinstance(Mixture.load(tiny_bundle).bank, ExpertBank)


def test_whole_models_are_not_compiled(whole: Mixture) -> None:
    with pytest.raises(ValueError, match="only adapters on one base can be compiled, got WholeModels"):
        whole.compile()
