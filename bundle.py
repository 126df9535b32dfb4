"""The folder that a trained mixture is: written whole or not at all, read only when it is intact.

    bundle.json          schema version, dimensions, rule, base, sha256 of every file, provenance
    base/                the base model in bfloat16 with its tokenizer (the tokenizer alone when the base is on the hub)
    experts/<dimension>/ ordinary PEFT adapters, or whole models (none for those that are on the hub)
    pcm/                 the Preference Control Model       reader/  what turns a text into dimensions
    rewards/<name>/      reward adapters, an ensemble with all its members: training and evaluation read them
    questions.jsonl      answers that a user can be asked to choose between; not hashed, anybody may put others there

Knows files, hashes and the manifest. Does not know how a mixture computes. Reads safetensors and JSON, never pickle.
"""

import hashlib
import json
import re
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from stat import S_IMODE
from typing import Any
from uuid import uuid4

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedModel, PreTrainedTokenizerBase

from decoding.dimension import Dimension
from decoding.divergence import require_cap
from experts.adapters import CONFIG_FILE, WEIGHTS_FILE
from experts.ensemble import ENSEMBLE_FILE, member_folders
from experts.hub import is_pinned
from experts.kept import require_places

SCHEMA = 1
MANIFEST = "bundle.json"
QUESTIONS = "questions.jsonl"
SHIPPED = str(Path(__file__).parent / "bundles" / "miniature")
"""The bundle that lies in this repository, wherever a command is run."""
ROOMS = ("base", "experts", "pcm", "reader", "rewards")
"""The folders whose every file must be listed in the manifest. Beside them a README may lie."""


