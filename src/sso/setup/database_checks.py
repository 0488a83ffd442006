"""Checks of the database itself: whether it answers, its clock, its schema and its standbys."""

from __future__ import annotations

from sso import clock
from sso.platform.db import Database
from sso.platform.db.replication import Guarantee, Replication
from sso.setup.findings import Finding, Words, bad, either, good, says

LATE_STANDBY_SECONDS = 5.0
"""How many seconds a standby may be behind before doctor warns."""
GUARANTEES: dict[Guarantee, Words] = {
    "none": says(
        "a commit waits for nothing (synchronous_commit = off): a crash of the database loses the newest changes"
    ),
    "disk": says("a commit waits for the disk of the primary only: a fail-over can lose the newest changes"),
    "standby_memory": says("a commit waits until a standby has received it (remote_write)"),
    "standby_disk": says("a commit waits until a standby has stored it: a fail-over to that standby loses nothing"),
    "standby_visible": says(
        "a commit waits until a standby has replayed it: a fail-over to that standby loses nothing"
    ),
}


async def database(db: Database) -> Finding:
    """Check that the database answers and is whole. SQLite reads every page."""
    from sqlalchemy import text as sql

    async with db.write() as session:
        if db.is_sqlite:
            result = (await session.execute(sql("PRAGMA quick_check"))).scalar_one()
            broken = (await session.execute(sql("PRAGMA foreign_key_check"))).all()
            text = says("SQLite %(path)s: %(result)s", path=db.url.database, result=result)
            is_whole = result == "ok" and not broken
            return good("database", text) if is_whole else bad("database", text, command="sso restore BACKUP")
        version = (await session.execute(sql("SHOW server_version"))).scalar_one()
        standby = (await session.execute(sql("SELECT pg_is_in_recovery()"))).scalar_one()
    if standby:
        text = says("PostgreSQL %(version)s is read-only: a standby", version=version)
        return bad("database", text, setting="SSO_DATABASE_URL=postgresql://sso@PRIMARY/sso")
    return good("database", says("PostgreSQL %(version)s", version=version))


async def standby(db: Database) -> Finding:
    """Check the standbys of PostgreSQL, and what a commit waits for."""
    from sso.platform.db.replication import read_replication

    replication = await read_replication(db)
    if replication is None:
        return good("standby", says("none: SQLite"))
    late = any((standby.lag_seconds or 0.0) > LATE_STANDBY_SECONDS for standby in replication.standbys)
    risky = replication.guarantee == "none" or bool(replication.standbys and not replication.commits_wait)
    words = _standby_words(replication)
    if replication.waits_for_nobody:
        advice = says(
            "each write waits for a standby and is answered with 503: start a standby, or let PostgreSQL wait for none "
            "(synchronous_standby_names = '')"
        )
        return bad("standby", *words, advice, command=_sql("ALTER SYSTEM SET synchronous_standby_names = ''"))
    command = _standby_command(replication, db.url.username or "sso")
    return either("standby", not (late or risky or replication.hidden), *words, command=command)


def _standby_command(replication: Replication, role: str) -> str:
    """Return the command that mends what is not ready, the most urgent first, or that shows how far standbys are."""
    if replication.guarantee == "none":
        return _sql("ALTER SYSTEM SET synchronous_commit = 'on'")
    if replication.hidden:
        return _sql(f"GRANT pg_monitor TO {role}")
    if replication.standbys and not replication.commits_wait:
        return _sql("ALTER SYSTEM SET synchronous_standby_names = 'ANY 1 (*)'")
    return _sql("SELECT * FROM pg_stat_replication")


def _sql(statement: str) -> str:
    """Return the command that runs a statement; a changed setting of PostgreSQL is loaded."""
    reload = ' -c "SELECT pg_reload_conf()"' if statement.startswith("ALTER SYSTEM") else ""
    return f'psql -c "{statement}"{reload}'


def _standby_words(replication: Replication) -> list[Words]:
    words = [] if replication.standbys else [says("no standby is connected")]
    words.append(GUARANTEES[replication.guarantee])
    for standby in replication.standbys:
        name = f"{standby.name} ({standby.state}, {standby.sync_state})"
        if standby.lag_bytes is None:
            words.append(says("%(name)s: the lag is not shown", name=name))
            continue
        size, seconds = standby.lag_bytes, standby.lag_seconds or 0.0
        behind = {"name": name, "bytes": size, "seconds": seconds}
        words.append(says("%(name)s: %(bytes)s bytes and %(seconds).1f seconds behind", **behind))
    if replication.hidden:
        words.append(says("the database shows the lag only to pg_monitor: GRANT pg_monitor TO the role of sso"))
    return words


async def host_clock(db: Database) -> Finding:
    """Compare the clock of this host with that of the database."""
    from sso.platform.db.database_clock import DatabaseClock

    difference = await DatabaseClock(db).compare()
    if difference is None:
        return good("clock", says("this host and SQLite use the same clock"))
    seconds = abs(difference)
    if clock.is_wrong():
        text = says(
            "this host differs from the database by %(seconds).1f seconds: it is not ready and runs no jobs; set the "
            "clocks (NTP)",
            seconds=seconds,
        )
        return bad("clock", text, command="timedatectl set-ntp true")
    if difference > 0:
        return good("clock", says("this host is %(seconds).1f seconds ahead of the database", seconds=seconds))
    return good("clock", says("this host is %(seconds).1f seconds behind the database", seconds=seconds))


async def schema(db: Database) -> Finding:
    """Check that the database has the schema of this release."""
    from sso.platform.db.migrate import current_revision, head_revision

    current, head = await current_revision(db), head_revision()
    if current == head:
        return good("schema", says("%(revision)s, as this release needs", revision=current))
    if current is None:
        return bad("schema", says("the database is empty; run: sso db upgrade"), command="sso db upgrade")
    text = says("%(current)s; this release needs %(head)s; run: sso db upgrade", current=current, head=head)
    return bad("schema", text, command="sso db upgrade")


def failed(about: str, error: Exception) -> Finding:
    """Return the finding of a check that could not be done."""
    lines = str(error).splitlines() or [""]
    text = f"{type(error).__name__}: {lines[0]}"
    return bad(about, says("the check failed: %(error)s", error=text), command="sso doctor")


def unknown_database(reason: str) -> Finding:
    """Return the finding of a database that is not there."""
    return bad("database", says("%(reason)s", reason=reason), command="sso setup")


def no_secret_key(mistakes: list[str]) -> Finding:
    """Return the finding of a secret key that is missing."""
    return bad("secret key", says("%(reason)s", reason="; ".join(mistakes)), command="sso setup")
