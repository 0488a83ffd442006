"""RFC 8628: devices without a browser."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from tests.conformance.parties import authorize, claims_of, go_on, registered
from tests.demands import demand
from tests.support import ISSUER, PASSWORD, Browser, City, RelyingParty, form_of

from sso import clock
from sso.oidc.device.service import normal_user_code
from sso.platform.security.rate_limits import CountLimit

GRANT = "urn:ietf:params:oauth:grant-type:device_code"


async def device(city: City, **metadata: Any) -> RelyingParty:
    usual = {"grant_types": ["authorization_code", "refresh_token", GRANT], "token_endpoint_auth_method": "none"}
    return await registered(city, **{**usual, **metadata})


async def begin(party: RelyingParty, **form: str) -> dict[str, Any]:
    answer = await party.post("/device_authorization", {"scope": "openid profile", **form})
    assert answer.status_code == 200, answer.text
    device_authorization: dict[str, Any] = answer.json()
    return device_authorization


async def poll(party: RelyingParty, begun: dict[str, Any]) -> Any:
    return await party.token(grant_type=GRANT, device_code=begun["device_code"])


async def decide(browser: Browser, begun: dict[str, Any], choice: str = "allow", username: str = "siti") -> Any:
    page = await browser.open(begun["verification_uri_complete"])
    if "username" in form_of(page).fields:
        page = await browser.submit(page, username=username, password=PASSWORD)
    assert begun["user_code"] in page.text
    return await browser.submit(page, choice=choice)


@demand("RFC 8628 3.2", "the device gets its codes, where to type them, how long they live and how often to ask")
@demand("RFC 8628 6.1", "user codes have letters that are easy to type and make no words")
async def test_the_beginning(city: City) -> None:
    party = await device(city)
    answer = await party.post("/device_authorization", {"scope": "openid"})
    begun = answer.json()
    assert answer.headers["cache-control"] == "no-store"
    assert begun["verification_uri"] == ISSUER + "/device"
    assert begun["verification_uri_complete"] == f"{ISSUER}/device?user_code={begun['user_code']}"
    assert (begun["expires_in"], begun["interval"]) == (900, 5)
    letters = begun["user_code"].replace("-", "")
    assert len(letters) == 8
    assert not set(letters) & set("AEIOUY0123456789")
    assert normal_user_code(f" {letters.lower()} ") == begun["user_code"]


@demand("RFC 8628 3.4", "a device that waits gets its tokens once the person has allowed it")
@demand("RFC 8628 3.5", "authorization_pending until then")
async def test_the_whole_way(city: City) -> None:
    party = await device(city)
    begun = await begin(party)
    assert (await poll(party, begun)).body["error"] == "authorization_pending"
    async with city.browser() as browser:
        done = await decide(browser, begun)
        assert "terhubung" in done.text
    clock.advance(5)
    token_response = await poll(party, begun)
    assert token_response.status == 200, token_response.body
    claims = claims_of(token_response["id_token"])
    assert claims["sid"]
    assert (await party.userinfo(token_response["access_token"])).json()["name"] == "Siti Rahmawati"
    assert (await party.refresh(token_response["refresh_token"])).status == 200


@demand("RFC 8628 3.3", "the code can be typed by hand, in small letters, without its hyphen, before signing in")
async def test_typing_the_code(city: City) -> None:
    party = await device(city, client_name="Televisi")
    begun = await begin(party)
    async with city.browser() as browser:
        page = await browser.open("/device")
        page = await browser.submit(page, user_code=begun["user_code"].lower().replace("-", " "))
        assert "username" in form_of(page).fields
        page = await browser.submit(page, username="siti", password="wrong")
        page = await browser.submit(page, username="siti", password=PASSWORD)
        assert "Televisi" in page.text
        await browser.submit(page, choice="allow")
    assert (await poll(party, begun)).status == 200


@demand("RFC 8628 3.5", "access_denied when the person refuses")
async def test_refusing(city: City) -> None:
    party = await device(city)
    begun = await begin(party)
    async with city.browser() as browser:
        assert "tidak dihubungkan" in (await decide(browser, begun, "deny")).text
    assert (await poll(party, begun)).body["error"] == "access_denied"


@demand("RFC 8628 3.5", "slow_down for who asks too soon, and five seconds longer from then on")
async def test_asking_too_soon(city: City) -> None:
    party = await device(city)
    begun = await begin(party)
    errors = []
    for seconds in (0, 2, 6, 11):
        clock.advance(seconds)
        errors.append((await poll(party, begun)).body["error"])
    assert errors == ["authorization_pending", "slow_down", "slow_down", "slow_down"]
    clock.advance(21)
    assert (await poll(party, begun)).body["error"] == "authorization_pending"


@demand("RFC 8628 3.5", "expired_token after its time; the user code is over too")
async def test_codes_expire(city: City) -> None:
    party = await device(city)
    begun = await begin(party)
    clock.advance(901)
    assert (await poll(party, begun)).body["error"] == "expired_token"
    async with city.browser() as browser:
        page = await browser.open(begun["verification_uri_complete"])
        assert (page.status_code, "user_code" in form_of(page).fields) == (400, True)


@demand("RFC 8628 5.2", "a device code is used once; a second use ends what the first gave")
async def test_a_device_code_is_used_once(city: City) -> None:
    party = await device(city)
    begun = await begin(party)
    async with city.browser() as browser:
        await decide(browser, begun)
    answers = await asyncio.gather(*(poll(party, begun) for _ in range(10)))
    assert sorted(answer.status for answer in answers) == [200] + [400] * 9
    won = next(answer for answer in answers if answer.status == 200)
    assert {answer.body["error"] for answer in answers if answer.status == 400} == {"invalid_grant"}
    assert (await party.userinfo(won["access_token"])).status_code == 401


@demand("RFC 8628 5.1", "guessing user codes is limited")
async def test_guessing_is_limited(city: City) -> None:
    object.__setattr__(city.site.limits, "device_codes", CountLimit(3, 15))
    begun = await begin(await device(city))
    async with city.browser() as browser:
        page = await browser.open("/device")
        for number in range(3):
            answer = await browser.submit(page, user_code=f"BCDF-GHJ{'KLM'[number]}")
            assert answer.status_code == 400
        answer = await browser.submit(page, user_code=begun["user_code"])
        assert (answer.status_code, int(answer.headers["retry-after"]) > 0) == (429, True)
    async with city.browser(address="198.51.100.9") as elsewhere:
        assert "username" in form_of(await elsewhere.open(begun["verification_uri_complete"])).fields


@demand("RFC 8628 5.4", "nothing is allowed without a decision on a page that names the application and the code")
async def test_a_link_alone_allows_nothing(city: City) -> None:
    party = await device(city)
    begun = await begin(party)
    async with city.browser() as browser:
        await authorize(browser, await registered(city))
        page = await browser.open(begun["verification_uri_complete"])
        assert form_of(page).buttons == [("choice", "allow"), ("choice", "deny")]
        assert (await poll(party, begun)).body["error"] == "authorization_pending"
        forged = await browser.http.post("/device", data={"user_code": begun["user_code"], "choice": "allow"})
        assert form_of(forged).buttons, "asked again"
        other = await begin(party)
        fields = {**form_of(page).fields, "user_code": other["user_code"], "choice": "allow"}
        await browser.http.post("/device", data=fields)
    clock.advance(10)
    for authorization in (begun, other):
        assert (await poll(party, authorization)).body["error"] == "authorization_pending"


@demand("RFC 8628 3.1", "only for applications that registered the grant, with scopes that they registered")
async def test_who_may_begin(city: City) -> None:
    party, plain = await device(city), await registered(city)
    answer = await plain.post("/device_authorization", {"scope": "openid"})
    assert (answer.status_code, answer.json()["error"]) == (400, "unauthorized_client")
    for scope in ("", "surat:baca"):
        answer = await party.post("/device_authorization", {"scope": scope})
        assert answer.json()["error"] == "invalid_scope"
    async with city.client() as http:
        answer = await http.post("/device_authorization", data={"client_id": "nobody", "scope": "openid"})
        assert (answer.status_code, answer.json()["error"]) == (401, "invalid_client")


@demand("RFC 8628 3.4", "a device code is bound to its client")
async def test_a_device_code_of_another_client(city: City) -> None:
    party, other = await device(city), await device(city)
    begun = await begin(party)
    async with city.browser() as browser:
        await decide(browser, begun)
    assert (await poll(other, begun)).body["error"] == "invalid_grant"
    assert (await poll(party, begun)).status == 200


async def test_what_a_device_got_ends_with_the_session_it_was_allowed_in(city: City) -> None:
    party = await device(city)
    begun, late = await begin(party), await begin(party)
    async with city.browser() as browser:
        await decide(browser, begun)
        await decide(browser, late)
        token_response = await poll(party, begun)
        await browser.submit(await browser.open("/"))
    assert (await party.refresh(token_response["refresh_token"])).body["error"] == "invalid_grant"
    assert (await poll(party, late)).body["error"] == "invalid_grant"


async def test_signing_in_at_the_page_by_itself_still_leads_home(city: City) -> None:
    async with city.browser() as browser:
        page = await browser.open("/login?user_code=%22%3E%3Cscript%3E")
        assert "<script>" not in page.text.partition("<body>")[2]
        page = await browser.submit(page, username="siti", password=PASSWORD)
        assert "Siti Rahmawati" in page.text
        with pytest.raises(AssertionError):
            await go_on(browser, page)


async def test_of_two_decisions_at_once_one_counts(city: City) -> None:
    """Somebody presses twice, or in two windows: what the device gets is one of them, and stays so."""
    party = await device(city)
    begun = await begin(party)
    async with city.browser() as browser:
        await authorize(browser, await registered(city))
        page = await browser.open(begun["verification_uri_complete"])
        choices = ["allow", "deny", "allow", "deny"]
        done = await asyncio.gather(*(browser.submit(page, choice=choice) for choice in choices))
    assert sorted(answer.status_code for answer in done) == [200, 400, 400, 400]
    allowed = choices[[answer.status_code for answer in done].index(200)] == "allow"
    token_response = await poll(party, begun)
    assert (token_response.status, token_response.body.get("error")) == (
        (200, None) if allowed else (400, "access_denied")
    )