@dataclass(frozen=True)
class Manifest:
    """What bundle.json says.

    Args:
        dimensions: The poles a person can ask for, in the order of the experts.
        rule: Name of the mixing rule the controller was trained with.
        base: "base" when the model lies in the bundle, else its id on the Hugging Face hub.
        base_revision: The hub commit, 40 hexadecimal digits; None when the model lies in the bundle.
        provenance: How the bundle was made, without times and paths: equal inputs give an equal file.
        files: Sha256 of every file, by its path inside the bundle.
        whole_models: Where each expert's whole model lies, `experts/<dimension>` or `owner/name@commit` on the hub;
            empty where experts are adapters.
        schema: Version of this format.
        cap: The most nats of the mixture from the base at a token, as its deployer set it; None is no cap, and is not
            written.
        safe: The expert from which the cap is measured; not written where it is the base.
        intensities: The curve of each dimension, see `pcm.intensity.curves`; not written where there is none.
    """

    dimensions: tuple[Dimension, ...]
    rule: str
    base: str = "base"
    base_revision: str | None = None
    provenance: Mapping[str, Any] = field(default_factory=dict)
    files: Mapping[str, str] = field(default_factory=dict)
    whole_models: Mapping[str, str] = field(default_factory=dict)
    schema: int = SCHEMA
    cap: float | None = None
    safe: str | None = None
    intensities: Mapping[str, Sequence[float]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Refuses names that would leave the bundle's folder, and what may change on the hub under our feet."""
        for dimension in self.dimensions:
            if not re.fullmatch(r"[\w-]+", dimension.name):
                raise ValueError(f"a dimension's name must be of letters, digits, _ and -, got {dimension.name!r}")
        if not isinstance(self.files, Mapping) or not all(isinstance(told, str) for told in self.files.values()):
            raise TypeError(f"files must map paths to hashes, got {self.files!r:.80}")
        require_places([dimension.name for dimension in self.dimensions], self.whole_models)
        require_cap(self.cap)
        if self.base != "base" and not is_pinned(f"{self.base}@{self.base_revision}"):
            raise ValueError(
                "a base on the hub must be owner/name with its commit of 40 hexadecimal digits, "
                f"got {self.base!r} with {self.base_revision!r}"
            )

    def tightened(self, cap: float | None, safe: str | None) -> tuple[float | None, str | None]:
        """Gives the cap that holds where another one is asked for, and the expert from which it is measured.

        Args:
            cap: Nats at a token; None asks for none.
            safe: From which expert; None follows the bundle, or is the base where the bundle has no cap.

        Raises:
            ValueError: If the bundle's own cap is measured from somebody else: neither is then the smaller one.
        """
        if self.cap is None:
            return cap, safe
        if safe not in (None, self.safe):
            raise ValueError(f"the cap must be measured from {self.safe or 'the base'}, as the bundle's is, got {safe}")
        return (self.cap if cap is None else min(cap, self.cap)), self.safe


def locate(path_or_hub_id: str | Path, revision: str | None = None) -> Path:
    """Gives the folder of a bundle, downloading it when it is named by its hub id.

    Args:
        path_or_hub_id: A folder, or "owner/name" on the Hugging Face hub.
        revision: Branch, tag or commit on the hub.

    Raises:
        FileNotFoundError: If it is neither a bundle's folder nor a repository that can be fetched.
    """
    folder = Path(path_or_hub_id)
    if (folder / MANIFEST).is_file():
        return folder
    name = str(path_or_hub_id)
    if folder.exists() or name.count("/") != 1 or name.startswith((".", "/", "~")):
        raise FileNotFoundError(f"a bundle must be a folder that holds {MANIFEST}, or a hub id owner/name, got {name}")
    from huggingface_hub import snapshot_download

    try:
        return Path(snapshot_download(name, revision=revision))
    except (OSError, ValueError) as problem:  # the hub's errors are of both kinds
        raise FileNotFoundError(
            f"a bundle must be a folder that holds {MANIFEST}, or a hub id that can be fetched, got {name} "
            f"(the hub says: {str(problem).splitlines()[0]})"
        ) from problem


def read_manifest(folder: Path) -> Manifest:
    """Gives the manifest of an intact bundle: every listed file is there unchanged, and no other one.

    Args:
        folder: Where bundle.json lies.

    Raises:
        ValueError: If the bundle is damaged, or of a version that this program cannot read.
    """
    manifest = _parsed(folder / MANIFEST)
    present = {str(path.relative_to(folder).as_posix()) for path in _room_files(folder)}
    for name in sorted(manifest.files.keys() | present):
        if name not in manifest.files:
            raise ValueError(f"{MANIFEST} must list every file of the bundle, {folder / name} is not listed")
        if name not in present:
            raise ValueError(f"the bundle must hold every file that {MANIFEST} lists, {folder / name} is missing")
        found = sha256(folder / name)
        if found != manifest.files[name]:
            raise ValueError(
                f"{folder / name} must have the sha256 {manifest.files[name][:12]}... that {MANIFEST} lists, "
                f"got {found[:12]}...: it is damaged or was exchanged"
            )
    return manifest


def write_manifest(folder: Path, manifest: Manifest) -> Manifest:
    """Gives the manifest as written, with the sha256 of every file.

    Args:
        folder: Holds everything else already.
        manifest: Its `files` are replaced.
    """
    files = {path.relative_to(folder).as_posix(): sha256(path) for path in sorted(_room_files(folder))}
    content = {**asdict(manifest), "files": files}
    kept = {
        "cap": manifest.cap is not None,
        "safe": manifest.safe is not None,
        "intensities": bool(manifest.intensities),
    }
    content = {name: value for name, value in content.items() if kept.get(name, True)}
    (folder / MANIFEST).write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    return _parsed(folder / MANIFEST)


@contextmanager
def written_whole(folder: Path) -> Iterator[Path]:
    """Gives a new folder to fill, which takes the bundle's place only once it is full.

    Of an earlier bundle stays what lies beside its rooms: a README, a `.git`, questions. All else is the new one's.

    Args:
        folder: Where the bundle shall be: nothing, an earlier bundle, or a link to one, which stays a link.

    Raises:
        FileExistsError: If the place is taken by something that is no bundle.
    """
    folder = folder.resolve()
    if folder.exists() and any(folder.iterdir()) and not (folder / MANIFEST).is_file():
        raise FileExistsError(f"a bundle must replace nothing but a bundle, {folder} holds something else")
    folder.parent.mkdir(parents=True, exist_ok=True)
    new = folder.with_name(f".{folder.name}-{uuid4().hex}")
    new.mkdir()
    try:
        yield new
        _let_others_read(new)
        if folder.exists():
            _carry(folder, new)
        _exchange(folder, new)
    finally:
        shutil.rmtree(new, ignore_errors=True)


def _let_others_read(folder: Path) -> None:
    """Gives every file the mode of the manifest, which `open` made: those of safetensors are for their writer alone."""
    mode = S_IMODE((folder / MANIFEST).stat().st_mode)
    for path in folder.rglob("*"):
        if path.is_file():
            path.chmod(mode)


def _carry(earlier: Path, new: Path) -> None:
    """Copies what lies beside the rooms of an earlier bundle, with its mode, except what the new one has itself."""
    written = {MANIFEST, *ROOMS, *(path.name for path in new.iterdir())}
    shutil.copytree(
        earlier,
        new,
        symlinks=True,
        dirs_exist_ok=True,
        ignore=lambda place, names: written if place == str(earlier) else set(),
    )


def _exchange(folder: Path, new: Path) -> None:
    """Puts a new folder in an earlier one's place, if there is one; nothing is deleted before the new one is there."""
    earlier = new.with_name(f"{new.name}-earlier")
    try:
        if folder.exists():
            folder.rename(earlier)
        new.rename(folder)
    except BaseException:
        if earlier.exists() and not folder.exists():
            earlier.rename(folder)
        raise
    shutil.rmtree(earlier, ignore_errors=True)


def read_base(folder: Path, manifest: Manifest, dtype: torch.dtype) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """Gives the base model and its tokenizer, from the bundle or from the hub.

    Args:
        folder: The bundle.
        manifest: Says where the model lies.
        dtype: Of its weights in memory.
    """
    tokenizer = AutoTokenizer.from_pretrained(folder / "base")
    source = folder / "base" if manifest.base == "base" else manifest.base
    model = AutoModelForCausalLM.from_pretrained(
        source, revision=manifest.base_revision or "main", dtype=dtype, use_safetensors=True
    )
    return model, tokenizer


@contextmanager
def fitting(folder: Path) -> Iterator[None]:
    """Says of parts that do not fit this program that they do not, whatever error their reading ends in.

    Args:
        folder: The bundle.

    Raises:
        ValueError: If tensors or settings are missing, of other shapes, or unknown.
    """
    try:
        yield
    except (RuntimeError, TypeError, KeyError, SafetensorError) as problem:
        told = " ".join(str(problem).split())
        raise ValueError(f"{folder} must hold what this version of the program writes, got {told}") from problem


def copy_rewards(rewards: Path | Mapping[str, Path], folder: Path) -> None:
    """Copies reward adapters into a bundle, of an ensemble every member.

    Args:
        rewards: Holds one PEFT folder for each reward, or says for each name where it lies.
        folder: The bundle.
    """
    if isinstance(rewards, Path):
        rewards = {path.parent.name: path.parent for path in rewards.glob(f"*/{CONFIG_FILE}")}
    for name, source in sorted(rewards.items()):
        target = folder / "rewards" / name
        for member in member_folders(source):
            _copy_adapter(member, target / member.relative_to(source))
        if (source / ENSEMBLE_FILE).exists():
            shutil.copyfile(source / ENSEMBLE_FILE, target / ENSEMBLE_FILE)


def _copy_adapter(source: Path, target: Path) -> None:
    """Copies an adapter, so that equal ones are equal files."""
    target.mkdir(parents=True)
    shutil.copyfile(source / WEIGHTS_FILE, target / WEIGHTS_FILE)
    content = json.loads((source / CONFIG_FILE).read_text(encoding="utf-8"))
    if isinstance(content.get("target_modules"), list):
        content["target_modules"].sort()  # PEFT writes a set, in another order each time
    (target / CONFIG_FILE).write_text(json.dumps(content, indent=2, sort_keys=True), encoding="utf-8")


def halve(folder: Path) -> None:
    """Stores every weight below the folder in bfloat16, and says so in the configuration of every model.

    Args:
        folder: A bundle that is being written.
    """
    for path in folder.rglob("*.safetensors"):
        tensors = load_file(path)
        halved = {name: t.bfloat16() if t.is_floating_point() else t for name, t in tensors.items()}
        save_file(halved, path, metadata={"format": "pt"})
    for configuration in (*folder.glob("base/config.json"), *folder.glob("experts/*/config.json")):
        content = json.loads(configuration.read_text(encoding="utf-8")) | {"dtype": "bfloat16"}
        configuration.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def sha256(path: Path) -> str:
    """Gives the file's sha256 in hexadecimal.

    Args:
        path: The file, read in pieces.
    """
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _room_files(folder: Path) -> list[Path]:
    return [path for room in ROOMS for path in (folder / room).rglob("*") if path.is_file()]


def _parsed(path: Path) -> Manifest:
    """Gives the manifest, its version looked at before anything else."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as problem:
        raise ValueError(f"{path} must be JSON, it cannot be read: {problem}") from problem
    version = content.get("schema") if isinstance(content, dict) else None
    if version != SCHEMA:
        raise ValueError(f"{path} must be of schema version {SCHEMA}, got {version!r}: another program wrote it")
    try:
        return Manifest(**{**content, "dimensions": tuple(Dimension(**entry) for entry in content["dimensions"])})
    except (TypeError, KeyError, AttributeError) as problem:
        raise ValueError(f"{path} must hold the fields of schema version {SCHEMA}: {problem}") from problem
