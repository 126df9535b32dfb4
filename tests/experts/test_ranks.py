import pytest
import torch
from test_joint import stepped
from tiny_exam import tiny_exam

from experts import ranks
from experts.joint import JointPPO


def be(monkeypatch, number, count):
    monkeypatch.setattr(ranks, "count", lambda: count)
    monkeypatch.setattr(ranks, "number", lambda: number)


def test_a_process_alone_gets_back_what_it_gave():
    tensor, parameter = torch.rand(4, 3), torch.nn.Parameter(torch.ones(2))
    assert ranks.gathered(tensor, 2) is tensor
    assert ranks.added(tensor) is tensor
    ranks.add_gradients([parameter])
    assert parameter.grad is None
    assert ranks.share(5) == slice(0, 5)


def test_processes_share_the_prompts_evenly(monkeypatch):
    for number, expected in enumerate((slice(0, 2), slice(2, 4), slice(4, 6))):
        be(monkeypatch, number, 3)
        assert ranks.share(6) == expected
    with pytest.raises(ValueError, match="prompts_per_update must be a multiple of the 3 processes, got 7"):
        ranks.share(7)


class Neighbour:
    """Collectives of two processes, of which the other's part is known."""

    ReduceOp = torch.distributed.ReduceOp

    def __init__(self, other):
        self.other = other

    def all_reduce(self, tensor, how=None):
        tensor.copy_(torch.maximum(tensor, torch.tensor(self.other.shape[-1])))

    def all_gather(self, parts, mine):
        parts[0].copy_(mine)
        parts[1].copy_(self.other)


def test_gathered_rows_lie_group_by_group_padded_to_the_widest(monkeypatch):
    be(monkeypatch, 0, 2)
    mine, other = torch.tensor([[1, 2], [3, 4]]), torch.tensor([[5, 6, 7], [8, 9, 10]])  # one row for each of 2 groups
    monkeypatch.setattr(ranks, "distributed", Neighbour(other))
    assert ranks.gathered(mine, 2, fill=-1).tolist() == [[1, 2, -1], [5, 6, 7], [3, 4, -1], [8, 9, 10]]
    assert ranks.gathered(mine, 2, fill=-1, on_left=True).tolist() == [[-1, 1, 2], [5, 6, 7], [-1, 3, 4], [8, 9, 10]]
    monkeypatch.setattr(ranks, "distributed", Neighbour(torch.tensor([1, 0, 0, 1], dtype=torch.uint8)))
    gathered = ranks.gathered(torch.tensor([True, True, False, False]), 2)
    assert gathered.tolist() == [True, True, True, False, False, False, False, True]
    assert gathered.dtype == torch.bool


def test_gradients_of_all_processes_are_added_up_and_none_counts_as_zero(monkeypatch):
    be(monkeypatch, 0, 2)
    sent = []
    monkeypatch.setattr(ranks, "added", lambda tensor: sent.append(tensor) or tensor + 10 * torch.arange(5))
    first, second = torch.nn.Parameter(torch.ones(2, 2)), torch.nn.Parameter(torch.ones(1))
    first.grad = torch.tensor([[1.0, 2.0], [3.0, 4.0]])
    ranks.add_gradients([first, second])
    assert first.grad.tolist() == [[1, 12], [23, 34]]
    assert second.grad.tolist() == [40]
    assert len(sent) == 1


def test_an_answer_does_not_depend_on_who_gives_it():
    exam = tiny_exam(("ant", "bee"))

    def sat(share):
        return exam.sit(torch.tensor([4, 1, 0, 3]), [torch.Generator().manual_seed(seed) for seed in (0, 1)], share)

    whole, halves = sat(slice(None)), (sat(slice(0, 2)), sat(slice(2, 4)))
    for row in range(8):
        expert, place = divmod(row, 4)
        half = halves[place // 2]
        other = expert * 2 + place % 2
        length = int(whole.lengths[row])
        assert half.prompt_numbers[other] == whole.prompt_numbers[row]
        assert torch.equal(half.tokens[other, :length], whole.tokens[row, :length])
        assert int(half.lengths[other]) == length
        torch.testing.assert_close(half.total[other], whole.total[row])


def test_the_gradients_of_the_processes_add_up_to_those_of_one(monkeypatch):
    module = stepped(JointPPO(tiny_exam()), torch.arange(4))
    answers = module.exam.sit(torch.arange(4), module.generators)
    trajectories, rows = module.ledger.trajectories(answers, module.values_of(answers)), torch.arange(12).view(3, 4)

    def gradients():
        report = module._backward(trajectories, rows)
        return [p.grad.clone() for owned in module.parameters_of_experts() for p in owned], report

    (whole, report), parts = gradients(), []
    monkeypatch.setattr(ranks, "added", lambda tensor: tensor)
    monkeypatch.setattr(ranks, "add_gradients", lambda parameters: None)
    for number in range(3):
        be(monkeypatch, number, 3)
        parts.append(gradients())
    for number, gradient in enumerate(whole):
        torch.testing.assert_close(sum(part[0][number] for part in parts), gradient, rtol=1e-9, atol=1e-12)
    for name, values in report.items():
        torch.testing.assert_close(sum(part[1][name] for part in parts), values)
