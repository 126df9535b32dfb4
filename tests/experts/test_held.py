"""What an expert shall leave alone has a price, which rises while it does not."""

import pytest
import torch
from lightning import Callback
from tiny_exam import FAVOURITES, CountingRewards, run, tiny_exam

from experts.checkpoints import LastCheckpoint
from experts.exam import Exam
from experts.joint import JointPPO
from experts.objectives import held_mask
from experts.ppo import held_back, raised_prices

EXPERTS = torch.tensor([0, 0, 1, 1])
CHANCES = torch.tensor([[0.9, 0.5], [0.7, 0.5], [0.2, 0.4], [0.4, 0.8]])


def test_a_response_pays_its_expert_s_prices_for_what_it_moved():
    prices = torch.tensor([[2.0, 1.0], [-1.0, 0.5]])
    torch.testing.assert_close(held_back(prices, CHANCES, EXPERTS), torch.tensor([0.8, 0.4, 0.25, 0.25]))


def test_a_price_rises_by_how_far_the_mean_chance_is_above_one_half_and_falls_below_it():
    held = torch.tensor([[True, True], [True, False]])
    raised = raised_prices(torch.tensor([[1.0, 0.0], [0.0, 0.0]]), CHANCES, held, EXPERTS, rate=0.5)
    torch.testing.assert_close(raised, torch.tensor([[1.15, 0.0], [-0.1, 0.0]]))


def test_the_mask_is_of_the_trained_experts_alone():
    mask = held_mask({"bee": ["ant"], "other": ["bee"]}, ["ant", "bee"], ["ant", "bee", "quality"])
    assert mask.tolist() == [[False, False, False], [True, False, False]]


def test_what_is_held_is_judged_and_pays_nothing_by_itself():
    exam = tiny_exam()
    plain = exam.sit(torch.tensor([4, 1]), [torch.Generator().manual_seed(seed) for seed in range(3)])
    exam.held = held_mask({"ant": ["cat"]}, exam.bank.names, exam.rewards.names)
    held = exam.sit(torch.tensor([4, 1]), [torch.Generator().manual_seed(seed) for seed in range(3)])
    assert torch.equal(held.total, plain.total)
    place = exam.rewards.names.index("cat")
    for row in range(2):
        prompt = int(held.prompt_numbers[row])
        text = torch.cat([exam.prompts[prompt], held.tokens[row][held.mask[row].bool()]])
        expected = torch.sigmoid((text == FAVOURITES["cat"]).sum() - exam.references.scores[prompt][place])
        torch.testing.assert_close(held.chances[row, place], expected)
    assert held.chances[2:4, place].tolist() == [0.5, 0.5]


class Twins(CountingRewards):
    """The second reward is the first one over again."""

    names = ("ant", "bee")

    def score(self, texts, names=None, needed=None):
        return super().score(texts, ("ant", "ant"), needed)


class Record(Callback):
    def __init__(self) -> None:
        self.earned: list[float] = []

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
        self.earned.append(float(outputs["metrics"]["reward"]))


@pytest.fixture
def twins() -> Exam:
    exam = tiny_exam(("ant",))
    references = exam.references._replace(scores=exam.references.scores[:, [0, 0]].repeat(4, 1))
    return Exam(
        exam.bank, Twins(), references, exam.prompts * 4, 2, 0, least_budget=6, most_budget=10, quality_weight=0.0,
        missing_end_penalty=0.0,
    )  # fmt: skip


def test_an_expert_does_not_move_what_is_held(twins, tmp_path):
    twins.held = torch.tensor([[False, True]])
    settings = {"learning_rate": 2e-2, "kl_coefficient": 0.0, "minibatches": 1, "parts": 1, "epochs": 4}
    module, record = JointPPO(twins, updates=14, hold_rate=2.0, **settings), Record()
    run(module, tmp_path, record, LastCheckpoint(tmp_path / "last.ckpt", every=1), prompts=24)
    freely, unheld = Record(), Exam(
        tiny_exam(("ant",)).bank, twins.rewards, twins.references, twins.prompts, 2, 0, least_budget=6, most_budget=10,
        quality_weight=0.0, missing_end_penalty=0.0,
    )  # fmt: skip
    run(JointPPO(unheld, updates=14, **settings), tmp_path / "free", freely, prompts=24)
    assert sum(record.earned[-3:]) / 3 < sum(freely.earned[-3:]) / 3 - 0.1
    assert float(module.ledger.prices[0, 1]) > 0.5
    kept = torch.load(tmp_path / "last.ckpt", weights_only=True)["state_dict"]["ledger.prices"]
    assert torch.equal(kept, module.ledger.prices)


def test_a_rollout_pays_for_what_it_moved_itself(twins):
    twins.held = torch.tensor([[False, True]])
    damped, priced, free = (JointPPO(twins, hold_gain=gain) for gain in (3.0, 0.0, 0.0))
    answers = twins.sit(torch.arange(12), damped.generators)
    priced.ledger.prices[0, 1] = 3.0 * (answers.chances[:, 1].mean() - 0.5)
    assert priced.ledger.prices[0, 1].abs() > 0.1
    returns = [one.ledger.trajectories(answers, one.values_of(answers)).returns for one in (damped, priced, free)]
    torch.testing.assert_close(returns[0], returns[1])
    assert (returns[0] - returns[2]).abs().max() > 0.01
    assert damped.ledger.prices.count_nonzero() == 0  # it is not carried on


def test_a_run_does_not_go_on_with_other_rewards(twins, tmp_path):
    run(JointPPO(tiny_exam(("ant",)), updates=1), tmp_path, LastCheckpoint(tmp_path / "last.ckpt", every=1))
    with pytest.raises(
        ValueError, match=r"must be of the rewards \['ant', 'bee'\], got \['ant', 'bee', 'cat', 'quality'\]"
    ):
        run(JointPPO(twins, updates=1), tmp_path, checkpoint=tmp_path / "last.ckpt")


def test_what_is_no_longer_held_has_no_price():
    prices = torch.tensor([[0.4, 0.2], [0.3, 0.0]])
    held = torch.tensor([[False, True], [False, False]])
    assert raised_prices(prices, CHANCES, held, EXPERTS, rate=0.5)[:, 0].tolist() == [0.0, 0.0]


def test_what_is_held_must_be_told_for_every_expert_and_reward(twins):
    parts = twins.bank, twins.rewards, twins.references, twins.prompts, 2, 0
    with pytest.raises(ValueError, match=r"held must be for experts and rewards \(1, 2\), got \(2,\)"):
        Exam(*parts, held=torch.tensor([False, True]), quality_weight=0.0)
