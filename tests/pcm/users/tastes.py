"""A world in which an answer is two numbers: how easy it is, and how good."""

import torch

from decoding.dimension import Dimension
from pcm.users.axes import Axes
from pcm.users.belief import Belief
from pcm.users.learning import Learner
from pcm.users.question import Question

DIMENSIONS = [Dimension("easy", "Easy.", "hard"), Dimension("hard", "Hard.", "easy")]
PROMPT = [{"role": "user", "content": "What is a bee?"}]


def score(prompts, answers):
    """The numbers in the answers' text: easy, and quality."""
    assert len(prompts) == len(answers)
    numbers = torch.tensor([[float(part) for part in answer.split()] for answer in answers])
    return torch.stack([numbers[:, 0], -numbers[:, 0], numbers[:, 1]], dim=-1)


def learner():
    axes = Axes(DIMENSIONS)
    return Learner(axes, score, Belief.before(len(axes.names)))


def questions(count):
    """Pairs of answers drawn at random."""
    drawn = torch.randn(count, 4, generator=torch.Generator().manual_seed(0)).mul(2).tolist()
    return [Question(PROMPT, f"{a:.3f} {b:.3f}", f"{c:.3f} {d:.3f}") for a, b, c, d in drawn]


def easier(question):
    """Which answer somebody takes who wants it easy: 1 for left."""
    return float(float(question.left.split()[0]) > float(question.right.split()[0]))
