import torch

from decoding.attribution import attribution, moved_most

BASE = torch.tensor(0.2).log()
EXPERTS = torch.tensor([0.4, 0.1, 0.8]).log()
LOG_WEIGHTS = torch.tensor([0.5, 2.0, 0.0]).log()


def test_anchored_weights_push_by_their_share_of_the_log_ratio() -> None:
    moved = attribution("anchored", BASE, EXPERTS, LOG_WEIGHTS)
    expected = torch.tensor([0.5 * torch.log(torch.tensor(2.0)), 2.0 * torch.log(torch.tensor(0.5)), 0.0])
    torch.testing.assert_close(moved, expected)


def test_the_other_rules_share_responsibility_like_a_posterior() -> None:
    for rule in ("probability", "logit"):
        moved = attribution(rule, BASE, EXPERTS, LOG_WEIGHTS)
        torch.testing.assert_close(moved, torch.tensor([0.5, 0.5, 0.0]))


def test_who_is_not_asked_moved_nothing_even_where_it_holds_the_token_impossible() -> None:
    experts = EXPERTS.masked_fill(LOG_WEIGHTS.isneginf(), -torch.inf)
    for rule in ("anchored", "probability"):
        moved = attribution(rule, BASE, experts, LOG_WEIGHTS)
        torch.testing.assert_close(moved, attribution(rule, BASE, EXPERTS, LOG_WEIGHTS))


def test_leading_dimensions_are_free() -> None:
    for rule in ("anchored", "probability"):
        one = attribution(rule, BASE, EXPERTS, LOG_WEIGHTS)
        many = attribution(rule, BASE.expand(2, 5), EXPERTS.expand(2, 5, 3), LOG_WEIGHTS.expand(2, 5, 3))
        torch.testing.assert_close(many, one.expand(2, 5, 3))


def test_the_strongest_push_wins_and_a_faint_one_is_nobodys() -> None:
    assert moved_most({"warm": 0.3, "short": -4.0}) == "warm"
    assert moved_most({"warm": 0.009, "short": -4.0}) is None
    assert moved_most({}) is None
