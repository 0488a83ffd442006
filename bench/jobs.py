"""What the jobs cost with millions of users and sessions: the plan of each statement, and the time of each job.

    python -m bench.jobs [--people 2000000] [--sessions 5000000]

The data are made by PostgreSQL itself. A part of them is over: each job has :data:`OVER` rows of its kind to delete,
and finds nothing when it runs again. The command fails if a plan reads a large table from its beginning to its end
(a sequential scan).
"""

from __future__ import annotations

import argparse
import asyncio
import json
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench.console import CLIENTS, fill
from bench.postgres import temporary_database
from sqlalchemy import Connection, Engine, event, text

from sso import clock, jobs
from sso.logout import bulk as mass_ending
from sso.oidc.provider import Provider
from sso.platform.db import Database
from sso.platform.db.migrate import upgrade
from sso.platform.outbox import store as deliveries
from sso.platform.security.tokens import random_token
from sso.portal.audit_chain import chain_audit_events
from sso.settings import Settings

OVER = 5_000
"""How many rows of each kind are over."""
LARGE = 20_000
"""A table with more rows than this is large."""
IGNORED = ("BEGIN", "COMMIT", "ROLLBACK", "EXPLAIN", "SAVEPOINT", "SET ")

GRANTS = """
INSERT INTO grants (id, client_id, user_id, session_id, scope, auth_time, acr, amr, offline, details, created_at,
  expires_at, code_hash, code_used_at)
SELECT bench_uuid(), p.client_id, s.user_id, s.id, 'openid profile', now(), 'urn:sso:acr:password', '["pwd"]', false,
  '{}', now(), now() + interval '30 days', decode(md5(p.sid) || md5('c' || p.sid), 'hex'), now()
FROM session_clients p JOIN sessions s ON s.id = p.session_id
"""
TOKENS = """
INSERT INTO refresh_tokens (token_hash, grant_id, client_id, created_at, expires_at, used_at, format)
SELECT decode(md5(g.id::text || n) || md5('r' || g.id::text || n), 'hex'), g.id, g.client_id, now(),
  now() + interval '30 days', CASE WHEN n = 0 THEN now() + interval '1 day' END, 1
FROM grants g CROSS JOIN generate_series(0, 1) n
"""
OPAQUE = """
INSERT INTO access_tokens (token_hash, grant_id, client_id, claims, created_at, expires_at)
SELECT decode(md5('a' || id::text) || md5('b' || id::text), 'hex'), id, client_id, '{}', now(),
  now() + interval '1 hour' FROM grants LIMIT :some
"""
DELIVERIES = """
INSERT INTO deliveries (id, kind, client_id, session_id, payload, status, attempts, created_at, next_attempt_at,
  first_attempt_at, finished_at)
SELECT bench_uuid(), 'backchannel_logout', p.client_id, p.session_id, '{}', 'done', 1, now(), now(), now(), now()
FROM session_clients p LIMIT :some
"""
AUDIT = """
INSERT INTO audit_events (id, seq, at, type, outcome, actor, subject, data, hash)
SELECT bench_uuid(), n, now() - interval '1 hour', 'session.started', 'success', 'siti', 'siti', '{}',
  decode(md5(n::text) || md5((-n)::text), 'hex') FROM generate_series(1, :some) n
"""
CREDENTIALS = """
INSERT INTO credentials (id, user_id, kind, secret, created_at, updated_at)
SELECT bench_uuid(), id, CASE WHEN n % 20 = 0 THEN 'passkey' ELSE 'password' END, '', now(), now() FROM numbered
"""
WAITING = """
INSERT INTO interactions (token_hash, browser_hash, client_id, parameters, progress, created_at, expires_at)
SELECT decode(md5(n::text) || md5((-n)::text), 'hex'), '', 'aplikasi-1', '{}', '[]', now(), now() + interval '1 hour'
FROM generate_series(1, :part) n
"""
FLOWS = """
INSERT INTO pending_flows (token_hash, browser_hash, purpose, encrypted, codes_sent, attempts, created_at, expires_at)
SELECT decode(md5(n::text) || md5((-n)::text), 'hex'), '', 'sign_in', '', 0, 0, now(), now() + interval '1 hour'
FROM generate_series(1, :part) n
"""
COUNTERS = """
INSERT INTO rate_counters (key, count, expires_at) SELECT 'k' || n, 1, now() + interval '1 hour'
FROM generate_series(1, :part) n
"""
JTIS = """
INSERT INTO replay (issuer, jti_hash, expires_at)
SELECT 'i', decode(md5(n::text) || md5((-n)::text), 'hex'), now() + interval '1 hour' FROM generate_series(1, :part) n
"""
COUNTS = """
INSERT INTO usage_counts (hour, name, client_id, label, count)
SELECT date_trunc('hour', now()) - h * interval '1 hour', 'token', 'aplikasi-' || c, 'refresh', 1
FROM generate_series(0, :hours) h CROSS JOIN generate_series(1, :clients) c
"""
FILLED = (GRANTS, TOKENS, OPAQUE, DELIVERIES, AUDIT, CREDENTIALS, WAITING, FLOWS, COUNTERS, JTIS, COUNTS)

