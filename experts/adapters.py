"""Ordinary PEFT LoRA folders: what an adapter is, how it is read, how it is written.

Knows `adapter_config.json`, `adapter_model.safetensors` and which kinds of LoRA the bank computes. Does not know
models or experts. PEFT itself is not needed.
"""

import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from safetensors.torch import load_file, save_file
from torch import Tensor

CONFIG_FILE = "adapter_config.json"
WEIGHTS_FILE = "adapter_model.safetensors"
PEFT_PREFIX = "base_model.model."
Number = TypeVar("Number", int, float)
DOWN, UP = ".lora_A.weight", ".lora_B.weight"
COPY = ".base_layer.weight"
"""The base's own weight, which PEFT stores beside the factors of a language-model head."""

_CONVERT = "convert it with `peft.convert_to_lora`, or train plain LoRA"
_REFUSED = {
    "use_dora": f"DoRA rescales the base's weights; {_CONVERT}",
    "lora_bias": f"biases are not stacked; train with lora_bias=False, or {_CONVERT}",
    "use_qalora": f"pooled inputs are not stacked; {_CONVERT}",
    "use_bdlora": f"block-diagonal factors are not stacked; {_CONVERT}",
    "target_parameters": "only modules are adapted; train with target_modules",
    "trainable_token_indices": "embeddings are not adapted; train without trainable_token_indices",
    "layer_replication": "layers are not replicated; train on a base whose layers are already replicated",
    "alora_invocation_tokens": "activation by token is not supported; train without alora_invocation_tokens",
    "megatron_config": f"Megatron layers are not supported; {_CONVERT}",
    "arrow_config": "routing inside an adapter is not supported; load its members as experts instead",
    "kasa_config": "KaSA truncates the base's weights; train plain LoRA",
    "velora_config": f"VeLoRA is not supported; {_CONVERT}",
    "monteclora_config": f"MonteCLoRA is not supported; {_CONVERT}",
}
_KNOWN = {
    *("peft_type", "task_type", "r", "lora_alpha", "use_rslora", "rank_pattern", "alpha_pattern", "bias"),
    *("target_modules", "exclude_modules", "layers_to_transform", "layers_pattern", "modules_to_save"),
    # How it was trained or where it came from; none of it changes what the finished factors compute.
    *("init_lora_weights", "loftq_config", "eva_config", "corda_config", "lora_ga_config", "lora_dropout"),
    *("base_model_name_or_path", "revision", "auto_mapping", "inference_mode", "peft_version", "runtime_config"),
    *("fan_in_fan_out", "megatron_core", "qalora_group_size", "ensure_weight_tying"),
}
_REWRITES_BASE = ("pissa", "olora", "corda", "loftq", "lora_ga")
"""Initialisations that subtract something from the base's weights, so that the folder alone is not the whole update."""


@dataclass(frozen=True)
class AdapterConfig:
    """What shape an expert's adapter has.

    Args:
        rank: Inner width r of every pair of factors.
        alpha: Numerator of the scaling.
        target_modules: Module names or the last parts of them, as in PEFT; a string is a regular expression over whole
            names, or `all-linear` for every linear layer below the head.
        use_rslora: Divide by sqrt(r) instead of r (rank-stabilised LoRA, arXiv 2312.03732).
        rank_pattern: Ranks of the modules that differ, by their name or a regular expression over its end, as in PEFT.
        alpha_pattern: Alphas of the modules that differ, likewise.

    Raises:
        ValueError: If a rank is below one, an alpha is not finite, or nothing is targeted.
    """

    rank: int
    alpha: float
    target_modules: tuple[str, ...] | str
    use_rslora: bool = False
    rank_pattern: Mapping[str, int] = field(default_factory=dict)
    alpha_pattern: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Refuses shapes that cannot be built."""
        for rank in (self.rank, *self.rank_pattern.values()):
            if rank < 1:
                raise ValueError(f"an adapter's rank must be at least 1, got {rank}")
        for alpha in (self.alpha, *self.alpha_pattern.values()):
            if not math.isfinite(alpha):
                raise ValueError(f"an adapter's alpha must be finite, got {alpha}")
        if not self.target_modules:
            raise ValueError(f"an adapter must target at least one module, got {self.target_modules!r}")
        if not isinstance(self.target_modules, str):
            object.__setattr__(self, "target_modules", tuple(self.target_modules))

    def rank_of(self, *names: str) -> int:
        """Inner width r of the factors of the module that goes by these names."""
        return _by_pattern(self.rank_pattern, names, self.rank)

    def scaling_of(self, *names: str) -> float:
        """What this module's update `B A x` is multiplied with: alpha / r, or alpha / sqrt(r) when rank-stabilised."""
        rank, alpha = self.rank_of(*names), _by_pattern(self.alpha_pattern, names, self.alpha)
        return alpha / (math.sqrt(rank) if self.use_rslora else rank)

    def targets(self, module: str) -> bool:
        """Whether the module of this name is adapted, by PEFT's rules (`all-linear` is the bank's to resolve)."""
        if isinstance(self.target_modules, str):
            return re.fullmatch(self.target_modules, module) is not None
        return any(module == target or module.endswith(f".{target}") for target in self.target_modules)


