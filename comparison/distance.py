"""How far from the base a method goes, sharpening included: nats of KL(method‖base) in each of its answers.

Knows what a mixture reads and says, and where that is kept. Does not know what an answer is worth.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import Tensor

from comparison.archive import Archive, Run
from comparison.combinations import Combination
from comparison.decoding import Decoded, Request, wide
from comparison.methods import Expert, without_experts
from comparison.outcomes import Array
from decoding.answered import Answered
from decoding.conversation import Conversation
from experts.prompts import answered
from mixture import Mixture

MEASURED = 12
"""Questions whose answers are measured."""


def distances(
    method: Decoded,
    texts: Mapping[Combination, Sequence[Sequence[str]]],
    temperature: float,
    archive: Archive,
    longest: int,
) -> Array:
    """Gives the nats of a method's answers to the first questions (N', P, S); the archive keeps them.

    Args:
        method: Answers.
        texts: Its answers under each of the P preferences, with each of the S seeds, to all questions.
        temperature: Of the draws.
        archive: Has the questions.
        longest: As in `nats`.
    """
    conversations = archive.conversations[:MEASURED]
    found = []
    for asked, by_seed in texts.items():
        columns = []
        for seed, answers in enumerate(by_seed):
            run = Run(method.name, asked if method.listens else (), temperature, seed)
            known = archive.noted(run, "nats")
            if known is None:
                request = method.request(conversations, run.asked, seed)
                known = nats(request, conversations, answers[:MEASURED], temperature, longest).tolist()
                archive.note(run, "nats", known)
            columns.append(known[:MEASURED])
        found.append(np.array(columns).T)  # (N', S)
    return np.stack(found, axis=1)


def alone(expert: Expert, planned: Mapping[float, Sequence[int]], archive: Archive, longest: int) -> dict[float, Array]:
    """Gives the nats of an expert's own answers to the first questions (N', 1, S), at each temperature.

    Args:
        expert: All of whose answers are in the archive.
        planned: The decoding seeds at each temperature.
        archive: As in `distances`.
        longest: As in `nats`.

    Raises:
        ValueError: If answers are missing.
    """
    found = {}
    for temperature, seeds in planned.items():
        texts = [archive.finished(Run(expert.name, (), temperature, seed)) for seed in seeds]
        found[temperature] = distances(expert, {(): texts}, temperature, archive, longest)
    return found


@torch.no_grad()
def nats(
    request: Request, conversations: Sequence[Conversation], texts: Sequence[str], temperature: float, longest: int
) -> Array:
    """Gives KL(method‖base) summed over the tokens of each answer, in nats (N,).

    The method's distribution is the one that tokens are drawn from, its temperature and whatever stands in its prompt
    included; the base's is that of temperature 1 behind the bare conversation. At temperature 0 all of the method's
    mass is on one token. The mean over answers is an unbiased estimate of the divergence between whole answers (the
    sum of conditional divergences over the method's own prefixes), as far as texts become the tokens again that they
    were.

    Args:
        request: What the method reads.
        conversations: What it was asked (N).
        texts: Its answers (N).
        temperature: Of the draws.
        longest: An answer of as many tokens was cut off: it has no end.
    """
    cool = temperature * request.tempering
    parts, width = [], wide(request.mixture, longest + 1)
    for start in range(0, len(texts), width):
        rows = slice(start, start + width)
        told = _told(request.mixture, request.conversations[rows], texts[rows], longest)
        plain = _told(request.mixture, conversations[rows], texts[rows], longest)
        base = _said(without_experts(request.mixture), plain, plain.input_ids.new_zeros(len(plain.input_ids), 0))
        ours = _said(request.mixture, told, request.asked[rows])  # (b, R, V)
        if cool > 0:
            ours = (ours / cool).log_softmax(dim=-1)
            apart = (ours.exp() * (ours - base)).sum(dim=-1)  # (b, R)
        else:
            apart = -base.gather(-1, ours.argmax(dim=-1, keepdim=True)).squeeze(-1)
        parts.append((apart * _inside(told)).sum(dim=-1))
    return np.asarray(torch.cat(parts).double().cpu())


def _told(mixture: Mixture, conversations: Sequence[Conversation], texts: Sequence[str], longest: int) -> Answered:
    """Conversations with their answers as tokens."""
    turns = [[dict(turn) for turn in one] for one in conversations]
    return Answered(*(part.to(mixture.bank.base.device) for part in answered(mixture.tokenizer, turns, texts, longest)))


def _said(mixture: Mixture, told: Answered, asked: Tensor) -> Tensor:
    """The mixture's log-probabilities of every token of the answers, which end together (b, R, V)."""
    width = int(told.answer_lengths.max())
    wanted = asked.to(told.input_ids.device)
    reading = mixture.read(told.input_ids, told.attention_mask, wanted, logits_to_keep=width + 1)
    return mixture.mix(reading, wanted)[0][:, :-1]


def _inside(told: Answered) -> Tensor:
    """Where a token of the answer stands, among the last ones that the longest answer has (b, R)."""
    width = int(told.answer_lengths.max())
    return torch.arange(width, 0, -1, device=told.answer_lengths.device) <= told.answer_lengths[:, None]
