"""RP-Initiated Logout, Session Management, Front-Channel and Back-Channel Logout."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import httpx2 as httpx
import jwt
import pytest
from tests.conformance.conftest import World
from tests.conformance.parties import authorize, claims_of, registered, tokens
from tests.demands import demand
from tests.support import ISSUER, Browser, City, RelyingParty, form_of, query_of, tampered

from sso import clock
from sso.oidc.session_state import origin_of, session_state

BACK = "https://rp.example/out"
STATE_COOKIE = "__Host-sso-state"


async def with_logout(city: City, **metadata: Any) -> RelyingParty:
    return await registered(city, post_logout_redirect_uris=[BACK, BACK + "?a=1"], **metadata)


async def log_out(browser: Browser, method: str = "get", **parameters: str | None) -> httpx.Response:
    sent = {name: value for name, value in parameters.items() if value is not None}
    if method == "get":
        return await browser.open(f"/logout?{urlencode(sent)}")
    return await browser._follow(await browser.http.post("/logout", data=sent))


async def is_signed_in(browser: Browser, party: RelyingParty) -> bool:
    return "code" in await authorize(browser, party, prompt="none")


@demand("RP-Initiated Logout 2", "GET and POST: a valid hint of the session logs out and goes back, with state")
@pytest.mark.parametrize("method", ["get", "post"])
async def test_a_valid_hint(city: City, method: str) -> None:
    party = await with_logout(city)
    async with city.browser() as browser:
        hint = (await tokens(browser, party))["id_token"]
        answer = await log_out(
            browser,
            method,
            id_token_hint=hint,
            post_logout_redirect_uri=BACK,
            state="a b&=é",
            client_id=party.client_id,
        )
        assert answer.status_code == 303
        assert answer.headers["location"].startswith(BACK + "?")
        assert query_of(answer.headers["location"]) == {"state": "a b&=é"}
        assert not await is_signed_in(browser, party)


@demand("RP-Initiated Logout 3", "without state none is added; a registered query is kept")
async def test_without_state(city: City) -> None:
    party = await with_logout(city)
    async with city.browser() as browser:
        hint = (await tokens(browser, party))["id_token"]
        answer = await log_out(browser, id_token_hint=hint, post_logout_redirect_uri=BACK + "?a=1")
    assert answer.headers["location"] == BACK + "?a=1"


@demand("RP-Initiated Logout 2", "an expired hint is accepted")
async def test_an_expired_hint(city: City) -> None:
    party = await with_logout(city)
    async with city.browser() as browser:
        hint = (await tokens(browser, party))["id_token"]
        clock.advance(3600)
        answer = await log_out(browser, id_token_hint=hint, post_logout_redirect_uri=BACK)
        assert answer.headers["location"] == BACK


@demand("RP-Initiated Logout 2", "no parameters, only state, or no redirect URI: a confirmation, then a page")
async def test_without_a_hint(city: City, subtests: pytest.Subtests) -> None:
    party = await with_logout(city)
    cases: list[dict[str, str]] = [{}, {"state": "x"}, {"client_id": party.client_id}, {"logout_hint": "siti"}]
    for parameters in cases:
        with subtests.test(str(parameters)):
            async with city.browser() as browser:
                await tokens(browser, party)
                page = await log_out(browser, **parameters)
                assert page.status_code == 200
                assert await is_signed_in(browser, party), "asked first"
                done = await browser.submit(page)
                assert done.status_code == 200
                assert not await is_signed_in(browser, party)


@demand("RP-Initiated Logout 2", "a hint and no redirect URI: logged out, and a page")
async def test_no_return_address(city: City) -> None:
    party = await with_logout(city)
    async with city.browser() as browser:
        hint = (await tokens(browser, party))["id_token"]
        page = await log_out(browser, id_token_hint=hint)
        assert page.status_code == 200
        assert not await is_signed_in(browser, party)


@demand("RP-Initiated Logout 3", "no redirect without a valid hint, to an unregistered address, or with a query added")
async def test_no_redirect(city: City) -> None:
    party, other = await with_logout(city), await with_logout(city)
    async with city.browser() as browser:
        hint = (await tokens(browser, party))["id_token"]
        foreign = (await tokens(browser, other))["id_token"]
        for parameters in (
            {"post_logout_redirect_uri": BACK, "state": "x"},
            {"post_logout_redirect_uri": BACK, "client_id": party.client_id},
            {"id_token_hint": tampered(hint), "post_logout_redirect_uri": BACK},
            {"id_token_hint": "x", "post_logout_redirect_uri": BACK},
            {"id_token_hint": foreign, "client_id": party.client_id, "post_logout_redirect_uri": BACK},
            {"id_token_hint": hint, "post_logout_redirect_uri": BACK + "?b=2"},
            {"id_token_hint": hint, "post_logout_redirect_uri": "https://evil.example/"},
            {"id_token_hint": hint, "post_logout_redirect_uri": BACK + "/"},
        ):
            answer = await log_out(browser, **parameters)
            assert "location" not in answer.headers, parameters
            assert await is_signed_in(browser, party), parameters


@demand("RP-Initiated Logout 2", "where nobody is signed in a valid hint still goes back")
async def test_nobody_is_signed_in(city: City) -> None:
    party = await with_logout(city)
    async with city.browser() as browser, city.browser() as fresh:
        hint = (await tokens(browser, party))["id_token"]
        answer = await log_out(fresh, id_token_hint=hint, post_logout_redirect_uri=BACK, state="s")
        assert answer.headers["location"] == BACK + "?state=s"


@demand("RP-Initiated Logout 2", "ui_locales chooses the language of the page")
async def test_languages(city: City) -> None:
    async with city.browser() as browser:
        assert '<html lang="en">' in (await log_out(browser, ui_locales="en")).text
        assert '<html lang="id">' in (await log_out(browser, ui_locales="id fr")).text


async def test_a_repeated_parameter_is_a_page(city: City) -> None:
    async with city.browser() as browser:
        assert (await browser.open("/logout?state=a&state=b")).status_code == 400


@demand("Session Management 2", "session_state is in every answer to an authentication request, and salted")
async def test_session_state(city: City) -> None:
    party, other = await registered(city), await registered(city, redirect_uris=["https://other.example:8443/cb"])
    async with city.browser() as browser:
        answers = [await authorize(browser, application) for application in (party, party, other)]
        state = browser.http.cookies[STATE_COOKIE]
    values = [answer["session_state"] for answer in answers]
    assert len(set(values)) == 3
    for answer, application in zip(answers, (party, party, other), strict=True):
        salt = answer["session_state"].partition(".")[2]
        assert answer["session_state"] == session_state(application.client_id, application.redirect_uri, state, salt)
    assert origin_of("https://other.example:443/x") == "https://other.example"
    assert origin_of("https://[::1]:8443/x") == "https://[::1]:8443"


@demand("Session Management 3.2", "the browser's state changes when the session does, and not otherwise")
async def test_the_browser_state(city: City) -> None:
    party = await with_logout(city)
    async with city.browser() as browser:
        hint = (await tokens(browser, party))["id_token"]
        first = browser.http.cookies[STATE_COOKIE]
        await authorize(browser, party)
        await city.provider.refresh()
        assert browser.http.cookies[STATE_COOKIE] == first
        clock.advance(2)
        await authorize(browser, party, prompt="login")
        assert browser.http.cookies[STATE_COOKIE] == first, "the same person, the same session"
        await authorize(browser, party, prompt="login", username="budi")
        second = browser.http.cookies[STATE_COOKIE]
        assert second != first
        hint = (await tokens(browser, party))["id_token"]
        await log_out(browser, id_token_hint=hint)
        assert STATE_COOKIE not in browser.http.cookies
        await authorize(browser, party)
        assert browser.http.cookies[STATE_COOKIE] not in (first, second)


@demand("Session Management 3.2", "a session that is over elsewhere is over in the browser's state at the next visit")
async def test_the_browser_state_of_a_session_that_ended(city: City) -> None:
    party = await registered(city)
    async with city.browser() as browser:
        await authorize(browser, party)
        clock.advance(9 * 3600)
        assert (await authorize(browser, party, prompt="none"))["error"] == "login_required"
        assert STATE_COOKIE not in browser.http.cookies


@demand("Session Management 3.3", "check_session_iframe may be framed by anybody and runs our script only")
async def test_the_check_session_page(city: City) -> None:
    party = await registered(city)
    async with city.browser() as browser, city.client() as http:
        document = (await http.get("/.well-known/openid-configuration")).json()
        page = await http.get(document["check_session_iframe"])
        await authorize(browser, party)
        cookies = {cookie.name: cookie for cookie in browser.http.cookies.jar}
    policy = page.headers["content-security-policy"]
    assert "frame-ancestors *" in policy
    assert "script-src 'self'" in policy
    assert "x-frame-options" not in page.headers
    assert cookies[STATE_COOKIE].secure
    assert not cookies[STATE_COOKIE].has_nonstandard_attr("HttpOnly")
    assert cookies[STATE_COOKIE].get_nonstandard_attr("SameSite") == "none"
    assert cookies["__Host-sso-session"].has_nonstandard_attr("HttpOnly")


@demand("Front-Channel Logout 2", "the signed-out page frames the application's address with iss and sid")
@demand("Front-Channel Logout 3", "and goes on to the return address afterwards")
@pytest.mark.parametrize("onward", [True, False])
@pytest.mark.parametrize("also", [{}, {"backchannel_logout_uri": "https://rp.example/bcl"}], ids=["alone", "beside"])
async def test_the_front_channel(city: City, onward: bool, also: dict[str, str]) -> None:
    party = await with_logout(city, frontchannel_logout_uri="https://rp.example/fcl?x=1", **also)
    async with city.browser() as browser:
        token_response = await tokens(browser, party)
        parameters = {"post_logout_redirect_uri": BACK, "state": "s"} if onward else {}
        page = await log_out(browser, id_token_hint=token_response["id_token"], **parameters)
        assert not await is_signed_in(browser, party)
    assert page.status_code == 200
    address = page.text.partition('<iframe src="')[2].partition('"')[0].replace("&amp;", "&")
    assert address.startswith("https://rp.example/fcl?x=1&")
    sent = parse_qs(urlsplit(address).query)
    assert (sent["iss"], sent["sid"]) == ([ISSUER], [claims_of(token_response["id_token"])["sid"]])
    assert "frame-src https://rp.example" in page.headers["content-security-policy"]
    assert (f'href="{BACK}?state=s"' in page.text) == onward
    assert ("onward" in page.text) == onward


@demand("Back-Channel Logout 2.5", "every application that took part is told by a POST with a logout token")
@demand("Back-Channel Logout 2.4", "the logout token has iss, aud, iat, exp, jti, sub, sid and events, and no nonce")
async def test_the_back_channel(city: City, world: World) -> None:
    uri = world.publish("/bcl", "", "text/plain")
    party = await with_logout(city, backchannel_logout_uri=uri, backchannel_logout_session_required=True)
    async with city.browser() as browser:
        token_response = await tokens(browser, party)
        await log_out(browser, id_token_hint=token_response["id_token"])
    await city.site.worker.drain()
    assert [path for path, _ in world.forms] == ["/bcl"]
    token = parse_qs(world.forms[0][1].decode())["logout_token"][0]
    async with city.client() as http:
        keys = {key["kid"]: key for key in (await http.get("/jwks")).json()["keys"]}
    header = jwt.get_unverified_header(token)
    assert (header["typ"], header["alg"]) == ("logout+jwt", "RS256")
    claims = jwt.decode(token, jwt.PyJWK(keys[header["kid"]]).key, ["RS256"], audience=party.client_id, issuer=ISSUER)
    about = claims_of(token_response["id_token"])
    assert (claims["sub"], claims["sid"]) == (about["sub"], about["sid"])
    assert claims["events"] == {"http://schemas.openid.net/event/backchannel-logout": {}}
    assert claims["exp"] - claims["iat"] <= 120
    assert claims["jti"]
    assert "nonce" not in claims


@demand("Back-Channel Logout 2.7", "refresh tokens without offline_access end with the session, those with it do not")
async def test_refresh_tokens_and_the_end_of_a_session(city: City) -> None:
    party = await with_logout(city, grant_types=["authorization_code", "refresh_token"])
    async with city.browser() as browser:
        bound = await tokens(browser, party)
        free = await tokens(browser, party, scope="openid offline_access")
        await log_out(browser, id_token_hint=bound["id_token"])
    assert (await party.refresh(bound["refresh_token"])).body["error"] == "invalid_grant"
    assert (await party.refresh(free["refresh_token"])).status == 200


async def test_the_confirmation_names_the_application(city: City) -> None:
    party = await with_logout(city, client_name="Toko Buku")
    async with city.browser() as browser:
        await tokens(browser, party)
        page = await log_out(browser, client_id=party.client_id)
        assert form_of(page).action == "/logout"
    assert json.dumps(form_of(page).fields)