@dataclass(frozen=True)
class Adapter:
    """One adapter as it lies in a folder.

    Args:
        config: Its shape.
        state: `<module>.lora_A.weight` (r, in) and `<module>.lora_B.weight` (out, r) for each adapted module, and
            `<module>.base_layer.weight` where the folder holds a copy of the base's weight.
        saved: Whole tensors that PEFT's modules_to_save keeps beside the factors, such as a reward's `score.weight`.
        task_type: PEFT's word for the model around it, `CAUSAL_LM` or `SEQ_CLS`.
    """

    config: AdapterConfig
    state: Mapping[str, Tensor]
    saved: Mapping[str, Tensor] = field(default_factory=dict)
    task_type: str = "CAUSAL_LM"

    @property
    def is_silent(self) -> bool:
        """Whether every module's A or B is zero, as before training, so that the adapter changes nothing."""
        heard: dict[str, bool] = {}
        for key, tensor in self.state.items():
            if not key.endswith(COPY):
                module = key.removesuffix(DOWN).removesuffix(UP)
                heard[module] = heard.get(module, True) and bool(tensor.any())
        return not any(heard.values())


def read_adapter(folder: str | Path, allow_saved: Sequence[str] = ()) -> Adapter:
    """Reads an ordinary PEFT LoRA folder.

    Args:
        folder: Holds `adapter_config.json` and `adapter_model.safetensors`.
        allow_saved: Modules that modules_to_save may list, such as `score`.

    Returns:
        The adapter; its tensors as stored.

    Raises:
        ValueError: If it is a kind of adapter that the bank cannot compute exactly, or holds unusable tensors.
        FileNotFoundError: If a file is missing.
    """
    folder = Path(folder)
    raw = json.loads(_existing(folder / CONFIG_FILE).read_text(encoding="utf-8"))
    _refuse_unsupported(folder, raw, allow_saved)
    tensors = {_plain(key): tensor for key, tensor in load_file(_existing(folder / WEIGHTS_FILE)).items()}
    _refuse_unusable(folder, tensors, allow_saved)
    state = {key: tensor for key, tensor in tensors.items() if key.endswith((DOWN, UP, COPY))}
    saved = {key: tensor for key, tensor in tensors.items() if key not in state}
    return Adapter(_config_of(raw, state), state, saved, raw.get("task_type") or "CAUSAL_LM")


def write_adapter(folder: str | Path, adapter: Adapter, fan_in_fan_out: bool = False) -> None:
    """Writes an ordinary PEFT LoRA folder, which `peft.PeftModel.from_pretrained` reads.

    Args:
        folder: Made when missing.
        adapter: What to write.
        fan_in_fan_out: Whether the adapted modules store their weights as (in, out), as GPT-2's Conv1D does.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    config = adapter.config
    targets = config.target_modules if isinstance(config.target_modules, str) else sorted(config.target_modules)
    raw: dict[str, Any] = {
        "peft_type": "LORA",
        "task_type": adapter.task_type,
        "base_model_name_or_path": None,
        "r": config.rank,
        "lora_alpha": config.alpha,
        "lora_dropout": 0.0,
        "use_rslora": config.use_rslora,
        "rank_pattern": dict(config.rank_pattern),
        "alpha_pattern": dict(config.alpha_pattern),
        "target_modules": targets,
        "modules_to_save": sorted({key.rpartition(".")[0] for key in adapter.saved}) or None,
        "bias": "none",
        "fan_in_fan_out": fan_in_fan_out,
        "inference_mode": True,
    }
    tensors = {
        PEFT_PREFIX + key: tensor.detach().contiguous() for key, tensor in {**adapter.state, **adapter.saved}.items()
    }
    save_file(tensors, folder / WEIGHTS_FILE, metadata={"format": "pt"})
    # Sorted on the outside only: of two patterns that mean the same module, the first one counts.
    (folder / CONFIG_FILE).write_text(json.dumps(dict(sorted(raw.items())), indent=2) + "\n", encoding="utf-8")


def _existing(path: Path) -> Path:
    """The path itself, if there is a file."""
    if not path.is_file():
        raise FileNotFoundError(
            f"an expert's folder must hold {CONFIG_FILE} and {WEIGHTS_FILE} (a pickled adapter_model.bin is not read: "
            f"load it with PEFT and save it again), got no {path}"
        )
    return path


def _plain(key: str) -> str:
    """A tensor's name without the wrapper that PEFT puts around the model."""
    return key.removeprefix(PEFT_PREFIX)


