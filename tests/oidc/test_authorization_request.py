"""What an authorization request may hold, and how mistakes are answered (Core section 3.1.2, RFC 6749 section 4.1)."""

from __future__ import annotations

from datetime import timedelta

import pytest
from tests.demands import demand
from tests.support import ISSUER, City, Statements, challenge_of, query_of

from sso import clock
from sso.clients import store
from sso.platform.db import bump_version


def error_of(location: str) -> str:
    return query_of(location).get("error", "")


PAGE_ERRORS: dict[str, dict[str, str | None]] = {
    "no client": {"client_id": None},
    "unknown client": {"client_id": "tidak-ada"},
    "no redirect uri": {"redirect_uri": None},
    "unregistered redirect uri": {"redirect_uri": "https://warga.example/lain"},
}


@demand("RFC 6749 4.1.2.1", "with an unknown client or redirect URI nobody is redirected")
async def test_until_the_redirect_uri_is_proven_an_error_is_a_page(city: City, subtests: pytest.Subtests) -> None:
    async with city.browser() as browser:
        for name, changes in PAGE_ERRORS.items():
            with subtests.test(name):
                answer = await browser.open(city.relying_party("warga").url(**changes))
                assert answer.status_code == 400
                assert "location" not in answer.headers
                assert answer.headers["x-request-id"] in answer.text
                assert answer.headers["content-security-policy"]


async def test_a_suspended_application_is_a_page(city: City) -> None:
    async with city.provider.db.write() as session:
        await store.update_client(session, "padam", 10**6, clock.now(), status="suspended")
        await bump_version(session, "clients")
    await city.provider.refresh()
    async with city.browser() as browser:
        answer = await browser.open(city.relying_party("padam").url())
    assert answer.status_code == 400
    assert "dinonaktifkan" in answer.text


REDIRECTED: dict[str, tuple[dict[str, str | None], str]] = {
    "no response_type": ({"response_type": None}, "invalid_request"),
    "unknown response_type": ({"response_type": "kode"}, "unsupported_response_type"),
    "implicit": ({"response_type": "id_token"}, "unauthorized_client"),
    "hybrid": ({"response_type": "code id_token"}, "unauthorized_client"),
    "unknown response_mode": ({"response_mode": "pigeon"}, "invalid_request"),
    "no challenge": ({"code_challenge": None, "code_challenge_method": None}, "invalid_request"),
    "plain challenge": ({"code_challenge_method": "plain"}, "invalid_request"),
    "no challenge method": ({"code_challenge_method": None}, "invalid_request"),
    "method without challenge": ({"code_challenge": None}, "invalid_request"),
    "short challenge": ({"code_challenge": "A" * 42}, "invalid_request"),
    "long challenge": ({"code_challenge": "A" * 129}, "invalid_request"),
    "strange challenge": ({"code_challenge": "A" * 42 + "!"}, "invalid_request"),
    "unknown scope only": ({"scope": "tidak-ada"}, "invalid_scope"),
    "empty scope": ({"scope": ""}, "invalid_scope"),
    "no scope": ({"scope": None}, "invalid_scope"),
    "prompt none and login": ({"prompt": "none login"}, "invalid_request"),
    "unknown prompt": ({"prompt": "please"}, "invalid_request"),
    "prompt none without session": ({"prompt": "none"}, "login_required"),
    "negative max_age": ({"max_age": "-1"}, "invalid_request"),
    "wordy max_age": ({"max_age": "soon"}, "invalid_request"),
    "huge max_age": ({"max_age": "9" * 40}, "invalid_request"),
    "foreign hint": ({"id_token_hint": "a.b.c"}, "invalid_request"),
    "request object": ({"request": "a.b.c"}, "invalid_request_object"),
    "request uri": ({"request_uri": "https://warga.example/r"}, "request_uri_not_supported"),
    "long nonce": ({"nonce": "n" * 3000}, "invalid_request"),
    "long state": ({"state": "s" * 9000}, "invalid_request"),
}


