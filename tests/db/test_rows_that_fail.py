"""One row for which a job fails does not stop the others."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import select, update
from tests.citizens import SENDING
from tests.support import City

from sso import clock, jobs
from sso.clients.models import ClientSecret
from sso.identity.authn import recovery_requests
from sso.identity.authn.models import Recovery
from sso.identity.sessions.models import SsoSession
from sso.identity.users.models import User
from sso.jobs import RowsFailed, people_in_time


@pytest.fixture
def overrides() -> dict[str, Any]:
    return dict(SENDING)


def failing(monkeypatch: pytest.MonkeyPatch, name: str, is_wrong: Callable[..., bool]) -> None:
    """Let a function of the jobs fail for some arguments."""
    works = getattr(jobs, name)

    def fail(*given: Any, **more: Any) -> Any:
        if is_wrong(*given, **more):
            raise ValueError("this row is broken")
        return works(*given, **more)

    monkeypatch.setattr(jobs, name, fail)


async def run_job(city: City, name: str) -> int:
    (job,) = (job for job in jobs.JOBS if job.name == name)
    return await job.work(jobs.Run(city.provider))


async def test_an_expired_session_that_cannot_be_ended(city: City, monkeypatch: pytest.MonkeyPatch) -> None:
    names = ("siti", "budi", "ratna")
    for name in names:
        async with city.browser() as browser:
            await browser.code(city.relying_party("warga"), username=name)
    async with city.provider.db.write() as session:
        await session.execute(update(SsoSession).values(expires_at=clock.now()))
        broken = (
            await session.execute(select(SsoSession.id).where(SsoSession.user_id == city.users["budi"]))
        ).scalar_one()
    failing(monkeypatch, "end_sessions", lambda _session, _services, ids, *_, **__: broken in ids)
    for done in (2, 0):
        with pytest.raises(RowsFailed) as failed:
            await run_job(city, "expired_sessions")
        assert failed.value.done == done
    async with city.provider.db.read() as session:
        left = (await session.execute(select(SsoSession.id).where(SsoSession.ended_at.is_(None)))).scalars().all()
    assert left == [broken]
    monkeypatch.undo()
    assert await run_job(city, "expired_sessions") == 1


async def test_a_recovery_or_a_deletion_that_fails(city: City, monkeypatch: pytest.MonkeyPatch) -> None:
    now = clock.now()
    async with city.provider.db.write() as session:
        chosen = User.id.in_([city.users["lengkap"], city.users["ratna"]])
        await session.execute(update(User).where(chosen).values(delete_at=now))
    async with city.provider.db.write() as session:
        for name in ("siti", "budi"):
            wait, valid = timedelta(0), timedelta(hours=1)
            await recovery_requests.add(session, city.users[name], "delayed", f"t-{name}", wait=wait, valid=valid)
    failing(monkeypatch, "notify", lambda _session, _services, user, *_, **__: user.id == city.users["siti"])
    failing(monkeypatch, "delete_if_due", lambda _session, _services, user_id: user_id == city.users["ratna"])
    clock.advance(1)
    with pytest.raises(RowsFailed) as failed:
        await people_in_time(city.provider)
    assert failed.value.done == 2
    async with city.provider.db.read() as session:
        waiting = (await session.execute(select(Recovery.user_id).where(Recovery.kind == "delayed"))).scalars().all()
        deleted = (await session.execute(select(User.id).where(User.deleted_at.is_not(None)))).scalars().all()
    assert (waiting, deleted) == ([city.users["siti"]], [city.users["lengkap"]])


async def test_a_reminder_that_fails(city: City, monkeypatch: pytest.MonkeyPatch) -> None:
    async with city.provider.db.write() as session:
        secrets = list((await session.execute(select(ClientSecret).limit(3))).scalars())
        for secret in secrets:
            secret.expires_at = clock.now() + timedelta(days=1)
        ids = sorted(secret.id for secret in secrets)
    failing(monkeypatch, "_record_ending", lambda _session, secret: secret.id == ids[0])
    with pytest.raises(RowsFailed):
        await run_job(city, "secret_reminders")
    assert await reminded(city) == set(ids[1:])
    monkeypatch.undo()
    assert await run_job(city, "secret_reminders") == 1


async def reminded(city: City) -> set[uuid.UUID]:
    async with city.provider.db.read() as session:
        chosen = select(ClientSecret.id).where(ClientSecret.reminded_at.is_not(None))
        return set((await session.execute(chosen)).scalars())
