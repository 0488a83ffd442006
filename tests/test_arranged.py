"""What tests arrange by use cases is what the pages and forms make."""

from __future__ import annotations

import json
from typing import Any

import pytest
from sqlalchemy import select
from tests.arranged import approve, register, sign_in
from tests.support import PASSWORD, Browser, City
from tests.web.test_developer import OFFERED, person, post, secret_of
from tests.web.test_developer import register as register_by_form

from sso.clients.models import Application, ClientRow, TeamMember
from sso.identity.sessions.models import SsoSession
from sso.platform.audit.models import AuditEvent

OF_ITS_OWN = {"id", "token_hash", "device_hash", "auth_time", "request_id"}
"""Columns that differ between two sign-ins of one user."""


def columns_of(row: Any, without: set[str]) -> dict[str, Any]:
    return {
        column.key: getattr(row, column.key)
        for column in row.__mapper__.column_attrs
        if column.key not in without and column.key != "at" and not column.key.endswith("_at")
    }


async def test_a_user_is_signed_in_as_by_the_page(city: City) -> None:
    async with city.browser() as typed, city.browser() as arranged:
        await typed.submit(await typed.open("/login"), username="siti", password=PASSWORD)
        await sign_in(city, arranged, "siti")
        cookies = [
            {cookie.name: (cookie.domain, cookie.path, len(cookie.value or "")) for cookie in browser.http.cookies.jar}
            for browser in (typed, arranged)
        ]
        assert cookies[0] == cookies[1]
        assert 'action="/logout"' in (await arranged.open("/account")).text
        page = await arranged.open("/account/notifications")
        assert (await arranged.submit(page)).status_code == 200, "a form of the account is accepted"
    async with city.provider.db.read() as session:
        rows = (await session.execute(select(SsoSession).order_by(SsoSession.created_at))).scalars().all()
        started = select(AuditEvent).where(AuditEvent.type == "session.started")
        events = (await session.execute(started)).scalars().all()
    assert len(rows) == len(events) == 2
    assert columns_of(rows[0], OF_ITS_OWN) == columns_of(rows[1], OF_ITS_OWN)
    assert columns_of(events[0], OF_ITS_OWN) == columns_of(events[1], OF_ITS_OWN)


@pytest.fixture
async def dimas(city: City) -> Any:
    await person(city, "dimas", "developer")
    async with city.browser() as browser:
        await sign_in(city, browser, "dimas")
        yield browser


def named(value: Any, application_id: str) -> str:
    """Return a value as text, without the name by which one application differs from the other."""
    return json.dumps(value, default=str, sort_keys=True, indent=1).replace(application_id, "ID")


async def stored(city: City, application_id: str) -> dict[str, Any]:
    """Return everything that is stored of an application and its sandbox, and what was recorded of it."""
    async with city.provider.db.read() as session:
        application = columns_of(await session.get_one(Application, application_id), {"revision"})
        rows = select(ClientRow).where(ClientRow.client_id.startswith(application_id)).order_by(ClientRow.client_id)
        clients = [columns_of(row, {"version"}) for row in (await session.execute(rows)).scalars()]
        team = (await session.execute(select(TeamMember).where(TeamMember.application_id == application_id))).scalars()
        members = [(member.user_id, member.role) for member in team]
        events = (await session.execute(select(AuditEvent).order_by(AuditEvent.id))).scalars().all()
    mine = [event for event in events if (event.client_id or "").startswith(application_id)]
    about = [columns_of(event, {"id", "request_id"}) for event in mine]
    parts = {"application": application, "clients": clients, "team": members, "events": about}
    return {name: named(value, application_id) for name, value in parts.items()}


@OFFERED
async def test_an_application_is_registered_and_approved_as_by_the_forms(city: City, dimas: Browser) -> None:
    secret_of(await register_by_form(dimas, client_id="loket"))
    assert len(await register(city, "dimas", "pasar")) == 43
    assert await stored(city, "loket") == await stored(city, "pasar")
    async with city.browser() as ratna:
        await sign_in(city, ratna, "ratna")
        await post(dimas, await dimas.open("/developer/apps/loket"), choice="submit", text="Mulai Januari.")
        page = await ratna.open("/admin/applications/loket")
        await post(ratna, page, "/admin/applications/loket/review", choice="approve", text="Baik.", first_party="1")
    await approve(city, "dimas", "ratna", "pasar", {"first_party": True})
    assert await stored(city, "loket") == await stored(city, "pasar")
    for client_id in ("loket", "pasar"):
        assert city.provider.registry.get(client_id) is not None
