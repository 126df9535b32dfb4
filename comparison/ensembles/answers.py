"""What the experts of every arm answer at every snapshot of their training, and what those answers are worth.

Knows models, snapshots and files. The exam is the one that training sat, on questions that training never saw; the
gold judge is asked about the texts afterwards. Does not know what is made of the numbers.
"""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedTokenizerBase

from comparison.archive import write_whole
from comparison.ensembles.arms import objectives, reward_sources
from comparison.ensembles.plan import Plan
from comparison.ensembles.training import UNPAID
from comparison.scorers import Scorer
from decoding.conversation import encode_prompts
from experts.bank import AdapterConfig, ExpertBank
from experts.exam import Answers, Exam
from experts.miniature.corpus import Prompt
from experts.objectives import shares
from experts.references import sample_references
from experts.reward_sources import load_rewards
from experts.rollout import reread
from experts.snapshots import snapshot
from experts.text_rewards import Dialogues
from experts.train import fresh_bank

Row = dict[str, Any]
"""One answer: `expert`, `question` (its number), `answer`, `nats`, `learned`, `quality`, and the gold `dimensions`."""


Run = dict[int, list[Row]]
"""The answers of one seed by update, those of the base at 0."""


class Desk(NamedTuple):
    """Where experts sit the exam: an untrained expert for each name, whose place its snapshots take."""

    exam: Exam
    tokenizer: PreTrainedTokenizerBase


def desk_of(plan: Plan, seed: int, questions: Sequence[Prompt]) -> Desk:
    """Gives an exam on questions that is marked by the rewards that paid a seed's experts, and by nothing else."""
    rewards = reward_sources(plan.arms, plan.dimensions, plan.judges(seed))
    paid = objectives(plan.arms, plan.dimensions)
    tokenizer = AutoTokenizer.from_pretrained(plan.base)
    model = AutoModelForCausalLM.from_pretrained(plan.base, dtype=torch.float32)
    conversations = [one.messages for one in questions]
    prompts = encode_prompts(tokenizer, conversations)
    bank = fresh_bank(model, list(paid), AdapterConfig(1, 1, "all-linear"), seed)
    marking = load_rewards(rewards, model, Dialogues(tokenizer, conversations, prompts), list(rewards))
    end_id, pad_id = int(tokenizer.eos_token_id), int(tokenizer.pad_token_id)
    most = plan.max_new_tokens
    references = sample_references(bank, marking, prompts, end_id=end_id, pad_id=pad_id, max_new_tokens=most, seed=seed)
    marked: dict[str, Any] = {
        "shares": shares(paid, list(rewards), [()] * len(prompts)),
        "least_budget": most,
        "most_budget": most,
    }
    return Desk(Exam(bank, marking, references, prompts, end_id, pad_id, **marked, **UNPAID), tokenizer)


def sat(desk: Desk, experts: Path, update: int, seed: int) -> list[Row]:
    """Gives every expert's answers as it was after an update, without what gold says of them; at 0 it is the base.

    The draws depend on the seed and the question alone: whoever would say the same does say the same, and what differs
    between arms and updates is the experts.

    Args:
        desk: Where the exam is sat.
        experts: Output of the training.
        update: Of a snapshot, or 0.
        seed: Of the draws.
    """
    exam, bank = desk.exam, desk.exam.bank
    if update:
        for name in bank.names:
            bank.replace(name, snapshot(experts, update, name))
    generators = [torch.Generator().manual_seed(seed) for _ in bank.names]
    answers = exam.sit(torch.arange(len(exam.prompts)), generators)
    apart = nats(bank, answers).tolist()
    return [
        {
            "expert": bank.names[int(answers.experts[row])],
            "question": int(answers.prompt_numbers[row]),
            "answer": _text(desk.tokenizer, answers.tokens[row][answers.mask[row].bool()]),
            "nats": apart[row],
            "learned": float(answers.own[row]),
        }
        for row in range(len(apart))
    ]


def _text(tokenizer: PreTrainedTokenizerBase, tokens: Tensor) -> str:
    return str(tokenizer.decode(tokens, skip_special_tokens=True, clean_up_tokenization_spaces=False)).strip()


@torch.no_grad()
def nats(bank: ExpertBank, answers: Answers, rows_at_once: int = 64) -> Tensor:
    """KL(expert‖base) of each answer `(R,)`: the divergence before each of its tokens, summed.

    Its mean is that of the log-ratio of the drawn tokens, which training logs, and varies less.

    Args:
        bank: Base with experts.
        answers: Expert-major.
        rows_at_once: Bounds memory.
    """
    parts = []
    for rows in torch.arange(len(answers.experts)).split(rows_at_once):
        prompts = answers.prompt_ids[rows], answers.prompt_mask[rows]
        tokens, mask = answers.tokens[rows], answers.mask[rows]
        ours, theirs = (
            reread(bank, *prompts, tokens, mask, experts)[0].log_softmax(-1)  # (r, T, V)
            for experts in (answers.experts[rows], torch.full_like(rows, -1))
        )
        parts.append(((ours.exp() * (ours - theirs)).sum(-1) * mask).sum(-1))
    return torch.cat(parts)


def kept_answers(plan: Plan, seed: int, questions: Sequence[Prompt], judge: Scorer, done: Callable[[], object]) -> Run:
    """Gives the judged answers of a seed's experts at every snapshot; those that lie in its folder are not made again.

    Args:
        plan: Says which snapshots there are and where everything lies.
        seed: Of the training, and of the draws.
        questions: To answer.
        judge: The gold judge.
        done: Is told after each snapshot.
    """
    found, desk = {}, None
    for update in plan.measured:
        path = plan.answers(seed) / f"{update}.jsonl"
        if not path.exists():
            desk = desk or desk_of(plan, seed, questions)
            rows = judged(sat(desk, plan.experts(seed), update, seed), questions, judge)
            write_whole(path, [json.dumps(row, ensure_ascii=False) + "\n" for row in rows])
        found[update] = [json.loads(line) for line in path.read_text(encoding="utf-8").split("\n")[:-1]]
        done()
    return found


def judged(rows: Sequence[Row], questions: Sequence[Prompt], judge: Scorer) -> list[Row]:
    """Gives answers with their gold quality and their gold scores on all dimensions."""
    scores = judge.score([questions[row["question"]] for row in rows], [row["answer"] for row in rows])
    return [
        row
        | {"quality": float(scores.quality[place])}
        | {"dimensions": {name: float(values[place]) for name, values in scores.dimensions.items()}}
        for place, row in enumerate(rows)
    ]
