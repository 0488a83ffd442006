"""What a commit has waited for, by the settings of PostgreSQL."""

from __future__ import annotations

import pytest
from tests.conftest import settings_for

from sso.platform.db import Database
from sso.platform.db.replication import Guarantee, Replication, Standby, read_replication


@pytest.mark.parametrize(
    ("commit", "names", "guarantee"),
    [
        ("off", "", "none"),
        ("off", "*", "none"),
        ("local", "*", "disk"),
        ("on", "", "disk"),
        ("remote_apply", "", "disk"),
        ("remote_write", "*", "standby_memory"),
        ("on", "ANY 1 (b, c)", "standby_disk"),
        ("remote_apply", "*", "standby_visible"),
    ],
)
def test_what_a_commit_waits_for(commit: str, names: str, guarantee: Guarantee) -> None:
    replication = Replication(commit, names, read_only=False, hidden=False, standbys=())
    assert (replication.guarantee, replication.commits_wait) == (guarantee, guarantee.startswith("standby"))


def test_the_slowest_standby_is_the_lag() -> None:
    standbys = (
        Standby("a", "streaming", "async", 0, 0.0),
        Standby("b", "streaming", "async", 900, 1.5),
        Standby("c", "hidden", "hidden", None, None),
    )
    replication = Replication("on", "", read_only=False, hidden=True, standbys=standbys)
    assert (replication.lag_bytes, replication.lag_seconds) == (900, 1.5)
    alone = Replication("on", "", read_only=False, hidden=False, standbys=())
    assert (alone.lag_bytes, alone.lag_seconds) == (None, None)


async def test_a_database_without_standbys(database: tuple[str, dict[str, object]], tmp_path: object) -> None:
    db = Database(settings_for(database[0], tmp_path))  # type: ignore[arg-type]
    replication = await read_replication(db)
    await db.close()
    if db.is_sqlite:
        assert replication is None
    else:
        assert replication == Replication("off", "", read_only=False, hidden=False, standbys=())
