import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from stat import S_IMODE

import pytest
import torch
from safetensors.torch import load_file
from tiny_bundle import DIMENSIONS, tiny_mixture

import bundle
from decoding.dimension import Dimension
from decoding.sampling import Sampling
from experts.bank import ExpertBank
from experts.ensemble import member_folders
from mixture import Mixture
from pcm.gate.head import Gate
from pcm.model import PreferenceControlModel
from pcm.preference import Preference


@pytest.fixture
def copy(tiny_bundle: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(tiny_bundle, tmp_path / "copy"))


def changed(folder: Path, **fields: object) -> None:
    path = folder / bundle.MANIFEST
    path.write_text(json.dumps({**json.loads(path.read_text()), **fields}))


def test_a_mixture_answers_the_same_after_saving_and_loading(tmp_path: Path) -> None:
    before = tiny_mixture(tmp_path)
    before.save(tmp_path / "bundle", {})
    after = Mixture.load(tmp_path / "bundle")
    question = [[{"role": "user", "content": "What is a volcano?"}]] * 2
    wishes = [Preference("be warm"), Preference(weights={"concise": 1.0, "friendly": -1.0})]
    one, other = (m.generate(question, wishes, Sampling(max_new_tokens=10), [1, 2]) for m in (before, after))
    assert [response.tokens for response in one] == [response.tokens for response in other]
    assert [response.asked for response in one] == [response.asked for response in other]


def test_the_same_mixture_gives_the_same_bytes(tiny_bundle: Path, tmp_path: Path) -> None:
    Mixture.load(tiny_bundle).save(tmp_path / "again", {"made_by": "a test"})
    assert (tmp_path / "again" / bundle.MANIFEST).read_bytes() == (tiny_bundle / bundle.MANIFEST).read_bytes()


def test_weights_are_bfloat16_on_disk_and_float32_in_memory(tiny_bundle: Path) -> None:
    stored = load_file(tiny_bundle / "base" / "model.safetensors")
    stored |= load_file(tiny_bundle / "experts" / "concise" / "adapter_model.safetensors")
    assert {tensor.dtype for tensor in stored.values()} == {torch.bfloat16}
    assert {parameter.dtype for parameter in Mixture.load(tiny_bundle).bank.parameters()} == {torch.float32}


def test_another_rule_may_be_asked_for(tiny_bundle: Path) -> None:
    assert Mixture.load(tiny_bundle).rule == "anchored"
    assert Mixture.load(tiny_bundle, rule="logit").rule == "logit"
    with pytest.raises(ValueError, match="a mixing rule must be one of"):
        Mixture.load(tiny_bundle, rule="average")


def test_a_changed_file_is_refused_by_name(copy: Path) -> None:
    path = copy / "pcm" / "model.safetensors"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"pcm/model.safetensors must have the sha256"):
        Mixture.load(copy)


def test_a_missing_file_is_refused_by_name(copy: Path) -> None:
    (copy / "reader" / "config.json").unlink()
    with pytest.raises(ValueError, match=r"reader/config.json is missing"):
        Mixture.load(copy)


def test_a_file_that_is_not_listed_is_refused_by_name(copy: Path) -> None:
    (copy / "base" / "extra.bin").write_bytes(b"pickle")
    with pytest.raises(ValueError, match=r"base/extra.bin is not listed"):
        Mixture.load(copy)


def test_a_readme_beside_the_rooms_is_welcome(copy: Path) -> None:
    (copy / "README.md").write_text("# a bundle")
    assert bundle.read_manifest(copy).rule == "anchored"


@pytest.mark.parametrize("version", [0, 2, "1", None])
def test_another_schema_version_is_refused(copy: Path, version: object) -> None:
    changed(copy, schema=version)
    with pytest.raises(ValueError, match="must be of schema version 1, got"):
        bundle.read_manifest(copy)


@pytest.mark.parametrize(
    "fields",
    [
        {"dimensions": [{"name": "x"}]},
        {"dimensions": 3},
        {"surprise": 1},
        {"files": ["base/config.json"]},
        {"files": {"base/config.json": 7}},
    ],
)
def test_a_manifest_with_other_fields_is_refused(copy: Path, fields: dict[str, object]) -> None:
    changed(copy, **fields)
    with pytest.raises(ValueError, match="must hold the fields of schema version 1"):
        bundle.read_manifest(copy)


