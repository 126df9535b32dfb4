"""Trains the controller of a bundle and writes the bundle with it.

    python -m pcm.train fit --config configs/miniature/pcm.yaml
    python -m pcm.train validate --config configs/miniature/pcm.yaml --ckpt_path <checkpoint>

Composes bundle, judges, reference answers and training; knows how none of them works. A run that was interrupted goes
on with `fit --config ... --ckpt_path <folder>/checkpoints/last.ckpt` and ends with the weights it would have had.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import torch
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.cli import LightningArgumentParser, LightningCLI
from torch import Tensor

import bundle as bundles
from experts.bank import ExpertBank, Reading, Rows
from experts.prompts import encode_prompts
from experts.references import References, fingerprint, load_references, sample_references, save_references
from experts.rewards import RewardModels
from mixture import Mixture
from pcm.controller import Controller
from pcm.data import Conversation, PromptsAndPreferences, read_prompts
from pcm.intensity.curves import Intensities
from pcm.model import PreferenceControlModel
from pcm.module import QUALITY, ControllerTraining
from pcm.published import PublishedControlModel
from pcm.stored import StoredPairs
from pcm.trunk import own_model

PATHS = ("bundle", "train", "validation", "references", "stored", "trunk")
"""The settings that say where something lies."""


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
    bundle: str,
    train: str,
    validation: str,
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
    """Gives the training of a fresh controller for a bundle's experts, judged by the bundle's reward models.

    Args:
        bundle: folder with base, experts and rewards; a controller in it is not used.
        train: JSONL of the training prompts.
        validation: JSONL of the validation prompts.
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
        ValueError: if the published form gets no trunk, or the trunk reads other tokens than the base.
    """
    folder = Path(bundle)
    mixture = Mixture.load(folder, rule=rule)
    names = [*mixture.names, QUALITY]
    base, _ = bundles.read_base(folder, bundles.read_manifest(folder), torch.float32)
    rewards = RewardModels.load(folder / "rewards", base, names).eval()
    scores = None
    if against == "base":
        conversations = [*read_prompts(train), *read_prompts(validation)]
        found = reference_answers(mixture, rewards, conversations, references, max_new_tokens)
        scores = ReferenceScores(conversations, found.scores)
    mixture.pcm = mixture.gate = mixture.cap = None  # a cap is the deployer's: `save_best` puts it back
    mixture.intensities = Intensities()  # those of another controller
    controller = fresh_controller(mixture, form, trunk, width, rule, max_gate, behaviour)
    return ControllerTraining(
        controller,
        mixture,
        BankReader(mixture.bank),
        rewards,
        scores,
        mixture.dimensions,
        stored=None if stored is None else StoredPairs(stored, f"{bundles.sha256(folder / bundles.MANIFEST)} {rule}"),
        max_new_tokens=max_new_tokens,
        **settings,
    )


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


def reference_answers(
    mixture: Mixture,
    rewards: RewardModels,
    conversations: Sequence[Conversation],
    path: str | None,
    max_new_tokens: int,
) -> References:
    """Gives one base answer to each prompt with its scores, from the file where it holds just these."""
    prompts = encode_prompts(mixture.tokenizer, conversations)
    made_from = fingerprint(mixture.bank, rewards, prompts, 0, max_new_tokens, mixture.tokenizer.eos_token_id)
    known = load_references(Path(path), made_from) if path is not None else None
    if known is not None:
        return known
    end_id, pad_id = mixture.tokenizer.eos_token_id, mixture.tokenizer.pad_token_id
    made = sample_references(
        mixture.bank, rewards, prompts, end_id=end_id, pad_id=pad_id, max_new_tokens=max_new_tokens
    )
    if path is not None:
        save_references(made, Path(path), made_from)
    return made


class ControllerCLI(LightningCLI):
    """Lightning's command line, with the bundle to write at the end."""

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        """Adds the output, and links what is said once."""
        parser.add_argument("--output", type=str, required=True, help="folder of the bundle that gets the controller")
        parser.link_arguments("data.train", "model.train")
        parser.link_arguments("data.validation", "model.validation")
        parser.link_arguments("model.dimensions", "data.dimensions", apply_on="instantiate")

    def after_fit(self) -> None:
        """Writes the bundle with the best controller by validation; one process of several does."""
        if not self.trainer.is_global_zero:
            return
        checkpoint = self.trainer.checkpoint_callback
        assert isinstance(checkpoint, ModelCheckpoint)  # the configuration names one
        save_best(self.model, checkpoint.best_model_path, self.config.fit)


def save_best(model: ControllerTraining, checkpoint: str, config: Any) -> None:
    """Writes the bundle with the controller of a checkpoint.

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
    source = Path(config.model.bundle)
    mixture.cap = bundles.read_manifest(source).cap
    provenance = {**bundles.read_manifest(source).provenance, "pcm": made_with(vars(config.model))}
    mixture.save(config.output, provenance, rewards=source / "rewards")


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
        save_config_kwargs={"overwrite": True},
        auto_configure_optimizers=False,
    )


if __name__ == "__main__":
    main()