@demand("RFC 6749 4.1.2.1", "afterwards errors are told to the client, with state")
@demand("RFC 7636 4.4.1", "a missing or plain challenge is invalid_request")
async def test_afterwards_an_error_is_a_redirect(city: City, subtests: pytest.Subtests) -> None:
    party = city.relying_party("warga")
    async with city.browser() as browser:
        for name, (changes, error) in REDIRECTED.items():
            with subtests.test(name):
                answer = await browser.open(party.url(**changes))
                assert answer.status_code == 303, answer.text
                location = answer.headers["location"]
                tokens = "id_token" in (changes.get("response_type") or "")
                assert location.startswith("https://warga.example/cb" + ("#" if tokens else "?"))
                assert error_of(location) == error
                assert query_of(location)["iss"] == ISSUER
                assert query_of(location)["state"] == changes.get("state", party.state)
                assert query_of(location)["error_description"]
                assert "code" not in query_of(location)


async def test_a_repeated_parameter_is_refused(city: City, subtests: pytest.Subtests) -> None:
    async with city.browser() as browser:
        for name in ("scope", "state", "nonce", "response_type", "prompt"):
            with subtests.test(name):
                answer = await browser.open(city.relying_party("warga").url() + f"&{name}=a&{name}=b")
                assert error_of(answer.headers["location"]) == "invalid_request"


@demand("RFC 6749 3.1", "a repeated client_id or redirect_uri is told to the person")
async def test_a_repeated_client_or_redirect_uri_is_a_page(city: City, subtests: pytest.Subtests) -> None:
    async with city.browser() as browser:
        for name in ("client_id", "redirect_uri"):
            with subtests.test(name):
                answer = await browser.open(city.relying_party("warga").url() + f"&{name}=https://evil.example/")
                assert answer.status_code == 400
                assert "location" not in answer.headers


async def test_state_comes_back_byte_for_byte(city: City) -> None:
    party = city.relying_party("warga")
    party.state = "a b+c%2F&=\"'<script>é漢"
    async with city.browser() as browser:
        answer = await browser.sign_in(party)
    assert query_of(answer.headers["location"])["state"] == party.state


async def test_a_nonce_of_two_thousand_characters_comes_back(city: City) -> None:
    party = city.relying_party("warga")
    party.nonce = "n" * 2048
    async with city.browser() as browser:
        assert (await browser.tokens(party)).claims()["nonce"] == party.nonce


async def test_unknown_parameters_and_scopes_are_ignored(city: City) -> None:
    party = city.relying_party("warga")
    async with city.browser() as browser:
        tokens = await browser.tokens(
            party, scope="openid email tidak-ada", apa="itu", display="wap", claims_locales="xx", acr_values="urn:x"
        )
    assert tokens["scope"] == "openid email"


async def test_a_redirect_uri_with_a_query_keeps_it(city: City) -> None:
    party = city.relying_party("warga", "https://warga.example/cb2?tetap=1&x=%20")
    async with city.browser() as browser:
        answer = await browser.sign_in(party)
        assert answer.headers["location"].startswith("https://warga.example/cb2?tetap=1&x=%20&code=")
        assert (await party.exchange(query_of(answer.headers["location"])["code"])).status == 200


async def test_a_post_from_another_site_brings_no_cookie_and_still_finds_the_session(city: City) -> None:
    party = city.relying_party("warga")
    async with city.browser() as browser, city.client() as other_site:
        await browser.code(party)
        answer = await other_site.post("/authorize", data=party.parameters())
        assert answer.status_code == 303
        assert answer.headers["location"].startswith("/login?i=")
        # The browser follows with its cookies: those it had, and the one that came with the redirect.
        browser.http.cookies.extract_cookies(answer)
        answer = await browser.open(answer.headers["location"])
    assert "code" in query_of(answer.headers["location"])


async def test_a_post_with_the_session_is_answered_at_once(city: City) -> None:
    party = city.relying_party("warga")
    async with city.browser() as browser:
        await browser.code(party)
        answer = await browser.http.post("/authorize", data=party.parameters())
    assert answer.status_code == 303
    assert "code" in query_of(answer.headers["location"])


