"""Whole dialogues laid end to end in rows of one width, so that a batch holds hardly any padding.

Position ids start anew with every dialogue, and there attention ends: transformers reads such a row as separate texts
when it is given no attention mask. Every row then costs the same, and a loss averaged over a batch weighs every token
alike, however long its dialogue. Knows token ids. Does not know what they say.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

IGNORED = -100  # the label of a token that is read but not learned


class Row(NamedTuple):
    """One row of the batch, every list as long as the row."""

    input_ids: list[int]
    position_ids: list[int]
    labels: list[int]

    def add(self, ids: Sequence[int], learned: Sequence[int]) -> None:
        """Lays one more text behind the others; `learned` is 1 where a token is to be learned."""
        self.input_ids.extend(ids)
        self.position_ids.extend(range(len(ids)))
        self.labels.extend(token if mark else IGNORED for token, mark in zip(ids, learned, strict=True))


def packed(texts: Iterable[tuple[Sequence[int], Sequence[int]]], width: int, pad_id: int) -> Iterator[Row]:
    """The texts in their order, as many in a row as fit; what stays free at its end is filled and not learned.

    Args:
        texts: token ids with a mask of what is to be learned.
        width: tokens in a row.
        pad_id: fills a row.

    Raises:
        ValueError: if a text is longer than a row.
    """
    row = Row([], [], [])
    for ids, learned in texts:
        if len(ids) > width:
            raise ValueError(f"a text must fit into a row of {width} tokens, got one of {len(ids)}")
        if len(row.input_ids) + len(ids) > width:
            yield _filled(row, width, pad_id)
            row = Row([], [], [])
        row.add(ids, learned)
    if row.input_ids:
        yield _filled(row, width, pad_id)


def _filled(row: Row, width: int, pad_id: int) -> Row:
    free = width - len(row.input_ids)
    row.add([pad_id] * free, [0] * free)
    return row
