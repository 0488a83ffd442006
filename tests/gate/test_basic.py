"""Basic credentials that the gate makes for programs that know nothing else."""

from __future__ import annotations

import base64
import logging
from datetime import timedelta
from typing import Any

import httpx2 as httpx
import pytest
from pydantic import ValidationError
from sqlalchemy import select
from tests.elsewhere import change, renew_secret
from tests.gate.proxy import HOST, NAVIGATION, TRUSTED, Proxy, add_gate, gate_of
from tests.support import City

from sso import clock
from sso.clients.metadata import ClientMetadata
from sso.clients.metadata.gate import BasicSettings, GateSettings
from sso.clients.models import ClientSecret
from sso.clients.secrets import add_secret, new_secret, revoke_secret, valid_secrets
from sso.gate.headers import basic_username, encoded
from sso.gate.proxies import KINDS, Kind, Plan, files_for
from sso.gate.proxies.names import removed_credentials
from sso.platform.actor import CLI
from sso.portal.applications import RequestedSettings
from sso.portal.applications.metadata import sandbox_metadata


def gate(**basic: Any) -> GateSettings:
    return GateSettings(hosts=[HOST], headers=["name"], basic=BasicSettings(**basic))


@pytest.mark.parametrize(
    ("basic", "values", "username"),
    [
        ({"username": "username"}, {"username": "siti"}, "siti"),
        ({"username": "local_user_id"}, {"local_user_id": 17}, "17"),
        ({"username": "nip"}, {"nip": "198001012005011001"}, "198001012005011001"),
        ({"username": "username"}, {"username": "sîti"}, "sîti"),
        ({"username": "username"}, {}, None),
        ({"username": "username"}, {"username": ""}, None),
        ({"username": "username"}, {"username": "siti:admin"}, None),
        ({"username": "username"}, {"username": "siti\r\nX: y"}, None),
        ({"account": "gerbang"}, {}, "gerbang"),
    ],
)
def test_the_username_of_the_credentials(basic: Any, values: dict[str, object], username: str | None) -> None:
    assert basic_username(gate(**basic), values) == username


@pytest.mark.parametrize(
    "basic", [{}, {"username": "username", "account": "a"}, {"username": "name"}, {"account": "a:b"}, {"account": ""},
              {"account": "a\nb"}, {"account": "a", "password": "b"}]
)  # fmt: skip
def test_settings_that_cannot_be_used(basic: dict[str, str]) -> None:
    with pytest.raises(ValidationError):
        BasicSettings.model_validate(basic)


def test_what_the_username_is_gives_the_scope_but_no_header() -> None:
    values = {"type": "gate", "client_name": "Arsip", "gate": gate(username="nip").model_dump()}
    metadata = ClientMetadata.model_validate({**values, "first_party": True})
    assert metadata.scope == "openid profile employee"
    assert (metadata.needs_secret, metadata.token_endpoint_auth_method) == (True, "none")
    assert [name for name, _ in encoded(gate(username="nip"), {"nip": "1", "name": "Siti"})] == [
        b"x-sso-name", b"authorization",
    ]  # fmt: skip
    requested = RequestedSettings("gate", {**values, "scope_reasons": {"profile": "a", "employee": "b"}})
    in_sandbox = sandbox_metadata(requested, {})
    assert (in_sandbox.gate is not None and in_sandbox.gate.basic, in_sandbox.scope) == (None, "openid profile")


