"""Trains a controller, of a bundle or of a base with experts of one's own, and writes the bundle with it.

    python -m pcm.train fit --config configs/miniature/pcm.yaml
    python -m pcm.train validate --config configs/miniature/pcm.yaml --ckpt_path <checkpoint>

Composes experts, judges, reference answers and training; knows how none of them works. A run that was interrupted goes
on with `fit --config ... --ckpt_path <folder>/checkpoints/last.ckpt` and ends with the weights it would have had.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import torch
from lightning.pytorch.cli import LightningArgumentParser
from torch import Tensor
from transformers import PreTrainedModel

import bundle as bundles
from decoding.conversation import Conversation, encode_prompts
from decoding.prompts import read_prompts
from experts.bank import ExpertBank, Reading, Rows
from experts.references import kept_references
from experts.reward_sources import Source, chosen_sources, kind_of, load_rewards, place_of, told_of
from experts.rewards import QUALITY, Rewards
from experts.text_rewards import Dialogues
from experts.whole import read_model
from mixture import Mixture
from pcm.controller import Controller
from pcm.data import PromptsAndPreferences
from pcm.intensity.curves import Intensities
from pcm.model import PreferenceControlModel
from pcm.module import ControllerTraining
from pcm.own import Own
from pcm.published import PublishedControlModel
from pcm.reader.training import read_reader
from pcm.run import TRAINER, Run
from pcm.stored import StoredPairs
from pcm.trunk import own_model

PATHS = ("bundle", "train", "validation", "rewards", "references", "stored", "trunk")
"""The settings that say where something lies."""
REPLACED = ("pcm", "gate", "intensities")
"""The parts of a bundle that are a controller or belong to one."""


class BankReader:
    """The bank as training sees it: texts and what is asked go in, a reading comes out."""

    def __init__(self, bank: ExpertBank) -> None:
        self.bank = bank

    def __call__(self, input_ids: Tensor, attention_mask: Tensor, asked: Tensor, logits_to_keep: int) -> Reading:
        """Reads the last positions of texts (B, T) with the base and the experts asked for (B, K)."""
        return self.bank.read(input_ids, attention_mask, Rows.of(asked), logits_to_keep=logits_to_keep)


class ReferenceScores:
    """The judges' scores of a base answer to each known prompt.

    Args:
        conversations: the known prompts, N of them.
        scores: (N, D).
    """

    def __init__(self, conversations: Sequence[Conversation], scores: Tensor) -> None:
        self.places = {json.dumps(conversation): place for place, conversation in enumerate(conversations)}
        self.scores = scores

    def __call__(self, conversations: Sequence[Conversation]) -> Tensor:
        """Gives the scores (P, D) that belong to these prompts."""
        return self.scores[[self.places[json.dumps(conversation)] for conversation in conversations]]


def training(
    bundle: str | Own,
    train: str,
    validation: str,
    rewards: dict[str, Source] | Path | None = None,
    references: str | None = None,
    against: Literal["base", "uniform"] = "base",
    rule: str = "anchored",
    width: int = 64,
    max_gate: float = 3.0,
    max_new_tokens: int = 96,
    form: Literal["shared", "published"] = "shared",
    trunk: str | dict[str, Any] | None = None,
    behaviour: bool = True,
    stored: str | None = None,
    **settings: Any,
) -> ControllerTraining:
    """Gives the training of a fresh controller for a bundle's experts or for one's own.

    Args:
        bundle: folder or hub id of a bundle, whose controller is not used; or a base with experts, see `Own`.
        train: JSONL of the training prompts.
        validation: JSONL of the validation prompts.
        rewards: folder of reward models, or for each dimension, and for `quality`, a reward: the folder of one reward
            model, a folder or hub id of a sequence classifier, `package.module:function`, or an ensemble. What is not
            named is judged by the bundle's own reward models. Where nobody judges quality it counts as 1.
        references: file that keeps the base's answers and their scores between runs; None makes them anew.
        against: whose answer to the same prompt rewards are measured against: the base's, or the uniform mixture's to
            the same wish, near which a chance of beating it tells better answers of good ones apart.
        rule: mixing rule to train for.
        width: of the inner layers of the form `shared`.
        max_gate: largest weight of one expert under `anchored`, in the form `shared`.
        max_new_tokens: most tokens of a response, the base's answers included.
        form: `shared` scores every expert by what it is about to do (`PreferenceControlModel`), `published` has an
            output for each expert and needs a trunk (`PublishedControlModel`).
        trunk: the controller's own causal language model, a folder or hub id, or a configuration of transformers with
            its `model_type`, initialised at random; None reads the base's own hidden states.
        behaviour: whether the form `shared` sees what each expert is about to do.
        stored: folder that keeps pairs of the uniform mixture's answers with the judges' scores, to learn from them
            alone (what `dpo` is meant for); what is not there yet is drawn once. None draws pairs with the controller
            as it learns.
        settings: see `ControllerTraining`.

    Raises:
        ValueError: if a dimension has no reward or something else has one, the published form gets no trunk, or the
            trunk reads other tokens than the base.
    """
    mixture = uniform_mixture(bundle, rule)
    conversations = [*read_prompts(train), *read_prompts(validation)]
    prompts = encode_prompts(mixture.tokenizer, conversations)  # as the mixture reads them: rewards know them again
    dialogues = Dialogues(mixture.tokenizer, conversations, prompts)
    judges = judges_of(sources_of(bundle, rewards, mixture.names), bundle, mixture, dialogues)
    scores = None
    if against == "base":
        tokens = {"end_id": mixture.tokenizer.eos_token_id, "pad_id": mixture.tokenizer.pad_token_id}
        path = None if references is None else Path(references)
        found = kept_references(mixture.bank, judges, prompts, path, **tokens, max_new_tokens=max_new_tokens)
        scores = ReferenceScores(conversations, found.scores)
    controller = fresh_controller(mixture, form, trunk, width, rule, max_gate, behaviour)
    return ControllerTraining(
        controller,
        mixture,
        BankReader(mixture.bank),
        judges,
        scores,
        mixture.dimensions,
        stored=None if stored is None else StoredPairs(stored, identity(mixture, judges)),
        max_new_tokens=max_new_tokens,
        **settings,
    )


def uniform_mixture(bundle: str | Own, rule: str) -> Mixture:
    """Gives the experts to train for, without a controller; the arguments are those of `training`."""
    if isinstance(bundle, str):
        mixture = Mixture.load(bundle, rule=rule)
        mixture.pcm = mixture.gate = None
        mixture.cap = mixture.safe = None  # they are the deployer's: `save_best` puts them back
        mixture.intensities = Intensities()  # those of another controller
        return mixture
    mixture = Mixture.of(bundle.base, bundle.experts, dimensions=bundle.dimensions, rule=rule)
    if bundle.preferences is not None:
        words = mixture.bank.base.get_input_embeddings().weight
        mixture.reader = read_reader(mixture.tokenizer, mixture.dimensions, Path(bundle.preferences), embeddings=words)
    return mixture


def sources_of(bundle: object, rewards: Path | Mapping[str, Source] | None, names: Sequence[str]) -> dict[str, Source]:
    """Gives where the judges come from: those that are named, and those of a bundle; quality last if there is one.

    Args:
        bundle: see `training`; only a bundle's path is looked at.
        rewards: see `training`.
        names: of the dimensions.
    """
    kept = bundles.locate(bundle) / "rewards" if isinstance(bundle, str) else None
    return chosen_sources(rewards, kept, names, optional=[QUALITY])


def judges_of(sources: Mapping[str, Source], bundle: str | Own, mixture: Mixture, dialogues: Dialogues) -> Rewards:
    """Gives the judges of these sources.

    Args:
        sources: see `sources_of`.
        bundle: whose base is read once more where reward models hang on it.
        mixture: of the bundle.
        dialogues: the prompts of all answers that will be judged.
    """
    base = mixture.bank.base
    if "adapter" in map(kind_of, sources.values()):
        base = read_model(bundle.base, torch.float32) if isinstance(bundle, Own) else base_of(bundles.locate(bundle))
    return load_rewards(sources, base, dialogues, list(sources))


def base_of(folder: Path) -> PreTrainedModel:
    """Gives the base of a bundle's folder."""
    return bundles.read_base(folder, bundles.read_manifest(folder), torch.float32)[0]


