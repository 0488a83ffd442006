"""Models and migrations agree; every migration goes down and up again with data in it."""

from __future__ import annotations

import asyncio
import json
import re
import time
import uuid
from datetime import timedelta
from pathlib import Path
from secrets import token_urlsafe
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, func, inspect, select, text
from sqlalchemy.ext.asyncio import AsyncSession
from tests.conftest import settings_for
from tests.measured import DEFAULT_LIMITS, Record
from tests.support import City
from tests.waiting import until

from sso import clock
from sso.clients.dynamic_registration import invite, register
from sso.clients.metadata import ClientMetadata
from sso.clients.models import (
    Application,
    ApplicationNote,
    ClientRow,
    ClientSecret,
    RelyingPartyCheck,
    TeamInvitation,
    TeamMember,
)
from sso.clients.privileges import held_by
from sso.gate.cas.models import UsedTicket
from sso.gate.models import GateSession
from sso.identity.attributes.models import AttributeDeclaration, AttributeValue
from sso.identity.authn.models import PendingFlow, Recovery
from sso.identity.employees.models import Employment
from sso.identity.groups.models import (
    AccessClock,
    AccessReview,
    Group,
    Membership,
    PendingAccessChange,
    RoleAssignment,
    UnitAdministrator,
)
from sso.identity.groups.store import add_group
from sso.identity.sessions.models import SsoSession
from sso.identity.sessions.store import SessionFilter
from sso.identity.users.models import (
    Agreement,
    Credential,
    Favourite,
    GroupAdministrator,
    Identifier,
    IdentityCheck,
    ImportRun,
    LocalAccount,
    MergeProposal,
    Picture,
    SavedSearch,
    UserInvitation,
)
from sso.logout.bulk import begin
from sso.oidc.models import DeviceCode, ExcludedName, ExcludedSubject, PushedRequest
from sso.platform.actor import CLI, Actor
from sso.platform.audit import prune
from sso.platform.db import Database, JobRun, migrate, new_id
from sso.platform.db.ends import Ended
from sso.platform.db.migrate import (
    WrongSchema,
    alembic_config,
    check_schema,
    current_revision,
    downgrade,
    head_revision,
    upgrade,
)
from sso.platform.metrics.models import ClientMistake, ClientRequest, ProcessSeen, UsageCount
from sso.platform.outbox.webhooks import add_webhook
from sso.platform.security.idempotency import begin_once
from sso.platform.security.models import RateCounter
from sso.platform.stored_settings import change_settings
from sso.portal.audit_chain import chain_audit_events
from sso.portal.webhooks.models import ApplicationWebhook
from sso.schema import metadata
from sso.setup.links import NewAdministrator, new_link
from sso.ssf import streams

pytestmark = pytest.mark.locks_freely


def test_the_newest_migration_is_the_head() -> None:
    scripts = ScriptDirectory.from_config(alembic_config())
    assert head_revision() == scripts.get_current_head()
    for script in scripts.walk_revisions():
        assert Path(script.path).name.startswith(f"{script.revision}_")


@pytest.mark.filterwarnings("ignore:autogenerate skipping")  # an index on an expression, which SQLite has not
async def test_models_and_migrations_agree(database: tuple[str, dict[str, Any]], tmp_path: Path) -> None:
    db = Database(settings_for(database[0], tmp_path))  # filled after all migrations in one go

    def compared(connection: Connection) -> Any:
        context = MigrationContext.configure(connection, opts={"compare_type": True, "compare_server_default": True})
        return compare_metadata(context, metadata)

    async with db.engine.connect() as connection:
        assert await connection.run_sync(compared) == []
    await db.close()


