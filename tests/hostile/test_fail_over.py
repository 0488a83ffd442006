"""A standby that lagged becomes the primary: what was ended before stays ended."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select
from tests.clusters import Pair, pair
from tests.conftest import fill, run_apart, settings_for
from tests.measured import Record
from tests.support import City
from tests.waiting import until

from sso import clock
from sso.app import create_app
from sso.identity.sessions.models import SessionClient
from sso.identity.sessions.reasons import EndReason
from sso.logout import lost_ends
from sso.logout.end_sessions import end_client_sessions
from sso.oidc.store.models import Grant
from sso.platform.actor import Actor
from sso.platform.audit.service import AuditFilter, page_of_events
from sso.platform.db.ends import Ends
from sso.platform.db.replication import read_replication
from sso.setup.examination import examine

POLL = "50ms"
pytestmark = pytest.mark.group("fail-over")  # one primary and one standby for all of them


@pytest.fixture(scope="module")
def clusters() -> Iterator[Pair]:
    with pair() as primary_and_standby:
        yield primary_and_standby


@pytest.fixture(scope="module")
def filled(clusters: Pair, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    run_apart(clusters.primary.run("CREATE ROLE provider LOGIN"))
    run_apart(clusters.primary.run("CREATE DATABASE sso OWNER provider"))
    return dict(run_apart(fill(settings_for(clusters.url(user="provider"), tmp_path_factory.mktemp("pair")))))


@asynccontextmanager
async def commits_wait(clusters: Pair) -> AsyncIterator[None]:
    """Let each commit of the primary wait for a standby meanwhile."""
    await clusters.primary.run("ALTER SYSTEM SET synchronous_standby_names = '*'")
    await clusters.primary.run("SELECT pg_reload_conf()")
    try:
        yield
    finally:
        await clusters.primary.run("ALTER SYSTEM RESET synchronous_standby_names")
        await clusters.primary.run("SELECT pg_reload_conf()")


@asynccontextmanager
async def host(clusters: Pair, filled: dict[str, Any], directory: Path, **overrides: Any) -> AsyncIterator[City]:
    settings = settings_for(
        clusters.url(user="provider"), directory, registry_poll_interval=POLL, run_worker=False, **overrides
    )
    app = create_app(settings)
    async with app.router.lifespan_context(app):
        yield City(app, settings, filled["secrets"], filled["users"])


async def test_the_lag_of_a_standby_is_seen(clusters: Pair, filled: dict[str, Any], tmp_path: Path) -> None:
    settings = settings_for(clusters.url(user="provider"), tmp_path)
    async with host(clusters, filled, tmp_path) as city:
        hidden = await read_replication(city.provider.db)
        assert hidden is not None
        assert hidden.hidden
        assert hidden.lag_bytes is None
        text = next(finding for finding in await examine(settings) if finding.about == "standby")
        assert (text.state, "GRANT pg_monitor TO" in text.text) == ("warning", True)
        await clusters.primary.run("GRANT pg_monitor TO provider")
        await clusters.catch_up()

        async def caught_up() -> bool:
            replication = await read_replication(city.provider.db)
            return replication is not None and replication.lag_bytes == 0

        await until(caught_up)
        await clusters.standby.run("SELECT pg_wal_replay_pause()")
        await clusters.primary.run("CREATE TABLE late (id int)", "sso")

        async def lags() -> bool:
            replication = await read_replication(city.provider.db)
            return replication is not None and (replication.lag_bytes or 0) > 0

        await until(lags)
        await clusters.standby.run("SELECT pg_wal_replay_resume()")
        await clusters.catch_up()
        text = next(finding for finding in await examine(settings) if finding.about == "standby")
        assert "a fail-over can lose the newest changes" in text.text


async def test_kill_9_of_a_database_backend_loses_nothing_that_was_answered(
    clusters: Pair, filled: dict[str, Any], tmp_path: Path, record_property: Record
) -> None:
    """PostgreSQL then ends every connection and recovers from its log. Applications refresh meanwhile."""
    async with host(clusters, filled, tmp_path, refresh_token_grace_period="1m") as city, city.browser() as browser:
        party = city.relying_party("warga")
        tokens = await browser.tokens(party)
        newest = [tokens["refresh_token"]]

        async def refresh() -> bool:
            answer = await party.refresh(newest[0])
            assert answer.status in (200, 503), answer.body
            if answer.status == 200:
                newest[0] = answer["refresh_token"]
            return answer.status == 200

        assert await refresh()
        backend = "SELECT pid FROM pg_stat_activity WHERE datname = 'sso' AND application_name = 'sso' LIMIT 1"
        began, starts = time.monotonic(), clusters.primary.starts()
        os.kill(int(str(await clusters.primary.run(backend))), signal.SIGKILL)

        async def has_started_again() -> bool:
            await refresh()  # it succeeds until the server has noticed
            return clusters.primary.starts() > starts

        await until(has_started_again)
        await until(refresh, 60)
        record_property("seconds", time.monotonic() - began)
        assert await refresh(), "the family is whole"
        assert (await party.userinfo(tokens["access_token"])).status_code == 200, "nobody is signed out"
        await browser.submit(await browser.open("/logout"))
        assert (await party.refresh(newest[0])).status == 400


async def test_a_commit_that_waits_for_an_absent_standby_is_answered_in_time_and_is_not_lost(
    clusters: Pair, filled: dict[str, Any], tmp_path: Path, record_property: Record
) -> None:
    settings = settings_for(clusters.url(user="provider"), tmp_path)
    async with (
        host(clusters, filled, tmp_path, database_statement_timeout="1s", refresh_token_grace_period="1m") as city,
        city.browser() as browser,
    ):
        party = city.relying_party("warga")
        tokens = await browser.tokens(party)
        await clusters.catch_up()
        clusters.standby.stop()

        async def names() -> bool:
            replication = await read_replication(city.provider.db)
            return replication is not None and replication.waits_for_nobody

        async with commits_wait(clusters), city.client() as http:
            await until(names)
            began, refreshed_at = time.monotonic(), clock.now()
            answer = await party.refresh(tokens["refresh_token"])
            assert (answer.status, answer.body["error"]) == (503, "temporarily_unavailable")
            assert time.monotonic() - began < 30
            assert (await party.userinfo(tokens["access_token"])).status_code == 200, "reading goes on"
            ready = await http.get("/readyz")
            assert ready.status_code == 503, ready.text
            text = next(finding for finding in await examine(settings) if finding.about == "standby")
            assert (text.state, "each write waits for a standby" in text.text) == ("bad", True)
            clusters.standby.start()

            async def is_ready() -> bool:
                return (await http.get("/readyz")).status_code == 200

            started = time.monotonic()
            await until(is_ready)
            record_property("seconds", time.monotonic() - started)
            clock.advance(refreshed_at - clock.now())  # or a slow start would be longer than the grace period
            newer = await party.refresh(tokens["refresh_token"])
            assert newer.status == 200, "whether the first one was stored is not known: a retry is none of a thief"
            assert (await party.refresh(newer["refresh_token"])).status == 200


async def test_ends_that_a_lagging_standby_has_lost_are_applied_again(
    clusters: Pair,
    filled: dict[str, Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    record_property: Record,
) -> None:
    remembered: list[Ends] = []

    class Remembered(Ends):
        def __init__(self) -> None:
            super().__init__()
            remembered.append(self)

    monkeypatch.setattr(lost_ends, "Ends", Remembered)
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
    async with host(clusters, filled, tmp_path / "b") as survivor:
        async with host(clusters, filled, tmp_path / "a") as first:
            party = first.relying_party("warga")
            browsers = [first.browser() for _ in range(4)]
            tokens = [await browser.tokens(party) for browser in browsers]
            opaque = await browsers[3].tokens(first.relying_party("buram"))
            await clusters.catch_up()
            await clusters.stop_streaming()
            for browser in browsers[:2]:
                await browser.submit(await browser.open("/logout"))
            assert (await party.post("/revoke", {"token": tokens[2]["refresh_token"]})).status_code == 200
            revoked = {"token": opaque["access_token"]}
            assert (await first.relying_party("buram").post("/revoke", revoked)).status_code == 200
            async with first.provider.db.write() as session:
                grants = select(Grant.session_id).where(Grant.client_id == "buram")
                session_id = (await session.execute(grants)).scalar_one()
                await end_client_sessions(
                    session, first.provider, "buram", [session_id], EndReason.CLIENT_SUSPENDED, actor=Actor("cli")
                )
            for browser in browsers:
                await browser.http.aclose()
        # The process that ended them is gone; another process has read of it.
        noted = await clusters.primary.run("SELECT count(*) FROM ends", "sso")
        await until(lambda: len(remembered[0]) == noted)
        began = time.monotonic()
        clusters.fail_over()
        there = survivor.relying_party("warga")

        async def again() -> dict[str, int]:
            async with survivor.provider.db.read() as session:
                audit_filter = AuditFilter(type="ends.applied_again")
                return {
                    event.data["kind"]: event.data["count"]
                    for event in await page_of_events(session, audit_filter, None, 9)
                }

        async def applied() -> bool:
            try:
                return len(await again()) == 4
            except Exception:  # the connections of before
                return False

        await until(applied)
        record_property("seconds", time.monotonic() - began)
        for ended in tokens[:3]:
            assert (await there.refresh(ended["refresh_token"])).status == 400
            assert (await there.userinfo(ended["access_token"])).status_code == 401
        assert await again() == {"session": 2, "grant": 1, "access_token": 1, "client_session": 1}
        assert (await survivor.relying_party("buram").userinfo(opaque["access_token"])).status_code == 401
        async with survivor.provider.db.read() as session:
            parts = select(SessionClient.ended_at).where(SessionClient.client_id == "buram")
            assert (await session.execute(parts)).scalar_one() is not None
        assert (await there.refresh(tokens[3]["refresh_token"])).status == 200