async def test_a_post_of_another_content_type_is_a_page(city: City) -> None:
    async with city.client() as http:
        for answer in (
            await http.post("/authorize", json={"a": "b"}),
            await http.post("/authorize", files={"a": b"b"}),
        ):
            assert answer.status_code == 400
            assert "text/html" in answer.headers["content-type"]


async def test_a_body_that_is_too_large_is_refused(city: City) -> None:
    async with city.client() as http:
        whole = await http.post("/authorize", data={"state": "s" * 70_000})

        async def pieces():
            for _ in range(100):
                yield b"a" * 1000

        streamed = await http.post(
            "/authorize", content=pieces(), headers={"Content-Type": "application/x-www-form-urlencoded"}
        )
        token = await http.post("/token", data={"code": "s" * 70_000})
    assert (whole.status_code, streamed.status_code) == (413, 413)
    assert token.status_code == 413
    assert token.json()["error"] == "invalid_request"


async def test_an_address_that_cannot_be_read_is_a_page(city: City, subtests: pytest.Subtests) -> None:
    async with city.client() as http:
        for query in ("client_id=%ff", "client_id=%C3", "&".join(f"a{n}=1" for n in range(300))):
            with subtests.test(query[:20]):
                answer = await http.get(f"/authorize?{query}")
                assert answer.status_code == 400
                assert "text/html" in answer.headers["content-type"]


async def test_a_session_that_is_there_costs_at_most_three_statements(city: City) -> None:
    async with city.browser() as browser:
        await browser.code(city.relying_party("warga"))
        statements = Statements(city)
        await browser.code(city.relying_party("sehat"))
        assert len(statements.take()) == 2
        clock.advance(city.settings.session_last_seen_interval + timedelta(seconds=1))
        await browser.code(city.relying_party("warga"))
        assert len(statements.take()) == 3


async def test_prompt_login_makes_a_new_auth_time(city: City) -> None:
    party = city.relying_party("warga")
    async with city.browser() as browser:
        before = (await browser.tokens(party)).claims()["auth_time"]
        cookie = browser.session
        clock.advance(100)
        after = (await browser.tokens(party, prompt="login")).claims()["auth_time"]
        assert after - before >= 100
        assert browser.session != cookie


async def test_prompt_login_by_somebody_else_ends_the_first_session(city: City) -> None:
    party = city.relying_party("warga")
    async with city.browser() as browser:
        first = await browser.tokens(party)
        second = await browser.tokens(party, prompt="login", username="budi")
        assert second.claims()["sub"] == str(city.users["budi"])
        assert (await party.userinfo(first["access_token"])).status_code == 401


async def test_max_age_asks_again_when_the_sign_in_is_old(city: City) -> None:
    party = city.relying_party("warga")
    async with city.browser() as browser:
        await browser.code(party)
        clock.advance(50)
        assert (await browser.open(party.url(max_age="10000"))).is_redirect
        assert (await browser.open(party.url(max_age="60"))).is_redirect
        assert (await browser.open(party.url(max_age="40"))).status_code == 200
        assert (await browser.open(party.url(max_age="0"))).status_code == 200
        answer = await browser.open(party.url(max_age="40", prompt="none"))
        assert error_of(answer.headers["location"]) == "login_required"
        assert (await browser.tokens(party, max_age="0")).claims()["auth_time"] >= clock.timestamp() - 1


async def test_prompt_none_answers_without_a_page(city: City) -> None:
    party = city.relying_party("warga")
    async with city.browser() as browser:
        await browser.code(party)
        answer = await browser.open(party.url(prompt="none"))
    assert "code" in query_of(answer.headers["location"])


async def test_prompt_select_account_lets_one_choose(city: City) -> None:
    party = city.relying_party("warga")
    async with city.browser() as browser:
        await browser.code(party)
        page = await browser.open(party.url(prompt="select_account"))
        assert "Siti Rahmawati" in page.text
        answer = await browser.submit(page, choice="continue")
        assert "code" in query_of(answer.headers["location"])
        page = await browser.open(party.url(prompt="select_account"))
        page = await browser.submit(page, choice="other")
        answer = await browser.submit(page, username="budi", password="kuda-laut-terbang-91")
        tokens = await party.exchange(query_of(answer.headers["location"])["code"])
        assert tokens.claims()["sub"] == str(city.users["budi"])