async def test_every_migration_goes_down_and_up_again_with_data_in_it(city: City) -> None:
    async with city.browser() as browser:
        tokens = await browser.tokens(city.relying_party("warga"))
        await browser.sign_in(city.relying_party("mitra"))
        await browser.tokens(city.relying_party("buram"))
    await city.relying_party("kunci").token(grant_type="client_credentials")
    await city.relying_party("warga").refresh(tokens["refresh_token"])
    db = city.provider.db
    async with city.browser() as browser:
        await browser.open(city.relying_party("warga").url(state=token_urlsafe(5000)))  # too long for a URL
        await browser.sign_in(city.relying_party("mitra"))
    async with db.write() as session:
        from sso.oidc.store.store import remember_consent
        from sso.platform.outbox import enqueue

        enqueue(session, "test", {"a": 1})
        metadata_of = ClientMetadata.model_validate(
            {"type": "web", "client_name": "A", "redirect_uris": ["https://a.example/cb"]}
        )
        client = await register(session, city.provider.box, metadata_of, address="")
        await invite(session, "standard", "test", days=1, uses=1)
        await begin(session, SessionFilter(client_id="warga"), "test", actor=Actor("test"))
        codes = {"user_code": "BCDF-GHJK", "scope": "openid", "status": "pending", "interval": 5}
        later = {"created_at": clock.now(), "expires_at": clock.now()}
        session.add(DeviceCode(device_hash=b"d" * 32, client_id=client.client_id, **codes, **later))
        await begin_once(session, city.provider.box, "key", "request")
        await change_settings(session, city.settings, {"city_name": "Kota"}, reason="test", actor=CLI)
        await new_link(session, city.provider.box, NewAdministrator(), actor=CLI)
        await add_webhook(
            session, city.provider.box, url="https://h.example", events=["*"], description="", actor=Actor("t")
        )
        sinyal = city.provider.registry.get("sinyal")
        assert sinyal is not None
        stream = await streams.create(session, city.provider, sinyal, streams.StreamSettings())
        session.add(ExcludedSubject(stream_id=stream.id, user_id=city.users["siti"]))
        session.add(ExcludedName(stream_id=stream.id, name_hash=b"n" * 32, created_at=clock.now()))
        session.add_all(_of_citizens(city))
        await _add_groups(session, city.users["siti"])
        session.add(AttributeDeclaration(document="{}", since={}, applied_at=clock.now(), reason="test"))
        value = {"name": "size", "value": "4", "source": "user", "updated_at": clock.now()}
        session.add(AttributeValue(user_id=city.users["siti"], **value))
        known = (await session.execute(select(SsoSession.id).limit(1))).scalar_one()
        ticket = {"service": "https://a.example/", "ticket": b"x", "used_at": clock.now()}
        session.add(UsedTicket(session_id=known, client_id="warga", **ticket))
        session.add_all(_of_the_portal(city))
        session_id = (await session.execute(select(SsoSession.id).limit(1))).scalar_one()
        times = dict.fromkeys(("created_at", "last_used_at", "expires_at"), clock.now())
        cookie = {"token_hash": b"g" * 32, "client_id": "warga", "host": "arsip.kota.example", "grant_id": new_id()}
        session.add(GateSession(session_id=session_id, **cookie, **times))
        session.add(PushedRequest(token_hash=b"p" * 32, client_id=client.client_id, query="", expires_at=clock.now()))
        await remember_consent(session, city.users["siti"], "mitra", ["openid"], clock.now())
    await chain_audit_events(city.provider.db, city.provider.box)
    async with db.write() as session:
        assert await prune(session, city.provider.box, clock.now(), actor="test") > 0
    await _every_table_has_rows(db)
    revisions = [script.revision for script in ScriptDirectory.from_config(alembic_config()).walk_revisions()]
    await downgrade(db, "base")
    assert await current_revision(db) is None
    async with db.engine.connect() as connection:
        left = await connection.run_sync(lambda sync: inspect(sync).get_table_names())
    assert left == ["alembic_version"]
    await upgrade(db, revisions[-1])
    await upgrade(db)  # from there each migration in a transaction of its own
    assert await current_revision(db) == head_revision()


