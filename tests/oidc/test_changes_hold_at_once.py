"""What another process or a command changed a moment ago holds at once: nobody is refused for what is not read yet.

Each change is made in the database as another process would, and this process has not read it when the request comes.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any

import jwt
import pytest
from sqlalchemy import event, update
from tests.elsewhere import add_client, change, renew_secret
from tests.support import City, RelyingParty, query_of

from sso import clock
from sso.oidc import provider as provider_module
from sso.oidc.provider import Provider
from sso.platform.db import bump_version
from sso.platform.keys import ensure_keys
from sso.platform.keys.models import SigningKey

pytestmark = pytest.mark.usefixtures("reads_nothing_by_itself")
"""What the process reads, it reads because of a request."""


class Looks:
    """Counts how often this process reads the counters of changes."""

    def __init__(self, city: City) -> None:
        self.count = 0
        for engine in city.provider.db.engines:
            event.listen(engine.sync_engine, "before_cursor_execute", self._count)

    def _count(self, _c: Any, _cursor: Any, statement: str, *_rest: Any) -> None:
        self.count += "FROM versions" in statement


def party_of(city: City, client_id: str, method: str = "client_secret_basic") -> RelyingParty:
    """Return an application that this process may not know yet."""
    return RelyingParty(city, client_id, f"https://{client_id}.example/cb", method)


async def test_a_new_secret_is_accepted_at_every_endpoint(city: City) -> None:
    """The endpoints are those at which applications authenticate; each comes first after a new secret."""
    warga, mesin, statements = city.relying_party("warga"), city.relying_party("mesin"), {"token": "x"}
    calls: list[tuple[str, Callable[[], Awaitable[Any]]]] = [
        ("warga", lambda: warga.post("/introspect", statements)),
        ("warga", lambda: warga.post("/revoke", statements)),
        ("warga", lambda: warga.post("/par", warga.parameters())),
        ("mesin", lambda: mesin.post("/token", {"grant_type": "client_credentials"})),
        ("rahasia-jwt", lambda: city.relying_party("rahasia-jwt").post("/token", {"grant_type": "client_credentials"})),
    ]
    for client_id, call in calls:
        await renew_secret(city, client_id)
        answer = await call()
        assert answer.status_code in (200, 201), answer.text
    await renew_secret(city, "warga")
    device = await warga.post("/device_authorization", {"scope": "openid"})
    assert device.json()["error"] == "unauthorized_client", "it is authenticated, and has no such grant"


async def test_a_new_application_is_known_everywhere(city: City) -> None:
    await add_client(city, "baru", post_logout_redirect_uris=["https://baru.example/"], scope="openid profile")
    party = party_of(city, "baru")
    async with city.browser() as browser:
        tokens = await browser.tokens(party, scope="openid profile")
        await add_client(city, "baru-lain")
        page = await browser.open("/logout?client_id=baru-lain")
        assert page.status_code == 200, "the end_session_endpoint knows it"
    for client_id, path, form in (
        ("baru-a", "/token", {"grant_type": "client_credentials"}),
        ("baru-b", "/introspect", {"token": tokens["access_token"]}),
        ("baru-c", "/revoke", {"token": "x"}),
    ):
        await add_client(city, client_id, **({"type": "service", "scope": "kirim"} if path == "/token" else {}))
        answer = await party_of(city, client_id).post(path, form)
        assert answer.status_code == 200, answer.text
    await add_client(city, "baru-d", type="single_page", redirect_uris=["https://baru-d.example/cb"])
    pushed = await party_of(city, "baru-d", "none").post("/par", party_of(city, "baru-d").parameters(scope="openid"))
    assert pushed.status_code == 201, pushed.text


async def test_what_an_application_registered_a_moment_ago_holds(city: City) -> None:
    """A redirect URI, a scope and a grant type that were added, and an application that was enabled again."""
    party, provider = city.relying_party("warga"), city.provider
    client = provider.registry.get("warga")
    assert client is not None
    stored = client.meta.stored()
    async with city.browser() as browser:
        await browser.tokens(party)
        await change(
            city, "warga", metadata_={**stored, "redirect_uris": [*stored["redirect_uris"], "https://w.example/"]}
        )
        answer = await browser.open(party.url(redirect_uri="https://w.example/"))
        assert answer.headers["location"].startswith("https://w.example/?code=")
        await change(city, "padam", status="suspended")
        padam = city.relying_party("padam")
        await provider.refresh()
        assert (await browser.open(padam.url())).status_code == 400
        await change(city, "padam", status="active")
        assert "code" in query_of((await browser.open(padam.url())).headers["location"])
    mesin = city.relying_party("mesin")
    mesin_client = provider.registry.get("mesin")
    assert mesin_client is not None
    assert (await mesin.token(grant_type="client_credentials", scope="baru")).body["error"] == "invalid_scope"
    await change(city, "mesin", metadata_={**mesin_client.meta.stored(), "scope": "kirim terima baru"})
    assert (await mesin.token(grant_type="client_credentials", scope="baru"))["scope"] == "baru"


async def test_a_token_signed_with_a_key_made_a_moment_ago_is_known(city: City) -> None:
    """At userinfo, at introspection and at the API."""
    warga, petugas = city.relying_party("warga"), city.relying_party("petugas")
    async with city.browser() as browser:
        for path in ("/userinfo", "/introspect", "/api/v1/users"):
            other = Provider(city.settings, city.provider.db)
            async with city.provider.db.write() as session:
                await bump_version(session, "keys")
                await session.execute(update(SigningKey).values(status="retired", retired_at=clock.now()))
            async with city.provider.db.write() as session:
                await ensure_keys(session, city.provider.box)
            await other.load()
            own = city.provider.keys
            city.provider.keys = other.keys  # the token comes from the other process
            if path == "/api/v1/users":
                token = (await petugas.token(grant_type="client_credentials", scope="sso:users:read"))["access_token"]
            else:
                token = (await browser.tokens(warga))["access_token"]
            city.provider.keys = own
            assert jwt.get_unverified_header(token)["kid"] not in own._by_kid
            if path == "/introspect":
                assert (await warga.introspect(token))["active"] is True
            else:
                async with city.client() as http:
                    answer = await http.get(path, headers={"Authorization": f"Bearer {token}"})
                assert answer.status_code == 200, answer.text


async def test_wrong_names_and_secrets_are_no_load_on_the_database(city: City, monkeypatch: pytest.MonkeyPatch) -> None:
    """Requests that come together share a look; a flood of them gets a few in a burst, and then one after the other."""
    monkeypatch.setattr(provider_module, "LOOKS_AT_ONCE", 3)
    monkeypatch.setattr(provider_module, "LOOK_SECONDS", 0.2)
    looks, party = Looks(city), city.relying_party("mesin")
    city.secrets["mesin"] = "wrong"
    began = time.monotonic()
    answers = await asyncio.gather(
        *(party.token(grant_type="client_credentials") for _ in range(4)),
        *(party_of(city, f"nobody-{number}").token(grant_type="client_credentials") for number in range(30)),
    )
    assert {answer.body["error"] for answer in answers} == {"invalid_client"}
    assert 1 <= looks.count <= 4 + (time.monotonic() - began) / provider_module.LOOK_SECONDS
    looks.count = 0
    async with city.client() as http:
        for token in ("x", "a.b.c"):
            assert (await http.get("/userinfo", headers={"Authorization": f"Bearer {token}"})).status_code == 401
    assert looks.count == 0, "what is no token of anybody is not looked for"


@pytest.mark.parametrize("overrides", [{"sign_in_failures_per_ip_address": 8}], ids=[""])
async def test_a_failure_counts_once_although_it_is_tried_twice(city: City) -> None:
    party = city.relying_party("mesin")
    right = city.secrets["mesin"]
    city.secrets["mesin"] = "wrong"
    maximum = city.settings.sign_in_failures_per_ip_address
    for _ in range(maximum):
        assert (await party.token(grant_type="client_credentials")).status == 401
    assert (await party.token(grant_type="client_credentials")).status == 429
    city.secrets["mesin"] = right
    clock.advance(3600)
    assert (await party.token(grant_type="client_credentials")).status == 200


async def test_a_client_assertion_is_not_used_up_by_the_first_try(city: City) -> None:
    party = city.relying_party("kunci")
    client = city.provider.registry.get("kunci")
    assert client is not None
    form = party.authentication({"grant_type": "client_credentials", "scope": "baru"})
    await change(city, "kunci", metadata_={**client.meta.stored(), "scope": "kirim baru"})
    async with city.client() as http:
        answer = await http.post("/token", **form)
        assert (answer.status_code, answer.json().get("scope")) == (200, "baru"), answer.text
        again = await http.post("/token", **form)
    assert (again.status_code, again.json()["error"]) == (401, "invalid_client")
