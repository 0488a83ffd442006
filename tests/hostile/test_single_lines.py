"""Rules that one line of the source keeps, and that no other test would miss: see ``tests/mutants/list.toml``."""

from __future__ import annotations

import pytest
from sqlalchemy import update
from tests.citizens import form_at, here
from tests.conformance.test_core_6_request_objects import push, registered
from tests.support import ISSUER, Browser, City, RelyingParty, query_of
from tests.web.test_accounts import add_account

from sso import clock
from sso.clients.metadata import contradictions_in, with_defaults
from sso.identity.sessions.models import SsoSession
from sso.identity.users.models import User
from sso.platform.keys import InvalidToken

REGISTRATION = {"client_registration": "open", "client_registration_profile": "certification"}
PROFILE, CONTACTS = "/account/profile", "/account/contacts"


async def _name_changes(browser: Browser, token: str, name: str) -> bool:
    """Send the form of the profile with a token; tell whether the name is changed."""
    answer = await browser.http.post(PROFILE, data={"csrf_token": token, "name": name})
    changed = name in (await browser.open("/account")).text
    assert answer.status_code == (303 if changed else 400)
    return changed


async def test_the_token_of_one_form_does_not_send_another(city: City) -> None:
    async with city.browser() as browser:
        await here(city, browser)
        contacts = form_at(await browser.open(CONTACTS), CONTACTS)["csrf_token"]
        profile = form_at(await browser.open(PROFILE), PROFILE)["csrf_token"]
        assert not await _name_changes(browser, contacts, "Nama Asing")
        assert await _name_changes(browser, profile, "Nama Sendiri")


async def test_the_token_of_a_form_ends_with_the_session_in_which_it_was_made(city: City) -> None:
    async with city.browser() as browser:
        await here(city, browser)
        earlier = form_at(await browser.open(PROFILE), PROFILE)["csrf_token"]
        known = browser.http.cookies.get("__Host-sso-browser")
        browser.http.cookies.delete("__Host-sso-session")
        await here(city, browser)
        assert browser.http.cookies.get("__Host-sso-browser") == known
        assert not await _name_changes(browser, earlier, "Nama Lama")
        assert await _name_changes(browser, form_at(await browser.open(PROFILE), PROFILE)["csrf_token"], "Nama Baru")


async def _disable(city: City, name: str) -> None:
    """Disable a user, and let their sessions stay: what ends them is another rule."""
    async with city.provider.db.write() as session:
        mine = User.id == city.users[name]
        await session.execute(update(User).where(mine).values(disabled_at=clock.now()))


async def _silently(browser: Browser, party: RelyingParty) -> dict[str, str]:
    """Return what an application is answered that asks without disturbing the person."""
    return query_of((await browser.open(party.url(prompt="none"))).headers["location"])


async def test_a_session_of_a_disabled_user_is_worth_nothing_although_it_stayed(city: City) -> None:
    party = city.relying_party("warga")
    async with city.browser() as browser:
        tokens = await browser.tokens(party, scope="openid profile offline_access")
        waiting = await browser.code(party)
        form = form_at(await browser.open(PROFILE), PROFILE)
        assert "code" in await _silently(browser, party)
        await _disable(city, "siti")
        assert (await _silently(browser, party))["error"] == "login_required"
        assert (await browser.http.get("/account")).headers["location"].startswith("/login")
        assert (await browser.http.post(PROFILE, data=form)).headers["location"].startswith("/login")
    assert (await party.exchange(waiting)).body["error"] == "invalid_grant"
    assert (await party.refresh(tokens["refresh_token"])).body["error"] == "invalid_grant"
    assert (await party.userinfo(tokens["access_token"])).status_code == 401
    assert await party.introspect(tokens["access_token"]) == {"active": False}


async def test_an_ended_session_is_worth_nothing_although_its_grants_stayed(city: City) -> None:
    party = city.relying_party("warga")
    async with city.browser() as browser:
        tokens = await browser.tokens(party)
        async with city.provider.db.write() as session:
            await session.execute(update(SsoSession).values(ended_at=clock.now()))
        assert (await _silently(browser, party))["error"] == "login_required"
        assert (await browser.http.get("/account")).headers["location"].startswith("/login")
    assert (await party.userinfo(tokens["access_token"])).status_code == 401