LONG_AGO = "now() - interval '200 days'"
SOME = "(SELECT {key} FROM {table} WHERE {where} ORDER BY {key} {side} LIMIT :over)"
AGEING = (
    # Sessions that are over: by their time, by their idle time, and ended long ago.
    ("sessions", "id", "true", "", f"expires_at = {LONG_AGO}"),
    ("sessions", "id", "true", "DESC", f"last_seen_at = {LONG_AGO}"),
    ("sessions", "token_hash", "ended_at IS NULL", "", f"ended_at = {LONG_AGO}, end_reason = 'sign_out'"),
    ("refresh_tokens", "token_hash", "used_at IS NOT NULL", "", f"used_at = {LONG_AGO}"),
    ("refresh_tokens", "token_hash", "used_at IS NOT NULL", "DESC", f"format = NULL, expires_at = {LONG_AGO}"),
    ("grants", "id", "true", "", "revoked_at = now()"),
    ("grants", "id", "true", "DESC", f"expires_at = {LONG_AGO}"),
    ("grants", "code_hash", "revoked_at IS NULL", "", "expires_at = now()"),
    ("access_tokens", "token_hash", "true", "", f"expires_at = {LONG_AGO}"),
    ("deliveries", "id", "true", "", f"finished_at = {LONG_AGO}"),
    ("deliveries", "id", "true", "DESC", f"status = 'held', finished_at = NULL, created_at = {LONG_AGO}"),
    ("audit_events", "seq", "true", "", "at = now() - interval '900 days'"),
    ("interactions", "token_hash", "true", "", f"expires_at = {LONG_AGO}"),
    ("pending_flows", "token_hash", "true", "", f"expires_at = {LONG_AGO}"),
    ("rate_counters", "key", "true", "", f"expires_at = {LONG_AGO}"),
    ("replay", "jti_hash", "true", "", f"expires_at = {LONG_AGO}"),
)
"""Table, key, condition, end of the table, and what is set for :data:`OVER` rows of it."""
REMOVED = "UPDATE clients SET status = 'removed', updated_at = {long_ago} WHERE client_id = 'aplikasi-{clients}'"