@pytest.mark.parametrize("content", ["{", "[]", "\x00"])
def test_a_manifest_that_is_no_json_object_is_refused(copy: Path, content: str) -> None:
    (copy / bundle.MANIFEST).write_text(content)
    with pytest.raises(ValueError, match=r"bundle\.json must be"):
        bundle.read_manifest(copy)


@pytest.mark.parametrize("name", ["../elsewhere", "a/b", ".."])
def test_a_dimension_may_not_lead_out_of_the_bundle(name: str) -> None:
    with pytest.raises(ValueError, match="letters, digits, _ and -"):
        bundle.Manifest((Dimension(name, "words"),), "anchored")


@pytest.mark.parametrize("revision", [None, "main", "v1", "abc1234", "A" * 40, "a" * 41])
def test_a_base_on_the_hub_needs_a_commit(revision: str | None) -> None:
    with pytest.raises(ValueError, match=f"its commit of 40 hexadecimal digits, got 'owner/name' with {revision!r}"):
        bundle.Manifest(DIMENSIONS, "anchored", base="owner/name", base_revision=revision)


def test_a_base_on_the_hub_is_no_path() -> None:
    with pytest.raises(ValueError, match=r"must be owner/name with its commit .*, got '\.\./name'"):
        bundle.Manifest(DIMENSIONS, "anchored", base="../name", base_revision="0" * 40)


@pytest.mark.parametrize("name", ["nowhere", "./no/where", "a/b/c", "/no"])
def test_a_bundle_that_is_nowhere_is_refused(name: str) -> None:
    with pytest.raises(FileNotFoundError, match=r"a bundle must be a folder that holds bundle\.json"):
        bundle.locate(name)


def test_a_failed_write_leaves_the_earlier_bundle_and_nothing_else(copy: Path) -> None:
    def fill() -> None:
        with bundle.written_whole(copy) as new:
            (new / "half").write_text("written")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fill()
    assert [path.name for path in copy.parent.iterdir()] == ["copy"]
    assert bundle.read_manifest(copy).rule == "anchored"


