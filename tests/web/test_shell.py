"""Headers, references, addresses of clients, and errors that tell nothing they should not (SECURITY 9, 13, 15)."""

from __future__ import annotations

import asyncio
import logging

import pytest
from tests.support import PASSWORD, City, query_of

from sso.http.common.state import client_address


@pytest.mark.parametrize("path", ["/login", "/authorize", "/logout", "/nothing", "/authorize?client_id=%00"])
async def test_every_page_is_protected(city: City, path: str) -> None:
    async with city.client() as http:
        answer = await http.get(path)
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "frame-ancestors 'none'" in policy
    assert "unsafe" not in policy
    assert answer.headers["x-frame-options"] == "DENY"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["referrer-policy"] == "no-referrer"
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["strict-transport-security"].startswith("max-age=")
    assert "server" not in answer.headers
    assert "<script>" not in answer.text


async def test_a_reference_on_the_page_is_found_in_the_log(city: City, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "sso")
    async with city.client() as http:
        answer = await http.get("/authorize?client_id=nobody")
    reference = answer.headers["x-request-id"]
    assert reference in answer.text
    lines = [record.getMessage() for record in caplog.records if reference in record.getMessage()]
    assert any("unknown_client" in line for line in lines)


async def test_a_failure_of_ours_shows_a_reference_and_no_trace(city: City, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object, **__: object) -> None:
        raise ZeroDivisionError("secret detail")

    monkeypatch.setattr("sso.oidc.authorize.request.read_request", broken)
    monkeypatch.setattr(city.provider.keys, "jwks", broken)
    async with city.client() as http:
        page, json = await http.get("/authorize"), await http.get("/jwks")
    assert (page.status_code, json.status_code) == (500, 500)
    assert page.headers["x-request-id"] in page.text
    assert json.json()["error"] == "server_error"
    for answer in (page, json):
        assert "secret detail" not in answer.text
        assert "Traceback" not in answer.text


async def test_what_an_attacker_writes_is_shown_and_never_executed(city: City) -> None:
    evil = "<script>alert(1)</script>\"'><img src=x>"
    async with city.client() as http:
        pages = [
            await http.get("/authorize", params={"client_id": evil}),
            await http.get("/authorize", params={"client_id": "warga", "redirect_uri": evil}),
            await http.get("/login", params={"i": evil, "lang": evil}),
            await http.get(f"/{evil}"),
            await http.get("/logout", params={"client_id": evil, "state": evil}),
        ]
    for page in pages:
        assert "<script>alert" not in page.text
        assert "<img src=x" not in page.text


@pytest.mark.parametrize("path", ["//evil.example", "/\\evil.example", "//evil.example/%2f.."])
async def test_no_link_of_a_page_leads_away(city: City, path: str) -> None:
    async with city.client() as http:
        page = await http.get(f"https://masuk.tangerang.example{path}")
    assert 'href="//evil' not in page.text
    assert 'href="/\\evil' not in page.text


async def test_logs_hold_no_secrets(city: City, caplog: pytest.LogCaptureFixture) -> None:
    """SECURITY 15, at the most talkative level."""
    caplog.set_level(logging.DEBUG)
    party = city.relying_party("warga")
    async with city.browser() as browser:
        page = await browser.open(party.url())
        await browser.submit(page, username="siti", password="salah-" + PASSWORD)
        answer = await browser.submit(page, username="siti", password=PASSWORD)
        code = query_of(answer.headers["location"])["code"]
        tokens = await party.exchange(code)
        await party.refresh(tokens["refresh_token"])
        await party.userinfo(tokens["access_token"])
        await party.post("/revoke", {"token": tokens["refresh_token"]})
        session = browser.session or "?"
    own = [record for record in caplog.records if record.name.partition(".")[0] in ("sso", "authlib", "uvicorn")]
    assert own
    text = "\n".join(record.getMessage() for record in own)
    secrets = [PASSWORD, code, session, party.verifier, city.secrets["warga"], "siti@warga.example"]
    secrets += [tokens[name] for name in ("access_token", "refresh_token", "id_token")]
    for secret in secrets:
        assert secret not in text


