"""Some of the cases of a long table: each pair of their parts occurs in one of them.

For tables whose answers one pure function decides: the function is tried with the whole table, and what leads to it
with each pair of a row and a column. Where ``ALL_DATABASES`` is set, as every night, all cases are tried.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Sequence
from heapq import heapify, heappop, heappush
from typing import TypeVar

from tests.support import ALL_DATABASES

Case = TypeVar("Case")


def covering(
    cases: Sequence[Case], parts: Callable[[Case], Iterable[Hashable]], *, every: bool = ALL_DATABASES
) -> list[Case]:
    """Return cases, in their order, that together have every part that all of them have.

    Args:
        cases: the table.
        parts: what must occur, of one case: most often each pair of its values.
        every: return all cases.
    """
    if every:
        return list(cases)
    left = [frozenset(parts(case)) for case in cases]
    queue = [(-len(mine), number) for number, mine in enumerate(left)]
    heapify(queue)
    seen: set[Hashable] = set()
    chosen = []
    while queue:
        count, number = heappop(queue)
        new = len(left[number] - seen)
        if new and -count != new:
            heappush(queue, (-new, number))
        elif new:
            chosen.append(number)
            seen |= left[number]
    return [cases[number] for number in sorted(chosen)]