@pytest.mark.parametrize("done", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("at", [1, 2])
@pytest.mark.parametrize("problem", [KeyboardInterrupt, OSError])
def test_whatever_stops_the_exchange_a_whole_bundle_is_there(
    copy: Path, monkeypatch: pytest.MonkeyPatch, problem: type[BaseException], at: int, done: bool
) -> None:
    """The earlier one was deleted before the new one came, and what stopped the program in between deleted both."""
    (copy / "README.md").write_text("mine")
    mixture, renamed = Mixture.load(copy), Path.rename
    mixture.rule, calls = "logit", []

    def stopped(path: Path, target: Path) -> Path:
        calls.append(path)
        if len(calls) == at and not done:
            raise problem
        found = renamed(path, target)
        if len(calls) == at:
            raise problem
        return found

    monkeypatch.setattr(Path, "rename", stopped)
    with pytest.raises(problem):
        mixture.save(copy, {})
    assert bundle.read_manifest(copy).rule == ("logit" if (at, done) == (2, True) else "anchored")
    assert (copy / "README.md").read_text() == "mine"


def test_a_bundle_written_in_place_keeps_what_others_put_beside_its_rooms_and_nothing_else(copy: Path) -> None:
    mixture = Mixture.load(copy)
    mixture.gate = Gate(32)
    mixture.save(copy, {})
    stale = sorted(path.name for path in copy.iterdir())
    (copy / "README.md").write_text("mine")
    (copy / "README.md").chmod(0o600)
    (copy / "questions.jsonl").write_text("{}\n")
    (copy / ".git" / "base").mkdir(parents=True)
    (copy / ".git" / "base" / "bundle.json").write_text("an object")
    (copy / ".git" / "base" / "bundle.json").chmod(0o444)
    (copy / "latest").symlink_to("nowhere")
    mixture.gate, mixture.reader = None, None
    mixture.save(copy, {})
    assert sorted(path.name for path in copy.iterdir()) == sorted(
        {*stale, "README.md", "questions.jsonl", ".git", "latest"} - {"reader"}
    )
    assert Mixture.load(copy).gate is None
    assert (copy / "README.md").read_text() == "mine"
    assert S_IMODE((copy / "README.md").stat().st_mode) == 0o600
    assert (copy / "questions.jsonl").read_text() == "{}\n"
    assert (copy / ".git" / "base" / "bundle.json").read_text() == "an object"
    assert (copy / "latest").readlink() == Path("nowhere")
    assert [path.name for path in copy.parent.iterdir()] == ["copy"]


def test_a_link_to_a_bundle_stays_one_and_leads_to_the_new_bundle(copy: Path, tmp_path: Path) -> None:
    link = tmp_path / "links" / "newest"
    link.parent.mkdir()
    link.symlink_to(copy)
    mixture = Mixture.load(link)
    mixture.rule = "logit"
    mixture.save_with(link, link, {})
    assert link.readlink() == copy
    assert bundle.read_manifest(copy).rule == "logit"
    assert [path.name for path in link.parent.iterdir()] == ["newest"]


def test_a_bundle_can_be_written_from_inside_its_folder(copy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(copy)
    Mixture.load(".").save_with(Path(), Path(), {"again": {}})
    assert bundle.read_manifest(copy).provenance["again"] == {}


def test_questions_go_with_the_bundle_they_were_read_with(copy: Path, tmp_path: Path) -> None:
    (copy / "questions.jsonl").write_text("{}\n")
    Mixture.load(copy).save(tmp_path / "new", {})
    (tmp_path / "new" / "questions.jsonl").write_text("other ones\n")
    Mixture.load(copy).save_with(copy, tmp_path / "new", {})
    assert (tmp_path / "new" / "questions.jsonl").read_text() == "{}\n"


@pytest.fixture
def strict_umask() -> Iterator[None]:
    """New files are for their writer and his group."""
    before = os.umask(0o027)
    yield
    os.umask(before)


@pytest.mark.usefixtures("strict_umask")
def test_a_bundle_can_be_read_by_whom_the_umask_lets(tiny_bundle: Path, tmp_path: Path) -> None:
    """Safetensors writes files that nobody else can read."""
    Mixture.load(tiny_bundle).save(tmp_path / "new", {})
    modes = {path: S_IMODE(path.stat().st_mode) for path in (tmp_path / "new", *(tmp_path / "new").rglob("*"))}
    assert {path.suffix for path in modes} >= {".safetensors", ".json", ""}
    assert not {path: oct(mode) for path, mode in modes.items() if mode != (0o750 if path.is_dir() else 0o640)}


def test_a_bundle_replaces_a_bundle_but_nothing_else(copy: Path, tmp_path: Path) -> None:
    mixture = Mixture.load(copy)
    mixture.rule = "logit"
    mixture.save(copy, {})
    assert bundle.read_manifest(copy).rule == "logit"
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter").write_text("precious")
    with pytest.raises(FileExistsError, match="must replace nothing but a bundle"):
        mixture.save(tmp_path / "thesis", {})


def test_rewards_travel_with_the_bundle_in_bfloat16(tiny_bundle: Path, tmp_path: Path) -> None:
    mixture = Mixture.load(tiny_bundle)
    mixture.bank.save("concise", tmp_path / "rewards" / "quality")
    mixture.save(tmp_path / "bundle", {}, rewards=tmp_path / "rewards")
    mixture.save(tmp_path / "again", {}, rewards={"quality": tmp_path / "rewards" / "quality"})
    assert bundle.read_manifest(tmp_path / "again").files == bundle.read_manifest(tmp_path / "bundle").files
    assert "rewards/quality/adapter_config.json" in bundle.read_manifest(tmp_path / "bundle").files
    stored = load_file(tmp_path / "bundle" / "rewards" / "quality" / "adapter_model.safetensors")
    assert {tensor.dtype for tensor in stored.values()} == {torch.bfloat16}


def test_an_ensemble_of_judges_travels_whole(tiny_bundle: Path, tmp_path: Path) -> None:
    mixture, judge = Mixture.load(tiny_bundle), tmp_path / "rewards" / "quality"
    for expert, folder in zip(mixture.names, member_folders_to_be(judge), strict=True):
        mixture.bank.save(expert, folder)
    (judge / "ensemble.json").write_text('{"members": [{"zero": 0.0}, {"zero": 1.0}, {"zero": -2.0}]}')
    mixture.save(tmp_path / "bundle", {}, rewards=tmp_path / "rewards")
    Mixture.load(tmp_path / "bundle").save_with(tmp_path / "bundle", tmp_path / "again", {})
    for kept in (tmp_path / "bundle" / "rewards" / "quality", tmp_path / "again" / "rewards" / "quality"):
        assert (kept / "ensemble.json").read_bytes() == (judge / "ensemble.json").read_bytes()
        for ours, theirs in zip(member_folders(kept), member_folders(judge), strict=True):
            found, given = (load_file(one / "adapter_model.safetensors") for one in (ours, theirs))
            assert all(torch.equal(found[name], tensor.bfloat16()) for name, tensor in given.items())


def member_folders_to_be(folder: Path) -> list[Path]:
    return [folder, folder / "member-2", folder / "member-3"]


def test_a_controller_of_another_make_is_refused_in_words(copy: Path) -> None:
    path = copy / "pcm" / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "width": 9}))
    bundle.write_manifest(copy, bundle._parsed(copy / bundle.MANIFEST))
    with pytest.raises(ValueError, match=r"must hold what this version of the program writes, got .*size mismatch"):
        Mixture.load(copy)


