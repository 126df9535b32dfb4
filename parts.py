"""What a mixture is made of, and where its parts come from and are kept: experts that lie about, or a bundle.

Knows which parts belong together and in which folder of a bundle each of them lies. Does not know how they compute.
"""

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Self

import torch
from transformers import AutoTokenizer, PreTrainedModel, PreTrainedTokenizerBase

import bundle
from decoding.dimension import Dimension
from decoding.divergence import require_cap
from decoding.rules import RULES, Rule, name_of, rule_named
from experts.bank import ExpertBank
from experts.hub import is_pinned, pinned, split_revision
from experts.kept import read_experts, write_experts
from experts.packed import is_packed, pack, require_packable
from experts.probe import refuse_silent_experts
from experts.whole import WholeModels, read_model
from pcm.controller import CONFIG, Controller
from pcm.forms import load_controller
from pcm.gate.head import Gate, require_budget
from pcm.intensity.curves import Intensities
from pcm.reader.model import PreferenceReader

GATE = "pcm/gate"
"""Where a bundle keeps its gate."""


@dataclass
class Parts:
    """Base, experts, controller and rule, with what bounds them.

    Args:
        bank: Base and experts, in the order of the dimensions: adapters (`ExpertBank`) or whole models (`WholeModels`).
        tokenizer: Of the base, with a chat template.
        dimensions: What can be asked for (K).
        rule: The mixing rule: the name of one, or any function with the signature of `decoding.rules.Rule`.
        pcm: The controller; None is the uniform mixture.
        reader: Turns a text into dimensions; None understands weights only.
        base_id: "base" when a bundle shall hold the base, else its id on the hub.
        base_revision: The hub commit of the base.
        prefill_tokens: The most tokens that one pass over a prompt reads, counted over all its rows (a row for each
            request and another for each expert it asks for): it bounds the memory of a long prompt, which is read in
            several passes. One token of every row is the least.
        cap: The most nats KL(mixture‖base) at a token, held by `decoding.divergence.capped`; None is no cap. No request
            can lift it: neither its preference nor its weights. How a token is drawn from the mixture (temperature,
            bias) comes after it.
        safe: The expert from which the cap is measured in the base's place; it then reads every request.
        gate: Foresees where mixing matters; None where nobody trained one.
        budget: The share of tokens that are mixed, about: elsewhere the base speaks and no expert is read. 1 is all.
        intensities: How weights of a preference are translated for the controller, so that half a wish has about
            half the effect.

    Raises:
        ValueError: If the parts do not belong together.
    """

    bank: Any  # a `Bank`; some callers need an `ExpertBank`, and say so by what they do with it
    tokenizer: PreTrainedTokenizerBase
    dimensions: tuple[Dimension, ...]
    rule: str | Rule
    pcm: Controller | None = None
    reader: PreferenceReader | None = None
    base_id: str = "base"
    base_revision: str | None = None
    prefill_tokens: int = 16384
    cap: float | None = None
    safe: str | None = None
    gate: Gate | None = None
    budget: float = 1.0
    intensities: Intensities = field(default_factory=Intensities)

    def __post_init__(self) -> None:
        """Refuses parts that do not belong together."""
        rule_named(self.rule)
        self.require_bounds()
        if self.prefill_tokens < 1:
            raise ValueError(f"prefill_tokens must be at least 1, got {self.prefill_tokens}")
        if self.names != list(self.bank.names):
            raise ValueError(f"the experts must be the dimensions {self.names} in order, got {list(self.bank.names)}")
        words = self.bank.base.config.get_text_config().vocab_size
        if len(self.tokenizer) > words:
            raise ValueError(f"the tokenizer must fit the base's {words} tokens, got one of {len(self.tokenizer)}")
        if self.tokenizer.chat_template is None or self.tokenizer.eos_token_id is None:
            raise ValueError("the tokenizer must have a chat template and an end token, got one without")
        if self.tokenizer.pad_token_id is None:
            self.tokenizer.pad_token = self.tokenizer.eos_token  # masked wherever it pads

    def require_bounds(self) -> None:
        """Refuses a cap and a budget that cannot be kept.

        Raises:
            ValueError: If one of them is no such number, nothing is measured from the safe expert or there is none of
                this name, or the base would speak alone though not the base is safe.
        """
        require_cap(self.cap)
        if self.safe is not None and (self.safe not in self.names or self.cap is None):
            raise ValueError(f"safe must be one of {self.names}, with a cap, got {self.safe!r} and the cap {self.cap}")
        require_budget(self.budget, self.gate)
        if self.safe is not None and self.budget < 1:
            raise ValueError(f"a cap from the expert {self.safe} needs budget 1 (elsewhere the base speaks alone)")

    @property
    def names(self) -> list[str]:
        """The dimensions' names, in the order of the experts."""
        return [dimension.name for dimension in self.dimensions]

    @property
    def rule_name(self) -> str | None:
        """The mixing rule's name, None where it is a function that has none."""
        return name_of(self.rule)

    @property
    def window(self) -> int:
        """The most tokens that prompt and response may have together."""
        base = int(self.bank.base.config.get_text_config().max_position_embeddings)
        trunk = None if self.pcm is None else self.pcm.trunk.window
        return base if trunk is None else min(base, trunk)

    @property
    def stop_ids(self) -> list[int]:
        """Tokens that end a response."""
        configured = self.bank.base.generation_config.eos_token_id
        listed = configured if isinstance(configured, list) else [configured]
        return sorted({self.tokenizer.eos_token_id, *(token for token in listed if token is not None)})

    @classmethod
    def of(
        cls,
        base: PreTrainedModel | str | Path,
        experts: Mapping[str, str | Path],
        *,
        kind: type[ExpertBank] | type[WholeModels] = ExpertBank,
        tokenizer: PreTrainedTokenizerBase | None = None,
        dimensions: Sequence[Dimension] | None = None,
        rule: str | Rule = "anchored",
        device: str = "cpu",
        dtype: torch.dtype = torch.float32,
    ) -> Self:
        """Gives the uniform mixture of a base's experts, wherever they lie: no bundle, no controller, no training.

        A branch or tag of the hub is read at the commit that it names now.

        Args:
            base: A folder, a hub id (`owner/name`, `owner/name@revision`), or a model in memory, which stays where it
                is and in its precision.
            experts: For each name a folder or a hub id: PEFT's LoRA adapters, or whole models.
            kind: `ExpertBank` for adapters, `WholeModels` for models that were fine-tuned whole.
            tokenizer: With a chat template; the base's own when not given.
            dimensions: What the experts are for, in their order; "The answer is NAME." when not given.
            rule: The mixing rule.
            device: Where to compute.
            dtype: Of the base in memory.

        Raises:
            FileNotFoundError: If an expert is neither a folder nor a repository that can be fetched, or a revision is
                unknown to the hub.
            ValueError: If the parts do not belong together, or an expert changes nothing.
        """
        base, experts = pinned(base), {name: pinned(source) for name, source in experts.items()}
        model = base if isinstance(base, PreTrainedModel) else read_model(base, dtype, device)
        bank = kind.load(model, experts)
        refuse_silent_experts(bank)
        poles = dimensions or [Dimension(name, f"The answer is {name}.") for name in experts]
        mixture = cls(bank, tokenizer or _tokenizer_of(base), tuple(poles), rule)
        if is_pinned(base):
            mixture.base_id, mixture.base_revision = split_revision(base)
        return mixture

    @classmethod
    def load(
        cls,
        path_or_hub_id: str | Path,
        *,
        rule: str | Rule | None = None,
        cap: float | None = None,
        safe: str | None = None,
        budget: float = 1.0,
        revision: str | None = None,
        device: str = "cpu",
        dtype: torch.dtype = torch.float32,
        packed: bool = False,
        compile: bool = False,
    ) -> Self:
        """Gives the mixture that a bundle holds, after checking every file of it.

        Args:
            path_or_hub_id: A folder, or "owner/name" on the Hugging Face hub.
            rule: Another mixing rule than the bundle's.
            cap: Nats at a token, see `Parts`; where the bundle has a cap too, the smaller one holds.
            safe: From which expert the cap is measured, see `Parts`; a bundle with a cap has settled this.
            budget: The share of tokens that are mixed, see `Parts`.
            revision: Branch, tag or commit on the hub.
            device: Where to compute.
            dtype: Of base and experts in memory; on disk they are bfloat16.
            packed: Lay the base's weights in memory as oneDNN wants them (`experts.packed`): the same answers, on a CPU
                in bfloat16 the faster ones, above all where prompts are long. Such a mixture cannot be saved.
            compile: As `Mixture.compile` does it.

        Raises:
            FileNotFoundError: If there is no such bundle.
            ValueError: If the bundle is damaged, an expert changes nothing, the bank cannot be compiled, or what bounds
                the mixture cannot be kept.
        """
        require_cap(cap)
        folder = bundle.locate(path_or_hub_id, revision)
        manifest = bundle.read_manifest(folder)
        with bundle.fitting(folder):
            base, tokenizer = bundle.read_base(folder, manifest, dtype)
        if packed:
            require_packable(torch.device(device), dtype)
            pack(base)
        with bundle.fitting(folder):
            names = [dimension.name for dimension in manifest.dimensions]
            bank = read_experts(base, names, manifest.whole_models, folder)
            mixture = cls(bank, tokenizer, manifest.dimensions, rule or manifest.rule)
            mixture._take_controller(folder)
        mixture._move(torch.device(device), torch.promote_types(dtype, torch.float32))
        mixture.base_id, mixture.base_revision = manifest.base, manifest.base_revision
        mixture.cap, mixture.safe = manifest.tightened(cap, safe)
        mixture.budget = budget
        mixture.require_bounds()
        if mixture.rule == manifest.rule:  # what was measured under another one says nothing here
            mixture.intensities = Intensities(manifest.intensities)
        refuse_silent_experts(bank)
        if compile:
            bank.compile()
        return mixture

    def _take_controller(self, folder: Path) -> None:
        """Reads what a bundle holds beside base and experts."""
        if (folder / "pcm" / CONFIG).exists():  # a gate may lie there alone
            self.pcm = load_controller(folder / "pcm")
        if (folder / GATE).exists():
            self.gate = Gate.load(folder / GATE)
        if (folder / "reader").exists():
            self.reader = PreferenceReader.load(folder / "reader", self.tokenizer, self.dimensions)

    def _move(self, device: torch.device, dtype: torch.dtype) -> None:
        """Moves what computes to a device, where the controller computes in this precision."""
        self.bank.to(device)
        if self.pcm is not None:
            self.pcm.to(device, dtype)
        if self.gate is not None:
            self.gate.to(device)

    def save(
        self,
        folder: str | Path,
        provenance: Mapping[str, Any],
        rewards: str | Path | Mapping[str, Path] | None = None,
        questions: Path | None = None,
    ) -> None:
        """Writes a bundle, whole or not at all; the weights of base and experts become bfloat16.

        A base and whole models that were read from the hub at a commit stay there: the bundle says where.

        Args:
            folder: Where nothing is yet, or an earlier bundle; what lies beside its rooms stays.
            provenance: How it was made, without times and paths.
            rewards: A folder of reward adapters to go with it, or for each name the folder of one.
            questions: A file of questions for users to go with it, if there is one.

        Raises:
            ValueError: If the rule is a function without a name (a bundle holds no code), or the base is packed.
        """
        if self.rule_name is None:
            raise ValueError(f"a bundle's rule must be one of {', '.join(RULES)}, got the function {self.rule!r}")
        if is_packed(self.bank.base):
            raise ValueError("a mixture to be saved must have its base's weights as they were, got packed ones")
        manifest = bundle.Manifest(
            self.dimensions,
            self.rule_name,
            self.base_id,
            self.base_revision,
            provenance,
            cap=self.cap,
            safe=self.safe,
            intensities=self.intensities.curves,
        )
        with bundle.written_whole(Path(folder)) as new:
            self.tokenizer.save_pretrained(new / "base")
            if self.base_id == "base":
                self.bank.base.save_pretrained(new / "base")
            manifest = replace(manifest, whole_models=write_experts(self.bank, new))
            if rewards is not None:
                bundle.copy_rewards(Path(rewards) if isinstance(rewards, str) else rewards, new)
            if questions is not None and questions.exists():
                shutil.copyfile(questions, new / bundle.QUESTIONS)
            bundle.halve(new)  # before controller and reader, whose few numbers stay as they are
            for part, place in ((self.pcm, "pcm"), (self.gate, GATE), (self.reader, "reader")):
                if part is not None:
                    part.save(new / place)
            bundle.write_manifest(new, manifest)

    def save_with(self, source: Path, folder: Path, learned: Mapping[str, Any]) -> None:
        """Writes the bundle that this mixture was read from once more, with what it has learned since.

        Args:
            source: The bundle that was read; its reward models and questions for users go with it.
            folder: Where to write, the same folder perhaps.
            learned: By what part, how it was made: added to the provenance.
        """
        rewards = source / "rewards"
        provenance = {**bundle.read_manifest(source).provenance, **learned}
        self.save(folder, provenance, rewards if rewards.exists() else None, source / bundle.QUESTIONS)


def _tokenizer_of(base: PreTrainedModel | str | Path) -> PreTrainedTokenizerBase:
    """The base's own tokenizer, from where the base lies."""
    source = base.name_or_path if isinstance(base, PreTrainedModel) else str(base)
    if not source:
        raise ValueError("a base that was not read from anywhere must come with a tokenizer, got none")
    where, revision = split_revision(source)
    tokenizer: PreTrainedTokenizerBase = AutoTokenizer.from_pretrained(where, revision=revision or "main")
    return tokenizer
