"""The base's own answer to every prompt, with its scores: what a response's reward is measured against.

Knows how reference answers are sampled, scored and kept on disk. Does not know training. A score alone has no zero
and no unit; the chance of beating a fixed answer to the same prompt has both (arXiv 2407.04181, and 2203.02155 for
the Bradley-Terry model behind it): `sigmoid(r(y) - r(y_ref))`.
"""

import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple
from uuid import uuid4

import torch
from rich.progress import Progress
from safetensors import safe_open
from safetensors.torch import save
from torch import Tensor
from torch.nn.functional import pad

from decoding.answered import Answered
from experts.bank import ExpertBank
from experts.prompts import pad_left
from experts.rewards import Rewards
from experts.rollout import sample_by_length


class References(NamedTuple):
    """One base answer to each of `N` prompts."""

    tokens: Tensor  # (N, T) padded on the right
    mask: Tensor  # (N, T)
    scores: Tensor  # (N, D) raw scores by every reward model


def beats_reference(scores: Tensor, reference_scores: Tensor, temperature: float = 1.0) -> Tensor:
    """`sigmoid((r(y) - r(y_ref)) / temperature)`, any shape; at 1 the modelled chance to be preferred to the reference.

    Higher temperatures tell apart what is better than the reference all but certainly.
    """
    return torch.sigmoid((scores - reference_scores) / temperature)


def expected_chances(scores: Tensor, beaten: Tensor, count: int, temperature: float = 1.0) -> Tensor:
    """Mean chances that an expert's other answers would have had beside the same reference, `(R, D)`.

    A baseline that costs nothing: how hard a reference is to beat is known, whatever the answer. It leaves an answer
    itself out, as in RLOO (2402.14740), and so changes no expected gradient. Naively it is, for row i, the mean of
    `beats_reference(scores_j, beaten_i)` over the other rows j of its expert that were judged.

    Args:
        scores: of the answers in each reward `(R, D)`, expert-major and as many of each; NaN where one was not judged.
        beaten: scores of each answer's reference `(R, D)`.
        count: number of experts.
        temperature: of the chances.

    Returns:
        Chances; one half where nothing else was judged.
    """
    rows = len(scores) // count
    answers, references = scores.reshape(count, 1, rows, -1), beaten.reshape(count, rows, 1, -1)
    chances = beats_reference(answers, references, temperature)  # (K, reference, answer, D)
    counted = chances.isfinite() & ~torch.eye(rows, dtype=torch.bool, device=scores.device)[..., None]
    judged = counted.sum(2)
    means = torch.where(counted, chances, 0.0).sum(2) / judged.clamp(min=1)
    return torch.where(judged > 0, means, 0.5).flatten(0, 1)


def kept_references(
    bank: ExpertBank,
    rewards: Rewards,
    prompts: Sequence[Tensor],
    path: Path | None,
    *,
    end_id: int,
    pad_id: int,
    max_new_tokens: int,
    seed: int = 0,
) -> References:
    """References from the file where it holds just these, else new ones, which are in the file from then on.

    Args:
        bank: its base answers.
        rewards: score the answers.
        prompts: token ids `(P,)` each.
        path: the file; None keeps nothing.
        end_id: ends a response.
        pad_id: fills the rest.
        max_new_tokens: cut after so many tokens.
        seed: of the samples.
    """
    made_from = fingerprint(bank, rewards, prompts, seed, max_new_tokens, end_id)
    kept = None if path is None else load_references(path, made_from)
    if kept is not None:
        return kept
    with Progress() as progress:
        bar = progress.add_task("reference answers", total=len(prompts))
        made = sample_references(
            bank,
            rewards,
            prompts,
            end_id=end_id,
            pad_id=pad_id,
            max_new_tokens=max_new_tokens,
            seed=seed,
            on_batch=lambda done: progress.update(bar, completed=done),
        )
    if path is not None:
        save_references(made, path, made_from)
    return made


def sample_references(
    bank: ExpertBank,
    rewards: Rewards,
    prompts: Sequence[Tensor],
    *,
    end_id: int,
    pad_id: int,
    max_new_tokens: int = 96,
    batch_size: int = 192,
    seed: int = 0,
    on_batch: Callable[[int], None] | None = None,
) -> References:
    """Samples the base once per prompt at temperature one, with scores by all reward models; the CPU gets the result.

    Args:
        bank: its base answers.
        rewards: score the answers.
        prompts: token ids `(P,)` each.
        end_id: ends a response.
        pad_id: fills the rest.
        max_new_tokens: cut after so many tokens.
        batch_size: prompts at once.
        seed: of the samples.
        on_batch: told how many prompts are done.
    """
    generator = torch.Generator().manual_seed(seed)
    device = next(bank.base.parameters()).device
    parts = []
    for start in range(0, len(prompts), batch_size):
        ids, mask = (tensor.to(device) for tensor in pad_left(prompts[start : start + batch_size], pad_id))
        uniforms = torch.rand(len(ids), max_new_tokens, generator=generator).to(device)
        nobody = torch.full((len(ids),), -1, device=device)
        budgets = torch.full((len(ids),), max_new_tokens, device=device)
        answers = sample_by_length(bank, ids, mask, nobody, budgets, uniforms, end_id, pad_id)
        scores = rewards.score(Answered.joined(ids, mask, answers.tokens, answers.mask))
        parts.append(_widened(References(answers.tokens, answers.mask, scores), max_new_tokens, pad_id))
        if on_batch is not None:
            on_batch(start + len(ids))
    return References(*(torch.cat(tensors).cpu() for tensors in zip(*parts, strict=True)))


def _widened(part: References, width: int, pad_id: int) -> References:
    missing = (0, width - part.tokens.shape[1])
    return References(pad(part.tokens, missing, value=pad_id), pad(part.mask, missing), part.scores)


def fingerprint(
    bank: ExpertBank, rewards: Rewards, prompts: Sequence[Tensor], seed: int, max_new_tokens: int, end_id: int
) -> str:
    """A hash of everything reference answers depend on, so that stale ones are never used."""
    told = rewards.names, seed, max_new_tokens, end_id, [prompt.tolist() for prompt in prompts]
    digest = hashlib.sha256(repr(told).encode())
    digest.update(rewards.version.encode())
    for tensor in (*bank.base.parameters(), *rewards.parameters()):
        digest.update(tensor.detach().cpu().double().sum().numpy().tobytes())
    return digest.hexdigest()


def save_references(references: References, path: Path, made_from: str) -> None:
    """Writes the references with the fingerprint of what they were made from."""
    path.parent.mkdir(parents=True, exist_ok=True)
    tensors = {name: tensor.contiguous() for name, tensor in references._asdict().items()}
    unfinished = path.with_suffix(f".{uuid4().hex}")  # of several processes each writes the same
    unfinished.write_bytes(save(tensors, {"made_from": made_from}))  # `save_file` lets nobody else read it
    unfinished.replace(path)


def load_references(path: Path, made_from: str) -> References | None:
    """References saved before, or None if there are none or they were made from something else."""
    if not path.exists():
        return None
    with safe_open(path, framework="pt") as file:
        if file.metadata()["made_from"] != made_from:
            return None
        return References(*(file.get_tensor(name) for name in References._fields))
