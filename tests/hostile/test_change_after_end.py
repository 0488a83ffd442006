"""A session that ends while one of its requests is answered changes nothing any more (issue 16, section 6)."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from typing import Any

import httpx2 as httpx
import pyotp
import pytest
from sqlalchemy import select
from tests.arranged import own_form, sign_in
from tests.citizens import NEW_PASSWORD, Authenticator, form_at, kinds, options_of
from tests.hostile.test_races import Interposed
from tests.support import PASSWORD, Browser, City

from sso import clock
from sso.accounts.credentials import change_password
from sso.identity.authn import pending_flows
from sso.identity.users.models import Credential, Identifier, User
from sso.platform.actor import Actor

SECURITY, CONTACTS, PROFILE, DATA = "/account/security", "/account/contacts", "/account/profile", "/account/data"


async def _password(browser: Browser) -> tuple[str, dict[str, str]]:
    form = form_at(await browser.open(SECURITY), SECURITY)
    return SECURITY, {**form, "choice": "password", "password": PASSWORD, "new_password": NEW_PASSWORD}


async def _passkey(browser: Browser) -> tuple[str, dict[str, str]]:
    page = await browser.open(SECURITY)
    answer = Authenticator().create(options_of(page, "create"))
    return SECURITY, {**form_at(page, SECURITY), "choice": "passkey", "credential": answer, "name": "Ponsel"}


async def _codes(browser: Browser) -> tuple[str, dict[str, str]]:
    return SECURITY, {**form_at(await browser.open(SECURITY), SECURITY), "choice": "codes"}


async def _app(browser: Browser) -> tuple[str, dict[str, str]]:
    page = await browser.open(SECURITY + "/app")
    seed = re.search(r'class="key" translate="no">([A-Z2-7 ]+)<', page.text)
    assert seed is not None
    code = pyotp.TOTP(seed.group(1).replace(" ", "")).at(clock.timestamp())
    return SECURITY + "/app", {**form_at(page, SECURITY + "/app"), "code": code}


async def _username(browser: Browser) -> tuple[str, dict[str, str]]:
    return CONTACTS, {**form_at(await browser.open(CONTACTS), CONTACTS), "choice": "username", "username": "penyerang"}


async def _nik(browser: Browser) -> tuple[str, dict[str, str]]:
    return CONTACTS, {**form_at(await browser.open(CONTACTS), CONTACTS), "choice": "nik", "nik": "3671016104900001"}


async def _profile(browser: Browser) -> tuple[str, dict[str, str]]:
    return PROFILE, {**form_at(await browser.open(PROFILE), PROFILE), "name": "Orang Lain"}


async def _export(browser: Browser) -> tuple[str, dict[str, str]]:
    return "/account/export", form_at(await browser.open(DATA), "/account/export")


async def _delete(browser: Browser) -> tuple[str, dict[str, str]]:
    form = form_at(await browser.open("/account/delete"), "/account/delete")
    return "/account/delete", {**form, "sure": "1", "password": PASSWORD}


ACTS: tuple[Callable[[Browser], Awaitable[tuple[str, dict[str, str]]]], ...] = (
    _password, _passkey, _codes, _app, _username, _nik, _profile, _export, _delete,
)  # fmt: skip


async def what_is(city: City) -> Any:
    """Return what the account is and what opens it."""
    async with city.provider.db.read() as session:
        user = await session.get(User, city.users["siti"])
        assert user is not None
        mine = select(Credential.kind, Credential.secret).where(Credential.user_id == user.id)
        names = select(Identifier.kind, Identifier.lookup).where(Identifier.user_id == user.id)
        results = [(await session.execute(query)).all() for query in (mine, names)]
        return user.name, user.delete_at, *(sorted(tuple(row) for row in rows) for rows in results)


@pytest.mark.parametrize("overrides", [{"password_min_length": 8}])
async def test_who_was_signed_out_meanwhile_changes_nothing(city: City, monkeypatch: pytest.MonkeyPatch) -> None:
    middle, wrong = Interposed(city, monkeypatch), []
    async with city.browser() as owner:
        await sign_in(city, owner, "siti")
        before = await what_is(city)
        for act in ACTS:
            async with city.browser() as thief:
                await sign_in(city, thief, "siti")
                path, fields = await act(thief)
                form = own_form(city, owner, "own sessions")
                ended: list[httpx.Response] = []

                async def end(form: dict[str, str] = form, ended: list[httpx.Response] = ended) -> None:
                    ended.append(await owner.http.post("/account/sessions", data={**form, "choice": "others"}))

                middle.arm(end)
                answer = await thief.http.post(path, data=fields)
                assert ended, act.__name__
                assert ended[0].headers["location"].endswith("done=1"), act.__name__
                if not answer.headers.get("location", "").startswith("/login") or await what_is(city) != before:
                    wrong.append((act.__name__, answer.status_code, answer.headers.get("location")))
    assert not wrong, wrong


@pytest.mark.parametrize("overrides", [{"second_factor_roles": ["admin"]}])
async def test_no_app_is_set_up_by_a_sign_in_that_is_over(city: City, monkeypatch: pytest.MonkeyPatch) -> None:
    """A role needs a second factor: somebody with the password sets an app up while the owner gets another password."""
    middle = Interposed(city, monkeypatch)
    async with city.browser() as thief:
        page = await thief.submit(await thief.open("/login"), username="ratna", password=PASSWORD)
        seed = re.search(r'class="key" translate="no">([A-Z2-7 ]+)<', page.text)
        assert seed is not None, page.text[:800]
        code = pyotp.TOTP(seed.group(1).replace(" ", "")).at(clock.timestamp())
        form = form_at(page, "/login/second")

        async def end() -> None:
            async with city.provider.db.write() as session:
                user = await session.get(User, city.users["ratna"])
                assert user is not None
                await change_password(session, city.provider, user, "$argon2id$x", actor=Actor("cli"))

        async def later() -> None:  # the attempt and its place are counted first
            middle.arm(end)

        count = pending_flows.count_attempt

        async def counted(*args: Any, **options: Any) -> bool:
            allowed = await count(*args, **options)
            await later()
            return allowed

        monkeypatch.setattr(pending_flows, "count_attempt", counted)
        await thief.http.post("/login/second", data={**form, "code": code})
    assert await kinds(city, "ratna") == ["password"]
