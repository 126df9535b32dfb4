import pytest
import torch

from comparison.users import trial
from comparison.users.lineup import chosen_by, lineup, log_of
from comparison.users.methods import Linear, Told
from comparison.users.simulated import NOISE, User, drawn
from comparison.users.trial import answers_needed, area, doubted, interviews
from comparison.users.world import Pairs
from decoding.dimension import Dimension
from pcm.users.axes import Axes
from pcm.users.belief import Belief
from pcm.users.ways import Log


def pairs(count, seed):
    """Pairs whose reward models say the truth, in logits of a labeller."""
    generator = torch.Generator().manual_seed(seed)
    true = 0.5 * torch.randn(count, 3, generator=generator, dtype=torch.float64)
    states = torch.cat([true, torch.randn(count, 5, generator=generator, dtype=torch.float64)], dim=-1)
    return Pairs(true, {"axes": true / NOISE, "states": states})


POOL, HELD_OUT = pairs(120, 0), pairs(200, 1)


def curves(method, users, counts, pool=POOL):
    """Of users who were asked as often as the last count."""
    return trial.curves(method, users, interviews(method, users, pool, counts[-1], 0), pool, HELD_OUT, counts)


LEARNER = Linear("dimensions", "axes", Belief.before(3))


def logged(outcomes):
    """What users of a log chose, of dimensions without a reader."""
    dimensions = [Dimension(name, name) for name in ("ant", "bee")]
    return Log(chosen_by(POOL, outcomes), Axes(dimensions), Belief.before(3))


def test_area_is_how_often_the_better_pair_has_the_larger_margin():
    margins = torch.tensor([0.1, 2.0, -1.0, 0.1])
    labels = torch.tensor([True, True, False, False])
    wins = [1.0 if a > b else 0.5 if a == b else 0.0 for a in margins[labels] for b in margins[~labels]]
    assert area(margins, labels) == pytest.approx(sum(wins) / 4)


def test_a_user_chooses_what_is_worth_more_with_the_noise_of_a_labeller():
    user = User(torch.tensor([1.0, 0.0, 1.0], dtype=torch.float64))
    generator = torch.Generator().manual_seed(0)
    better = torch.tensor([NOISE, 5.0, 0.0])
    chosen = [user.chooses(better, 0, generator) for _ in range(2000)]
    assert sum(chosen) / 2000 == pytest.approx(0.731, abs=0.03)
    coin = User(user.taste, "coin")
    assert sum(coin.chooses(100 * better, 0, generator) for _ in range(2000)) / 2000 == pytest.approx(0.5, abs=0.04)


def test_a_drifting_user_ends_with_their_taste_and_began_with_another():
    user = User(torch.tensor([2.0, 0.5, 1.0], dtype=torch.float64), "drifting")
    generator = torch.Generator().manual_seed(0)
    first_axis = torch.tensor([1.0, 0.0, 0.0])
    assert user.chooses(first_axis, 0, generator) == 0
    assert user.chooses(first_axis, 6, generator) == 1


def test_drawn_users_want_quality_and_something_else():
    users = drawn(50, 3, seed=0)
    tastes = torch.stack([user.taste for user in users])
    assert (tastes[:, -1] == 1).all()
    assert (tastes[:, :-1] != 0).any(1).all()
    assert (tastes[:, :-1] == 0).any()
    assert tastes[:, :-1].abs().max() <= 2
    assert torch.equal(torch.stack([user.taste for user in drawn(50, 3, seed=0)]), tastes)


def test_answers_make_users_known_and_the_told_taste_is_the_ceiling():
    users = drawn(12, 2, seed=3)
    learned = curves(LEARNER, users, (0, 5, 20)).mean(0)
    assert learned[0] == pytest.approx(0.5)
    assert learned[0] < learned[1] < learned[2]
    told = curves(Told("told"), users, (0, 5, 20)).mean(0)
    assert told.tolist() == pytest.approx([1.0, 1.0, 1.0])


def test_no_pair_is_asked_twice_and_choices_do_not_depend_on_how_many_will_follow():
    user = drawn(1, 2, seed=0)
    for method in (LEARNER, Linear("random", "axes", Belief.before(3), active=False)):
        ((asked, outcomes),) = interviews(method, user, POOL, 15, seed=1)
        assert len(set(asked)) == 15
        ((fewer, first),) = interviews(method, user, POOL, 6, seed=1)
        assert fewer == asked[:6]
        assert torch.equal(first, outcomes[:6])


def test_coins_are_doubted_and_users_hardly_ever():
    users = drawn(20, 2, seed=5)
    shares = {}
    for kind in ("steady", "coin"):
        told = interviews(LEARNER, [User(user.taste, kind) for user in users], POOL, 20, seed=0)
        shares[kind] = doubted(LEARNER, told, POOL)
    assert shares["steady"] <= 0.1
    assert shares["coin"] >= 0.5


def test_answers_needed_are_counted_between_two_measurements():
    assert answers_needed([0.5, 0.7, 0.9], [0, 5, 10], 0.8) == pytest.approx(7.5)
    assert answers_needed([0.9, 0.95], [0, 5], 0.8) == 0
    assert answers_needed([0.5, 0.6], [0, 5], 0.8) is None


def test_a_log_holds_for_each_user_as_many_choices_as_were_asked():
    log = log_of(drawn(7, 2, seed=1), POOL, 11, seed=0)
    assert log.shape == (120, 7)
    assert ((~log.isnan()).sum(0) == 11).all()


def test_where_users_of_a_log_lie_agrees_with_their_tastes():
    users = drawn(10, 2, seed=1)
    found = logged(log_of(users, POOL, 100, seed=0)).tastes()
    true = torch.stack([user.taste for user in users])
    assert torch.corrcoef(torch.stack([found.flatten(), true.flatten()]))[0, 1] > 0.9


def test_every_line_of_the_bench_learns_but_the_one_for_all():
    users = drawn(30, 2, seed=7)
    log = log_of(users, POOL, 40, seed=0)
    methods = lineup(POOL, log, logged(log))
    assert len({method.name for method in methods}) == len(methods)
    new = drawn(8, 2, seed=8)
    after = {m.name: curves(m, new, (20,), pairs(300, 5)).mean() for m in methods}
    assert after["told the taste"] == pytest.approx(1.0)
    assert after["dimensions"] > after["one reward model for all"] + 0.05
    assert after["PReF"] > after["one reward model for all"] + 0.05
    assert after["a reward model for each"] > 0.6
