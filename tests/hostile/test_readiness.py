"""Readiness tells the truth: a full disk, a key that cannot be opened, applications that are not followed, a stop."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import asyncpg
import httpx2 as httpx
import pytest
from sqlalchemy import event, text
from tests.conftest import settings_for
from tests.hostile.test_faults import Phone, Process
from tests.measured import DEFAULT_LIMITS, Record
from tests.ports import free_ports
from tests.support import SECRET_KEY, City
from tests.waiting import until

from sso import clock
from sso.app import create_app
from sso.clients import store
from sso.platform import health
from sso.platform.db import bump_version
from sso.platform.keys import rotate
from sso.platform.security.encryption import SecretBox

NEW_KEY = "another secret key for tests of more than 32 characters"


async def reasons(http: httpx.AsyncClient) -> list[str]:
    """Return why a process is not ready; empty where it is."""
    answer = await http.get("/readyz")
    body = answer.json()
    assert answer.status_code == (503 if body["status"] == "not ready" else 200)
    return list(body.get("reasons", []))


@pytest.fixture
def small_disk() -> Iterator[Path]:
    """A file system of 4 MiB; needs root. It is not in the directory of pytest: PostgreSQL may enter it, and another
    pytest that starts would take this right away."""
    place = Path(tempfile.mkdtemp(prefix="sso-small-"))
    place.chmod(0o755)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", place], check=True)
    yield place
    subprocess.run(["umount", "-l", place], check=True)
    place.rmdir()


def fill_disk(place: Path) -> Path:
    """Fill a file system."""
    filler = place / "filler"
    with filler.open("wb", buffering=0) as file:
        for size in (65536, 4096):
            try:
                while True:
                    file.write(b"x" * size)
            except OSError:
                pass
    return filler


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount a file system")
async def test_a_full_disk_of_sqlite(
    sqlite_template: tuple[Path, dict[str, Any]],
    small_disk: Path,
    monkeypatch: pytest.MonkeyPatch,
    record_property: Record,
) -> None:
    if not DEFAULT_LIMITS:
        monkeypatch.setattr(health, "WRITE_SECONDS", 0.0)
        monkeypatch.setattr(health, "FULL_SECONDS", 0.1)
    template, contents = sqlite_template
    shutil.copy(template, small_disk / "sso.db")
    settings = settings_for(f"sqlite:///{small_disk / 'sso.db'}", small_disk)
    app = create_app(settings)
    async with app.router.lifespan_context(app):
        city = City(app, settings, contents["secrets"], contents["users"])
        party = city.relying_party("warga")
        async with city.browser() as browser, city.client() as http:
            tokens = await browser.tokens(party)
            assert await reasons(http) == []
            filler = fill_disk(small_disk)

            async def is_full() -> bool:
                return await reasons(http) == ["disk_full"]

            await until(is_full)
            page = (await browser.open("/account")).status_code
            assert page in (200, 503)
            filler.unlink()
            freed = time.monotonic()

            async def is_ready() -> bool:
                return await reasons(http) == []

            await until(is_ready)
            record_property("seconds", time.monotonic() - freed)
            assert (await party.refresh(tokens["refresh_token"])).status == 200


async def test_a_write_that_finds_the_disk_full_is_a_reason_for_a_while(
    city: City, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a small file system: the limit of SQLite; what PostgreSQL says of a full disk."""
    db = city.provider.db
    async with city.client() as http:
        assert await reasons(http) == []
        if db.is_sqlite:

            def full(connection: Any) -> None:
                connection.exec_driver_sql("PRAGMA max_page_count = 1")

            event.listen(db.engine.sync_engine, "begin", full)
            # More than the whole file, in which earlier tests may have left free pages.
            size = "SELECT page_count * page_size FROM pragma_page_count, pragma_page_size"
            statement = f"CREATE TABLE much AS SELECT zeroblob(({size}) + 900000) AS bytes"
        else:
            statement = "DO $$ BEGIN RAISE SQLSTATE '53100' USING MESSAGE = 'could not extend file'; END $$"
        with pytest.raises(Exception, match=r"full|extend"):
            async with db.write() as session:
                await session.execute(text(statement))
        if db.is_sqlite:
            event.remove(db.engine.sync_engine, "begin", full)
            async with db.write() as session:
                await session.execute(text("PRAGMA max_page_count = 1073741823"))
        assert await reasons(http) == ["disk_full"]
        monkeypatch.setattr(health, "FULL_SECONDS", 0.0)
        assert await reasons(http) == []


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount a file system")
@pytest.mark.own_connections
@pytest.mark.parametrize("database_kind", ["postgresql"])
async def test_a_full_disk_of_postgresql(
    city: City, small_disk: Path, monkeypatch: pytest.MonkeyPatch, record_property: Record
) -> None:
    monkeypatch.setattr(health, "WRITE_SECONDS", 0.0)
    async with city.provider.db.engine.connect() as connection:
        data_directory = await connection.scalar(text("SHOW data_directory"))
    os.chown(small_disk, Path(data_directory).stat().st_uid, -1)
    name, url = f"small_{os.getpid()}", city.provider.db.url

    async def run(*statements: str) -> None:
        # Without a limit for a statement: dropping a tablespace waits for every process of the server, also for those
        # that another test has stopped.
        connection = await asyncpg.connect(user=url.username, database=url.database, host=str(url.query["host"]))
        try:
            async with asyncio.timeout(300):
                for statement in statements:
                    await connection.execute(statement)
        finally:
            await connection.close()

    party = city.relying_party("warga")
    async with city.browser() as browser, city.client() as http:
        tokens = await browser.tokens(party)
        await run(
            f"CREATE TABLESPACE {name} LOCATION '{small_disk}'", f"ALTER TABLE audit_events SET TABLESPACE {name}"
        )
        try:
            assert await reasons(http) == []
            filler = fill_disk(small_disk)
            with pytest.raises(Exception, match="No space left"):
                async with city.provider.db.write() as session:
                    await session.execute(text(
                        "INSERT INTO audit_events (id, at, type, outcome, data) SELECT gen_random_uuid(), now(), 'x', "
                        "'success', jsonb_build_object('x', repeat('x', 500)) FROM generate_series(1, 9000)"
                    ))  # fmt: skip
            assert await reasons(http) == ["disk_full"]
            filler.unlink()
            freed = time.monotonic()
            if not DEFAULT_LIMITS:
                monkeypatch.setattr(health, "FULL_SECONDS", 0.0)

            async def is_ready() -> bool:
                return await reasons(http) == []

            await until(is_ready)
            record_property("seconds", time.monotonic() - freed)
            assert (await party.refresh(tokens["refresh_token"])).status == 200
        finally:
            await run("ALTER TABLE audit_events SET TABLESPACE pg_default", f"DROP TABLESPACE {name}")