PLAN = Plan(
    client_id="arsip",
    hosts=(HOST,),
    headers=("X-SSO-Username", "Authorization"),
    credential="arsip:the-key",
    provider="https://masuk.kota.example",
    application="http://10.1.2.3:8080",
    certificate="/etc/ssl/gate.pem",
    certificate_key="/etc/ssl/gate.key",
    listen=443,
    folder="",
)
REMOVED: dict[Kind, str] = {
    "nginx": 'proxy_set_header {} "";',
    "traefik": '          {}: ""',
    "caddy": "request_header -{}\n",
    "haproxy": "",
    "envoy": 'remove: "{}"',
    "apache": "RequestHeader unset {} early",
}
SET: dict[Kind, str] = {
    "nginx": "proxy_set_header Authorization $sso_authorization;",
    "traefik": "          - Authorization",
    "caddy": "copy_headers X-SSO-Username Authorization",
    "haproxy": 'HEADERS = { "x-sso-username", "authorization" }',
    "envoy": "exact: authorization",
    "apache": 'HEADERS = { "X-SSO-Username", "Authorization" }',
}


@pytest.mark.parametrize("kind", KINDS)
def test_each_proxy_removes_the_clients_credentials_and_hides_the_challenge(kind: Kind) -> None:
    text = "".join(files_for(kind, PLAN).values())
    assert SET[kind] in text
    assert "www-authenticate" in text.lower()
    for name in removed_credentials():
        if (kind, name) != ("nginx", "Authorization"):  # set, and so replaced
            line = REMOVED[kind].format(name.lower() if kind == "envoy" else name)
            assert line in text, line
    without = "".join(files_for(kind, Plan(**{**plan_fields(), "headers": ("X-SSO-Username",)})).values())
    assert "www-authenticate" not in without.lower()
    assert SET[kind] not in without


def plan_fields() -> dict[str, Any]:
    return {name: getattr(PLAN, name) for name in Plan.__slots__}


def sent(answer: httpx.Response) -> str:
    """Return username and password that the application gets; empty: none."""
    kind, _, text = answer.headers.get("authorization", "").partition(" ")
    assert kind in ("", "Basic")
    return base64.b64decode(text).decode()


async def signed_in(city: City, **fields: Any) -> Proxy:
    await add_gate(city, gate=gate_of(public_paths=["/aset"], **fields))
    proxy = Proxy(city)
    async with city.browser() as browser:
        await proxy.sign_in(browser)
    return proxy