def identity(mixture: Mixture, judges: Rewards) -> str:
    """Gives what tells base, experts, rule and judges from others."""
    numbers = [float(one.detach().double().sum()) for one in (*mixture.bank.parameters(), *judges.parameters())]
    told = [mixture.names, mixture.rule_name, list(judges.names), judges.version, numbers]
    return hashlib.sha256(json.dumps(told).encode()).hexdigest()


def fresh_controller(
    mixture: Mixture,
    form: str,
    trunk: str | dict[str, Any] | None,
    width: int,
    rule: str,
    max_gate: float,
    behaviour: bool = True,
) -> Controller:
    """Gives a controller that is still the uniform mixture; the arguments are those of `training`."""
    model = None if trunk is None else own_model(trunk, mixture.tokenizer, mixture.dimensions, mixture.window)
    if form == PublishedControlModel.form:
        if model is None:
            raise ValueError("the published form must have a trunk of its own, got none")
        return PublishedControlModel(len(mixture.dimensions), model)
    base_size = int(mixture.bank.base.config.get_text_config().hidden_size)
    size = base_size if model is None else model.hidden_size
    return PreferenceControlModel(size, width, rule, max_gate, model, behaviour)


class ControllerCLI(Run):
    """The command line, with the bundle to write at the end."""

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        """Links what is said once."""
        super().add_arguments_to_parser(parser)
        parser.link_arguments("data.train", "model.train")
        parser.link_arguments("data.validation", "model.validation")
        parser.link_arguments("model.dimensions", "data.dimensions", apply_on="instantiate")

    def after_fit(self) -> None:
        """Writes the bundle with the best controller by validation; one process of several does."""
        if self.trainer.is_global_zero:
            save_best(self.model, self.best, self.config.fit)


