"""What the pages of units cost with many units and memberships: the tree, lists, searches, members, and a move.

    python -m bench.groups [--units 10000] [--memberships 200000]

The data are made by PostgreSQL itself. The command prints the processor time of this process and of the backend, and
the fastest, the median and the slowest time of each list. It fails if a median is above :data:`AIM` milliseconds.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import statistics
import time
import uuid
from collections.abc import Awaitable, Callable
from pathlib import Path

from bench.postgres import temporary_database
from bench.sides import cpu_seconds
from sqlalchemy import func, select, text
from sqlalchemy.ext.asyncio import AsyncSession

from sso import clock
from sso.identity.groups import members, store, tree
from sso.identity.groups.members import MemberFilter
from sso.identity.groups.models import Group, GroupAncestor
from sso.identity.groups.tree import GroupFilter
from sso.platform.db import Database
from sso.platform.db.migrate import upgrade
from sso.platform.security.tokens import random_token
from sso.settings import Settings

AIM = 200.0
"""Milliseconds that a list may take."""
ROUNDS = 9
WIDTH = 8
"""How many units stand below each unit."""

FUNCTION = "CREATE FUNCTION bench_id(n bigint) RETURNS uuid LANGUAGE sql IMMUTABLE AS $$ SELECT md5(n::text)::uuid $$"
USERS = """
INSERT INTO users (id, name, profile, preferences, security_version, created_at, updated_at)
SELECT bench_id(n), (ARRAY['Siti','Budi','Ratna','Dimas','Joko','Wulan','Agus','Dewi'])[1 + n % 8] || ' ' ||
  (ARRAY['Rahmawati','Santoso','Wulandari','Prasetyo','Susilo','Lestari'])[1 + (n / 8) % 6] || ' ' || n,
  '{}', '{}', 0, now(), now() FROM generate_series(1, :memberships) n
"""
UNITS = """
INSERT INTO groups (id, kind, code, name_id, parent_id, created_at, updated_at)
SELECT bench_id(-n), 'unit', 'U-' || n, (ARRAY['Dinas','Bidang','Seksi','Puskesmas','Sekolah'])[1 + n % 5] || ' ' || n,
  CASE WHEN n > 1 THEN bench_id(-((n - 2) / :width + 1)) END, now(), now() FROM generate_series(1, :units) n
