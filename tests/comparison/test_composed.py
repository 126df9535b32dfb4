"""Methods that let others answer, worked out by hand: two methods, one preference, three prompts, one seed."""

import numpy as np

from comparison.composed import Answered, always, best_single, composed, oracle
from comparison.outcomes import Outcome
from comparison.scorers import Scores

WARM, COLD = ("warm",), ("cold",)


def method(letter: str, warm: list[float], cold: list[float]) -> Answered:
    scores = Scores(np.array([1.0, 0.5, 1.0]), {"warm": np.array(warm), "cold": np.array(cold)})
    texts = [f"{letter}{prompt}" for prompt in range(3)]
    return Answered(Outcome({WARM: [scores], COLD: [scores]}), {WARM: [texts], COLD: [texts]})


RECORDS = [method("a", [0.9, 0.2, 0.1], [0.0, 0.0, 0.3]), method("b", [0.1, 0.4, 0.5], [0.2, 0.2, 0.2])]


def test_an_oracle_takes_the_best_answer_of_each_prompt():
    found = composed(RECORDS, oracle(RECORDS))
    assert found.texts[WARM] == [["a0", "b1", "b2"]]
    assert found.texts[COLD] == [["b0", "b1", "a2"]]
    assert found.outcome.utility_of(WARM)[:, 0].tolist() == [0.9, 0.2, 0.5]
    assert found.outcome.dimension("cold")[:, 0, 0].tolist() == [0.2, 0.2, 0.3]


def test_the_best_single_method_is_the_best_on_average_for_each_preference():
    assert best_single(RECORDS) == {WARM: 0, COLD: 1}
    found = composed(RECORDS, always({WARM: 0, COLD: 1}, RECORDS[0]))
    assert (found.texts[WARM], found.texts[COLD]) == ([["a0", "a1", "a2"]], [["b0", "b1", "b2"]])
    assert found.outcome.quality()[:, 0, 0].tolist() == [1.0, 0.5, 1.0]
