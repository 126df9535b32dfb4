"""The composition: base, experts, controller and rule as one thing that answers.

`Mixture.step` is the only place where a response's next distribution is made: streaming, generation, rollouts and the
trace all call it. `Mixture.mix` makes the same distributions from a whole reading, for training.
Knows how the rooms fit together. Does not know how a rule mixes, a bank reads, a controller weighs or a page looks.
"""

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, Generic, TypeVar

import torch
from torch import Tensor
from transformers import AutoTokenizer, Cache, PreTrainedModel, PreTrainedTokenizerBase

import bundle
from decoding.conversation import Conversation, encode, require_room
from decoding.dimension import Dimension
from decoding.divergence import capped, divergence, require_cap
from decoding.history import History
from decoding.loop import Emitted, decode
from decoding.response import Response, Token
from decoding.rules import RULES, Rule, name_of, rule_named
from decoding.sampling import Sampling, one_for_each
from decoding.scribe import Scribe
from decoding.stages import in_stages
from decoding.step import Rollout, Step
from experts.bank import ExpertBank
from experts.hub import is_pinned, split_revision
from experts.kept import read_experts, write_experts
from experts.lag import Lag
from experts.packed import is_packed, pack, require_packable
from experts.probe import refuse_silent_experts
from experts.reading import Bank
from experts.rows import Reading, Rows
from experts.state import State
from experts.whole import WholeModels, read_model
from pcm.controller import Controller
from pcm.forms import load_controller
from pcm.gate.head import Gate, require_budget
from pcm.intensity.curves import Intensities
from pcm.mixing import mix
from pcm.preference import Preference, PreferenceReader, asked_for

BankType = TypeVar("BankType", bound=Bank)
GATE = "pcm/gate"
"""Where a bundle keeps its gate."""