"""
ANCESTORS = """
INSERT INTO group_ancestors (group_id, ancestor_id, depth)
WITH RECURSIVE above AS (
  SELECT id AS group_id, id AS ancestor_id, 0 AS depth FROM groups
  UNION ALL SELECT a.group_id, g.parent_id, a.depth + 1 FROM above a JOIN groups g ON g.id = a.ancestor_id
  WHERE g.parent_id IS NOT NULL
) SELECT group_id, ancestor_id, depth FROM above
"""
MEMBERSHIPS = """
INSERT INTO memberships (id, user_id, group_id, position, source, valid_from, created_at)
SELECT bench_id(n + 1000000000), bench_id(n), bench_id(-(1 + n % :units)), 'Staf', 'import', now(), now()
FROM generate_series(1, :memberships) n
"""


async def fill(db: Database, units: int, memberships: int) -> None:
    """Make the data."""
    values = {"units": units, "memberships": memberships, "width": WIDTH}
    async with db.maintenance() as engine, engine.begin() as connection:
        await connection.execute(text(FUNCTION))
        for statement in (USERS, UNITS, ANCESTORS, MEMBERSHIPS):
            used = {name: value for name, value in values.items() if f":{name}" in statement}
            await connection.execute(text(statement), used)
    async with db.maintenance() as engine, engine.connect() as connection:
        plain = await connection.execution_options(isolation_level="AUTOCOMMIT")
        await plain.execute(text("VACUUM ANALYZE"))


Work = Callable[[AsyncSession], Awaitable[object]]


def lists_of(top: uuid.UUID, middle: uuid.UUID, small: uuid.UUID) -> dict[str, Work]:
    """Return each list by its name. ``top``: the unit above all others; ``middle``: one below it with half of all
    units, ``small``: one with the sixteenth part."""
    now = clock.now()

    async def page(session: AsyncSession, chosen: GroupFilter, limit: int = 51) -> None:
        rows = await tree.page_of_groups(session, chosen, None, limit, now)
        await tree.counted(session, rows, now)
        await tree.way_to(session, [row.id for row in rows])

    async def people(session: AsyncSession, group_id: uuid.UUID, chosen: MemberFilter) -> None:
        await members.page_of_members(session, group_id, chosen, None, 51, now)

    return {
        "tree, are there many": lambda session: tree.page_of_groups(session, GroupFilter(kind="unit"), None, 301, now),
        "tree, first level": lambda session: page(session, GroupFilter(kind="unit", top=True)),
        "tree, next level": lambda session: page(session, GroupFilter(parent_id=top)),
        "list": lambda session: page(session, GroupFilter()),
        "list, within a unit": lambda session: page(session, GroupFilter(within=frozenset({middle}))),
        "search by name": lambda session: page(session, GroupFilter(words="puskesmas 99")),
        "search by code": lambda session: page(session, GroupFilter(words="u-9999")),
        "search, nothing found": lambda session: page(session, GroupFilter(words="tidak ada")),
        "members of a unit": lambda session: people(session, middle, MemberFilter()),
        "members of all units": lambda session: people(session, top, MemberFilter(below=True)),
        "members by name, all units": lambda session: people(session, top, MemberFilter(below=True, words="siti 16")),
        "members by name, one branch": lambda session: people(session, middle, MemberFilter(below=True, words="dewi")),
        "members by name, small branch": lambda session: people(session, small, MemberFilter(below=True, words="dewi")),
        "members by name, one unit": lambda session: people(session, middle, MemberFilter(words="dewi")),
        "members by name, nobody": lambda session: people(session, top, MemberFilter(below=True, words="zzz")),
        "members that ended": lambda session: people(session, top, MemberFilter(below=True, status="ended")),
    }


async def measure(database_url: str, folder: Path, units: int, memberships: int) -> None:
    """Make the data, and print how long each list takes."""
    settings = Settings(
        _env_file=None, issuer="https://masuk.kota.example", database_url=database_url, data_dir=folder,
        secret_key=[random_token()], run_worker=False,
    )  # type: ignore[call-arg]  # fmt: skip
    db, slow = Database(settings), []
    await upgrade(db)
    print(f"making {units} units and {memberships} memberships", flush=True)
    await fill(db, units, memberships)
    async with db.read() as session:
        rows = (await session.execute(select(Group.code, Group.id).where(Group.code.in_(["U-1", "U-2", "U-9"])))).all()
    ids = {row[0]: row[1] for row in rows}
    print(f"{'list':32} {'CPU ms':>10} {'fastest ms':>10} {'median ms':>10} {'slowest ms':>10}")
    for name, work in lists_of(ids["U-1"], ids["U-2"], ids["U-9"]).items():
        times, used = [], 0.0
        for _ in range(ROUNDS):
            async with db.read() as session:
                backend = int((await session.execute(text("SELECT pg_backend_pid()"))).scalar_one())
                began, before = time.perf_counter(), cpu_seconds([os.getpid(), backend])
                await work(session)
                times.append((time.perf_counter() - began) * 1000)
                used += cpu_seconds([os.getpid(), backend]) - before
        figures = (used * 1000 / ROUNDS, min(times), statistics.median(times), max(times))
        print(f"{name:32} {' '.join(f'{value:10.1f}' for value in figures)}", flush=True)
        slow += [name] if statistics.median(times) > AIM else []
    began = time.perf_counter()
    async with db.write() as session:
        subtree = select(func.count()).select_from(GroupAncestor).where(GroupAncestor.ancestor_id == ids["U-2"])
        count = (await session.execute(subtree)).scalar_one()
        await store.move_subtree(session, ids["U-2"], ids["U-9"])
    print(f"{f'move of {count} units':32} {(time.perf_counter() - began) * 1000:10.1f}")
    await db.close()
    if slow:
        raise SystemExit(f"above {AIM:.0f} ms: {', '.join(slow)}")


def main() -> None:
    """Run it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--units", type=int, default=10_000)
    parser.add_argument("--memberships", type=int, default=200_000)
    arguments = parser.parse_args()
    with temporary_database("groups", "ALTER SYSTEM SET fsync = off") as (directory, url):
        clock.reset()
        asyncio.run(measure(url, directory, arguments.units, arguments.memberships))


if __name__ == "__main__":
    main()