@dataclass
class Plans:
    """The plan of each statement that runs while ``active``: by its text, so that each is planned once."""

    active: bool = False
    steps: dict[str, list[str]] = field(default_factory=dict)
    sequential: set[tuple[str, str]] = field(default_factory=set)

    def before(self, connection: Connection, _cursor: Any, statement: str, parameters: Any, *_rest: Any) -> None:
        """Plan a statement with its own values before it runs."""
        if not self.active or statement in self.steps or statement.lstrip().startswith(IGNORED):
            return
        self.active = False
        try:
            values = parameters[0] if isinstance(parameters, list) else parameters  # of many rows the first
            plan = connection.exec_driver_sql(f"EXPLAIN (FORMAT JSON) {statement}", values).scalar_one()
        finally:
            self.active = True
        self.steps[statement] = []
        self._read((json.loads(plan) if isinstance(plan, str) else plan)[0]["Plan"], self.steps[statement])

    def _read(self, node: dict[str, Any], steps: list[str]) -> None:
        table, kind = node.get("Relation Name", ""), node["Node Type"]
        if "Scan" in kind and kind not in ("Subquery Scan", "CTE Scan"):
            steps.append(f"{kind} {node.get('Index Name') or table}".strip())
        if kind == "Seq Scan":
            self.sequential.add((table, node.get("Filter", "")))
        for child in node.get("Plans", []):
            self._read(child, steps)

    def start(self) -> None:
        """Begin to plan the statements of the next job."""
        self.active, self.steps, self.sequential = True, {}, set()

    def stop(self) -> None:
        """Plan nothing from now on."""
        self.active = False


