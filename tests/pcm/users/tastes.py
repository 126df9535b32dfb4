"""A world in which an answer is two numbers: how easy it is, and how good."""

import torch

from decoding.dimension import Dimension
from pcm.users.axes import Axes
from pcm.users.belief import Belief
from pcm.users.learning import Learner
from pcm.users.own_texts import ReadText
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


def text(tokens, seed=0):
    """A text of so many tokens, written by a base that knows seven words, and read by three experts."""
    generator = torch.Generator().manual_seed(seed)
    base = torch.randn(tokens, 7, generator=generator, dtype=torch.float64).log_softmax(-1)
    experts = (base + torch.randn(3, tokens, 7, generator=generator, dtype=torch.float64)).log_softmax(-1)
    return ReadText(base.exp().multinomial(1, generator=generator)[:, 0], base, experts)


def written(tokens, wanted, seed=0, poles=((0, 1),)):
    """A text written with these intensities."""
    blank = text(tokens, seed)
    mixed = blank.base + torch.tensordot(torch.tensor(wanted, dtype=torch.float64), blank.directions(poles), 1)
    drawn = mixed.softmax(-1).multinomial(1, generator=torch.Generator().manual_seed(seed))[:, 0]
    return blank._replace(tokens=drawn)
