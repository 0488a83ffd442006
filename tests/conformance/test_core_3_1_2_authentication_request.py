"""OpenID Connect Core 1.0 section 3.1.2: what a request may hold, and what comes of it."""

from __future__ import annotations

import asyncio
import itertools
from collections import deque
from typing import Any

import pytest
from tests.conformance.parties import (
    EVERYTHING,
    authorize,
    claims_of,
    forget_consents,
    go_on,
    read_answer,
    registered,
    tokens,
)
from tests.demands import demand
from tests.support import ISSUER, PASSWORD, City, form_of, tampered

from sso import clock

USUAL: dict[str, Any] = {"code_challenge": None, "code_challenge_method": None}


@demand("Core 3.1.2.1", "GET and POST are both accepted")
@pytest.mark.parametrize("method", ["get", "post"])
async def test_get_and_post_lead_to_a_code(city: City, method: str) -> None:
    party = await registered(city)
    async with city.browser() as browser:
        if method == "get":
            page = await browser.open(party.url(**USUAL))
        else:
            page = await browser._follow(await browser.http.post("/authorize", data=party.parameters(**USUAL)))
        answer = await go_on(browser, page)
    assert answer["state"] == party.state
    assert "code" in answer


@demand("Core 3.1.2.1", "parameters that are not understood are ignored")
async def test_unknown_parameters_are_ignored(city: City) -> None:
    party = await registered(city)
    async with city.browser() as browser:
        assert "code" in await authorize(browser, party, extra="foobar", vectors_of_trust="P1")


@demand("Core 3.1.2.1", "a request without nonce succeeds in the code flow, and its ID token has none")
async def test_without_nonce(city: City) -> None:
    party = await registered(city)
    async with city.browser() as browser:
        token_response = await tokens(browser, party, nonce=None)
    assert "nonce" not in claims_of(token_response["id_token"])


WISHES: list[dict[str, Any]] = [
    {"display": "page"},
    {"display": "popup"},
    {"display": "touch"},
    {"display": "wap"},
    {"display": "hologram"},
    {"ui_locales": "se fr"},
    {"ui_locales": "id en"},
    {"claims_locales": "se"},
    {"claims_locales": "id-ID en"},
    {"login_hint": "siti@warga.example"},
    {"login_hint": "x" * 400},
    {"acr_values": "urn:sso:acr:password"},
    {"acr_values": "1 2 urn:unknown"},
    {"scope": "email openid profile"},
    {"scope": "openid  unknown_scope"},
    {"max_age": "10000"},
    {"prompt": "consent"},
    {"prompt": "login consent"},
    {"prompt": "select_account"},
]


@demand("Core 3.1.2.1", "display, ui_locales and claims_locales never make a request fail")
async def test_wishes_never_fail(city: City, subtests: pytest.Subtests) -> None:
    party = await registered(city)
    for changes in WISHES:
        with subtests.test(str(changes)):
            await forget_consents(city)
            async with city.browser() as browser:
                answer = await authorize(browser, party, **changes)
                assert "code" in answer, answer
                token_response = await party.exchange(answer["code"], code_verifier=None)
            claims = claims_of(token_response["id_token"])
            assert claims["acr"] == "urn:sso:acr:password"
            assert claims["amr"] == ["pwd"]
            assert abs(claims["auth_time"] - clock.timestamp()) < 10


@demand("Core 3.1.2.1", "display=popup and display=touch are respected in the layout")
@pytest.mark.parametrize("display", ["popup", "touch"])
async def test_display_changes_the_layout(city: City, display: str) -> None:
    party = await registered(city)
    async with city.browser() as browser:
        assert f'<body class="{display}"' in (await browser.open(party.url(**USUAL, display=display))).text
        assert "<body data-busy=" in (await browser.open(party.url(**USUAL))).text


@demand("Core 3.1.2.1", "prompt=login asks again, and auth_time is new")
async def test_prompt_login(city: City) -> None:
    party = await registered(city)
    async with city.browser() as browser:
        first = claims_of((await tokens(browser, party))["id_token"])
        clock.advance(2)
        page = await browser.open(party.url(**USUAL, prompt="login"))
        assert "username" in form_of(page).fields
        answer = await go_on(browser, page)
        second = claims_of((await party.exchange(answer["code"], code_verifier=None))["id_token"])
    assert second["auth_time"] > first["auth_time"]
    assert second["sub"] == first["sub"]


@demand("Core 3.1.2.1", "prompt=none without a session is login_required, with one it is answered")
async def test_prompt_none(city: City) -> None:
    party = await registered(city)
    async with city.browser() as browser:
        assert (await authorize(browser, party, prompt="none"))["error"] == "login_required"
        await authorize(browser, party)
        assert "code" in await authorize(browser, party, prompt="none")


