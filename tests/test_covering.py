"""What is chosen of a table has every pair of its parts, and stands in order."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

from tests.covering import covering

TABLE = list(itertools.product("abcde", range(6), ("x", "y", "z")))


def pairs(case: tuple[object, ...]) -> Iterator[frozenset[tuple[int, object]]]:
    for two in itertools.combinations(enumerate(case), 2):
        yield frozenset(two)


def test_every_pair_is_in_a_case_that_is_chosen() -> None:
    chosen = covering(TABLE, pairs, every=False)
    assert {pair for case in chosen for pair in pairs(case)} == {pair for case in TABLE for pair in pairs(case)}
    assert chosen == sorted(chosen, key=TABLE.index)
    assert len(chosen) < len(TABLE) / 2


def test_every_case_is_chosen_where_all_are_wanted() -> None:
    assert covering(TABLE, pairs, every=True) == TABLE