async def test_a_disabled_user_is_not_among_the_accounts_of_a_browser(city: City) -> None:
    async with city.browser() as browser:
        await browser.tokens(city.relying_party("warga"))
        assert "Lanjutkan sebagai Siti Rahmawati" in (await add_account(browser, "budi")).text
        await _disable(city, "siti")
        home = (await browser.open("/")).text
        assert "Halo, Budi Santoso" in home
        assert "Siti Rahmawati" not in home


async def test_a_session_in_use_lives_until_its_end_and_one_out_of_use_ends_earlier(city: City) -> None:
    party, settings = city.relying_party("warga"), city.settings
    idle, whole = (int(limit.total_seconds()) for limit in (settings.session_idle_timeout, settings.session_lifetime))
    async with city.browser() as browser:
        tokens = await browser.tokens(party)
        passed = 0
        while passed + idle * 0.9 < whole:  # used again and again: no pause is as long as the limit
            clock.advance(idle * 0.9)
            passed += int(idle * 0.9)
            assert "code" in await _silently(browser, party), f"after {passed} seconds"
        assert passed > idle
        clock.advance(whole - passed + 1)
        assert (await _silently(browser, party))["error"] == "login_required"
    async with city.browser() as browser:
        tokens = await browser.tokens(party)
        clock.advance(idle + 1)
        assert idle + 1 < whole
        assert (await _silently(browser, party))["error"] == "login_required"
        assert (await browser.http.get("/account")).headers["location"].startswith("/login")
        assert await party.introspect(tokens["access_token"]) == {"active": False}


def test_the_nik_is_for_the_citys_own_applications_alone() -> None:
    document = {"type": "web", "scope": "openid nik", "scope_reasons": {"nik": "Rekam medis."}}
    for first_party, expected in ((True, []), (False, ["scope: nik is only for the city's own: first_party: true"])):
        full = with_defaults({**document, "first_party": first_party})
        assert [text for text in contradictions_in(full, [], {}) if "nik" in text] == expected


@pytest.mark.parametrize("length", [42, 44])
async def test_a_code_challenge_has_43_characters(city: City, length: int) -> None:
    party = city.relying_party("warga")
    async with city.browser() as browser:
        answer = query_of((await browser.open(party.url(code_challenge="A" * length))).headers["location"])
    assert answer["error"] == "invalid_request"
    assert "43 characters" in answer["error_description"]


@pytest.mark.parametrize("overrides", [REGISTRATION])
async def test_a_pushed_request_is_for_the_client_that_pushed_it(city: City) -> None:
    party, other = await registered(city), await registered(city)
    uri = (await push(party)).json()["request_uri"]
    async with city.browser() as browser:
        assert (await browser.open(f"/authorize?client_id={party.client_id}&request_uri={uri}")).status_code == 200
        refused = await browser.open(f"/authorize?client_id={other.client_id}&request_uri={uri}")
    assert refused.status_code == 400


async def test_a_token_of_our_keys_with_another_issuer_is_not_ours(city: City) -> None:
    keys, now = city.provider.keys, clock.timestamp()
    claims = {"iss": ISSUER, "sub": "x", "iat": now, "exp": now + 60}
    assert keys.verify(keys.sign(claims, "ES256", "at+jwt"), typ="at+jwt", issuer=ISSUER) == claims
    foreign = keys.sign({**claims, "iss": f"{ISSUER}/check/lain"}, "ES256", "at+jwt")
    with pytest.raises(InvalidToken):
        keys.verify(foreign, typ="at+jwt", issuer=ISSUER)


async def test_the_api_refuses_a_token_for_another_api(city: City) -> None:
    async with city.browser() as browser, city.client() as http:
        for client_id, scope, expected in (("konsol", "openid profile", 200), ("api", "surat:baca", 401)):
            tokens = await browser.tokens(city.relying_party(client_id), username="ratna", scope=scope)
            headers = {"Authorization": f"Bearer {tokens['access_token']}"}
            assert (await http.get("/api/v1/me", headers=headers)).status_code == expected, client_id


async def test_a_client_with_a_secret_gets_nothing_by_its_name(city: City) -> None:
    party = city.relying_party("warga")
    async with city.browser() as browser, city.client() as http:
        code = await browser.code(party)
        form = {"grant_type": "authorization_code", "code": code, "redirect_uri": party.redirect_uri}
        form |= {"code_verifier": party.verifier, "client_id": party.client_id}
        answer = await http.post("/token", data=form)
        assert (answer.status_code, answer.json()["error"]) == (401, "invalid_client")
        assert (await party.exchange(code)).status == 200
