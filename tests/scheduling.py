"""Which worker of pytest-xdist runs which tests, so that no core is idle.

The groups (``xdist_group``) drive browsers, servers and relying parties: they wait half of their time, and the longest
take minutes. Half of the workers begin with them, and the other workers run single tests meanwhile. Who has nothing
left of its own kind takes of the other.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import pytest
from xdist.scheduler import LoadGroupScheduling
from xdist.workermanage import WorkerController

LONGEST_FIRST = (
    "interop-postgresql", "portal", "demo", "interop-sqlite", "schemathesis", "end-everywhere", "protocol",
)  # fmt: skip
"""The groups that take longest, by measurement: they begin first, so that none is left at the end."""


def group_by_database(items: Sequence[pytest.Item]) -> None:
    """Make a group of the tests of relying parties for each database, because each database has a server of its own."""
    for item in items:
        if item.get_closest_marker("interop") is not None:
            parameters = getattr(getattr(item, "callspec", None), "params", {})
            item.add_marker(pytest.mark.xdist_group(f"interop-{parameters.get('server', 'sqlite')}"))


class GroupsBesideSingleTests(LoadGroupScheduling):
    """Gives half of the workers the groups, and the other half single tests."""

    def schedule(self) -> None:
        """Begin, or go on."""
        self.for_groups = set(self.nodes[: (len(self.nodes) + 1) // 2])
        super().schedule()

    def _assign_work_unit(self, node: WorkerController) -> None:
        """Give a worker what comes first of its kind."""
        name = next_unit(self.workqueue, groups=node in self.for_groups)
        self.workqueue.move_to_end(name, last=False)
        super()._assign_work_unit(node)


def next_unit(queue: Iterable[str], *, groups: bool) -> str:
    """Return the name of the next unit of work.

    Args:
        queue: the names of groups, and the ids of single tests.
        groups: whether a group comes first, or a single test.
    """
    waiting = [name for name in queue if "::" not in name]
    single = None if groups and waiting else next((name for name in queue if "::" in name), None)
    return single or min(waiting, key=_place)


def _place(group: str) -> int:
    return LONGEST_FIRST.index(group) if group in LONGEST_FIRST else len(LONGEST_FIRST)