async def test_a_hint_of_the_same_person_passes_even_when_expired(city: City) -> None:
    party = city.relying_party("warga")
    async with city.browser() as browser:
        hint = (await browser.tokens(party))["id_token"]
        clock.advance(3000)
        answer = await browser.open(party.url(prompt="none", id_token_hint=hint))
        assert "code" in query_of(answer.headers["location"])


async def test_a_hint_of_another_person_never_signs_that_one_in(city: City) -> None:
    party = city.relying_party("warga")
    async with city.browser() as other:
        hint = (await other.tokens(party, username="budi"))["id_token"]
    async with city.browser() as browser:
        await browser.code(party)
        answer = await browser.open(party.url(prompt="none", id_token_hint=hint))
        assert error_of(answer.headers["location"]) == "login_required"
        page = await browser.open(party.url(id_token_hint=hint))
        assert page.status_code == 200
        answer = await browser.submit(page, username="siti", password="kuda-laut-terbang-91")
        assert error_of(answer.headers["location"]) == "login_required"


async def test_login_hint_fills_in_the_name(city: City) -> None:
    async with city.browser() as browser:
        page = await browser.open(city.relying_party("warga").url(login_hint='siti@warga.example"><b>'))
    assert 'value="siti@warga.example&#34;&gt;&lt;b&gt;"' in page.text


async def test_ui_locales_chooses_the_language_and_never_fails(city: City) -> None:
    party = city.relying_party("warga")
    async with city.browser() as browser:
        assert "<h1>Sign in</h1>" in (await browser.open(party.url(ui_locales="fr-CA en-GB id"))).text
        assert "<h1>Masuk</h1>" in (await browser.open(party.url(ui_locales="xx !"))).text


@demand("RFC 9700 2.1.1", "plain challenges are never accepted")
async def test_an_old_application_may_send_no_challenge_but_never_a_plain_one(city: City) -> None:
    party = city.relying_party("lama")
    async with city.browser() as browser:
        code = await browser.code(party, code_challenge=None, code_challenge_method=None)
        assert (await party.exchange(code, code_verifier=None)).status == 200
        answer = await browser.open(party.url(code_challenge_method="plain"))
        assert error_of(answer.headers["location"]) == "invalid_request"


@demand("RFC 8252 7.3", "any port of a loopback address")
async def test_a_native_application_may_use_any_loopback_port(city: City, subtests: pytest.Subtests) -> None:
    """With each host the first answer comes after a sign-in, the others with the session."""
    for host in ("127.0.0.1", "[::1]"):
        async with city.browser() as browser:
            for port in (":50123", "", ":1", ":65535"):
                with subtests.test(f"{host}{port}"):
                    party = city.relying_party("ponsel", f"http://{host}{port}/oauth2redirect")
                    answer = await browser.sign_in(party)
                    assert answer.headers["location"].startswith(f"http://{host}{port}/oauth2redirect?code=")
                    assert (await party.exchange(query_of(answer.headers["location"])["code"])).status == 200


@demand("RFC 8252 7.1", "a private-use scheme")
async def test_a_native_application_may_use_its_own_scheme(city: City) -> None:
    party = city.relying_party("ponsel", "example.ponsel:/oauth2redirect")
    async with city.browser() as browser:
        page = await browser.open(party.url())
        assert "form-action 'self' example.ponsel:" in page.headers["content-security-policy"]
        answer = await browser.submit(page, username="siti", password="kuda-laut-terbang-91")
    assert answer.headers["location"].startswith("example.ponsel:/oauth2redirect?code=")


def test_challenge_of_is_the_one_of_the_specification() -> None:
    """RFC 7636 appendix B."""
    challenge = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"
    assert challenge_of("dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk") == challenge