async def test_an_upgrade_grants_what_the_citys_applications_have_registered(city: City) -> None:
    """Privileges were implied by ``first_party``: production goes on as before, sandboxes lose them."""
    db, now = city.provider.db, clock.now()
    async with db.write() as session:
        sandbox = {"type": "service", "client_name": "A", "first_party": True, "scope": "sso:users:roles nik"}
        row = {"status": "sandbox", "catalogue": "api", "version": 1, "created_at": now, "updated_at": now}
        session.add(ClientRow(client_id="antrean-sandbox", metadata_=sandbox, **row))
        third = {**sandbox, "first_party": False, "scope": "kirim"}
        session.add(ClientRow(client_id="ketiga", metadata_=third, **{**row, "status": "active"}))
        before = {name: set(await held_by(session, name)) for name in ("konsol", "petugas", "dinas", "warga")}
    await downgrade(db, "0006")
    await upgrade(db)
    async with db.read() as session:
        for name, held in before.items():
            assert set(await held_by(session, name)) == held
        for name in ("antrean-sandbox", "ketiga"):
            assert not await held_by(session, name)
        program, console = await held_by(session, "petugas"), await held_by(session, "konsol")
    assert (program["sso:users:roles"].granted_by, program["sso:users:roles"].without_person) == ("migrated", True)
    assert not console["sso:users:roles"].without_person
    assert console["sso:users:roles"].granted_at >= now
    tokens = await city.relying_party("petugas").token(grant_type="client_credentials", scope="sso:users:roles")
    assert tokens.status == 200


def _of_citizens(city: City) -> list[Any]:
    """Return a row of each table that citizens' accounts are made of."""
    siti, now = city.users["siti"], clock.now()
    ceremony = {"browser_hash": b"b" * 32, "purpose": "sign_in", "encrypted": b"s", "codes_sent": 0, "attempts": 0}
    run = {"rows_done": 1, "made": 1, "proposed": 0, "rejected": 0}
    check = {"officer": "cli", "document": "ktp", "document_end": "0001", "place": "MPP"}
    return [
        ImportRun(digest=b"i" * 32, client_id="warga", started_at=now, **run),
        JobRun(name="sessions", held_until=now, started_at=now),
        Ended(token=new_id(), kind="session", target="0" * 32, reason="signed_out", at=now),
        RateCounter(key="k", count=1, expires_at=now),
        Agreement(user_id=siti, document="terms", version="1", agreed_at=now),
        PendingFlow(token_hash=b"c" * 32, user_id=siti, created_at=now, expires_at=now, **ceremony),
        Favourite(user_id=siti, client_id="warga"),
        SavedSearch(user_id=siti, page="people", name="Baru", query="q=siti", created_at=now),
        UserInvitation(
            token_hash=b"u" * 32,
            email="baru@warga.example",
            name="Undangan",
            roles=["citizen"],
            created_by="test",
            created_at=now,
            sent_at=now,
            expires_at=now,
        ),
        IdentityCheck(user_id=siti, checked_at=now, **check),
        LocalAccount(client_id="warga", local_user_id="77", user_id=siti, created_at=now),
        MergeProposal(user_id=siti, client_id="warga", reasons=["nik"], encrypted=b"s", status="open", created_at=now),
        Picture(user_id=siti, id="p", image=b"p", updated_at=now),
        Recovery(token_hash=b"r" * 32, user_id=siti, kind="delayed", created_at=now, ready_at=now, expires_at=now),
        Identifier(user_id=siti, kind="nik", value="3671", lookup="nik:1", encrypted=b"s", created_at=now),
        Identifier(user_id=city.users["budi"], kind="email", value="a@b.example", lookup="a@b.example", created_at=now),
        Identifier(user_id=siti, kind="email", value="a@b.example", lookup="a@b.example", created_at=now),
        Credential(user_id=siti, kind="totp", secret="s", created_at=now, updated_at=now),
    ]


