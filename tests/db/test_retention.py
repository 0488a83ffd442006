"""Every table has a stated retention, and the tables shrink."""

from __future__ import annotations

import asyncio
from collections import Counter
from datetime import datetime, timedelta
from itertools import groupby
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import Table, func, select
from sqlalchemy.ext.asyncio import AsyncSession
from tests.support import City

from sso import clock, jobs
from sso.accounts.deletion import delete_user
from sso.clients import store as clients
from sso.clients.models import Application, Invitation, TeamInvitation
from sso.gate.cas.models import UsedTicket
from sso.gate.models import GateSession
from sso.identity.attributes.models import AttributeValue
from sso.identity.authn.models import PendingFlow, Recovery
from sso.identity.employees.models import Employment
from sso.identity.groups.models import Group, Membership, UnitAdministrator
from sso.identity.sessions.models import SessionClient, SsoSession
from sso.identity.users.models import (
    Agreement,
    Credential,
    Favourite,
    GroupAdministrator,
    Identifier,
    IdentityCheck,
    LocalAccount,
    MergeProposal,
    Picture,
    SavedSearch,
    User,
    UserInvitation,
    UserRole,
)
from sso.jobs import clear_up
from sso.oidc.models import BulkRevocation, DeviceCode, Interaction, PushedRequest
from sso.oidc.store.models import AccessToken, Consent, Grant, RefreshToken
from sso.platform.actor import Actor
from sso.platform.db import DatabaseUnavailable, new_id
from sso.platform.db.ends import Ended
from sso.platform.metrics.models import ClientMistake, ClientRequest, ProcessSeen, UsageCount
from sso.platform.outbox.models import Delivery
from sso.platform.security.models import IdempotencyKey, RateCounter, Replay
from sso.retention import RETENTION
from sso.schema import metadata
from sso.setup.models import SetupLink

LONG = timedelta(days=500)
"""Longer than every retention."""


def test_every_table_has_a_stated_retention() -> None:
    assert set(RETENTION) == set(metadata.tables)


def test_every_foreign_key_has_an_index_that_begins_with_it() -> None:
    """The jobs delete parents: without an index each deletion would read the whole table of the children."""
    missing = []
    for table in metadata.tables.values():
        whole = [list(index.columns) for index in table.indexes if index.dialect_options["postgresql"]["where"] is None]
        unique = [[column] for column in table.columns if column.unique]
        beginnings = {columns[0].name for columns in [*whole, *unique, list(table.primary_key.columns)] if columns}
        columns = {key.parent.name for key in table.foreign_keys}
        missing += [f"{table.name}.{name}" for name in columns - beginnings]
    assert missing == []