@demand("Core 3.1.2.1", "prompt=none with anything else is an error")
@demand("Core 3.1.2.6", "errors are returned to the client in its response mode, with state")
async def test_prompts_that_cannot_be(city: City, subtests: pytest.Subtests) -> None:
    party = await registered(city)
    prompts, modes = ("none login", "none consent", "dance", "create"), (None, "query", "fragment", "form_post")
    async with city.browser() as browser:
        for prompt, mode in itertools.product(prompts, modes):
            with subtests.test(f"{prompt} {mode}"):
                answer = await authorize(browser, party, prompt=prompt, response_mode=mode)
                assert answer["error"] == "invalid_request"
                assert answer.mode == (mode or "query")
                assert (answer["state"], answer["iss"]) == (party.state, ISSUER)


@demand("Core 3.1.2.4", "prompt=none where consent is missing is consent_required")
async def test_consent_required(city: City) -> None:
    party, other = await registered(city), await registered(city)
    async with city.browser() as browser:
        await authorize(browser, party)
        assert (await authorize(browser, other, prompt="none"))["error"] == "consent_required"


@demand("Core 3.1.2.4", "a person who refuses is access_denied")
async def test_access_denied(city: City) -> None:
    party = await registered(city)
    async with city.browser() as browser:
        page = await browser.sign_in(party, **USUAL)
        answer = read_answer(await browser.submit(page, choice="deny"))
    assert answer is not None
    assert (answer["error"], answer["state"]) == ("access_denied", party.state)


@demand("Core 3.1.2.1", "max_age: a sign-in that is older is done again, with auth_time in the ID token")
async def test_max_age(city: City) -> None:
    party = await registered(city)
    async with city.browser() as browser:
        first = claims_of((await tokens(browser, party))["id_token"])
        clock.advance(2)
        again = claims_of((await tokens(browser, party, max_age="10000"))["id_token"])
        assert again["auth_time"] == first["auth_time"]
        page = await browser.open(party.url(**USUAL, max_age="1"))
        assert "username" in form_of(page).fields
        answer = await go_on(browser, page)
        third = claims_of((await party.exchange(answer["code"], code_verifier=None))["id_token"])
        assert third["auth_time"] > first["auth_time"]


@demand("Core 3.1.2.1", "max_age=0 always asks")
async def test_max_age_zero(city: City) -> None:
    party = await registered(city)
    async with city.browser() as browser:
        await authorize(browser, party)
        clock.advance(1)
        assert "username" in form_of(await browser.open(party.url(**USUAL, max_age="0"))).fields
        assert (await authorize(browser, party, max_age="0", prompt="none"))["error"] == "login_required"


@demand("Core 3.1.2.1", "id_token_hint: the same person passes, also with an expired token")
async def test_a_hint_of_the_same_person(city: City) -> None:
    party = await registered(city)
    async with city.browser() as browser:
        hint = (await tokens(browser, party))["id_token"]
        assert "code" in await authorize(browser, party, prompt="none", id_token_hint=hint)
        clock.advance(3600)
        assert "code" in await authorize(browser, party, prompt="none", id_token_hint=hint)


@demand("Core 3.1.2.1", "id_token_hint: another person with prompt=none is login_required")
async def test_a_hint_of_another_person(city: City) -> None:
    party = await registered(city)
    async with city.browser() as other, city.browser() as browser:
        hint = (await tokens(other, party, username="budi"))["id_token"]
        await authorize(browser, party)
        assert (await authorize(browser, party, prompt="none", id_token_hint=hint))["error"] == "login_required"


@demand("Core 3.1.2.1", "id_token_hint: one that we did not sign, or gave another client, is refused")
async def test_a_hint_that_is_not_ours(city: City) -> None:
    party, other = await registered(city), await registered(city)
    async with city.browser() as browser:
        hint = (await tokens(browser, other))["id_token"]
        for wrong in (hint, tampered((await tokens(browser, party))["id_token"]), "x"):
            assert (await authorize(browser, party, id_token_hint=wrong))["error"] == "invalid_request"


@demand("Core 3.1.2.1", "login_hint fills in the sign-in page")
async def test_login_hint(city: City) -> None:
    party = await registered(city)
    async with city.browser() as browser:
        page = await browser.open(party.url(**USUAL, login_hint="siti@warga.example"))
    assert form_of(page).fields["username"] == "siti@warga.example"


@demand("Core 3.1.2.2", "a request without response_type is an error for the client whose redirect URI is known")
async def test_no_response_type(city: City) -> None:
    party = await registered(city)
    async with city.browser() as browser:
        answer = await authorize(browser, party, response_type=None)
    assert (answer["error"], answer["state"]) == ("invalid_request", party.state)


@demand("Core 3.1.2.2", "an unregistered redirect URI is a page, never a redirect")
@demand("RFC 6749 3.1.2.4", "an invalid redirect URI is told to the person, who is not sent there")
async def test_an_unregistered_redirect_uri(city: City, subtests: pytest.Subtests) -> None:
    party = await registered(city)
    async with city.browser() as browser:
        for uri in ("https://rp.example/cb2", "https://rp.example/cb?x=1", "https://rp.example/CB", None):
            with subtests.test(str(uri)):
                page = await browser.open(party.url(**USUAL, redirect_uri=uri))
                assert page.status_code == 400
                assert "location" not in page.headers