async def fill_all(db: Database, people: int, sessions: int) -> None:
    """Make the data: one grant, two refresh tokens and one delivery for each session, and the rest in proportion."""
    indexes = await begin_filling(db)
    await fill(db, people, sessions)
    values = {"some": max(sessions // 2, OVER * 4), "part": max(sessions // 50, OVER * 4), "clients": CLIENTS}
    values |= {"hours": max(24, sessions // 1000), "people": people, "sessions": sessions, "over": OVER}
    async with db.maintenance() as engine, engine.begin() as connection:
        await connection.execute(text("SET LOCAL synchronous_commit = off"))
        await connection.execute(text("DROP TABLE IF EXISTS numbered"))
        await connection.execute(text("CREATE TEMP TABLE numbered AS SELECT id, row_number() OVER () n FROM users"))
        for statement in FILLED:
            await timed(connection, statement.split()[2], statement, values)
    await end_filling(db, indexes)
    async with db.maintenance() as engine, engine.begin() as connection:
        await connection.execute(text("SET LOCAL synchronous_commit = off"))
        for table, key, where, side, change in AGEING:
            some = SOME.format(table=table, key=key, where=where, side=side)
            old = text(f"UPDATE {table} SET {change} WHERE {key} IN {some}")
            await connection.execute(old, {"over": OVER})
        await connection.execute(text(REMOVED.format(long_ago=LONG_AGO, clients=CLIENTS)))
    async with db.maintenance() as engine, engine.connect() as connection:
        plain = await connection.execution_options(isolation_level="AUTOCOMMIT")
        await plain.execute(text("VACUUM ANALYZE"))


SECONDARY = """
SELECT indexname, indexdef FROM pg_indexes WHERE schemaname = 'public'
  AND indexname NOT IN (SELECT conname FROM pg_constraint) ORDER BY indexname
"""


async def begin_filling(db: Database) -> list[str]:
    """Drop the indexes that are no constraints, and check no foreign keys; return how the indexes are made again."""
    async with db.maintenance() as engine, engine.begin() as connection:
        indexes = (await connection.execute(text(SECONDARY))).all()
        for name, _ in indexes:
            await connection.execute(text(f"DROP INDEX {name}"))
        await connection.execute(text("ALTER DATABASE bench SET session_replication_role = replica"))
    await db.engine.dispose()
    return [definition for _, definition in indexes]


async def end_filling(db: Database, indexes: list[str]) -> None:
    """Make the indexes again, and check foreign keys."""
    began = time.perf_counter()
    async with db.maintenance() as engine, engine.begin() as connection:
        await connection.execute(text("SET LOCAL maintenance_work_mem = '512MB'"))
        for definition in indexes:
            await connection.exec_driver_sql(definition)
        await connection.execute(text("ALTER DATABASE bench RESET session_replication_role"))
    await db.engine.dispose()
    print(f"  {'(indexes)':16} {time.perf_counter() - began:7.1f} s", flush=True)


async def timed(connection: Any, name: str, statement: str, values: dict[str, Any]) -> None:
    """Execute a statement that makes data, and print how long it took."""
    began, used = time.perf_counter(), text(statement)
    await connection.execute(used, {key: value for key, value in values.items() if f":{key}" in statement})
    print(f"  {name:16} {time.perf_counter() - began:7.1f} s", flush=True)


async def large_tables(db: Database) -> set[str]:
    """Return the tables with more than :data:`LARGE` rows."""
    rows = (
        "SELECT relname FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace AND reltuples > :n"
    )
    async with db.read() as session:
        return set((await session.execute(text(rows), {"n": LARGE})).scalars())


async def look_at_outbox(run: jobs.Run) -> int:
    """Do what the worker does each second."""
    db = run.provider.db
    async with db.read() as session:
        await deliveries.is_any_due(session)
    async with db.write() as session:
        return len(await deliveries.claim(session, 10, 60.0))


async def chain(run: jobs.Run) -> int:
    """Do what each process does every five seconds."""
    await chain_audit_events(run.provider.db, run.provider.box)
    await mass_ending.work(run.provider, run.stop)
    return 0


async def follow(run: jobs.Run) -> int:
    """Do what each process does every few seconds: read what changed, write what was counted, say that it lives."""
    await run.provider.refresh()
    run.provider.usage.count("token", "aplikasi-1", "refresh")
    await run.provider.write_usage()
    await run.provider.report_alive()
    async with run.provider.db.read() as session:
        await jobs.job_runs.is_due(session, jobs.LEASE, clock.now(), jobs.EVERY)
    return 0


PERIODIC = (jobs.Job("(outbox)", look_at_outbox), jobs.Job("(audit chain)", chain), jobs.Job("(follow)", follow))


async def timed_run(job: jobs.Job, provider: Provider) -> tuple[int, float]:
    """Run a job and return how many rows it changed, and the time in milliseconds."""
    began = time.perf_counter()
    rows = await job.work(jobs.Run(provider))
    return rows, (time.perf_counter() - began) * 1000


async def measure(database_url: str, folder: Path, people: int, sessions: int) -> None:
    """Make the data, run each job twice, and print plans and times."""
    settings = Settings(
        _env_file=None, issuer="https://masuk.kota.example", database_url=database_url, data_dir=folder,
        secret_key=[random_token()], run_worker=False, audit_retention="730d",
    )  # type: ignore[call-arg]  # fmt: skip
    plans, bad = Plans(), []
    event.listen(Engine, "before_cursor_execute", plans.before)
    db = Database(settings)
    await upgrade(db)
    print(f"making {people} people and {sessions} sessions", flush=True)
    await fill_all(db, people, sessions)
    provider = Provider(settings, db)
    await provider.load()
    large = await large_tables(db)
    print(f"large tables: {', '.join(sorted(large))}\n\n{'job':24} {'rows':>7} {'ms':>9} {'again, ms':>9}", flush=True)
    for job in (*jobs.JOBS, *PERIODIC):
        plans.start()
        rows, first = await timed_run(job, provider)
        plans.stop()
        again = (await timed_run(job, provider))[1]
        print(f"{job.name:24} {rows:7} {first:9.1f} {again:9.1f}", flush=True)
        for steps in sorted({", ".join(steps) for steps in plans.steps.values() if steps}):
            print(f"{'':24}   {steps}", flush=True)
        bad += [f"{job.name}: {table} {where}" for table, where in sorted(plans.sequential) if table in large]
    await provider.close()
    await db.close()
    if bad:
        raise SystemExit("sequential scans of large tables:\n" + "\n".join(bad))
    print("no sequential scan of a large table")


def main() -> None:
    """Run it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--people", type=int, default=2_000_000)
    parser.add_argument("--sessions", type=int, default=5_000_000)
    chosen = parser.parse_args()
    # The data are thrown away: filling need not be safe.
    unsafe = ("fsync = off", "full_page_writes = off", "max_wal_size = '8GB'")
    with temporary_database("jobs", *(f"ALTER SYSTEM SET {setting}" for setting in unsafe)) as (directory, url):
        clock.reset()
        asyncio.run(measure(url, directory, chosen.people, chosen.sessions))


if __name__ == "__main__":
    main()
