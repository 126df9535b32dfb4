"""What learns tastes by a bundle: its reward models score answers, its base and experts read users' own texts.

Knows bundles and the functions that a learner asks for. Does not know how a taste is learned.
"""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

import bundle as bundles
from decoding.conversation import Conversation
from experts.prompts import answered
from experts.rewards import RewardModels
from experts.rows import Rows
from mixture import Mixture
from pcm.users.axes import QUALITY, Axes
from pcm.users.belief import Belief
from pcm.users.evidence import OwnText
from pcm.users.learning import Learner, Read, Score
from pcm.users.own_texts import ReadText
from pcm.users.profile import Profile

ANYTHING = "Tell me something."
"""What a text is taken to answer that answers nothing."""


def learner_of(folder: Path, prior_scale: float, profiles: Iterable[Profile] = ()) -> Learner:
    """What learns tastes by a bundle's models; own texts are read where one of the profiles has any.

    Raises:
        FileNotFoundError: If the bundle has none.
    """
    manifest = bundles.read_manifest(folder)
    axes = Axes(manifest.dimensions)
    before = Belief.before(len(axes.names), prior_scale)
    judge = f"bundle {bundles.sha256(folder / bundles.MANIFEST)[:12]}"
    learner = Learner(axes, scorer(folder, manifest, axes), before, judge)
    if any(profile.texts for profile in profiles):
        return replace(learner, read=text_reader(Mixture.load(folder)))
    return learner


def text_reader(mixture: Mixture) -> Read:
    """Lets a mixture's base and experts read what users wrote."""

    def read(texts: Sequence[OwnText]) -> list[ReadText]:
        return [_read(mixture, text) for text in texts]

    return read


@torch.no_grad()
def _read(mixture: Mixture, text: OwnText) -> ReadText:
    prompt = list(text.prompt) or [{"role": "user", "content": ANYTHING}]
    before = mixture.encode([prompt])[0]
    room = max(1, mixture.window - before.shape[1])
    said = mixture.tokenizer(f" {text.text}", add_special_tokens=False)["input_ids"]
    ids = torch.tensor([[*said, mixture.tokenizer.eos_token_id][:room]])  # that it ends here tells of its length too
    whole = torch.cat([before, ids.to(before.device)], dim=1)
    reading = mixture.bank.read(whole, torch.ones_like(whole), Rows.of(torch.ones(1, len(mixture.names))))
    written = slice(before.shape[1] - 1, -1)
    base, experts = reading.base[0, written], reading.experts[0, written]  # (T, V), (T, K, V)
    return ReadText(ids[0], base.float().log_softmax(-1), experts.float().log_softmax(-1).movedim(1, 0))


def scorer(folder: Path, manifest: bundles.Manifest, axes: Axes) -> Score:
    """What scores answers: the bundle's reward models.

    Raises:
        FileNotFoundError: If the bundle has none.
    """
    if not (folder / "rewards" / QUALITY).is_dir():
        raise FileNotFoundError(f"a bundle must have reward models to learn from choices, {folder} has none")
    base, tokenizer = bundles.read_base(folder, manifest, torch.float32)
    rewards = RewardModels.load(folder / "rewards", base)

    def score(prompts: Sequence[Conversation], answers: Sequence[str]) -> Tensor:
        conversations = [[dict(turn) for turn in prompt] for prompt in prompts]
        return rewards.score(answered(tokenizer, conversations, list(answers)), axes.scores)

    return score