async def _add_groups(session: AsyncSession, siti: uuid.UUID) -> None:
    """Add a row to each table of units, groups and roles of applications."""
    now = clock.now()
    unit = Group(id=new_id(), kind="unit", code="DINKES", name_id="Dinas Kesehatan", created_at=now, updated_at=now)
    await add_group(session, unit)
    given = {"reason": "test", "given_by": "cli", "created_at": now}
    session.add(Membership(user_id=siti, group_id=unit.id, source="manual", created_at=now))
    await session.flush()
    employed = {"source": "import", "verified_at": now, "verified_by": "cli", "created_at": now, "updated_at": now}
    session.add(Employment(user_id=siti, nip="198501012010011001", status="pns", **employed))
    session.add(Identifier(user_id=siti, kind="nip", value="1", lookup="198501012010011001", created_at=now))
    session.add(UnitAdministrator(user_id=siti, group_id=unit.id, created_at=now, created_by="cli"))
    session.add(RoleAssignment(client_id="warga", role="operator", group_id=unit.id, **given))
    review = {"status": "running", "reason": "test", "started_by": "cli", "started_at": now, "ends_at": now}
    session.add(AccessReview(client_id="warga", **review))
    session.add(AccessClock(name="roles", looked_until=now))
    session.add(PendingAccessChange(user_ids=[str(siti)], since=now, created_at=now))


def _of_the_portal(city: City) -> list[Any]:
    """Return a row of each table that the pages of developers and administrators are made of."""
    now, siti = clock.now(), city.users["siti"]
    sandbox = {"metadata_": {}, "status": "sandbox", "catalogue": "api", "version": 1}
    begun = {"state": "sandbox", "kind": "web", "name": "Antrean", "document": {}, "sandbox": {}, "granted": {}}
    mistake = {"code": "invalid_client", "sent": {}, "count": 1, "first_at": now, "last_at": now}
    invited = {"lookup": "budi", "role": "member", "invited_by": "cli", "created_at": now, "expires_at": now}
    return [
        ClientRow(client_id="antrean-sandbox", created_at=now, updated_at=now, **sandbox),
        ClientSecret(client_id="antrean-sandbox", secret_hash=b"s" * 32, created_at=now, hint="abcd"),
        Application(application_id="antrean", revision=1, created_at=now, updated_at=now, **begun),
        TeamMember(application_id="antrean", user_id=siti, role="owner", since=now),
        TeamInvitation(application_id="antrean", **invited),
        ApplicationWebhook(
            application_id="antrean", url="https://h.example", events=[], secret=b"s", created_at=now, updated_at=now
        ),
        ApplicationNote(application_id="antrean", kind="created", actor="cli", text="", created_at=now),
        RelyingPartyCheck(
            application_id="antrean", revision=1, started_by="cli", status="done", results={}, created_at=now
        ),
        UsageCount(hour=now, name="token", client_id="antrean", label="", count=1),
        ClientMistake(client_id="antrean", digest=b"d" * 16, **mistake),
        ClientRequest(
            id=new_id(), client_id="antrean", at=now, endpoint="/token", outcome="ok", grant_type="", request_id="r"
        ),
        ProcessSeen(id=new_id(), host="h", pid=1, version="1", works=True, memory_mb=1, started_at=now, seen_at=now),
        GroupAdministrator(user_id=siti, group="E-Kesehatan"),
    ]


async def _every_table_has_rows(db: Database) -> None:
    async with db.read() as session:
        for table in metadata.sorted_tables:
            count = (await session.execute(select(func.count()).select_from(table))).scalar_one()
            assert count > 0, f"{table.name} is empty: this test would prove nothing about it"


async def test_an_old_schema_stops_the_start_and_a_newer_one_does_not(
    empty_database: str, migrated_database: str, tmp_path: Path
) -> None:
    settings = settings_for(empty_database, tmp_path)
    db = Database(settings)
    with pytest.raises(WrongSchema, match="run: sso db upgrade"):
        await check_schema(db, settings)
    await db.close()
    settings = settings_for(migrated_database, tmp_path)
    db = Database(settings)
    await check_schema(db, settings)
    async with db.write() as session:
        await session.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    await check_schema(db, settings)
    await db.close()


