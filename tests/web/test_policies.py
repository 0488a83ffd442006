"""Who may use an application, from where and when, and how long its tokens are valid: decided by administrators."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import uuid4
from zoneinfo import ZoneInfo

import pytest
from sqlalchemy import select
from tests.arranged import signed_in
from tests.support import Browser, City, forms_in, query_of
from tests.web.test_developer import post

from sso import clock
from sso.clients.access_policy import check_hours, check_network
from sso.clients.metadata import ClientMetadata
from sso.clients.models import HERE
from sso.clients.registry import Client
from sso.clients.secrets import create_client
from sso.identity.groups.models import Group
from sso.identity.groups.store import add_group
from sso.identity.users.service import find, set_roles
from sso.oidc.demands import Facts, Way, unmet
from sso.oidc.store.standing import Standing
from sso.platform.actor import Actor
from sso.platform.audit.models import AuditEvent
from sso.platform.db import new_id
from sso.settings import whole_seconds

ZONE = "Asia/Jakarta"
OFFICE: dict[str, Any] = {
    "type": "web", "client_name": "Kantor", "first_party": True, "redirect_uris": ["https://kantor.example/cb"],
    "grant_types": ["authorization_code", "refresh_token", "urn:ietf:params:oauth:grant-type:device_code"],
}  # fmt: skip


def limited(**policies: Any) -> ClientMetadata:
    return ClientMetadata.model_validate({**OFFICE, **policies})


def local(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(ZONE))


@pytest.mark.parametrize(
    ("policies", "roles", "address", "at", "why"),
    [
        ({}, [], "203.0.113.7", "2026-11-25T03:00", None),
        ({"allowed_roles": ["officer"]}, ["citizen"], "203.0.113.7", "2026-11-25T03:00", "role"),
        ({"allowed_roles": ["officer", "admin"]}, ["citizen", "admin"], "203.0.113.7", "2026-11-25T03:00", None),
        ({"allowed_networks": ["10.20.0.0/16"]}, [], "10.20.255.1", "2026-11-25T03:00", None),
        ({"allowed_networks": ["10.20.0.0/16"]}, [], "::ffff:10.20.0.1", "2026-11-25T03:00", None),
        ({"allowed_networks": ["10.20.0.0/16"]}, [], "10.21.0.1", "2026-11-25T03:00", "network"),
        ({"allowed_networks": ["2001:db8::/32"]}, [], "10.21.0.1", "2026-11-25T03:00", "network"),
        ({"allowed_networks": ["10.20.0.0/16"]}, [], "", "2026-11-25T03:00", "network"),
        ({"allowed_hours": ["mon-fri 07:00-17:00"]}, [], "", "2026-11-25T07:00", None),
        ({"allowed_hours": ["mon-fri 07:00-17:00"]}, [], "", "2026-11-25T16:59", None),
        ({"allowed_hours": ["mon-fri 07:00-17:00"]}, [], "", "2026-11-25T17:00", "hours"),
        ({"allowed_hours": ["mon-fri 07:00-17:00"]}, [], "", "2026-11-28T12:00", "hours"),
        ({"allowed_hours": ["mon-fri 07:00-17:00", "sat 08:00-12:00"]}, [], "", "2026-11-28T11:00", None),
        ({"allowed_hours": ["fri-mon 00:00-24:00"]}, [], "", "2026-11-29T23:59", None),
        ({"allowed_hours": ["fri-mon 00:00-24:00"]}, [], "", "2026-11-25T12:00", "hours"),
    ],
)
def test_who_may_use_it_from_where_and_when(
    policies: dict[str, Any], roles: list[str], address: str, at: str, why: str | None
) -> None:
    client, person = Client("kantor", "active", limited(**policies), ()), Standing(uuid4(), roles=frozenset(roles))
    unmet_demand = unmet(Way.AUTHORIZE, client, Facts(moment=local(at), zone=ZONE, address=address, standing=person))
    assert (unmet_demand.demand if unmet_demand is not None else None) == why


@pytest.mark.parametrize(
    "text", ["", "mon", "mon 7-17", "mon 17:00-07:00", "mon 07:00-25:00", "mon 07:00-24:30", "foo 07:00-08:00"]
)
def test_hours_that_cannot_be_read_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match="mon-fri"):
        check_hours(text)


def test_networks_are_kept_in_their_usual_form() -> None:
    assert check_network(" 10.20.3.4/16 ") == "10.20.0.0/16"
    with pytest.raises(ValueError, match="network"):
        check_network("kantor")


async def office(city: City, **policies: Any) -> None:
    """Register the application, looked after here."""
    async with city.provider.db.write() as session:
        metadata = limited(**policies)
        secret = await create_client(
            session, city.provider.box, "kantor", metadata, catalogue=HERE, actor=Actor("test")
        )
    await city.provider.refresh()
    city.secrets["kantor"] = secret or ""


async def refused_page(city: City, browser: Browser, *texts: str) -> None:
    """Check that somebody is told that they may not, with these texts, and that the application is told too."""
    party = city.relying_party("kantor")
    page = await browser.sign_in(party)
    assert page.status_code == 200, page.text
    assert all(text in page.text for text in ("Anda tidak dapat menggunakan aplikasi ini", *texts))
    back = next(form for form in forms_in(page.text) if form.action == "/identity")
    answer = await browser.http.post("/identity", data=back.fields)
    assert query_of(answer.headers["location"])["error"] == "access_denied"
    silent = await browser.http.get(party.url(prompt="none"))
    assert query_of(silent.headers["location"])["error"] == "access_denied"


async def test_only_people_with_a_role_get_in(city: City) -> None:
    await office(city, allowed_roles=["officer"])
    async with city.browser() as browser:
        await refused_page(city, browser)
        async with city.provider.db.write() as session:
            await set_roles(session, await find(session, "siti"), ["citizen", "officer"])
        answer = await browser.open(city.relying_party("kantor").url())
        assert "code" in query_of(answer.headers["location"])


async def test_the_page_names_the_units_and_groups_that_may_use_it(city: City) -> None:
    await office(city, allowed_roles=["unit:DINKES/*", "group:PPI"])
    async with city.provider.db.write() as session:
        now = clock.now()
        for kind, code, name in (("unit", "DINKES", "Dinas Kesehatan"), ("group", "PPI", "Komite Infeksi")):
            group = Group(id=new_id(), kind=kind, code=code, name_id=name, created_at=now, updated_at=now)
            await add_group(session, group)
    async with city.browser() as browser:
        await refused_page(city, browser, "Anggota Dinas Kesehatan dan unit di bawahnya", "Anggota grup Komite Infeksi")


async def test_only_from_a_network(city: City) -> None:
    await office(city, allowed_networks=["10.20.0.0/16"])
    async with city.browser() as browser:
        await refused_page(city, browser)
    async with city.browser(address="10.20.7.7") as browser:
        assert await browser.code(city.relying_party("kantor"))


async def test_only_at_some_hours(city: City) -> None:
    now = clock.now().astimezone(ZoneInfo(city.settings.time_zone))
    days = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
    # Two days, because midnight may pass meanwhile.
    await office(city, allowed_hours=[f"{days[(now.weekday() + later) % 7]} 00:00-24:00" for later in (2, 3)])
    async with city.browser() as browser:
        await refused_page(city, browser)
    clock.advance(2 * 86400)
    async with city.browser() as browser:
        assert await browser.code(city.relying_party("kantor"))


async def test_a_device_is_not_connected_by_who_may_not_use_it(city: City) -> None:
    await office(city, allowed_roles=["officer"])
    party = city.relying_party("kantor")
    begun = (await party.post("/device_authorization", {"scope": "openid"})).json()
    siti = await signed_in(city, "siti")
    page = await siti.open(f"/device?user_code={begun['user_code']}")
    assert page.status_code == 403
    assert "peran" in page.text
    await siti.http.aclose()


async def test_tokens_are_valid_for_a_shorter_time_but_never_longer(city: City) -> None:
    await office(city, access_token_seconds=60, refresh_token_seconds=120)
    party = city.relying_party("kantor")
    async with city.browser() as browser:
        tokens = await browser.tokens(party)
    assert tokens["expires_in"] == 60
    claims = tokens.claims("access_token")
    assert claims["exp"] - claims["iat"] == 60
    clock.advance(121)
    assert (await party.refresh(tokens["refresh_token"])).status == 400
    longer = limited(access_token_seconds=86400)
    city.provider.registry.get("kantor")
    client = city.provider.registry.get("kantor")
    assert client is not None
    client.meta = longer
    assert city.provider.access_token_seconds(client) == whole_seconds(city.settings.access_token_lifetime)


@pytest.mark.parametrize("overrides", [{"access_token_lifetime": "100000s"}])
async def test_a_city_with_long_tokens_has_them_for_whoever_has_no_policy(city: City) -> None:
    client = city.provider.registry.get("warga")
    assert client is not None
    assert city.provider.access_token_seconds(client) == 100_000


async def own_roles_and_units(city: City, admin: Browser, path: str) -> None:
    """An application's own roles can be ticked, and units and groups written; what is wrong is shown again."""
    page = await admin.open(path)
    assert "Petugas loket (peran di aplikasi ini)" in page.text
    values = {"role app:operator": "1", "note": "Hanya petugas"}
    wrong = await post(admin, page, f"{path}/policies", **values, allowed_groups="unit:DINKES/*\nDINKES")
    assert wrong.status_code == 400
    assert "unit:DINKES/*\nDINKES</textarea>" in wrong.text, "what was typed is not lost"
    await post(admin, page, f"{path}/policies", **values, allowed_groups="unit:DINKES/*\r\ngroup:TIM")
    client = city.provider.registry.get("kantor")
    assert client is not None
    assert client.meta.allowed_roles == ["officer", "app:operator", "unit:DINKES/*", "group:TIM"]
    page = await admin.open(path)
    assert "unit:DINKES/*\ngroup:TIM</textarea>" in page.text
    assert 'name="role app:operator" value="1" checked' in page.text


