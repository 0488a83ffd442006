"""How tests are given to workers: see :mod:`tests.scheduling`."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.scheduling import LONGEST_FIRST, next_unit

TESTS = Path(__file__).parent


def test_half_of_the_workers_begin_with_the_longest_group_and_the_others_with_single_tests() -> None:
    queue = ["tests/a.py::b", "sbom", "portal", "tests/c.py::d", "demo"]
    assert next_unit(queue, groups=True) == "portal"
    assert next_unit(queue, groups=False) == "tests/a.py::b"


def test_a_worker_without_work_of_its_kind_takes_of_the_other() -> None:
    assert next_unit(["tests/a.py::b"], groups=True) == "tests/a.py::b"
    assert next_unit(["sbom", "protocol"], groups=False) == "protocol"


def test_the_longest_groups_are_groups() -> None:
    files = [*(TESTS / "journeys").glob("*.py"), *(TESTS / "api").glob("*.py")]
    text = "".join(path.read_text() for path in files)
    for name in LONGEST_FIRST:
        assert name in ("interop-postgresql", "interop-sqlite") or f'xdist_group("{name}")' in text, name


@pytest.mark.xdist_group("grouped")
def test_a_worker_tells_the_group_of_a_test(request: pytest.FixtureRequest) -> None:
    """Otherwise every worker makes what only one worker should make, such as the demo with a browser."""
    if getattr(request.config.option, "loadgroup", False):
        assert request.node.nodeid.endswith("@grouped")
