"""Specialists and the prompted policy answer as the one adapter that they name."""

import random
from pathlib import Path

import pytest

from comparison.methods import Expert
from comparison.phrasing import phrased
from comparison.trained import OBJECTIVE, PromptedPolicy, Specialists, trained
from decoding.conversation import with_system
from decoding.sampling import Sampling
from mixture import Mixture

QUESTIONS = [[{"role": "user", "content": text}] for text in ("What is a volcano?", "mountain", "thank you")]
GREEDY = Sampling(temperature=0.0, max_new_tokens=10)


def phrase(asked: tuple[str, ...], rng: random.Random) -> str:
    return f"be {' '.join(asked)} {rng.randrange(10**6)}"


@pytest.fixture
def specialists(mixture: Mixture, tmp_path: Path) -> Path:
    """The experts' adapters, as if each had been trained for a preference."""
    for name, preference in zip(mixture.names, ("friendly+concise", "unfriendly+concise"), strict=False):
        mixture.bank.save(name, tmp_path / preference)
    return tmp_path


def test_a_specialist_answers_for_its_own_preference(mixture: Mixture, specialists: Path):
    method = Specialists(mixture, specialists)
    first = Expert(mixture, mixture.names[0]).respond(QUESTIONS, (), GREEDY, 0)
    second = Expert(mixture, mixture.names[1]).respond(QUESTIONS, (), GREEDY, 0)
    assert method.respond(QUESTIONS, ("friendly", "concise"), GREEDY, 0) == first != second
    assert method.respond(QUESTIONS, ("unfriendly", "concise"), GREEDY, 0) == second
    with pytest.raises(ValueError, match=r"must have a specialist in .*, got none for friendly$"):
        method.respond(QUESTIONS, ("friendly",), GREEDY, 0)


def test_the_policy_reads_the_preference_in_its_prompt(mixture: Mixture, specialists: Path):
    method, asked = PromptedPolicy(mixture, specialists / "friendly+concise", phrase), ("friendly", "concise")
    texts = phrased(phrase, QUESTIONS, asked, 3)
    told = [with_system(text, one) for text, one in zip(texts, QUESTIONS, strict=True)]
    expected = Expert(mixture, mixture.names[0]).respond(told, (), GREEDY, 3)
    assert method.respond(QUESTIONS, asked, GREEDY, 3) == expected
    assert expected != Expert(mixture, mixture.names[0]).respond(QUESTIONS, (), GREEDY, 3)


def test_the_lines_say_what_was_trained_for_them(mixture: Mixture, specialists: Path):
    assert trained(mixture, phrase, None, None) == []
    both = trained(mixture, phrase, specialists, specialists / "friendly+concise")
    assert [entry.name for entry in both] == ["specialist", f"prompt-{OBJECTIVE}"]
    assert [entry.cost.trained_models for entry in both] == ["2, one a preference", "1"]
    sizes = [sum(p.numel() for p in mixture.bank.parameters_of(name)) for name in mixture.names[:2]]
    assert [entry.cost.trained_parameters for entry in both] == [sum(sizes), sizes[0]]
    with pytest.raises(ValueError, match=r"named like friendly\+concise, got none in"):
        trained(mixture, phrase, specialists / "friendly+concise", None)
