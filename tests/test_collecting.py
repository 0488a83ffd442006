"""How workers share the work of the collection: see :mod:`tests.collecting`."""

from __future__ import annotations

import pytest
from tests.collecting import rotated


def test_each_worker_begins_at_a_place_of_its_own_and_leaves_nothing_out(monkeypatch: pytest.MonkeyPatch) -> None:
    things, first = list(range(20)), []
    monkeypatch.setenv("PYTEST_XDIST_WORKER_COUNT", "6")
    for number in range(6):
        monkeypatch.setenv("PYTEST_XDIST_WORKER", f"gw{number}")
        assert sorted(rotated(things)) == things
        first.append(rotated(things)[0])
    assert first == [0, 3, 6, 10, 13, 16]
