"""Models side by side: each answers as it does alone, and the base reads nothing."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import pytest
import torch

from comparison.side_by_side import SideBySide
from decoding.dimension import Dimension
from decoding.sampling import Sampling
from experts.bank import ExpertBank
from experts.rows import Rows
from mixture import Mixture

ASKED = torch.tensor([[0.0, 1.0, 0.0], [1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 0.5]])
CONVERSATIONS = [[{"role": "user", "content": text}] for text in ("Why?", "What is a comet?", "Tell me more.", "How?")]
SAMPLINGS = [Sampling(temperature=1.0, max_new_tokens=longest) for longest in (5, 24, 9, 16)]


def apart(mixture: Mixture) -> Mixture:
    """The mixture's experts, of which one speaks at a time."""
    bank = SideBySide(mixture.bank.base)
    for name in mixture.names:
        bank.add(name, mixture.bank.configs[name], mixture.bank.state_of(name))
    dimensions = tuple(Dimension(name, f"The answer is {name}.") for name in mixture.names)
    return replace(mixture.uniform("anchored"), bank=bank, dimensions=dimensions, reader=None)


def rollout(mixture: Mixture, asked: torch.Tensor) -> list[list[int]]:
    input_ids, mask = mixture.encode(CONVERSATIONS)
    generators = [torch.Generator().manual_seed(seed) for seed in range(len(CONVERSATIONS))]
    found = mixture.rollout(input_ids, mask, asked, SAMPLINGS, generators)
    return [tokens[counts.bool()].tolist() for tokens, counts in zip(found.tokens, found.mask, strict=True)]


@contextmanager
def counting_rows(base: torch.nn.Module) -> Iterator[list[int]]:
    """Notes down how many rows each pass of the base has."""
    seen: list[int] = []
    hook = base.get_input_embeddings().register_forward_hook(lambda module, inputs, output: seen.append(len(output)))
    yield seen
    hook.remove()


def test_each_request_is_answered_by_its_own_model_and_read_by_nobody_else(mixture: Mixture):
    """Responses end at different places: the rows of those that have ended leave, and the others stay."""
    whole = (ASKED > 0).float()
    with counting_rows(mixture.bank.base) as beside:
        expected = rollout(mixture.uniform("anchored"), whole)
    with counting_rows(mixture.bank.base) as alone:
        assert rollout(apart(mixture), ASKED) == expected
    assert beside[0] == 2 * len(ASKED)
    assert alone[0] == len(ASKED)
    assert alone[-1] == 1
    assert rollout(apart(mixture), ASKED[[1, 1, 1, 1]]) != expected


def test_a_request_that_asks_for_none_or_for_several_is_refused(mixture: Mixture):
    for asked in ([[0.0, 0.0, 0.0]], [[1.0, 1.0, 0.0]]):
        with pytest.raises(ValueError, match=r"every request must ask for one model, got \[[02]\] of friendly"):
            apart(mixture).bank.rows(torch.tensor(asked))


def test_rows_of_some_requests_are_those_of_a_batch_of_them_alone():
    asked = torch.tensor([[1, 0], [1, 1], [0, 0], [0, 1]])
    kept = torch.tensor([1, 3])
    assert Rows.of(asked).narrowed(kept).pairs == Rows.of(asked[kept]).pairs
    lone = Rows(torch.tensor([1, 0, 2]), torch.tensor([0, 1, 1]))
    assert lone.narrowed(torch.tensor([0, 2])).pairs == [(1, 0), (1, 1)]


def test_an_ordinary_bank_still_wants_its_base_rows(mixture: Mixture):
    assert isinstance(mixture.bank, ExpertBank)
    tokens = torch.ones(1, 3, dtype=torch.long)
    with pytest.raises(ValueError, match="one base row for each of 1 requests"):
        mixture.bank.read(tokens, tokens, Rows(torch.tensor([0]), torch.tensor([1])))