@dataclass
class Mixture(Generic[BankType]):
    """Base, experts, controller and rule.

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
        gate: Foresees where mixing matters; None where nobody trained one.
        budget: The share of tokens that are mixed, about: elsewhere the base speaks and no expert is read. 1 is all.
        intensities: How weights of a preference are translated for the controller, so that half a wish has about
            half the effect.

    Raises:
        ValueError: If the parts do not belong together.
    """

    bank: BankType
    tokenizer: PreTrainedTokenizerBase
    dimensions: tuple[Dimension, ...]
    rule: str | Rule
    pcm: Controller | None = None
    reader: PreferenceReader | None = None
    base_id: str = "base"
    base_revision: str | None = None
    prefill_tokens: int = 16384
    cap: float | None = None
    gate: Gate | None = None
    budget: float = 1.0
    intensities: Intensities = field(default_factory=Intensities)

    def __post_init__(self) -> None:
        """Refuses parts that do not belong together."""
        rule_named(self.rule)
        require_cap(self.cap)
        require_budget(self.budget, self.gate)
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
    ) -> "Mixture[Any]":
        """Gives the uniform mixture of a base's experts, wherever they lie: no bundle, no controller, no training.

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
            FileNotFoundError: If an expert is neither a folder nor a repository that can be fetched.
            ValueError: If the parts do not belong together, or an expert changes nothing.
        """
        model = base if isinstance(base, PreTrainedModel) else read_model(base, dtype, device)
        bank = kind.load(model, experts)
        refuse_silent_experts(bank)
        poles = dimensions or [Dimension(name, f"The answer is {name}.") for name in experts]
        mixture: Mixture[Any] = Mixture(bank, tokenizer or _tokenizer_of(base), tuple(poles), rule)
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
        budget: float = 1.0,
        revision: str | None = None,
        device: str = "cpu",
        dtype: torch.dtype = torch.float32,
        packed: bool = False,
        compile: bool = False,
    ) -> "Mixture[Any]":
        """Gives the mixture that a bundle holds, after checking every file of it.

        Args:
            path_or_hub_id: A folder, or "owner/name" on the Hugging Face hub.
            rule: Another mixing rule than the bundle's.
            cap: Nats at a token, see `Mixture`; where the bundle has a cap too, the smaller one holds.
            budget: The share of tokens that are mixed, see `Mixture`.
            revision: Branch, tag or commit on the hub.
            device: Where to compute.
            dtype: Of base and experts in memory; on disk they are bfloat16.
            packed: Lay the base's weights in memory as oneDNN wants them (`experts.packed`): the same answers, on a CPU
                in bfloat16 the faster ones, above all where prompts are long. Such a mixture cannot be saved.
            compile: As `compile` does it.

        Raises:
            FileNotFoundError: If there is no such bundle.
            ValueError: If the bundle is damaged, an expert changes nothing, or the bank cannot be compiled.
        """
        require_cap(cap)
        folder = bundle.locate(path_or_hub_id, revision)
        manifest = bundle.read_manifest(folder)
        names = [dimension.name for dimension in manifest.dimensions]
        with bundle.fitting(folder):
            base, tokenizer = bundle.read_base(folder, manifest, dtype)
            if packed:
                require_packable(torch.device(device), dtype)
                pack(base)
            bank = read_experts(base, names, manifest.whole_models, folder).to(torch.device(device))
            mixture: Mixture[Any] = Mixture(bank, tokenizer, manifest.dimensions, rule or manifest.rule)
            if (folder / "pcm").exists():
                pcm = load_controller(folder / "pcm")
                mixture.pcm = pcm.to(device, torch.promote_types(dtype, torch.float32))
            if (folder / GATE).exists():
                mixture.gate = Gate.load(folder / GATE).to(device)
            if (folder / "reader").exists():
                mixture.reader = PreferenceReader.load(folder / "reader", tokenizer, manifest.dimensions)
        mixture.base_id, mixture.base_revision = manifest.base, manifest.base_revision
        mixture.cap = min((one for one in (cap, manifest.cap) if one is not None), default=None)
        require_budget(budget, mixture.gate)
        mixture.budget = budget
        if mixture.rule == manifest.rule:  # what was measured under another one says nothing here
            mixture.intensities = Intensities(manifest.intensities)
        refuse_silent_experts(bank)
        if compile:
            mixture.compile()
        return mixture

    def save(
        self,
        folder: str | Path,
        provenance: Mapping[str, Any],
        rewards: str | Path | Mapping[str, Path] | None = None,
    ) -> None:
        """Writes a bundle, whole or not at all; the weights of base and experts become bfloat16.

        A base and whole models that were read from the hub at a revision stay there: the bundle says where.

        Args:
            folder: Where nothing is yet, or an earlier bundle.
            provenance: How it was made, without times and paths.
            rewards: A folder of reward adapters to go with it, or for each name the folder of one.

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
            intensities=self.intensities.curves,
        )
        with bundle.written_whole(Path(folder)) as new:
            self.tokenizer.save_pretrained(new / "base")
            if self.base_id == "base":
                self.bank.base.save_pretrained(new / "base")
            manifest = replace(manifest, whole_models=write_experts(self.bank, new))
            if rewards is not None:
                bundle.copy_rewards(Path(rewards) if isinstance(rewards, str) else rewards, new)
            bundle.halve(new)  # before controller and reader, whose few numbers stay as they are
            if self.pcm is not None:
                self.pcm.save(new / "pcm")
            if self.gate is not None:
                self.gate.save(new / GATE)
            if self.reader is not None:
                self.reader.save(new / "reader")
            bundle.write_manifest(new, manifest)

    def save_with(self, source: Path, folder: Path, learned: Mapping[str, Any]) -> None:
        """Writes the bundle that this mixture was read from once more, with what it has learned since.

        Args:
            source: The bundle that was read; its reward models and questions for users go with it.
            folder: Where to write, the same folder perhaps.
            learned: By what part, how it was made: added to the provenance.
        """
        rewards, questions = source / "rewards", source / "questions.jsonl"
        provenance = {**bundle.read_manifest(source).provenance, **learned}
        kept = questions.read_bytes() if questions.exists() else None  # before the folder is written anew
        self.save(folder, provenance, rewards=rewards if rewards.exists() else None)
        if kept is not None:
            (folder / questions.name).write_bytes(kept)

    def compile(self, **settings: Any) -> None:
        """Compiles the experts' passes: the same tokens, faster only once the graphs are made.

        A prompt, a first step and all steps after it are one graph each, and again for every new grouping of rows (who
        asks for what, how many requests). Making them takes from seconds to minutes, growing with the base's layers, so
        it pays where the same preferences and batch sizes are served for long, and not for a single answer. After eight
        graphs torch goes back to plain passes and says so (`torch._dynamo.config.recompile_limit`).

        Args:
            settings: Those of `torch.compile`.

        Raises:
            ValueError: If the experts are whole models, or the base's forward pass is wrapped.
        """
        if not isinstance(self.bank, ExpertBank):
            raise ValueError(f"only adapters on one base can be compiled, got {type(self.bank).__name__}")
        self.bank.compile(**settings)

    def asked(self, preference: Preference | None) -> Tensor:
        """Gives how much each dimension is asked for (K,), in [0, 1]; None asks for all alike, which is no wish."""
        if preference is None:
            return torch.ones(len(self.dimensions))
        return asked_for(preference, self.dimensions, self.reader, self.intensities)

    def _undecided(self, asked: Tensor) -> Tensor | None:
        """Where everything is asked for alike (..., K), each pole as much as its opposite: there nothing is preferred.

        None where no dimension has an opposite: to ask for all of them is a wish like others.
        """
        if {dimension.opposite for dimension in self.dimensions}.isdisjoint(self.names):
            return None
        return (asked == asked[..., :1]).all(-1)

    def uniform(self, rule: str | Rule | None = None) -> "Mixture[BankType]":
        """Gives the same experts without a controller, and without the gate and the curves that belong to it.

        Args:
            rule: Another mixing rule.
        """
        return replace(self, pcm=None, gate=None, budget=1.0, intensities=Intensities(), rule=rule or self.rule)

    def understood(self, preference: Preference | None) -> dict[str, float]:
        """Gives the dimensions that are asked for: as weights of a `Preference` they ask for the same."""
        wished = self.intensities.wished(self.asked(preference), self.names)
        return {name: value for name, value in zip(self.names, wished.tolist(), strict=True) if value > 0}

    def encode(self, conversations: Sequence[Conversation]) -> tuple[Tensor, Tensor]:
        """Gives token ids and mask, padded on the left, (B, T) each."""
        device = self.bank.base.device
        input_ids, attention_mask = encode(self.tokenizer, conversations)
        return input_ids.to(device), attention_mask.to(device)

    def start(self, attention_mask: Tensor, asked: Tensor, room: Tensor | None = None) -> State:
        """Gives the state of requests of which nothing is read yet.

        Args:
            attention_mask: Of the prompts (B, T).
            asked: How much each expert is asked for (B, K).
            room: The most tokens that count of each request (B,); None is no limit.
        """
        trunk_cache = None if self.pcm is None else self.pcm.trunk.empty_cache()
        lag = None if self.budget == 1 else Lag.fresh(self.bank.empty_cache(), len(asked), asked.device)
        return State(self.bank.rows(asked), asked, attention_mask, self.bank.empty_cache(), room, trunk_cache, lag)

    @torch.no_grad()
    def step(self, state: State, tokens: Tensor) -> Step:
        """Reads tokens and gives what comes next; the state moves on.

        Args:
            state: From `start`.
            tokens: The prompt first, then what was chosen (B, t).

        Raises:
            ValueError: If something comes out that is no number, of whom it says, or the rule is one of your own and
                gives no distribution.
        """
        state.await_reading(tokens)
        step = self._mixed(state, tokens) if state.lag is None else self._sparing(state, state.lag, tokens)
        step.require_numbers(self.names)
        if self.rule_name is None:
            step.require_distribution()
        return step

    def _mixed(self, state: State, tokens: Tensor) -> Step:
        """Everybody reads tokens (B, t), and what they say next is mixed."""
        return Step(*(tensor[:, -1] for tensor in self._distributions(self._read(state, tokens), state.asked)))

    def _sparing(self, state: State, lag: Lag, tokens: Tensor) -> Step:
        """The base reads tokens (B, t); the experts catch up with it where the gate expects them to matter.

        Each request's step depends on its own gate alone, though everybody catches up where one has to.
        """
        assert self.gate is not None  # `require_budget` saw to it
        alone = self._read_base(state, lag, tokens)
        precise = torch.promote_types(alone.base.dtype, torch.float32)
        base = alone.base[:, -1].to(precise).log_softmax(-1)  # (B, V)
        unread = lag.waited(tokens)
        mixed = self.gate.opens(base, alone.hidden[:, -1], lag.divergence, lag.age, self.budget)  # (B,)
        if not bool(mixed.any()):
            return Step.of_base(base, len(self.names))
        step = self._mixed(state, unread)
        lag.caught_up(mixed, divergence(step.logprobs, step.base_logprobs))
        return step.only(mixed)

    def _read_base(self, state: State, lag: Lag, tokens: Tensor) -> Reading:
        """The base's reading of the last position, as `_read`."""
        rows = Rows.of(torch.zeros_like(state.asked))
        for piece in tokens.split(max(1, self.prefill_tokens // len(tokens)), dim=-1):
            read = lag.cache.get_seq_length() + piece.shape[-1]
            reading = self.bank.read(piece, state.mask[:, :read], rows, lag.cache, logits_to_keep=1)
        return reading

    def _read(self, state: State, tokens: Tensor) -> Reading:
        """The reading of the last position (B, 1, ...), after passes of at most `prefill_tokens` over all of them."""
        width = max(1, self.prefill_tokens // len(state.rows.pairs))
        for piece in tokens.split(width, dim=-1):
            read = state.cache.get_seq_length() + piece.shape[-1]
            reading = self.read(piece, state.mask[:, :read], state.asked, logits_to_keep=1, state=state)
        return reading

    def read(
        self,
        input_ids: Tensor,
        attention_mask: Tensor,
        asked: Tensor,
        logits_to_keep: int = 0,
        state: State | None = None,
    ) -> Reading:
        """Gives what base, experts and the controller's trunk make of tokens, as `mix` takes it.

        Args:
            input_ids: What was not read yet, padded on the left (B, T).
            attention_mask: 1 where a token counts, over what was read and what is new (B, S).
            asked: How much each expert is asked for (B, K).
            logits_to_keep: Only this many last positions; 0 is all of them.
            state: What was read before; its caches are filled further. None reads whole texts without a cache.
        """
        rows = self.bank.rows(asked) if state is None else state.rows
        caches = (None, None) if state is None else (state.cache, state.trunk_cache)
        reading = self.bank.read(input_ids, attention_mask, rows, caches[0], logits_to_keep=logits_to_keep)
        return self.heard(reading, input_ids, attention_mask, asked, caches[1])

    def heard(
        self,
        reading: Reading,
        input_ids: Tensor,
        attention_mask: Tensor,
        asked: Tensor,
        cache: Cache | None = None,
    ) -> Reading:
        """Gives a reading with the states of the controller's trunk when this is asked for; see `read`."""
        if self.pcm is None:
            return reading
        hidden = self.pcm.trunk.read(reading.hidden, input_ids, attention_mask, asked, cache)  # (B, T', H)
        return replace(reading, hidden=hidden)

    def mix(self, reading: Reading, asked: Tensor) -> tuple[Tensor, Tensor]:
        """Gives the mixture's log-probabilities (B, T, V) and log-weights (B, T, K) at every position of a reading."""
        return self._distributions(reading, asked)[:2]

    def _distributions(self, reading: Reading, asked: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """The four fields of a `Step` at every position of a reading (B, T, ...)."""
        precise = torch.promote_types(reading.base.dtype, torch.float32)
        base = reading.base.to(precise).log_softmax(dim=-1)  # (B, T, V)
        experts = reading.experts.to(precise).log_softmax(dim=-1)  # (B, T, K, V)
        everywhere = asked.to(base).unsqueeze(1).expand(-1, base.shape[1], -1)  # (B, T, K)
        logprobs, log_weights = mix(
            rule_named(self.rule),
            self.pcm,
            reading.hidden,
            base,
            experts,
            everywhere,
            undecided=self._undecided(everywhere),
        )
        return capped(logprobs, base, self.cap), log_weights, base, experts

    def emit(
        self,
        input_ids: Tensor,
        mask: Tensor,
        asked: Tensor,
        sampling: Sampling | Sequence[Sampling],
        generators: Sequence[torch.Generator],
    ) -> Iterator[Emitted[Step]]:
        """Gives one token of each response at a time.

        Args:
            input_ids: Prompts, padded on the left (B, T).
            mask: 1 where a token counts (B, T).
            asked: How much each expert is asked for (B, K).
            sampling: How a token is chosen and where a response ends: one for all requests or one for each.
            generators: One for each request.

        Raises:
            ValueError: If a prompt and its response do not fit the model's window, or a sampling the tokenizer.
        """
        samplings = one_for_each(sampling, len(input_ids))
        state = self._begun(mask, asked, samplings)
        return decode(partial(self.step, state), input_ids, samplings, generators, *self._told(input_ids, mask))

    def rollout(
        self,
        input_ids: Tensor,
        mask: Tensor,
        asked: Tensor,
        sampling: Sampling | Sequence[Sampling],
        generators: Sequence[torch.Generator],
    ) -> Rollout:
        """Gives whole responses as tensors; arguments, tokens and errors are those of `emit`."""
        samplings = one_for_each(sampling, len(input_ids))
        state = self._begun(mask, asked, samplings)
        return in_stages(self.step, state, input_ids, samplings, generators, *self._told(input_ids, mask))

    def _begun(self, mask: Tensor, asked: Tensor, samplings: Sequence[Sampling]) -> State:
        """The state of requests that have room for their responses."""
        lengths = torch.tensor([one.max_new_tokens for one in samplings], device=mask.device)  # (B,)
        require_room(mask, lengths, self.window)
        return self.start(mask, asked.to(mask.device), room=mask.sum(dim=-1) + lengths)

    def _told(self, input_ids: Tensor, mask: Tensor) -> tuple[list[int], int, PreTrainedTokenizerBase, History]:
        """What the loop is told about tokens."""
        return self.stop_ids, self.tokenizer.pad_token_id, self.tokenizer, History.of(input_ids, mask)

    def stream(
        self,
        conversations: Sequence[Conversation],
        preferences: Sequence[Preference | None],
        sampling: Sampling | Sequence[Sampling],
        seeds: Sequence[int],
        alternatives: int = 0,
    ) -> Iterator[list[Token | None]]:
        """Gives the next token of each request, None where a response has ended.

        Args:
            conversations: One for each request (B).
            preferences: One for each request.
            sampling: How a token is chosen and where a response ends: one for all requests or one for each.
            seeds: One for each request: a response depends on its own seed alone.
            alternatives: How many of each reader's most probable tokens to note down.
        """
        samplings = one_for_each(sampling, len(conversations))
        input_ids, mask = self.encode(conversations)
        asked = torch.stack([self.asked(preference) for preference in preferences])  # (B, K)
        generators = [torch.Generator(input_ids.device).manual_seed(seed) for seed in seeds]
        stops = [one.stop for one in samplings]
        scribe = Scribe(self.tokenizer, self.names, self.rule_name, self.stop_ids, stops, alternatives)
        for emitted in self.emit(input_ids, mask, asked, samplings, generators):
            tokens = scribe.write(emitted)
            if all(token is None for token in tokens):
                return
            yield tokens

    def generate(
        self,
        conversations: Sequence[Conversation],
        preferences: Sequence[Preference | None],
        sampling: Sampling | Sequence[Sampling],
        seeds: Sequence[int],
    ) -> list[Response]:
        """Gives whole responses; the arguments are those of `stream`."""
        understood = [self.understood(preference) for preference in preferences]
        began = time.perf_counter()
        tokens: list[list[Token]] = [[] for _ in conversations]
        seconds = [0.0 for _ in conversations]
        for turn in self.stream(conversations, [Preference(weights=u) for u in understood], sampling, seeds):
            for row, token in enumerate(turn):
                if token is not None:
                    tokens[row].append(token)
                    seconds[row] = time.perf_counter() - began
        return [Response.of(*parts) for parts in zip(tokens, understood, seconds, strict=True)]


def _tokenizer_of(base: PreTrainedModel | str | Path) -> PreTrainedTokenizerBase:
    """The base's own tokenizer, from where the base lies."""
    source = base.name_or_path if isinstance(base, PreTrainedModel) else str(base)
    if not source:
        raise ValueError("a base that was not read from anywhere must come with a tokenizer, got none")
    where, revision = (source, None) if Path(source).is_dir() else split_revision(source)
    tokenizer: PreTrainedTokenizerBase = AutoTokenizer.from_pretrained(where, revision=revision or "main")
    return tokenizer
