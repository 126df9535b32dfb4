import json

import pytest
import torch
from test_trial import POOL, drawn, log_of, logged

from comparison.users.logged import logged as tried
from comparison.users.logged import sheet
from pcm.users.networks import Chosen

pytestmark = pytest.mark.filterwarnings("ignore:population:UserWarning")


@pytest.fixture(autouse=True)
def quick_ways(monkeypatch):
    monkeypatch.setattr("comparison.users.logged.get_args", lambda method: ("regression", "population"))


def test_a_log_s_new_users_are_foreseen_the_better_the_more_is_known():
    log = logged(log_of(drawn(16, 2, seed=1), POOL, 30, seed=0))
    report = tried(log, seeds=1)
    regression = report["lines"]["regression"]
    assert regression["0"]["mean"] == 0.5
    assert regression["20"]["mean"] > 0.8 > regression["1"]["mean"] > 0.5
    assert regression["20"]["mean"] > report["lines"]["one reward model for all"]["20"]["mean"] + 0.1
    assert set(report["lines"]) == {"regression", "population", "one reward model for all"}
    assert json.loads(json.dumps(report)) == report
    assert "regression" in sheet(report).markdown()


def test_choices_to_be_foreseen_were_never_known(monkeypatch):
    """If they were, a way that only remembers would foresee everything."""
    seen = []

    class Remembering:
        def __init__(self, differences):
            seen.append({tuple(row) for row in differences.tolist()})
            self.mean = torch.zeros(3, dtype=torch.float64)

    monkeypatch.setattr(
        "comparison.users.logged._ways", lambda log: {"remembering": lambda known, outcomes: Remembering(known)}
    )
    log = logged(log_of(drawn(4, 2, seed=1), POOL, 9, seed=0))
    report = tried(log, seeds=1)
    assert max(map(len, seen)) == 5  # the largest count below the six of nine that are not kept
    assert report["lines"]["remembering"]["5"]["mean"] == 0.5
    assert set(report["lines"]["remembering"]) == {"0", "1", "2", "3", "5"}


def test_a_user_who_is_new_twice_counts_once():
    log = logged(log_of(drawn(4, 2, seed=1), POOL, 9, seed=0))
    once, often = (tried(log, seeds=seeds)["lines"]["one reward model for all"]["0"] for seeds in (1, 6))
    assert often["high"] - often["low"] > 0.3 * (once["high"] - once["low"])


def test_a_log_of_hardly_anybody_is_refused():
    log = logged(log_of(drawn(4, 2, seed=1), POOL, 9, seed=0))
    few = [Chosen(*(part[:5] for part in chosen)) for chosen in log.users[:1]]
    with pytest.raises(ValueError, match="four users or more with 6 choices each, got 3 of them"):
        tried(type(log)([*log.users[1:], *few], log.axes, log.before), seeds=1)
