"""Gives a bundle a gate, so that `decode.py --budget 0.3` can spare the experts where they hardly matter.

    python -m pcm.gate --bundle build/miniature/bundle

The mixture answers training prompts under drawn preferences; the gate learns to foresee from the base's row alone how
far each token's mixture is from the base. No reward and no judge enters. Composes: knows where everything lies.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from jsonargparse import auto_cli
from rich.console import Console
from rich.progress import track

from decoding.conversation import Conversation
from decoding.divergence import divergence
from decoding.mistakes import exit_status
from decoding.prompts import read_prompts
from decoding.sampling import Sampling
from experts.rows import Rows
from mixture import Mixture
from pcm.data import Preferences
from pcm.gate.fitting import Answer, fit
from pcm.gate.head import spread

BATCH = 32


def train_gate(
    bundle: Path,
    prompts: Path,
    validation: Path,
    output: Path | None = None,
    answers: int = 512,
    validation_answers: int = 128,
    rounds: int = 300,
    max_new_tokens: int = 112,
    seed: int = 0,
) -> None:
    """Fit a gate and write the bundle with it.

    Args:
        bundle: folder of a bundle; a gate in it is replaced.
        prompts: JSONL of training prompts, rows `{"messages": [...]}`.
        validation: JSONL of other prompts, by which thresholds are set.
        output: the bundle with the gate; the same folder if not given.
        answers: to fit to.
        validation_answers: to set thresholds by.
        rounds: of fitting.
        max_new_tokens: of an answer.
        seed: of preferences, answers and the gate.

    Raises:
        FileNotFoundError: if there is no such bundle or file.
        ValueError: if nothing is to be answered, or the base may not speak alone.
    """
    if min(answers, validation_answers) < 1:
        raise ValueError(f"answers and validation_answers must be at least 1, got {answers} and {validation_answers}")
    mixture = Mixture.load(bundle)
    if mixture.safe is not None:
        raise ValueError(f"a gate needs a cap that is measured from the base, got one from the expert {mixture.safe}")
    sampling = Sampling(1.0, max_new_tokens=max_new_tokens)
    known = answers_of(mixture, read_prompts(prompts), answers, sampling, seed)
    other = answers_of(mixture, read_prompts(validation), validation_answers, sampling, seed + 1)
    mixture.gate, foreseen = fit(known, other, rounds, seed)
    Console().print(f"The gate foresees {foreseen:.0%} of the variance of log(1 + KL) on validation prompts.")
    settings = {"answers": answers, "rounds": rounds, "seed": seed}
    mixture.save_with(bundle, output or bundle, {"gate": settings})


@torch.no_grad()
def answers_of(
    mixture: Mixture, conversations: Sequence[Conversation], count: int, sampling: Sampling, seed: int
) -> list[Answer]:
    """Answers of the mixture to prompts under drawn preferences, as a gate is fitted to them."""
    generator, preferences = torch.Generator().manual_seed(seed), Preferences(mixture.dimensions)
    order = torch.randint(len(conversations), (count,), generator=generator).tolist()
    found: list[Answer] = []
    for start in track(range(0, count, BATCH), description="Answering"):
        input_ids, mask = mixture.encode([conversations[place] for place in order[start : start + BATCH]])
        asked = torch.stack([preferences.draw(generator) for _ in input_ids])
        generators = [torch.Generator().manual_seed(seed * 1_000_003 + start + row) for row in range(len(input_ids))]
        said = mixture.rollout(input_ids, mask, asked, sampling, generators)
        whole, counted = torch.cat([input_ids, said.tokens], -1), torch.cat([mask, said.mask], -1)
        width = said.tokens.shape[-1] + 1
        reading = mixture.bank.read(whole, counted, Rows.of(asked), logits_to_keep=width)
        mixed = mixture.mix(mixture.heard(reading, whole, counted, asked), asked)[0]  # (B, n + 1, V)
        base = reading.base.float().log_softmax(-1)
        nats = divergence(mixed.float(), base)
        for row, tokens in enumerate(said.mask.sum(-1).tolist()):  # what stands before each token of the answer
            places = slice(0, tokens)
            found.append(Answer(reading.hidden[row, places], spread(base[row, places]), nats[row, places]))
    return found


def main(arguments: list[str] | None = None) -> int:
    """Runs the command and gives its exit status: a mistake is one line on standard error."""
    return exit_status(lambda: auto_cli(train_gate, as_positional=False, args=arguments))


if __name__ == "__main__":
    raise SystemExit(main())