@pytest.mark.parametrize("database_kind", ["postgresql"])
async def test_a_migration_that_waits_for_a_lock_keeps_nobody_waiting(
    migrated_database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, record_property: Record
) -> None:
    if not DEFAULT_LIMITS:
        monkeypatch.setattr(migrate, "LOCK_LIMIT", timedelta(milliseconds=100))
        monkeypatch.setattr(migrate, "FIRST_PAUSE_SECONDS", 0.05)
    db, lines = Database(settings_for(migrated_database, tmp_path)), list[str]()
    await downgrade(db, "0014")
    async with db.engine.connect() as reader, db.engine.connect() as other:
        count = text("SELECT count(*) FROM refresh_tokens")
        await reader.execute(count)  # its transaction stays open
        with monkeypatch.context() as patch, pytest.raises(migrate.MigrationBlocked, match="run sso db upgrade again"):
            patch.setattr(migrate, "PATIENCE", timedelta(0))
            await upgrade(db)
        upgrading = asyncio.create_task(upgrade(db, tell=lines.append))
        await until(lambda: len(lines) >= 2 or upgrading.done())
        assert await current_revision(db) == "0014"
        longest, tried = 0.0, len(lines)
        while len(lines) == tried:
            began = time.monotonic()
            async with asyncio.timeout(60):
                await other.execute(count)
            longest = max(longest, time.monotonic() - began)
            await other.rollback()
        record_property("seconds", longest)
        await reader.rollback()
        await other.rollback()
        await upgrading
    assert set(lines) == {"migration to 0015: another transaction holds a lock; trying again"}
    await db.close()


@pytest.mark.parametrize("database_kind", ["postgresql"])
async def test_indexes_are_built_while_others_write_and_a_broken_off_upgrade_goes_on(
    migrated_database: str, tmp_path: Path
) -> None:
    db = Database(settings_for(migrated_database, tmp_path))
    await downgrade(db, "0015")
    building = text(
        "SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND wait_event = :w "
        "AND query LIKE 'CREATE INDEX CONCURRENTLY%'"
    )
    broken = text("SELECT count(*) FROM pg_index WHERE NOT indisvalid")
    async with db.engine.connect() as old, db.engine.connect() as writer:
        await old.execute(text("UPDATE sessions SET id = id"))  # building an index waits for this transaction
        upgrading = asyncio.create_task(upgrade(db))

        async def is_waiting() -> bool:
            async with db.read() as session:
                return (await session.execute(building, {"w": "virtualxid"})).first() is not None

        await until(is_waiting)
        async with asyncio.timeout(60):
            await writer.execute(text("UPDATE sessions SET id = id"))
            await writer.commit()
        upgrading.cancel()
        await asyncio.gather(upgrading, return_exceptions=True)
        await old.rollback()
    async with db.read() as session:
        assert (await session.execute(broken)).scalar_one() == 1
    await upgrade(db)
    async with db.read() as session:
        assert (await session.execute(broken)).scalar_one() == 0
    assert await current_revision(db) == head_revision()
    await db.close()


@pytest.mark.parametrize("database_kind", ["postgresql"])
async def test_two_hosts_that_upgrade_at_once_wait_for_each_other(empty_database: str, tmp_path: Path) -> None:
    lines: list[str] = []
    hosts = [Database(settings_for(empty_database, tmp_path)) for _ in range(3)]
    await asyncio.gather(*(upgrade(db, tell=lines.append) for db in hosts))
    assert lines.count("another process is changing the schema, or backing it up; waiting for it") == 2
    await downgrade(hosts[0], "0018")  # 0019 and 0021 build indexes outside a transaction
    assert await current_revision(hosts[0]) == "0018"
    await asyncio.gather(*(upgrade(db) for db in hosts))
    assert await current_revision(hosts[0]) == head_revision()
    for db in hosts:
        await db.close()


