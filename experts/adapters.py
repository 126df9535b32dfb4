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
from typing import Any

from safetensors.torch import load_file, save_file
from torch import Tensor

CONFIG_FILE = "adapter_config.json"
WEIGHTS_FILE = "adapter_model.safetensors"
PEFT_PREFIX = "base_model.model."
DOWN, UP = ".lora_A.weight", ".lora_B.weight"

_CONVERT = "convert it with `peft.convert_to_lora`, or train plain LoRA"
_REFUSED = {
    "use_dora": f"DoRA rescales the base's weights; {_CONVERT}",
    "lora_bias": f"biases are not stacked; train with lora_bias=False, or {_CONVERT}",
    "use_qalora": f"pooled inputs are not stacked; {_CONVERT}",
    "use_bdlora": f"block-diagonal factors are not stacked; {_CONVERT}",
    "rank_pattern": f"one rank per expert is supported; train without rank_pattern, or {_CONVERT}",
    "alpha_pattern": f"one alpha per expert is supported; train without alpha_pattern, or {_CONVERT}",
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

    Raises:
        ValueError: If the rank is below one, alpha is not finite, or nothing is targeted.
    """

    rank: int
    alpha: float
    target_modules: tuple[str, ...] | str
    use_rslora: bool = False

    def __post_init__(self) -> None:
        """Refuses shapes that cannot be built."""
        if self.rank < 1:
            raise ValueError(f"an adapter's rank must be at least 1, got {self.rank}")
        if not math.isfinite(self.alpha):
            raise ValueError(f"an adapter's alpha must be finite, got {self.alpha}")
        if not self.target_modules:
            raise ValueError(f"an adapter must target at least one module, got {self.target_modules!r}")
        if not isinstance(self.target_modules, str):
            object.__setattr__(self, "target_modules", tuple(self.target_modules))

    @property
    def scaling(self) -> float:
        """What the update `B A x` is multiplied with: alpha / r, or alpha / sqrt(r) when rank-stabilised."""
        return self.alpha / (math.sqrt(self.rank) if self.use_rslora else self.rank)

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
        state: `<module>.lora_A.weight` (r, in) and `<module>.lora_B.weight` (out, r) for each adapted module.
        saved: Whole tensors that PEFT's modules_to_save keeps beside the factors, such as a reward's `score.weight`.
        task_type: PEFT's word for the model around it, `CAUSAL_LM` or `SEQ_CLS`.
    """

    config: AdapterConfig
    state: Mapping[str, Tensor]
    saved: Mapping[str, Tensor] = field(default_factory=dict)
    task_type: str = "CAUSAL_LM"


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
    state = {key: tensor for key, tensor in tensors.items() if key.endswith((DOWN, UP))}
    saved = {key: tensor for key, tensor in tensors.items() if key not in state}
    config = AdapterConfig(raw["r"], raw["lora_alpha"], _targets(raw, state), bool(raw.get("use_rslora")))
    return Adapter(config, state, saved, raw.get("task_type") or "CAUSAL_LM")


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
    (folder / CONFIG_FILE).write_text(json.dumps(raw, indent=2, sort_keys=True) + "\n", encoding="utf-8")


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


def _targets(raw: Mapping[str, Any], state: Mapping[str, Tensor]) -> tuple[str, ...] | str:
    """The targets as written, or spelled out from the tensors when further settings narrow them down."""
    narrowed = any(raw.get(name) for name in ("exclude_modules", "layers_pattern"))
    if narrowed or raw.get("layers_to_transform") is not None:
        return tuple(sorted(key.removesuffix(DOWN) for key in state if key.endswith(DOWN)))
    written = raw["target_modules"]
    return written if isinstance(written, str) else tuple(sorted(written))


def _refuse_unsupported(folder: Path, raw: Mapping[str, Any], allow_saved: Sequence[str]) -> None:
    """Refuses, by name, what would load but compute something else than PEFT."""
    if raw.get("peft_type") != "LORA":
        raise ValueError(f"{folder} must hold a LORA adapter, got {raw.get('peft_type')}; {_CONVERT}")
    for name, way_out in _REFUSED.items():
        if raw.get(name):
            raise ValueError(f"{folder} must hold plain LoRA, got {name}={raw[name]!r}: {way_out}")
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
        if not (kept or key.endswith((DOWN, UP))):
            raise ValueError(f"{folder} must hold LoRA factors of linear layers only (no embeddings), got {key}")
        if not bool(tensor.isfinite().all()):
            raise ValueError(f"{folder} must hold finite numbers only, got NaN or infinity in {key}")