def _by_pattern(patterns: Mapping[str, Number], names: Sequence[str], otherwise: Number) -> Number:
    """The value of the first pattern that means one of these names, by PEFT's rule."""
    matches = (value for key, value in patterns.items() if any(re.match(rf"(.*\.)?({key})$", name) for name in names))
    return next(matches, otherwise)


def _config_of(raw: Mapping[str, Any], state: Mapping[str, Tensor]) -> AdapterConfig:
    """The part of PEFT's configuration that says what is computed."""
    return AdapterConfig(
        rank=raw["r"],
        alpha=raw["lora_alpha"],
        target_modules=_targets(raw, state),
        use_rslora=bool(raw.get("use_rslora")),
        rank_pattern=raw.get("rank_pattern") or {},
        alpha_pattern=raw.get("alpha_pattern") or {},
    )


def _targets(raw: Mapping[str, Any], state: Mapping[str, Tensor]) -> tuple[str, ...] | str:
    """The targets as written, or spelled out from the tensors when further settings narrow them down."""
    narrowed = any(raw.get(name) for name in ("exclude_modules", "layers_pattern"))
    if narrowed or raw.get("layers_to_transform") is not None:
        return tuple(sorted(key.removesuffix(DOWN) for key in state if key.endswith(DOWN)))
    written = raw.get("target_modules") or [key.removesuffix(DOWN) for key in state if key.endswith(DOWN)]
    return written if isinstance(written, str) else tuple(sorted(written))


def _refuse_unsupported(folder: Path, raw: Mapping[str, Any], allow_saved: Sequence[str]) -> None:
    """Refuses, by name, what would load but compute something else than PEFT."""
    if raw.get("peft_type") != "LORA":
        raise ValueError(f"{folder} must hold a LORA adapter, got {raw.get('peft_type')}; {_CONVERT}")
    for name, way_out in _REFUSED.items():
        if raw.get(name):
            raise ValueError(f"{folder} must hold plain LoRA, got {name}={raw[name]!r}: {way_out}")
    if unknown := sorted(name for name in raw.keys() - _KNOWN - _REFUSED.keys() if raw[name]):
        raise ValueError(f"{folder} must be configured by settings known here, got {unknown}: {_CONVERT}")
    if raw.get("bias", "none") != "none":
        raise ValueError(f"{folder} must hold an adapter with bias='none', got bias={raw['bias']!r}: train without it")
    if extra := set(raw.get("modules_to_save") or ()) - set(allow_saved):
        raise ValueError(
            f"{folder} must hold LoRA factors only, got modules_to_save={sorted(extra)}: "
            "whole modules differ per expert and cannot be stacked; train without modules_to_save"
        )
    start = raw.get("init_lora_weights")
    if isinstance(start, str) and start.startswith(_REWRITES_BASE):
        raise ValueError(
            f"{folder} must leave the base's weights as they are, got init_lora_weights={start!r}: save it again with "
            "PEFT's `path_initial_model_for_weight_conversion`"
        )


def _refuse_unusable(folder: Path, tensors: Mapping[str, Tensor], allow_saved: Sequence[str]) -> None:
    """Refuses tensors that no linear layer could use, and numbers that are none."""
    for key, tensor in tensors.items():
        kept = any(key.startswith(f"{module}.") for module in allow_saved)
        copied = key.endswith(COPY) and key.removesuffix(COPY) + DOWN in tensors
        if not (kept or copied or key.endswith((DOWN, UP))):
            raise ValueError(
                f"{folder} must hold LoRA factors of linear layers only, got {key}: embeddings are not adapted; train "
                "without embed_tokens (wte) in target_modules, and save with save_embedding_layers=False"
            )
        if not bool(tensor.isfinite().all()):
            raise ValueError(f"{folder} must hold finite numbers only, got NaN or infinity in {key}")