def save_best(model: ControllerTraining, checkpoint: str, config: Any) -> None:
    """Writes the bundle with the controller of a checkpoint, the reward models that judged and the source's questions.

    Args:
        model: the training that ended.
        checkpoint: path of the best checkpoint.
        config: the resolved configuration; only its settings without paths go into the provenance.
    """
    state = torch.load(checkpoint, map_location="cpu", weights_only=True)["state_dict"]
    model.load_state_dict(state)
    model.frozen.to(torch.device("cpu"))
    mixture = model.frozen.mixture
    assert isinstance(mixture, Mixture)  # `training` put it there
    mixture.pcm = model.controller.cpu().eval()
    bundle, rewards, provenance, questions = config.model.bundle, config.model.rewards, {}, None
    if isinstance(bundle, str):
        folder = bundles.locate(bundle)
        manifest, questions = bundles.read_manifest(folder), folder / bundles.QUESTIONS
        mixture.cap, mixture.safe = manifest.cap, manifest.safe
        provenance = inherited(manifest.provenance)
    sources = sources_of(bundle, rewards, mixture.names)
    judged = {"rewards": {name: told_of(source) for name, source in sources.items()}}
    adapters = {name: Path(place_of(source)) for name, source in sources.items() if kind_of(source) == "adapter"}
    provenance["pcm"] = made_with(vars(config.model)) | judged
    mixture.save(config.output, provenance, adapters, questions)


def inherited(provenance: Mapping[str, Any]) -> dict[str, Any]:
    """Gives what a bundle's provenance says of all that a new controller leaves in place."""
    return {part: made for part, made in provenance.items() if part not in REPLACED}


def made_with(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Gives the settings of `training` that a bundle's provenance holds: all but paths.

    Of a path that changes what is learned it holds the kind: `stored` pairs, a `trunk` that was trained before.

    Args:
        settings: by name, resolved.
    """
    said = {name: value for name, value in settings.items() if name not in PATHS}
    told: dict[str, Any] = {name: value for name, value in said.items() if isinstance(value, int | float | str)}
    trunk = settings["trunk"]
    told["trunk"] = "base" if trunk is None else "trained" if isinstance(trunk, str) else dict(trunk)
    return told | {"stored": settings["stored"] is not None}


def main(arguments: list[str] | None = None) -> ControllerCLI:
    """Runs the command line."""
    return ControllerCLI(
        training,
        PromptsAndPreferences,
        args=arguments,
        trainer_defaults=TRAINER,
        save_config_kwargs={"overwrite": True},
        auto_configure_optimizers=False,
    )


if __name__ == "__main__":
    main()
