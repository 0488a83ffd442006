"""An invitation is for the person who was meant, and holds only while who invited may still invite (SECURITY.md)."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta

import pytest
from sqlalchemy import delete, select, update
from tests.api.conftest import program
from tests.arranged import own_form, signed_in
from tests.support import Browser, City
from tests.web.test_developer import person, post, register

from sso import clock
from sso.accounts.deletion import delete_user
from sso.accounts.merging import merge_users
from sso.clients.models import Application, TeamInvitation, TeamMember
from sso.identity.users.models import Identifier, User
from sso.platform.actor import Actor

TEAM = "/developer/apps/antrean/team"


@pytest.fixture
async def owner(city: City) -> AsyncIterator[Browser]:
    """A developer who owns the application ``antrean``."""
    await person(city, "dimas", "developer")
    async with await signed_in(city, "dimas") as browser:
        await register(browser)
        yield browser


async def invite(owner: Browser, who: str, role: str = "owner") -> None:
    await post(owner, await owner.open(TEAM), choice="invite", who=who, role=role)


async def joins(city: City, name: str) -> bool:
    """Let somebody accept, whatever their page shows, and tell whether they are in the team then."""
    async with await signed_in(city, name) as browser:
        return await joins_at(city, browser, name)


async def joins_at(city: City, browser: Browser, name: str) -> bool:
    """Let somebody accept at a browser; their page shows the invitation exactly where that makes them a member."""
    page = await browser.open("/developer")
    form = own_form(city, browser, "invitations")
    await browser.http.post("/developer/invitations", data={**form, "choice": "accept antrean"})
    joined = await is_in(city, name)
    assert ((await browser.open("/developer/apps/antrean")).status_code == 200) == joined
    assert ("accept antrean" in page.text) == joined
    return joined


async def is_in(city: City, name: str) -> bool:
    async with city.provider.db.read() as session:
        return await session.get(TeamMember, ("antrean", city.users[name])) is not None


async def rename(city: City, name: str, to: str) -> None:
    """Give somebody another user name by their own page."""
    async with await signed_in(city, name) as browser:
        answer = await post(browser, await browser.open("/account/contacts"), choice="username", username=to)
        assert "409" not in str(answer.status_code), answer.text[:800]


async def test_whoever_takes_a_user_name_later_inherits_no_invitation(city: City, owner: Browser) -> None:
    await person(city, "wayan")
    await person(city, "made")
    await invite(owner, "wayan")
    await rename(city, "wayan", "wayan.lama")
    await rename(city, "made", "wayan")
    async with city.provider.db.write() as session:  # they sign in by their new names
        names = (await session.execute(select(Identifier).where(Identifier.lookup == "wayan"))).scalars().all()
        assert [identifier.user_id for identifier in names] == [city.users["made"]]
    city.users["wayan.lama"], city.users["wayan"], meant = city.users["wayan"], city.users["made"], city.users["wayan"]
    assert not await joins(city, "wayan")
    assert await joins(city, "wayan.lama")
    assert city.users["wayan.lama"] == meant
    await invite(owner, "belum.ada")  # nobody has it: whoever takes it afterwards was not meant
    await person(city, "belum.ada")
    assert not await joins(city, "belum.ada")
    await invite(owner, "belum.ada")  # invited again, now that somebody has it
    assert await joins(city, "belum.ada")


async def test_an_invitation_by_mail_is_for_who_has_verified_the_address(city: City, owner: Browser) -> None:
    """budi has an unverified e-mail address; siti has verified hers."""
    await invite(owner, "budi@warga.example")
    assert not await joins(city, "budi")
    await invite(owner, "siti@warga.example")
    async with city.provider.db.write() as session:
        mine = (Identifier.user_id == city.users["siti"]) & (Identifier.kind == "email")
        await session.execute(delete(Identifier).where(mine))
    assert not await joins(city, "siti"), "she gave the address up"
    async with city.provider.db.write() as session:
        now, mail = clock.now(), "siti@warga.example"
        values = {"kind": "email", "value": mail, "lookup": mail, "created_at": now, "is_primary": True}
        session.add(Identifier(user_id=city.users["siti"], verified_at=now, **values))
    assert await joins(city, "siti")
    for who in ("3671014104900001", "0812 3456 7890"):
        answer = await post(owner, await owner.open(TEAM), choice="invite", who=who, role="member")
        assert answer.status_code == 400


async def test_an_invitation_holds_only_while_it_may_still_be_given(city: City, owner: Browser) -> None:
    await person(city, "wayan")
    await person(city, "made", "developer")
    await invite(owner, "made@warga.example")
    assert await joins(city, "made")
    async with await signed_in(city, "made") as browser:
        await invite(browser, "wayan")

    async def set_(table: type, where: object, **values: object) -> None:
        async with city.provider.db.write() as session:
            await session.execute(update(table).where(where).values(**values))  # type: ignore[arg-type]

    mine = TeamMember.user_id == city.users["made"]
    inviter, application = User.id == city.users["made"], Application.application_id == "antrean"
    now = clock.now()
    later = now + timedelta(days=3650)
    wayan = await signed_in(city, "wayan")
    for table, where, wrong, right in (
        (TeamMember, mine, {"role": "member"}, {"role": "owner"}),
        (User, inviter, {"disabled_at": now}, {"disabled_at": None}),
        (User, inviter, {"locked_until": later}, {"locked_until": None}),
        (Application, application, {"state": "suspended"}, {"state": "sandbox"}),
        (Application, application, {"state": "retired"}, {"state": "sandbox"}),
        (TeamInvitation, TeamInvitation.lookup == "wayan", {"expires_at": now}, {"expires_at": later}),
    ):
        await set_(table, where, **wrong)
        assert not await joins_at(city, wayan, "wayan"), wrong
        await set_(table, where, **right)
    assert await joins_at(city, wayan, "wayan")
    await wayan.http.aclose()


async def test_who_was_deleted_or_merged_leaves_no_invitation(city: City, owner: Browser) -> None:
    for name in ("wayan", "made", "tetap"):
        await person(city, name)
    await invite(owner, "wayan")
    await invite(owner, "made")
    async with city.provider.db.write() as session:
        users = {name: await session.get(User, city.users[name]) for name in ("wayan", "made", "tetap")}
        assert users["wayan"]
        assert users["made"]
        assert users["tetap"]
        await delete_user(session, city.provider, users["wayan"], actor=Actor("cli"))
        await merge_users(session, city.provider, users["tetap"], users["made"], actor=Actor("cli"))
    await person(city, "wayan")
    assert not await joins(city, "wayan")
    assert not await joins(city, "tetap")
    async with city.provider.db.read() as session:
        assert (await session.execute(select(TeamInvitation))).scalars().all() == []


async def test_an_address_that_a_program_marked_as_verified_carries_no_invitation(city: City, owner: Browser) -> None:
    await person(city, "wayan")
    await invite(owner, "calon@warga.example")
    api = await program(city, "sso:users:read sso:users:write")
    path = f"/users/{city.users['wayan']}"
    change = {"email": "calon@warga.example", "email_verified": True}
    answer = await api("PATCH", path, json=change, headers={"If-Match": await api.etag(path)})
    assert answer.status_code == 200, answer.text
    assert not await joins(city, "wayan")
