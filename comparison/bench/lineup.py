"""Who is timed: every server of one shape and precision, over weights that they share wherever they can.

Knows servers, engines and how they are built. Does not know clocks.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import torch
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from torch import Tensor
from transformers import PreTrainedModel, PreTrainedTokenizerBase, PreTrainedTokenizerFast

from comparison.bench.engines import Engine
from comparison.bench.memory import bytes_of, no_room
from comparison.bench.rivals import PeftLoop, PeftMixed, Separate, peft_model
from comparison.bench.servers import AnyServer, BankPass, Floor, MixtureServer
from comparison.bench.shapes import AdapterState, bank_of, merged_copy, random_adapters, random_base, twin
from decoding.dimension import Dimension
from experts.bank import ExpertBank
from experts.soup import merged_update
from mixture import Mixture
from pcm.gate.head import Gate
from pcm.model import PreferenceControlModel

ADAPTER_RANK = 16


@dataclass(frozen=True)
class Material:
    """What all servers are made of.

    Args:
        base: The random base.
        adapters: One for each expert, by name, as many as the largest bank has.
        rank: Of the adapters.
    """

    base: PreTrainedModel
    adapters: Mapping[str, AdapterState]
    rank: int = ADAPTER_RANK

    @classmethod
    def random(cls, shape: str, dtype: torch.dtype, device: torch.device, experts: int) -> "Material":
        """Draws the material of one shape and precision."""
        base = random_base(shape, dtype, device)
        names = [f"expert{number}" for number in range(experts)]
        return cls(base, random_adapters(base, names, ADAPTER_RANK))

    def first(self, experts: int) -> dict[str, AdapterState]:
        """Gives the adapters of a smaller bank."""
        return dict(list(self.adapters.items())[:experts])

    def merged(self, weights: Mapping[str, float]) -> PreTrainedModel:
        """Gives the base with the exact soup of these weights in it."""
        names = {name: self.adapters[name] for name in weights}
        return merged_copy(self.base, merged_update(bank_of(twin(self.base), names, self.rank), weights))


@dataclass(frozen=True)
class Shelf:
    """A soup and a base in one engine's weights, for banks of any number of experts.

    Args:
        engine: What changed them.
        soup: One merged model, which serves alone.
        base: Banks and floors take twins of it.
    """

    engine: Engine
    soup: PreTrainedModel
    base: PreTrainedModel

    @classmethod
    def of(cls, material: Material, engine: Engine) -> "Shelf":
        """Makes both."""
        names = material.first(3)
        soup, base = material.merged(dict.fromkeys(names, 1 / len(names))), twin(material.base)
        for model in (soup, base):
            engine.weights(model)
        engine.code(soup)
        return cls(engine, soup, base)

    def servers(self, material: Material, experts: int, overheads: bool) -> list[AnyServer]:
        """Gives soup, floor and bank.

        Args:
            material: What the bank is made of.
            experts: How many experts it has.
            overheads: Whether to add the bank's bare pass, and the mixture with a controller and with a gate.
        """
        name, bare = self.engine.name, twin(self.base)
        bank = bank_of(twin(self.base), material.first(experts), material.rank)
        for model in (bare, bank.base):
            self.engine.code(model)
        soup, floor = Floor("soup", self.soup, name, experts, rows=1), Floor("floor", bare, name, experts)
        found: list[AnyServer] = [soup, floor, MixtureServer("bank", mixture_of(bank), name)]
        if overheads:
            found.append(BankPass("bank-pass", bank, name))
            controlled = mixture_of(bank, controlled=True)
            found.append(MixtureServer("bank+controller", controlled, name))
            gate = EveryThird(bank.base.config.get_text_config().hidden_size)
            found.append(MixtureServer("bank+gate", replace(controlled, gate=gate, budget=1 / 3), name))
        return found


class EveryThird(Gate):
    """Computes what a gate does, and opens at every third token whatever comes out."""

    def forward(self, hidden: Tensor, spread: Tensor, divergence: Tensor, age: Tensor) -> Tensor:
        """Gives something that is above the threshold where two tokens went by (B,)."""
        return super().forward(hidden, spread, divergence, age).tanh() + 10 * age

    def threshold(self, budget: float) -> float:
        """Gives what the third token is above."""
        return 25.0


def rival_servers(material: Material, experts: int) -> tuple[list[AnyServer], list[str]]:
    """Gives PEFT's ways and merged models, and a line for what this machine has no memory for."""
    adapters = material.first(experts)
    model = peft_model(twin(material.base), adapters, material.rank)
    servers: list[AnyServer] = [PeftLoop(model, list(adapters)), PeftMixed(model, list(adapters))]
    if refused := no_room(experts * bytes_of([material.base]), material.base.device):
        return servers, [f"separate models of {experts} experts: {refused}"]
    merged = [material.merged({name: 1.0}) for name in adapters]
    return [*servers, Separate(material.base, merged)], []


def mixture_of(bank: ExpertBank, controlled: bool = False) -> Mixture:
    """Gives the `anchored` mixture of a bank's experts: uniform, or with a random controller."""
    dimensions = tuple(Dimension(name, f"The answer is {name}.") for name in bank.names)
    return Mixture(bank, wordless(), dimensions, "anchored", random_controller(bank) if controlled else None)


def random_controller(bank: ExpertBank, seed: int = 2) -> PreferenceControlModel:
    """Gives a controller whose weights differ from token to token, in at least float32 as a bundle loads it."""
    controller = PreferenceControlModel(bank.base.config.get_text_config().hidden_size)
    generator = torch.Generator().manual_seed(seed)
    for parameter in controller.parameters():
        torch.nn.init.normal_(parameter, std=0.05, generator=generator)
    return controller.to(bank.base.device, torch.promote_types(bank.base.dtype, torch.float32)).eval()


def wordless() -> PreTrainedTokenizerBase:
    """Gives a tokenizer of two words, since a mixture wants one and no text is read here."""
    words = Tokenizer(WordLevel({"<unk>": 0, "<end>": 1}, unk_token="<unk>"))
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=words, unk_token="<unk>", eos_token="<end>")
    tokenizer.pad_token, tokenizer.chat_template = "<unk>", "{{ messages }}"
    return tokenizer