def test_tensors_that_are_none_are_refused_in_words_though_they_are_listed(copy: Path) -> None:
    (copy / "pcm" / "model.safetensors").write_bytes(b"no tensors")
    bundle.write_manifest(copy, bundle._parsed(copy / bundle.MANIFEST))
    with pytest.raises(ValueError, match="must hold what this version of the program writes, got"):
        Mixture.load(copy)


@pytest.mark.parametrize("part", [ExpertBank, PreferenceControlModel, Gate])
def test_a_device_without_room_is_no_damaged_bundle(
    copy: Path, monkeypatch: pytest.MonkeyPatch, part: type[torch.nn.Module]
) -> None:
    mixture = Mixture.load(copy)
    mixture.gate = Gate(32)
    mixture.save(copy, {})

    def full(*arguments: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(part, "to", full)
    with pytest.raises(torch.OutOfMemoryError, match=r"^CUDA out of memory$"):
        Mixture.load(copy)


def test_a_bundle_on_the_hub_is_fetched_by_its_revision(tiny_bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def fetched(name: str, revision: str | None) -> str:
        asked.append((name, revision))
        return str(tiny_bundle)

    monkeypatch.setattr("huggingface_hub.snapshot_download", fetched)
    assert bundle.locate("owner/name", "v1") == tiny_bundle
    assert asked == [("owner/name", "v1")]


def test_a_bundle_that_the_hub_does_not_give_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(name: str, revision: str | None) -> str:
        raise OSError("404\nlong story")

    monkeypatch.setattr("huggingface_hub.snapshot_download", refused)
    with pytest.raises(FileNotFoundError, match=r"a hub id that can be fetched, got owner/name \(the hub says: 404\)"):
        bundle.locate("owner/name")


def test_a_bundle_keeps_its_cap_and_a_later_one_can_only_be_smaller(mixture: Mixture, tmp_path: Path) -> None:
    mixture.cap = 0.5
    mixture.save(tmp_path / "capped", {})
    assert Mixture.load(tmp_path / "capped").cap == 0.5
    assert Mixture.load(tmp_path / "capped", cap=2.0).cap == 0.5
    assert Mixture.load(tmp_path / "capped", cap=0.1).cap == 0.1


def test_a_bundle_keeps_from_whom_its_cap_is_measured(mixture: Mixture, tmp_path: Path) -> None:
    mixture.cap, mixture.safe = 0.5, mixture.names[1]
    mixture.save(tmp_path / "capped", {})
    assert Mixture.load(tmp_path / "capped").safe == mixture.names[1]
    tighter = Mixture.load(tmp_path / "capped", cap=0.1)
    assert (tighter.cap, tighter.safe) == (0.1, mixture.names[1])
    with pytest.raises(ValueError, match=f"measured from {mixture.names[1]}, as the bundle's is, got expert"):
        Mixture.load(tmp_path / "capped", safe="expert")


def test_a_cap_of_nothing_is_a_cap(mixture: Mixture, tmp_path: Path) -> None:
    mixture.cap = 0.0
    mixture.save(tmp_path / "capped", {})
    assert Mixture.load(tmp_path / "capped").cap == 0.0


def test_a_bundle_without_a_cap_does_not_mention_one(tiny_bundle: Path) -> None:
    assert not {"cap", "safe"} & json.loads((tiny_bundle / "bundle.json").read_text()).keys()
    assert Mixture.load(tiny_bundle).cap is None
    assert Mixture.load(tiny_bundle, cap=0.1).cap == 0.1