@demand("Core 3.1.2.5", "state comes back byte for byte")
async def test_state_is_echoed(city: City, subtests: pytest.Subtests) -> None:
    """Each state and each mode also comes through the pages of sign-in and consent, and then with a session."""
    party = await registered(city)
    modes = deque(["query", "fragment", "form_post"])
    for state in ("a b&c=d", "é+%20/\"'<>", "0", "=", "s" * 4000, "💚"):
        modes.rotate()
        await forget_consents(city)
        async with city.browser() as browser:
            for mode in modes:
                with subtests.test(f"{state[:20]} {mode}"):
                    assert (await authorize(browser, party, state=state, response_mode=mode))["state"] == state


@demand("Core 3.1.2.1", "a nonce of up to 2048 characters comes back in the ID token; a longer one is refused")
async def test_long_nonces(city: City) -> None:
    party = await registered(city)
    async with city.browser() as browser:
        token_response = await tokens(browser, party, nonce="n" * 2048)
        assert claims_of(token_response["id_token"])["nonce"] == "n" * 2048
        assert (await authorize(browser, party, nonce="n" * 2049))["error"] == "invalid_request"


@demand("Core 2", "auth_time, acr and amr are true to what happened")
async def test_the_id_token_says_what_happened(city: City) -> None:
    party = await registered(city, default_max_age=3600, require_auth_time=True)
    async with city.browser() as browser:
        before = clock.timestamp()
        claims = claims_of((await tokens(browser, party))["id_token"])
        assert before <= claims["auth_time"] <= claims["iat"] <= clock.timestamp()
        assert claims["iss"] == ISSUER
        assert claims["aud"] == party.client_id
        clock.advance(3601)
        page = await browser.open(party.url(**USUAL))
        assert "username" in form_of(page).fields, "default_max_age is over"


@demand("Core 3.1.2.1", "prompt=select_account lets one choose, and never fails silently")
async def test_select_account(city: City) -> None:
    party = await registered(city)
    async with city.browser() as browser:
        await authorize(browser, party)
        page = await browser.open(party.url(**USUAL, prompt="select_account"))
        assert form_of(page).action == "/select"
        other = await browser.submit(page, choice="other")
        assert "username" in form_of(other).fields
        answer = await go_on(browser, await browser.submit(other, username="budi", password=PASSWORD))
    assert "code" in answer


@demand("RFC 6749 3.1", "a parameter that stands twice is invalid_request")
async def test_repeated_parameters(city: City, subtests: pytest.Subtests) -> None:
    party = await registered(city, **EVERYTHING)
    async with city.browser() as browser:
        for name in ("state", "response_type", "scope", "nonce", "request", "request_uri"):
            with subtests.test(name):
                answer = read_answer(await browser.open(party.url(**USUAL) + f"&{name}=a&{name}=b"))
                assert answer is not None
                assert answer["error"] == "invalid_request"


@demand("RFC 9207 2", "every answer of the authorization endpoint has iss, errors too")
async def test_every_answer_has_iss(city: City, subtests: pytest.Subtests) -> None:
    party = await registered(city, **EVERYTHING)
    async with city.browser() as browser:
        for response_type in EVERYTHING["response_types"]:
            with subtests.test(response_type):
                good = await authorize(browser, party, response_type=response_type)
                bad = await authorize(browser, party, response_type=response_type, prompt="none login")
                assert good["iss"] == bad["iss"] == ISSUER


@demand("RFC 9700 4.11.2", "an answer is never cached and its redirect is a 303 after a form was posted")
async def test_answers_are_not_cached(city: City) -> None:
    party = await registered(city)
    async with city.browser() as browser:
        await authorize(browser, party)
        answers = await asyncio.gather(
            browser.http.get(party.url(**USUAL)),
            browser.http.post("/authorize", data=party.parameters(**USUAL)),
            browser.http.get(party.url(**USUAL, response_mode="form_post")),
        )
    assert [answer.status_code for answer in answers] == [303, 303, 200]
    assert all("no-store" in answer.headers["cache-control"] for answer in answers)


@demand("Core 4", "a sign-in is begun at initiate_login_uri, with iss")
async def test_a_sign_in_that_a_third_party_begins(city: City) -> None:
    party = await registered(city, initiate_login_uri="https://rp.example/login?a=1", client_name="Toko")
    plain = await registered(city)
    async with city.browser() as browser:
        page = await browser.open(f"/open/{party.client_id}")
        link = page.text.partition('<div class="buttons"><a href="')[2].partition('"')[0].replace("&amp;", "&")
        assert link == "https://rp.example/login?a=1&iss=https%3A%2F%2Fmasuk.tangerang.example"
        assert "rp.example" in page.text
        assert "code" in await authorize(browser, party)
        for nobody in (plain.client_id, "nobody", "sehat"):
            assert (await browser.open(f"/open/{nobody}")).status_code == 404