async def test_a_new_line_in_an_address_stays_on_its_log_line(city: City, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "sso")
    async with city.client() as http:
        await http.get("/x%0d%0aFAKE%20LINE")
        await http.get("/authorize?client_id=a%0d%0aFAKE")
    assert all("\n" not in record.getMessage() and "\r" not in record.getMessage() for record in caplog.records)


def scope(peer: str, *forwarded: str) -> dict[str, object]:
    return {"client": (peer, 1), "headers": [(b"x-forwarded-for", address.encode()) for address in forwarded]}


@pytest.mark.parametrize(
    ("peer", "forwarded", "expected"),
    [
        ("198.51.100.1", ["203.0.113.1"], "198.51.100.1"),
        ("10.0.0.1", [], "10.0.0.1"),
        ("10.0.0.1", ["203.0.113.1"], "203.0.113.1"),
        ("10.0.0.1", ["1.1.1.1, 203.0.113.1"], "203.0.113.1"),
        ("10.0.0.1", ["1.1.1.1, 203.0.113.1, 10.0.0.2"], "203.0.113.1"),
        ("10.0.0.1", ["1.1.1.1", "203.0.113.1"], "203.0.113.1"),
        ("10.0.0.1", ["garbage"], "10.0.0.1"),
        ("10.0.0.1", ["203.0.113.1, garbage"], "10.0.0.1"),
        ("10.0.0.1", ["2001:DB8::1"], "2001:db8::1"),
    ],
)
def test_the_address_of_a_client_is_believed_only_from_a_trusted_proxy(
    peer: str, forwarded: list[str], expected: str
) -> None:
    import ipaddress

    assert client_address(scope(peer, *forwarded), [ipaddress.ip_network("10.0.0.0/8")]) == expected
    assert client_address(scope(peer, *forwarded), []) == peer


async def test_cors_is_closed_where_it_need_not_be_open(city: City) -> None:
    headers = {"Origin": "https://evil.example"}
    async with city.client() as http:
        for path in ("/login", "/authorize", "/logout", "/introspect", "/register"):
            answer = await http.post(path, headers=headers)
            assert "access-control-allow-origin" not in answer.headers, path


async def test_errors_can_be_read_by_pages_of_applications(city: City) -> None:
    async with city.client() as http:
        for answer in (
            await http.post("/token", data={"x": "y" * 70_000}),
            await http.post("/token", json={}),
            await http.post("/token", data={"grant_type": "client_credentials"}),
            await http.get("/userinfo"),
        ):
            assert answer.status_code >= 400
            assert answer.headers["access-control-allow-origin"] == "*"


async def test_a_body_that_takes_too_long_is_refused(city: City, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sso.http.common.middleware.BODY_SECONDS", 0.05)

    async def drips():
        yield b"grant_type="
        await asyncio.Event().wait()  # the rest never comes
        yield b"client_credentials"

    form = {"Content-Type": "application/x-www-form-urlencoded"}
    async with city.client() as http:
        token = await http.post("/token", content=drips(), headers=form)
        page = await http.post("/login", content=drips(), headers=form)
    assert (token.status_code, token.json()["error"]) == (408, "invalid_request")
    assert (page.status_code, "text/html" in page.headers["content-type"]) == (408, True)


@pytest.mark.parametrize("path", ["/jwks", "/login", "/healthz", "/.well-known/openid-configuration"])
async def test_head_is_answered_as_get(city: City, path: str) -> None:
    async with city.client() as http:
        get, head = await http.get(path), await http.head(path)
    assert head.status_code == get.status_code == 200
    assert head.headers["content-type"] == get.headers["content-type"]


async def test_static_files_are_kept_for_good_and_nothing_else_is_served(city: City) -> None:
    import re

    async with city.client() as http:
        page = await http.get("/login")
        for path in re.findall(r'(?:href|src)="(/static/[^"]+)"', page.text):
            answer = await http.get(path)
            assert answer.status_code == 200
            assert "immutable" in answer.headers["cache-control"]
            assert answer.headers["content-encoding"] == "gzip"
        for path in ("/static/city.css", "/static/../app.py", "/static/%2e%2e%2fapp.py", "/static/"):
            assert (await http.get(path)).status_code == 404
