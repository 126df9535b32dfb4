"""The static soup has the weights that the controller gives on average, and is served like any soup."""

from pathlib import Path

import pytest
from tiny_bundle import tiny_controller

from comparison.archive import Archive, Run
from comparison.combinations import label
from comparison.decoding import drawn
from comparison.soups import Kitchen, Soup
from comparison.static import NAME, StaticSoup
from decoding.sampling import Sampling
from experts.soup.recipes import RECIPES
from mixture import Mixture
from pcm.preference import Preference

QUESTIONS = [[{"role": "user", "content": text}] for text in ("What is a volcano?", "mountain", "be kind")]
ASKED = ("friendly", "concise")
GREEDY = Sampling(temperature=0.0, max_new_tokens=8)


@pytest.fixture
def controlled(mixture: Mixture) -> Mixture:
    """The mixture with a controller that is far from uniform."""
    mixture.pcm = tiny_controller(32, seed=9).double()
    return mixture


@pytest.fixture
def archive(tmp_path: Path) -> Archive:
    """Has the questions."""
    return Archive(tmp_path, QUESTIONS)


def test_its_weights_are_the_mean_over_the_tokens_of_the_controllers_own_answers(controlled: Mixture, archive: Archive):
    seeds = [drawn(NAME, label(ASKED), place) for place in range(3)]
    wish = Preference(weights=dict.fromkeys(ASKED, 1.0))
    responses = controlled.generate(QUESTIONS, [wish] * 3, Sampling(max_new_tokens=16), seeds)
    tokens = [token.weights for response in responses for token in response.tokens]
    means = {name: sum(one[name] for one in tokens) / len(tokens) for name in ASKED}
    static = StaticSoup(controlled, archive, 16)
    assert static.weights(ASKED) == pytest.approx(means)
    assert means["friendly"] != pytest.approx(0.5, abs=0.01)


def test_weights_are_kept_and_sum_to_one_where_the_rule_makes_them(controlled: Mixture, archive: Archive):
    archive.note(Run(NAME, ASKED, 1.0, 0), "weights", {"friendly": 3.0})
    assert StaticSoup(controlled, archive, 16).weights(ASKED) == {"friendly": 3.0}
    controlled.rule = "logit"
    half = StaticSoup(controlled, archive, 16).weights(("friendly=0.5", "concise=0.5"))
    assert sum(half.values()) == pytest.approx(1.0)


def test_it_answers_as_the_exact_soup_with_these_weights(controlled: Mixture, archive: Archive):
    static = StaticSoup(controlled, archive, 16)
    shares = {name: 2 * weight for name, weight in static.weights(ASKED).items()}  # a soup halves them for two
    same = Soup("same", Kitchen(controlled), RECIPES["exact"], shares=shares)
    assert static.respond(QUESTIONS, ASKED, GREEDY, 0) == same.respond(QUESTIONS, ASKED, GREEDY, 0)
    found = static.checked([ASKED])
    assert found.promised
    assert found.error < 1e-5