async def test_an_administrator_decides_it_with_a_reason(city: City) -> None:
    await office(city, application_roles={"operator": {"title": "Petugas loket", "title#en": "Clerk"}})
    admin = await signed_in(city, "ratna")
    path = "/admin/applications/kantor"
    values = {"role officer": "1", "allowed_networks": "10.20.3.4/16\n", "allowed_hours": "Mon-Fri 07:00-17:00"}
    values["listed_for"] = "staff"
    page = await admin.open(path)
    assert (await post(admin, page, f"{path}/policies", **values)).status_code == 400, "a reason is missing"
    wrong = await post(admin, page, f"{path}/policies", **{**values, "allowed_hours": "selalu", "note": "x"})
    assert wrong.status_code == 400
    assert "10.20.3.4/16" in wrong.text, "what was typed is not lost"
    await post(admin, page, f"{path}/policies", **values, note="Hanya kantor", access_token_seconds="120")
    client = city.provider.registry.get("kantor")
    assert client is not None
    meta = client.meta
    assert (meta.allowed_roles, meta.allowed_networks) == (["officer"], ["10.20.0.0/16"])
    assert (meta.allowed_hours, meta.access_token_seconds) == (["mon-fri 07:00-17:00"], 120)
    assert meta.listed_for == "staff"
    async with city.provider.db.read() as session:
        statement = select(AuditEvent).where(AuditEvent.type == "client.policies_set").order_by(AuditEvent.id)
        event = (await session.execute(statement)).scalar_one()
    assert event.data == {"note": "Hanya kantor"}
    page = await admin.open(path)
    await post(admin, page, f"{path}/policies", note="Untuk semua", allowed_networks="", allowed_hours="")
    client = city.provider.registry.get("kantor")
    assert client is not None
    assert not client.meta.allowed_networks
    await own_roles_and_units(city, admin, path)
    catalogue = await admin.open("/admin/applications/warga")
    assert f"{path}/policies" not in catalogue.text.replace("warga", "kantor"), "its file decides that"
    await admin.http.aclose()