@pytest.mark.parametrize("overrides", [TRUSTED])
async def test_the_application_gets_the_username_and_its_own_secret(
    city: City, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    proxy = await signed_in(city, headers=["jwt"], basic={"username": "username"})
    secret = city.secrets["arsip"]
    for kind in ("nginx", "redirect"):
        passed = await proxy.check("/", kind, authorization="Basic YWRtaW46YWRtaW4=")
        assert (passed.status_code, sent(passed)) == (200, f"siti:{secret}")
        assert (passed.headers["cache-control"], passed.content) == ("no-store", b"")
        public = await proxy.check("/aset/gaya.css", kind, authorization="Basic YWRtaW46YWRtaW4=")
        assert (public.status_code, public.headers["authorization"]) == (200, "")
    async with city.client() as http:
        for auth in (("arsip", secret), None):
            answer = await http.post("/token", data={"grant_type": "client_credentials", "client_id": "arsip",
                                                     "client_secret": secret} if auth is None else
                                     {"grant_type": "client_credentials"}, auth=auth)  # fmt: skip
            assert answer.status_code == 401, "the secret is no client secret at the token endpoint"
    async with city.provider.db.read() as session:
        stored = list((await session.execute(select(ClientSecret.encrypted))).scalars())
    assert all(secret.encode() not in (encrypted or b"") for encrypted in stored)
    encoded_pair = base64.b64encode(f"siti:{secret}".encode()).decode()
    for text in (secret, encoded_pair):
        assert text not in caplog.text


@pytest.mark.parametrize("overrides", [TRUSTED])
async def test_no_path_of_the_gate_itself_is_answered_with_credentials(city: City) -> None:
    """A client that gets the proxy to pass a check on to the provider would read the secret in the answer."""
    proxy = await signed_in(city, basic={"username": "username"})
    for uri in (
        "/.sso/../gate/check/redirect",
        "/.sso/%2e%2e/gate/check/redirect",
        "//.sso/x",
        "/%2esso/x",
        "/%2Esso%2fx",
    ):
        for kind in ("nginx", "redirect"):
            answer = await proxy.check(uri, kind)
            assert (answer.status_code, "authorization" in answer.headers) == (403, False), uri
    headers = {**proxy.about("/", "GET"), "host": HOST}
    async with city.client(proxy.peer) as http:
        answer = await http.get("/gate/check/envoy/../../../.sso/x", headers=headers)
        assert "authorization" not in answer.headers


@pytest.mark.parametrize("overrides", [TRUSTED])
async def test_who_signed_in_before_the_credentials_were_switched_on_signs_in_once_more(city: City) -> None:
    """The grant of the cookie does not hold the scope of the username; a refusal would last until the cookie ends."""
    proxy = await signed_in(city, headers=["jwt"])
    assert (await proxy.check()).status_code == 200
    values = {"type": "gate", "client_name": "arsip", "first_party": True}
    with_mail = gate_of(public_paths=["/aset"], headers=["jwt"], basic={"username": "email"})
    metadata = ClientMetadata.model_validate({**values, "gate": with_mail})
    await change(city, "arsip", metadata_=metadata.stored())
    async with city.provider.db.write() as session:
        await new_secret(session, city.provider.box, "arsip")
    await city.provider.refresh()
    clock.advance(timedelta(seconds=1))
    assert (await proxy.check()).status_code == 401
    async with city.browser() as browser:
        await proxy.sign_in(browser)
    assert sent(await proxy.check()).startswith("siti@warga.example:")


@pytest.mark.parametrize("overrides", [TRUSTED])
async def test_a_check_that_names_no_address_is_refused(city: City) -> None:
    proxy = await signed_in(city, basic={"username": "username"})
    for kind in ("nginx", "redirect"):
        answer = await proxy.check("", kind)
        assert (answer.status_code, "authorization" in answer.headers) == (403, False)


@pytest.mark.parametrize("overrides", [TRUSTED])
async def test_a_second_secret_is_sent_when_the_first_is_revoked(city: City) -> None:
    proxy = await signed_in(city, basic={"account": "gerbang"})
    first = city.secrets["arsip"]
    async with city.provider.db.write() as session:
        second = await add_secret(session, city.provider.box, "arsip", valid_days=None, actor=CLI)
    await city.provider.refresh()
    clock.advance(timedelta(seconds=1))
    assert sent(await proxy.check()) == f"gerbang:{first}", "the application may not know the second yet"
    async with city.provider.db.write() as session:
        oldest = (await valid_secrets(session, "arsip"))[0]
        await revoke_secret(session, "arsip", oldest.id, actor=CLI)
    await city.provider.refresh()
    clock.advance(timedelta(seconds=1))
    assert sent(await proxy.check()) == f"gerbang:{second}"
    await renew_secret(city, "arsip")
    await city.provider.refresh()
    clock.advance(timedelta(seconds=1))
    assert sent(await proxy.check()) == f"gerbang:{city.secrets['arsip']}"


@pytest.mark.parametrize("overrides", [TRUSTED])
async def test_who_has_no_username_there_and_an_application_without_secret_are_told_so(city: City) -> None:
    proxy = await signed_in(city, basic={"username": "local_user_id"})
    for kind, status in (("nginx", 403), ("redirect", 403), ("refused", 403)):
        answer = await proxy.send(f"/gate/check/{kind}", "/", "GET", NAVIGATION)
        assert (answer.status_code, answer.headers["cache-control"]) == (status, "no-store")
        assert "authorization" not in answer.headers
    assert "username for this application" in answer.text or "nama pengguna untuk aplikasi ini" in answer.text
    async with city.provider.db.write() as session:
        for secret in await valid_secrets(session, "arsip"):
            await revoke_secret(session, "arsip", secret.id, actor=CLI)
    await change(city, "arsip")
    await city.provider.refresh()
    clock.advance(timedelta(seconds=1))
    assert (await proxy.check()).status_code == 403