def test_new_migrations_build_indexes_of_present_tables_while_the_server_runs() -> None:
    """From 0016 on: CREATE INDEX within a transaction keeps everybody waiting who writes to the table."""
    for script in ScriptDirectory.from_config(alembic_config()).walk_revisions():
        content = Path(script.path).read_text()
        new = set(re.findall(r'create_table\(\s*"(\w+)"', content))
        indexed = set(re.findall(r'create_index\([^,]+,\s*"?(\w+)"?', content))
        assert script.revision < "0016" or indexed <= new, f"{script.path}: use sso.platform.db.indexes"


async def test_a_copy_of_the_database_yields_no_secret(city: City, tmp_path: Path) -> None:
    """SECURITY 14: every value of every table is searched for every secret that was handed out."""
    from tests.support import PASSWORD, SECRET_KEY

    known: dict[str, str] = {"password": PASSWORD, "secret key": SECRET_KEY}
    known |= {f"secret of {name}": value for name, value in city.secrets.items()}
    async with city.browser() as browser:
        for client_id in ("warga", "buram"):
            party = city.relying_party(client_id)
            code = await browser.code(party)
            tokens = await party.exchange(code)
            known |= {f"code of {client_id}": code, f"access token of {client_id}": tokens["access_token"]}
            known |= {f"refresh token of {client_id}": tokens["refresh_token"], "verifier": party.verifier}
            known["next refresh token"] = (await party.refresh(tokens["refresh_token"]))["refresh_token"]
        known["session"] = browser.session or "?"
        known["browser"] = browser.http.cookies["__Host-sso-browser"]
        page = await browser.open(city.relying_party("warga").url(prompt="login"))
        from tests.support import form_of

        known["waiting request"] = form_of(page).fields["i"]
    async with city.provider.db.write() as session:
        known["initial access token"] = await invite(session, "legacy", "test", days=1, uses=None)
    async with city.client() as http:
        bearer = {"Authorization": f"Bearer {known['initial access token']}"}
        grants = ["authorization_code", "urn:ietf:params:oauth:grant-type:device_code"]
        document = {"redirect_uris": ["https://rp.example/cb"], "grant_types": grants}
        client = (await http.post("/register", json=document, headers=bearer)).json()
        auth = (client["client_id"], client["client_secret"])
        begun = (await http.post("/device_authorization", data={"scope": "openid"}, auth=auth)).json()
        form = {"response_type": "code", "redirect_uri": "https://rp.example/cb", "scope": "openid"}
        pushed = (await http.post("/par", data=form, auth=auth)).json()
    known |= {
        "registration access token": client["registration_access_token"],
        "client secret": client["client_secret"],
    }
    known |= {"device code": begun["device_code"], "pushed request": pushed["request_uri"].rpartition(":")[2]}
    for alg in city.provider.keys.algs:
        private = city.provider.keys._active[alg].private
        if hasattr(private, "private_numbers"):
            numbers = private.private_numbers()
            known[f"private key {alg}"] = str(getattr(numbers, "d", None) or numbers.private_value)
    dump = await _dump(city.provider.db)
    for name, secret in known.items():
        for form in (secret, secret.encode().hex(), secret.removeprefix("rt-").removeprefix("at-")):
            assert form not in dump, f"{name} is readable in the database"


async def _dump(db: Database) -> str:
    lines = []
    async with db.read() as session:
        for table in metadata.sorted_tables:
            for row in (await session.execute(select(table))).mappings():
                lines.append(json.dumps({name: _readable(value) for name, value in row.items()}))
    return "\n".join(lines)


def _readable(value: Any) -> Any:
    if isinstance(value, bytes):
        return [value.hex(), value.decode("latin-1")]
    return value if isinstance(value, (str, int, list, dict, type(None))) else str(value)
