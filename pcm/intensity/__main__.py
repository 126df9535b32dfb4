"""Makes half a wish have half the effect: measures what asking for more of each dimension does, and turns it round.

    python -m pcm.intensity --bundle build/miniature/bundle --prompts build/miniature/prompts/validation.jsonl

A score rises fast with the first quarter of an expert and hardly with the last. The bundle gets a curve for each
dimension, by which a wish is translated before the controller hears it. Judged by the bundle's reward models alone.
Composes: knows where everything lies.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from jsonargparse import auto_cli
from rich.console import Console
from rich.progress import track
from rich.table import Table
from torch import Tensor

import bundle as bundles
from decoding.answered import Answered
from decoding.conversation import Conversation, encode_prompts
from decoding.mistakes import exit_status
from decoding.prompts import read_prompts
from decoding.sampling import Sampling
from experts.references import sample_references
from experts.rewards import RewardModels, names_in
from mixture import Mixture
from pcm.intensity.curves import Intensities
from pcm.intensity.fitting import curve_of
from pcm.worth import relative_rewards

BATCH = 64
LEVELS = (1 / 16, 1 / 8, 1 / 4, 3 / 8, 1 / 2, 3 / 4, 1.0)


def calibrate(
    bundle: Path,
    prompts: Path,
    output: Path | None = None,
    answers: int = 108,
    max_new_tokens: int = 112,
    seed: int = 0,
) -> None:
    """Fit intensity curves and write the bundle with them.

    Args:
        bundle: folder of a bundle with reward models; curves in it are replaced.
        prompts: JSONL of validation prompts, rows `{"messages": [...]}`.
        output: the bundle with the curves; the same folder if not given.
        answers: for each dimension and level, to the prompts in turn.
        max_new_tokens: of an answer.
        seed: of the answers.

    Raises:
        FileNotFoundError: if there is no such bundle or file.
        ValueError: if the bundle has no reward models, or nothing is to be answered.
    """
    if answers < 1:
        raise ValueError(f"answers must be at least 1, got {answers}")
    mixture = Mixture.load(bundle)
    if missing := [name for name in mixture.names if name not in names_in(bundle / "rewards")]:
        raise ValueError(f"{bundle} must hold reward models to fit curves to, got none for {', '.join(missing)}")
    trunk, _ = bundles.read_base(bundle, bundles.read_manifest(bundle), torch.float32)
    rewards = RewardModels.load(bundle / "rewards", trunk, mixture.names).eval()
    known = read_prompts(prompts)
    asked = [known[place % len(known)] for place in range(answers)]
    sampling = Sampling(1.0, max_new_tokens=max_new_tokens)
    reference, other = (references(mixture, rewards, asked, sampling, seed + one) for one in (0, 1))  # (N, K)
    nothing = relative_rewards(other, reference).mean(0).tolist()  # what asking for nothing scores
    table = Table("asked for", *(f"{level:.3g}" for level in (0, *LEVELS)), title="chance to beat the base on it")
    curves = {}
    for place, name in enumerate(track(mixture.names, description="Measuring")):
        scores = [score(mixture, rewards, asked, reference, place, level, sampling, seed) for level in LEVELS]
        curves[name] = curve_of([0.0, *LEVELS], [nothing[place], *scores])
        table.add_row(name, *(f"{one:.3f}" for one in (nothing[place], *scores)))
    Console().print(table)
    mixture.intensities = Intensities(curves)
    mixture.save_with(bundle, output or bundle, {"intensities": {"answers": answers, "seed": seed}})


@torch.no_grad()
def references(
    mixture: Mixture, rewards: RewardModels, asked: Sequence[Conversation], sampling: Sampling, seed: int
) -> Tensor:
    """The reward models' scores (N, K) of a base answer to each prompt."""
    end_id, pad_id = mixture.tokenizer.eos_token_id, mixture.tokenizer.pad_token_id
    prompts = encode_prompts(mixture.tokenizer, asked)
    budget = sampling.max_new_tokens
    return sample_references(
        mixture.bank, rewards, prompts, end_id=end_id, pad_id=pad_id, max_new_tokens=budget, seed=seed
    ).scores


@torch.no_grad()
def score(
    mixture: Mixture,
    rewards: RewardModels,
    asked: Sequence[Conversation],
    reference: Tensor,
    place: int,
    level: float,
    sampling: Sampling,
    seed: int,
) -> float:
    """The mean chance that answers beat the base's on one dimension, which alone is asked for at this level.

    Args:
        mixture: answers; what it is asked for goes to its controller untranslated.
        rewards: the judges, in the order of the dimensions.
        asked: the prompts (N).
        reference: scores of a base answer to each (N, K).
        place: of the dimension.
        level: what the controller is asked for.
        sampling: how answers are drawn.
        seed: of the answers; the same for every level, so that levels differ in nothing else.
    """
    found = []
    for start in range(0, len(asked), BATCH):
        input_ids, mask = mixture.encode(asked[start : start + BATCH])
        wish = torch.zeros(len(input_ids), len(mixture.names))
        wish[:, place] = level
        generators = [torch.Generator().manual_seed(seed * 1_000_003 + start + row) for row in range(len(input_ids))]
        drawn = mixture.rollout(input_ids, mask, wish, sampling, generators)
        texts = Answered.joined(input_ids, mask, drawn.tokens, drawn.mask)
        raw = rewards.score(texts, [mixture.names[place]])[:, 0]
        found.append(relative_rewards(raw, reference[start : start + BATCH, place]))
    return float(torch.cat(found).mean())


def main(arguments: list[str] | None = None) -> int:
    """Runs the command and gives its exit status: a mistake is one line on standard error."""
    return exit_status(lambda: auto_cli(calibrate, as_positional=False, args=arguments))


if __name__ == "__main__":
    raise SystemExit(main())