@pytest.mark.locks_freely
async def test_the_jobs_delete_what_is_over(city: City, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every table whose rows the jobs delete has rows from long ago, and as many from now."""
    monkeypatch.setattr(jobs, "BATCH", 2)
    now = clock.now()
    async with city.provider.db.write() as session:
        session.add(_application(now))
        await session.flush()
        await _add(session, [row for n in range(3) for row in _rows(city, now, f"{n:02}")])  # more than a batch
    filled = await _counts(city)
    assert set(filled) == {name for name, rule in RETENTION.items() if rule.kind == "time"}
    assert all(count >= 3 for count in filled.values()), filled
    clock.advance(LONG.total_seconds())
    await clear_up(city.provider)  # deliveries that nobody fetched are given up, and deleted later
    clock.advance(LONG.total_seconds())
    rows = _rows(city, clock.now(), "now")
    async with city.provider.db.write() as session:
        await _add(session, rows)
    await city.provider.report_alive()
    await clear_up(city.provider)
    expected = Counter(row.__tablename__ for row in rows)
    assert await _counts(city) == expected


@pytest.mark.locks_freely
async def test_deleting_an_account_deletes_its_rows(city: City) -> None:
    budi, now = city.users["budi"], clock.now()
    async with city.provider.db.write() as session:
        unit = _unit(now)
        session.add(unit)
        await session.flush()
        rows = _of_account(city, now, unit)
        session.add_all(rows)
        names = {row.__tablename__ for row in rows}
        assert names == {name for name, rule in RETENTION.items() if rule.kind == "account"}
    async with city.provider.db.write() as session:
        user = await session.get(User, budi)
        assert user is not None
        await delete_user(session, city.provider, user, actor=Actor("test"))
    async with city.provider.db.read() as session:
        for name in names:
            table = metadata.tables[name]
            mine = select(func.count()).select_from(table).where(table.c.user_id == budi)
            assert (await session.execute(mine)).scalar_one() == 0, name


@pytest.mark.locks_freely
async def test_a_removed_application_leaves_no_rows(city: City, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jobs, "BATCH", 1)
    party = city.relying_party("buram")
    for _ in range(2):
        async with city.browser() as browser:
            tokens = await browser.tokens(party, scope="openid offline_access")
            await party.refresh(tokens["refresh_token"])
    async with city.provider.db.write() as session:
        for n, user_id in enumerate(city.users.values()):
            mine = {"user_id": user_id, "client_id": "buram", "created_at": clock.now()}
            session.add(LocalAccount(local_user_id=str(n), **mine))
            session.add(Favourite(user_id=user_id, client_id="buram"))
            session.add(Consent(**mine, scopes=["openid"], updated_at=clock.now()))
    async with city.provider.db.write() as session:
        await clients.remove_clients(session, ["buram"], clock.now())
    clock.advance((city.settings.delivery_retention + timedelta(days=1)).total_seconds())
    await clear_up(city.provider)
    children = [table for table in metadata.tables.values() if _points_to_clients(table)]
    async with city.provider.db.read() as session:
        for table in [*children, metadata.tables["clients"]]:
            mine = select(func.count()).select_from(table).where(table.c.client_id == "buram")
            assert (await session.execute(mine)).scalar_one() == 0, table.name


async def test_what_belongs_to_an_ended_session_goes_with_it(city: City) -> None:
    opaque, party = city.relying_party("buram"), city.relying_party("warga")
    async with city.browser() as browser:
        await browser.tokens(opaque, scope="openid")
        await party.refresh((await browser.tokens(party, scope="openid"))["refresh_token"])
        offline_tokens = await browser.tokens(party, scope="openid offline_access")
        await browser.submit(await browser.open("/logout"))
    await clear_up(city.provider)
    async with city.provider.db.read() as session:
        assert (await session.execute(select(Grant.offline))).scalars().all() == [True]
        assert (await session.execute(select(func.count()).select_from(RefreshToken))).scalar_one() == 1
        assert (await session.execute(select(func.count()).select_from(AccessToken))).scalar_one() == 0
        assert (await session.execute(select(func.count()).select_from(SessionClient))).scalar_one() == 2, "the proof"
    assert (await party.refresh(offline_tokens["refresh_token"])).status == 200


async def test_a_family_that_is_refreshed_lives_on_and_is_found_in_the_lists(city: City) -> None:
    party, lifetime = city.relying_party("warga"), city.settings.refresh_token_lifetime
    async with city.browser() as browser:
        tokens = await browser.tokens(party, scope="openid offline_access")
    for _ in range(2):  # longer than the lifetime of the first token
        clock.advance(lifetime.total_seconds() * 0.6)
        await clear_up(city.provider)
        tokens = await party.refresh(tokens["refresh_token"])
        assert tokens.status == 200
        await clear_up(city.provider)
        async with city.provider.db.read() as session:
            assert (await session.execute(select(Grant.expires_at))).scalar_one() > clock.now()
    clock.advance(lifetime.total_seconds() * 1.1)
    await clear_up(city.provider)
    async with city.provider.db.read() as session:
        assert (await session.execute(select(func.count()).select_from(Grant))).scalar_one() == 0
        assert (await session.execute(select(func.count()).select_from(RefreshToken))).scalar_one() == 0


async def test_a_job_that_fails_does_not_stop_the_others(city: City, monkeypatch: pytest.MonkeyPatch) -> None:
    async def fail(run: jobs.Run) -> int:
        raise RuntimeError("broken")

    monkeypatch.setattr(jobs, "JOBS", (jobs.Job("broken", fail), *jobs.JOBS))
    async with city.provider.db.write() as session:
        session.add(Replay(issuer="i", jti_hash=b"j" * 32, expires_at=clock.now() - timedelta(days=1)))
    with pytest.raises(RuntimeError, match="broken"):
        await clear_up(city.provider)
    async with city.provider.db.read() as session:
        assert (await session.execute(select(func.count()).select_from(Replay))).scalar_one() == 0
        last = {run.name: run for run in await jobs.job_runs.runs(session)}
    assert last["broken"].error == "RuntimeError('broken')"
    assert (last["replay"].rows, last["replay"].error) == (1, None)


async def test_a_statement_that_the_database_refuses_does_not_stop_the_other_jobs(
    city: City, monkeypatch: pytest.MonkeyPatch
) -> None:
    ran = []

    async def refused(run: jobs.Run) -> int:
        raise DatabaseUnavailable("canceling statement due to statement timeout")

    async def after(run: jobs.Run) -> int:
        ran.append(run)
        return 0

    async def away(db: object) -> None:
        raise DatabaseUnavailable("away")

    monkeypatch.setattr(jobs, "JOBS", (jobs.Job("refused", refused), jobs.Job("after", after)))
    with pytest.raises(DatabaseUnavailable, match="timeout"):
        await clear_up(city.provider)
    assert len(ran) == 1
    monkeypatch.setattr(jobs, "_check_database", away)
    with pytest.raises(DatabaseUnavailable, match="away"):
        await clear_up(city.provider)
    assert len(ran) == 1, "the database is away"


async def test_a_chain_that_cannot_be_continued_does_not_stop_the_jobs(
    city: City, monkeypatch: pytest.MonkeyPatch
) -> None:
    ran, stop = [], asyncio.Event()

    async def broken(*_: object) -> None:
        stop.set()
        raise RuntimeError("broken")

    async def due(*_: object) -> bool:
        ran.append("due")
        return True

    for module, name in ((jobs, "chain_audit_events"), (jobs.mass_ending, "work")):
        monkeypatch.setattr(module, name, broken)
    monkeypatch.setattr(jobs, "run_due_jobs", due)
    await jobs.run_jobs(city.provider, stop)
    assert ran == ["due"]


async def _add(session: AsyncSession, rows: list[Any]) -> None:
    """Add rows, parents before children."""
    order = {table.name: place for place, table in enumerate(metadata.sorted_tables)}
    rows = sorted(rows, key=lambda row: order[row.__tablename__])
    for _, same in groupby(rows, key=lambda row: row.__tablename__):
        session.add_all(same)
        await session.flush()


def _points_to_clients(table: Table) -> bool:
    return any(key.column.table.name == "clients" and key.parent.name == "client_id" for key in table.foreign_keys)


async def _counts(city: City) -> Counter[str]:
    """Return how many rows each table has whose rows the jobs delete, without what the process itself writes."""
    counts: Counter[str] = Counter()
    own = {"usage_counts": UsageCount.name.in_(["token", "5m:token"]), "processes": ProcessSeen.host == "h"}
    async with city.provider.db.read() as session:
        for name, rule in RETENTION.items():
            if rule.kind == "time":
                counted = select(func.count()).select_from(metadata.tables[name])
                if name in own:
                    counted = counted.where(own[name])
                counts[name] = (await session.execute(counted)).scalar_one()
    return counts


def _application(now: datetime) -> Application:
    begun = {"state": "sandbox", "kind": "web", "name": "Antrean", "document": {}, "sandbox": {}, "granted": {}}
    return Application(application_id="antrean", revision=1, created_at=now, updated_at=now, **begun)


def _rows(city: City, now: datetime, name: str) -> list[Any]:
    """Return rows of every table that the jobs shrink, which are in use now."""
    user_id, end, hashed = city.users["siti"], now + timedelta(hours=1), name.encode().ljust(32)
    return [
        *_session_rows(user_id, now, end, name, hashed),
        *_flow_rows(user_id, now, end, name, hashed),
        *_usage_rows(now, name, hashed),
    ]


def _session_rows(user_id: UUID, now: datetime, end: datetime, name: str, hashed: bytes) -> list[Any]:
    session_id, grant_id, revoked_id = new_id(), new_id(), new_id()
    part = {"session_id": session_id, "first_used_at": now, "last_used_at": now}
    granted = {"client_id": "warga", "user_id": user_id, "session_id": session_id, "scope": "openid", "auth_time": now}
    granted |= {"acr": "a", "amr": [], "created_at": now, "expires_at": end}
    token = {"grant_id": grant_id, "client_id": "warga", "created_at": now, "expires_at": end}
    sent = {"kind": "notice", "payload": {}, "created_at": now, "next_attempt_at": now}
    return [
        SsoSession(
            id=session_id, token_hash=hashed, user_id=user_id, created_at=now, last_seen_at=now, expires_at=end,
            auth_time=now, acr="a", amr=[], ended_at=now, end_reason="expired",
        ),
        SessionClient(client_id="warga", sid=name, **part),
        UsedTicket(session_id=session_id, client_id="warga", service="https://a.example/", ticket=b"x", used_at=now),
        GateSession(
            token_hash=hashed, client_id="warga", session_id=session_id, grant_id=grant_id, host="arsip.kota.example",
            created_at=now, last_used_at=now, expires_at=end,
        ),
        Grant(id=grant_id, **granted),
        Grant(id=revoked_id, offline=True, **{**granted, "session_id": None}),
        RefreshToken(token_hash=hashed, used_at=now, format=1, **token),
        RefreshToken(token_hash=b"n" + hashed[:31], format=1, **token),
        RefreshToken(token_hash=b"o" + hashed[:31], used_at=now, format=None, **token),
        AccessToken(token_hash=hashed, claims={}, **token),
        AccessToken(token_hash=b"c" + hashed[:31], claims={}, **{**token, "grant_id": None}),
        Ended(token=new_id(), kind="session", target=session_id.hex, reason="signed_out", at=now),
        Delivery(status="done", finished_at=now, **sent),
        Delivery(status="held", **sent),
    ]  # fmt: skip


def _flow_rows(user_id: UUID, now: datetime, end: datetime, name: str, hashed: bytes) -> list[Any]:
    flow = {"browser_hash": b"b" * 32, "created_at": now, "expires_at": end}
    expiring = {"client_id": "warga", "expires_at": end}
    return [
        DeviceCode(
            device_hash=hashed, user_code=name, scope="openid", status="pending", interval=5, created_at=now, **expiring
        ),
        Interaction(token_hash=hashed, client_id="warga", parameters={}, progress=[], **flow),
        PushedRequest(token_hash=hashed, query="", **expiring),
        PendingFlow(token_hash=hashed, purpose="sign_in", encrypted=b"s", codes_sent=0, attempts=0, **flow),
        Recovery(token_hash=hashed, user_id=user_id, kind="helpdesk", created_at=now, ready_at=now, expires_at=end),
        Replay(issuer="i", jti_hash=hashed, expires_at=end),
        IdempotencyKey(key_hash=hashed, request_hash=hashed, answer=b"", expires_at=end),
        RateCounter(key=name, count=1, expires_at=end),
        TeamInvitation(
            application_id="antrean", lookup=name, role="member", invited_by="t", created_at=now, expires_at=end
        ),
        UserInvitation(
            token_hash=hashed, email=f"{name}@warga.example", name="Undangan", roles=["citizen"], created_by="test",
            created_at=now, sent_at=now, expires_at=end,
        ),
        SetupLink(token_hash=hashed, encrypted=b"x", beside=False, created_at=now, expires_at=end),
        Invitation(token_hash=hashed, profile="standard", note="", created_at=now, expires_at=end),
    ]  # fmt: skip


def _usage_rows(now: datetime, name: str, hashed: bytes) -> list[Any]:
    return [
        BulkRevocation(
            what="sessions", reason="expired", actor="t", status="done", total=1, ended=1, created_at=now,
            finished_at=now,
        ),
        UsageCount(hour=now, name="token", client_id=name, label="", count=1),
        UsageCount(hour=now, name="5m:token", client_id=name, label="", count=1),
        ClientMistake(
            client_id="warga", digest=hashed[:16], code="c", sent={}, count=1, first_at=now, last_at=now
        ),
        ClientRequest(
            id=new_id(), client_id=name, at=now, endpoint="/token", outcome="ok", grant_type="", request_id="r"
        ),
        ProcessSeen(id=new_id(), host="h", pid=1, version="1", works=True, memory_mb=1, started_at=now, seen_at=now),
    ]  # fmt: skip


def _unit(now: datetime) -> Group:
    return Group(kind="unit", code="DINKES", name_id="Dinas Kesehatan", created_at=now, updated_at=now)


def _of_account(city: City, now: datetime, unit: Group) -> list[Any]:
    """Return a row of every table whose rows go with the account, of Budi."""
    budi = city.users["budi"]
    check = {"officer": "cli", "document": "ktp", "document_end": "0001", "place": "MPP", "checked_at": now}
    return [
        AttributeValue(user_id=budi, name="size", value="4", source="user", updated_at=now),
        Agreement(user_id=budi, document="terms", version="1", agreed_at=now),
        Consent(user_id=budi, client_id="warga", scopes=[], created_at=now, updated_at=now),
        Credential(user_id=budi, kind="totp", secret="s", created_at=now, updated_at=now),
        Favourite(user_id=budi, client_id="warga"),
        SavedSearch(user_id=budi, page="people", name="Baru", query="q=siti", created_at=now),
        GroupAdministrator(user_id=budi, group="E-Kesehatan"),
        Identifier(user_id=budi, kind="email", value="a@b.example", lookup="a@b.example", created_at=now),
        IdentityCheck(user_id=budi, **check),
        LocalAccount(client_id="warga", local_user_id="77", user_id=budi, created_at=now),
        MergeProposal(user_id=budi, client_id="warga", reasons=["nik"], encrypted=b"s", status="open", created_at=now),
        Employment(
            user_id=budi,
            status="pns",
            source="import",
            verified_at=now,
            verified_by="cli",
            created_at=now,
            updated_at=now,
        ),
        Membership(user_id=budi, group_id=unit.id, source="manual", created_at=now),
        UnitAdministrator(user_id=budi, group_id=unit.id, created_at=now, created_by="cli"),
        Picture(user_id=budi, id="p", image=b"p", updated_at=now),
        UserRole(user_id=budi, role="officer"),
    ]
