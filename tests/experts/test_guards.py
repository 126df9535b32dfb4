import pytest
import torch
from rich.console import Console
from test_joint import stepped
from tiny_exam import run, tiny_exam

from experts.guards import CollapseError, Guards
from experts.joint import JointPPO
from experts.progress import COLUMNS, ExpertTable

pytestmark = [
    pytest.mark.filterwarnings("ignore:Found .* in eval mode"),
    pytest.mark.filterwarnings("ignore:.*treespec, LeafSpec.*"),
]


@pytest.fixture(scope="module")
def answers():
    """Long answers of two experts."""
    exam = tiny_exam(("ant", "bee"))
    answers = exam.sit(torch.arange(4), [torch.Generator().manual_seed(seed) for seed in range(2)])
    return answers._replace(mask=torch.ones_like(answers.mask))


def metrics(**given):
    healthy = {"reward": [0.5, 0.5], "quality": [0.5, float("nan")], "kl": [1.0, 1.0], "entropy": [1.0, 1.0]}
    return {name: torch.tensor(numbers) for name, numbers in (healthy | given).items()}


def only(answers, expert, tokens):
    """The answers, but one expert's cut to so many tokens."""
    mask = answers.mask.clone()
    mask[answers.experts == expert, tokens:] = 0
    return answers._replace(mask=mask)


@pytest.mark.parametrize(
    ("sign", "told"),
    [
        ({"reward": [0.5, 0.2]}, "expert 'bee' collapsed at update 6, .* own reward fell from 0.50 to 0.20; lower ppo"),
        ({"quality": [0.2, float("nan")]}, "expert 'ant' collapsed .* quality fell from 0.50 to 0.20; raise exam.qual"),
        ({"entropy": [1.0, 1e-5]}, "expert 'bee' collapsed .* entropy 1.0e-05 nats; raise ppo.entropy_coefficient"),
        ({}, "expert 'bee' collapsed .* no answer has more than 2 tokens; raise exam.quality_weight"),
    ],
)
def test_an_expert_that_shows_a_sign_of_collapse_for_long_is_named_with_what_to_change(answers, sign, told):
    guards = Guards(("ant", "bee"), patience=3)
    for update in range(1, 4):
        guards.look(metrics(), answers, update)
    assert not guards.suspicious
    poor = answers if sign else only(answers, 1, 2)
    guards.look(metrics(**sign), poor, 4)
    assert guards.suspicious
    guards.look(metrics(**sign), poor, 5)
    with pytest.raises(CollapseError, match=told):
        guards.look(metrics(**sign), poor, 6)


def test_a_sign_that_goes_away_is_forgotten(answers):
    guards = Guards(("ant", "bee"), patience=2)
    for update in range(1, 9):
        sign = {"entropy": [1.0, 0.0 if update % 2 else 1.0]}
        guards.look(metrics(**sign), answers, update)
        assert guards.suspicious == bool(update % 2)
    resumed = Guards(("ant", "bee"), patience=2)
    guards.look(metrics(entropy=[0.0, 1.0]), answers, 9)
    resumed.load_state_dict(guards.state_dict())
    with pytest.raises(CollapseError, match="expert 'ant'"):
        resumed.look(metrics(entropy=[0.0, 1.0]), answers, 10)


def test_answers_of_which_one_is_long_are_no_sign(answers):
    guards = Guards(("ant", "bee"), patience=1)
    mask = only(answers, 1, 2).mask
    mask[-1] = 1
    guards.look(metrics(), answers._replace(mask=mask), 1)
    assert not guards.suspicious


@pytest.mark.parametrize("what", ["reward", "kl", "entropy"])
def test_a_number_that_is_none_stops_at_once(answers, what):
    for number in (float("nan"), float("inf")):
        with pytest.raises(CollapseError, match=f"the {what} of expert 'bee' must be finite, got {number} at upd"):
            Guards(("ant", "bee")).look(metrics(**{what: [0.5, number]}), answers, 1)


def test_patience_is_positive():
    with pytest.raises(ValueError, match="patience must be at least 1 update, got 0"):
        Guards(("ant",), patience=0)


def test_a_loss_that_is_no_number_stops_before_the_step():
    module = stepped(JointPPO(tiny_exam()), torch.arange(4))
    before = [parameter.clone() for owned in module.parameters_of_experts() for parameter in owned]
    marked = module.exam._mark
    module.exam._mark = lambda *given: marked(*given)._replace(total=torch.full((12,), torch.nan))
    with pytest.raises(CollapseError, match="the loss of expert 'ant' must be finite, got nan at update 2: lower"):
        module.training_step(torch.arange(4))
    after = [parameter for owned in module.parameters_of_experts() for parameter in owned]
    assert all(torch.equal(first, second) for first, second in zip(before, after, strict=True))


def test_a_step_that_ruins_a_parameter_is_named():
    with pytest.raises(CollapseError, match="size of the parameters of expert 'ant' must be finite"):
        stepped(JointPPO(tiny_exam(), learning_rate=float("inf"), epochs=1, minibatches=1), torch.arange(4))


def test_the_table_fits_a_terminal_of_eighty_columns():
    console = Console(width=80, record=True)
    numbers = dict.fromkeys(COLUMNS, torch.tensor([1.125])) | {"quality": torch.tensor([float("nan")])}
    console.print(ExpertTable(("informative",), 1, console=console).table(numbers))
    heading, row = console.export_text().splitlines()
    assert heading.split() == ["expert", *" ".join(COLUMNS.values()).split()]
    assert row.split() == ["informative"] + ["1.125"] * (len(COLUMNS) - 1)


def test_every_expert_is_shown_with_everything_that_tells_how_it_does(tmp_path):
    shown = []

    class Table(ExpertTable):
        def table(self, metrics):
            shown.append(metrics)
            return super().table(metrics)

    run(JointPPO(tiny_exam(), updates=1), tmp_path, Guards(("ant", "bee", "cat")), Table(("ant", "bee", "cat"), 1))
    assert {"reward", "kl", "entropy", "length", "clip_fraction", "explained_variance"} <= set(COLUMNS)
    for column in COLUMNS:
        assert shown[0][column].shape == (3,)
        assert shown[0][column].isfinite().all()
    assert (shown[0]["entropy"] > 0).all()
