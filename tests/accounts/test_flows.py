"""Sign-up, recovery and the own account, with a database and no application."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import pyotp
import pytest
from sqlalchemy import select
from tests.conftest import settings_for
from tests.support import PASSWORD

from sso import clock
from sso.accounts.contact_code import begin_contact, check_contact_code
from sso.accounts.contacts import change_contact, contacts_of, read_contact, set_nik, set_username
from sso.accounts.flows import Continuation, FlowEnded, FlowRefused, Problem
from sso.accounts.own_account import OwnSession, SessionEnded, lock_own_account
from sso.accounts.passwords import change_own_password
from sso.accounts.recovery import (
    Delayed,
    begin_recovery,
    check_recovery_code,
    choose_password,
    continue_recovery,
    delay_recovery,
    recall_recovery,
    stop_recovery,
)
from sso.accounts.second_factors import begin_app, confirm_app, remove_credential
from sso.accounts.services import AccountServices
from sso.accounts.sign_up import (
    begin_sign_up,
    check_sign_up_code,
    create_account,
    hash_new_password,
    recall_sign_up,
)
from sso.identity.authn.passwords import Passwords, WeakPassword
from sso.identity.notifications import opened
from sso.identity.sessions import store as sessions
from sso.identity.sessions.models import SsoSession
from sso.identity.users import store as users
from sso.identity.users.models import User
from sso.oidc.provider import Provider
from sso.platform.actor import Actor
from sso.platform.audit.models import AuditEvent
from sso.platform.db import Database, new_id
from sso.platform.outbox import Worker
from sso.platform.outbox.models import Delivery
from sso.platform.security.message_limits import MessageLimits
from sso.platform.security.rate_limits import CountLimit, Counts, TooManyFailures
from sso.platform.security.tokens import token_hash
from sso.platform.visitor import Visitor

NEW_PASSWORD = "perahu-hijau-menyapa-awan-27"
ONWARD = Continuation({"i": "", "then": "", "user_code": "", "client_id": ""})
VISITOR = Visitor(
    ip_address="203.0.113.7",
    network="203.0.113.0/24",
    stored_ip_address="203.0.113.0",
    request_id="ref-1",
    browser_id="b" * 43,
)


class World:
    """The services of one process, and what was sent."""

    def __init__(self, provider: Provider, services: AccountServices, user_ids: dict[str, UUID]) -> None:
        self.services = services
        self.provider = provider
        self.user_ids = user_ids

    async def sent(self) -> list[dict[str, Any]]:
        async with self.provider.db.read() as session:
            rows = (await session.execute(select(Delivery).order_by(Delivery.id))).scalars().all()
        return [opened(self.provider, row.payload) for row in rows if row.kind == "message"]

    async def code(self) -> str:
        return str([message["values"]["code"] for message in await self.sent() if "code" in message["values"]][-1])

    async def events(self) -> list[AuditEvent]:
        async with self.provider.db.read() as session:
            return list((await session.execute(select(AuditEvent).order_by(AuditEvent.id))).scalars())

    async def session_of(self, name: str) -> OwnSession:
        """Start a session of a user."""
        now, session_id = clock.now(), new_id()
        async with self.provider.db.write() as session:
            session.add(
                SsoSession(
                    id=session_id,
                    token_hash=token_hash(str(session_id)),
                    user_id=self.user_ids[name],
                    created_at=now,
                    auth_time=now,
                    last_seen_at=now,
                    expires_at=now + timedelta(hours=10),
                    acr="1",
                    amr=["pwd"],
                )
            )
        return OwnSession(self.user_ids[name], session_id, timedelta(hours=1))


@pytest.fixture
def database_kind() -> str:
    return "sqlite"


@pytest.fixture
async def world(database: tuple[str, dict[str, Any]], tmp_path: Path) -> AsyncIterator[World]:
    url, filled = database
    settings = settings_for(url, tmp_path, smtp_url="smtp://127.0.0.1:1", sms_url="https://sms.example/send")
    db, counts = Database(settings), Counts()
    provider = Provider(settings, db)
    await provider.load()
    services = AccountServices(
        db=db,
        changes=provider,
        passkeys=provider.passkeys,
        passwords=Passwords(settings),
        usage=provider.usage,
        worker=Worker(db, settings, {}),
        attempts=provider.attempts,
        messages=MessageLimits(5, 10, 50, 100, counts),
        new_flows=CountLimit(3, 60, counts, "sign-ups"),
        contact_codes=CountLimit(10, 60, counts, "contact-codes"),
    )
    yield World(provider, services, filled["users"])
    await db.close()


async def test_a_sign_up_makes_an_account(world: World) -> None:
    services = world.services
    contact = read_contact(services.settings.sign_up_kinds, "baru@warga.example")
    flow = await begin_sign_up(services, VISITOR, contact, ONWARD)
    assert await recall_sign_up(services, replace(VISITOR, browser_id="c" * 43), flow.token) is None
    flow = await recall_sign_up(services, VISITOR, flow.token) or flow
    wrong = f"{(int(await world.code()) + 1) % 1_000_000:06}"
    with pytest.raises(FlowRefused) as error:
        await check_sign_up_code(services, VISITOR, flow, wrong)
    assert error.value.problem is Problem.WRONG_CODE
    await check_sign_up_code(services, VISITOR, flow, await world.code())
    with pytest.raises(WeakPassword):
        await hash_new_password(services, VISITOR, flow, "Baru", "pendek")
    hashed = await hash_new_password(services, VISITOR, flow, "Baru", NEW_PASSWORD)
    account = await create_account(services, VISITOR, flow, "Baru", password_hash=hashed)
    authenticated = account.authenticated
    assert account.recovery_codes == []
    assert (authenticated.user.name, authenticated.amr) == ("Baru", ["pwd"])
    with pytest.raises(FlowEnded):
        await create_account(services, VISITOR, flow, "Baru", password_hash=hashed)
    event = (await world.events())[-1]
    assert (event.type, event.actor, event.request_id) == ("user.registered", str(authenticated.user.id), "ref-1")
    again = await begin_sign_up(services, VISITOR, contact, ONWARD)
    assert (await world.sent())[-1]["about"] == "already_here"
    with pytest.raises(FlowRefused):
        await check_sign_up_code(services, VISITOR, again, await world.code())
    await begin_sign_up(services, VISITOR, contact, ONWARD)
    with pytest.raises(TooManyFailures):
        await begin_sign_up(services, VISITOR, contact, ONWARD)


async def test_a_recovery_gives_a_new_password(world: World) -> None:
    services, provider = world.services, world.provider
    nobody = await begin_recovery(services, VISITOR, "tidak-ada@warga.example", ONWARD)
    assert nobody.user_id is None
    assert await world.sent() == []
    flow = await begin_recovery(services, VISITOR, "siti", ONWARD)
    assert flow.user_id == world.user_ids["siti"]
    outcome = await check_recovery_code(services, VISITOR, flow, await world.code())
    assert not isinstance(outcome, Delayed)
    assert flow.data["stage"] == "password"
    await choose_password(services, VISITOR, flow, NEW_PASSWORD)
    async with provider.db.read() as session:
        known = await users.credentials_of(session, world.user_ids["siti"])
    right, _ = await services.passwords.verify(NEW_PASSWORD, known[0].secret)
    assert right
    with pytest.raises(FlowEnded):
        await choose_password(services, VISITOR, flow, NEW_PASSWORD)


async def test_a_recovery_without_the_second_factor_waits_and_can_be_stopped(world: World) -> None:
    services, provider = world.services, world.provider
    own = await world.session_of("siti")
    app = await begin_app(services, VISITOR, own)
    code = pyotp.TOTP(app.data["seed"]).at(clock.timestamp())
    assert len(await confirm_app(services, VISITOR, own, app, code, Actor(str(own.user_id)))) == 10
    flow = await begin_recovery(services, VISITOR, "siti", ONWARD)
    await check_recovery_code(services, VISITOR, flow, await world.code())
    assert flow.data["stage"] == "second"
    delayed = await delay_recovery(services, VISITOR, flow)
    assert delayed.ready_at > clock.now()
    assert await recall_recovery(services, VISITOR, flow.token) is None
    token = next(message["values"]["token"] for message in await world.sent() if message["about"] == "recovery_waits")
    with pytest.raises(FlowEnded):
        await continue_recovery(services, VISITOR, token, lambda _: ONWARD)
    await stop_recovery(services, VISITOR, token)
    assert [event.type for event in await world.events()][-2:] == ["recovery.delayed", "recovery.stopped"]
    async with provider.db.write() as session:
        user = await lock_own_account(session, own)
        known = await users.credentials_of(session, user.id)
        password = next(credential for credential in known if credential.kind == "password")
        assert await remove_credential(session, provider, user, str(password.id), Actor(str(user.id))) is (
            Problem.LAST_CREDENTIAL
        )


async def test_identifiers_of_the_own_account(world: World) -> None:
    services, provider = world.services, world.provider
    own = await world.session_of("siti")
    actor = Actor(str(own.user_id), request_id="ref-2")
    flow = await begin_contact(services, VISITOR, own, "lain@warga.example")
    assert await check_contact_code(services, VISITOR, own, flow, await world.code(), actor)
    with pytest.raises(FlowRefused):
        await begin_contact(services, VISITOR, own, "bukan kontak")
    async with provider.db.write() as session:
        user = await lock_own_account(session, own)
        await set_username(session, provider, user, "siti.baru", actor)
        await set_nik(session, provider, user, "3671016104900001", actor)
        with pytest.raises(FlowRefused) as error:
            await set_username(session, provider, user, "budi", actor)
        assert error.value.problem is Problem.TAKEN
    async with provider.db.read() as session:
        known = await contacts_of(session, own.user_id)
    assert {contact.kind: contact.value for contact in known if contact.is_primary}["username"] == "siti.baru"
    added = next(contact for contact in known if contact.value == "lain@warga.example")
    async with provider.db.write() as session:
        user = await lock_own_account(session, own)
        assert await change_contact(session, provider, user, "primary", str(added.id), actor)
        assert await change_contact(session, provider, user, "remove", str(added.id), actor)
        assert not await change_contact(session, provider, user, "remove", str(added.id), actor)
    assert {event.request_id for event in await world.events() if event.type.startswith("contact.")} == {"ref-2"}


async def test_a_session_that_ended_changes_nothing(world: World) -> None:
    services, provider = world.services, world.provider
    own = await world.session_of("siti")
    with pytest.raises(FlowRefused) as error:
        await change_own_password(services, VISITOR, own, "Siti", "salah", NEW_PASSWORD)
    assert error.value.problem is Problem.WRONG_PASSWORD
    async with provider.db.write() as session:
        await sessions.end(session, [own.session_id], "by_person", clock.now())
    with pytest.raises(SessionEnded):
        await change_own_password(services, VISITOR, own, "Siti", PASSWORD, NEW_PASSWORD)
    async with provider.db.read() as session:
        user = await session.get(User, own.user_id)
        assert user is not None
        password = next(
            credential for credential in await users.credentials_of(session, user.id) if credential.kind == "password"
        )
    right, _ = await services.passwords.verify(PASSWORD, password.secret)
    assert right
