"""A role that needs a second factor is not held by sessions and sign-ins from before it was given."""

from __future__ import annotations

from typing import Any

import pytest
from tests.api.conftest import ALL_SCOPES, Api, program
from tests.arranged import sign_in
from tests.support import PASSWORD, City
from tests.web.test_developer import post

from sso.identity.users.store import groups_of


@pytest.fixture
def overrides() -> dict[str, Any]:
    return {"second_factor_roles": "helpdesk"}


async def test_sessions_of_before_do_not_get_a_role_that_needs_a_second_factor(city: City) -> None:
    siti, admin = city.users["siti"], await program(city)
    async with city.browser() as browser:
        tokens = await browser.tokens(city.relying_party("konsol"), username="siti", scope=f"openid {ALL_SCOPES}")
        before = Api(city, tokens["access_token"])
        assert (await before("GET", "/me")).status_code == 200

        async def give(*roles: str) -> None:
            tag = {"If-Match": await admin.etag(f"/users/{siti}")}
            answer = await admin("PUT", f"/users/{siti}/roles", json={"roles": roles}, headers=tag)
            assert answer.status_code == 200, answer.text

        await give("citizen", "officer")
        assert (await browser.open("/admin/people")).status_code == 200, "no second factor is due: the session stays"
        await give("citizen", "helpdesk")
        page = await browser.open("/admin/people")
        assert page.url.path == "/login", "whoever holds the session has shown no second factor"
        assert (await before("GET", "/users")).status_code == 401
        page = await browser.submit(page, username="siti", password=PASSWORD)
        assert (await browser.open("/admin/people")).url.path == "/login", "a password alone is not enough now"


async def test_nor_by_the_page_of_administrators(city: City) -> None:
    async with city.browser() as browser, city.browser() as admin:
        await sign_in(city, browser, "siti")
        assert (await browser.open("/account")).url.path == "/account"
        await sign_in(city, admin, "ratna")
        path = f"/admin/people/{city.users['siti']}"
        fields = {"role citizen": "1", "role helpdesk": "1", "role group_admin": "1", "group E-Kesehatan": "1"}
        page = await post(admin, await admin.open(path), f"{path}/roles", **fields, note="x")
        assert page.status_code == 200, page.text[:300]
        assert (await browser.open("/admin/people")).url.path == "/login"
    async with city.provider.db.read() as session:
        assert await groups_of(session, city.users["siti"]) == ["E-Kesehatan"]
