"""Fixtures: banks beside the same experts as PEFT runs them."""

from collections.abc import Callable

import pytest
from households import SHAPES, Household, tiny_base
from transformers import PreTrainedModel


@pytest.fixture(scope="session")
def household(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Household]:
    """Households by shape; made once, so tests must leave them as they are."""
    made: dict[str, Household] = {}

    def of_shape(shape: str) -> Household:
        if shape not in made:
            made[shape] = Household(shape, tmp_path_factory.mktemp(shape))
        return made[shape]

    return of_shape


@pytest.fixture(params=SHAPES)
def house(request: pytest.FixtureRequest, household: Callable[[str], Household]) -> Household:
    """A household of each shape."""
    return household(request.param)


@pytest.fixture
def llama(household: Callable[[str], Household]) -> Household:
    """The household of a Llama-shaped base."""
    return household("llama")


@pytest.fixture
def llama_base() -> PreTrainedModel:
    """A Llama-shaped base of one's own, to change at will."""
    return tiny_base("llama")