@pytest.mark.parametrize("overrides", [{"registry_poll_interval": "20ms"}])
async def test_a_key_that_cannot_be_opened_stops_no_follower(city: City) -> None:
    """Another host has a new secret that this host does not know, and rotates the keys."""
    party, provider = city.relying_party("warga"), city.provider
    async with city.browser() as browser, city.client() as http:
        tokens = await browser.tokens(party)
        async with provider.db.write() as session:
            await rotate(session, SecretBox([NEW_KEY.encode(), SECRET_KEY.encode()]), force=True)

        async def not_ready() -> bool:
            return await reasons(http) == ["keys"]

        await until(not_ready)
        async with provider.db.write() as session:
            await store.lock_client(session, "padam")
            version = await bump_version(session, "clients")
            await store.update_client(session, "padam", version, clock.now(), status="suspended")
        await until(lambda: provider.registry.enabled("padam") is None)
        newer = await party.refresh(tokens["refresh_token"])
        assert newer.status == 200, "it signs with the key that it had"
        assert (await party.userinfo(newer["access_token"])).status_code == 200


@pytest.mark.usefixtures("reads_nothing_by_itself")
async def test_applications_that_are_not_followed_and_a_wrong_clock(
    city: City, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with city.client() as http:
        steady, passed = clock.steady, [0.0]
        monkeypatch.setattr(clock, "steady", lambda: steady() + passed[0])
        assert await reasons(http) == []
        city.provider.health.refreshed_at = steady() - health.STALE_SECONDS - 1
        assert await reasons(http) == ["registry"]
        await city.provider.refresh()
        assert await reasons(http) == []
        if not city.provider.db.is_sqlite:
            passed[0] += 60.0
            await city.provider.refresh()
            assert "clock" in await reasons(http)
            passed[0] = 0.0
            await city.provider.refresh()
            assert await reasons(http) == []


async def test_probes_do_not_write_each_time(city: City, monkeypatch: pytest.MonkeyPatch) -> None:
    writes: list[str] = []
    began = clock.steady()
    monkeypatch.setattr(clock, "steady", lambda: began)  # it writes once in a while

    def seen(_connection: Any, _cursor: Any, statement: str, *_rest: Any) -> None:
        if "processes" in statement:
            writes.append(statement)

    event.listen(city.provider.db.engine.sync_engine, "before_cursor_execute", seen)
    async with city.client() as http:
        assert [await reasons(http) for _ in range(20)] == [[]] * 20
    assert len([statement for statement in writes if statement.startswith("INSERT")]) <= 2


@pytest.mark.parametrize("database_kind", ["postgresql"])
async def test_sigterm_under_load(database: tuple[str, dict[str, Any]], tmp_path: Path) -> None:
    """Readiness turns to 503 first; until the listener closes every request is answered, and closes its connection."""
    url, contents = database
    process = Process(url, tmp_path, free_ports(1), SSO_SHUTDOWN_DELAY="6s")
    phones = [Phone(process.port, contents["secrets"]["lama"]) for _ in range(4)]
    answered, refused = [0], list[Exception]()

    async def ask(phone: Phone) -> None:
        while True:
            try:
                assert (await phone.http.get("/jwks")).status_code == 200
                answered[0] += 1
            except httpx.TransportError as error:
                refused.append(error)
                return

    busy = [asyncio.create_task(ask(phone)) for phone in phones[:3]]
    try:
        await until(lambda: answered[0] > 20)
        process.process.send_signal(signal.SIGTERM)
        process.process.send_signal(signal.SIGTERM)  # systemd sends one to each process, and its parent another

        async def stopping() -> bool:
            return await reasons(phones[3].http) == ["stopping"]

        await until(stopping)
        last = await phones[3].http.get("/jwks")
        assert (last.status_code, last.headers["connection"]) == (200, "close")
        before = answered[0]
        await until(lambda: answered[0] > before + 10)
        assert not refused, "requests are answered while it is not ready"
        await asyncio.gather(*busy)
        # The listener may close between a connection and its first byte: which error that is depends on the moment.
        assert all(isinstance(error, (httpx.NetworkError, httpx.RemoteProtocolError)) for error in refused), refused
        assert await asyncio.to_thread(process.process.wait, 60) == 0
    finally:
        process.kill()
