"""Configurations of proxies: what each contains; and the requests that Traefik and Envoy document, replayed."""

from __future__ import annotations

from typing import Any

import pytest
import yaml
from tests.gate.proxy import HOST, NAVIGATION, PROXY, TRUSTED, USER, Proxy, add_gate, gate_of
from tests.support import City

from sso.gate.keys import proxy_credential
from sso.gate.proxies import KINDS, Files, Kind, Plan, files_for
from sso.gate.proxies.names import every_spelling

PLAN = Plan(
    client_id="arsip",
    hosts=(HOST, "dua.kota.example:8443"),
    headers=("X-SSO-Username", "X-SSO-JWT"),
    credential="arsip:the-key",
    provider="https://masuk.kota.example",
    application="http://10.1.2.3:8080",
    certificate="/etc/ssl/gate.pem",
    certificate_key="/etc/ssl/gate.key",
    listen=443,
    folder="",
)


@pytest.mark.parametrize("kind", KINDS)
def test_a_configuration_is_complete(kind: Kind) -> None:
    files = files_for(kind, PLAN)
    text = "".join(files.values())
    assert "@" not in text.replace("@type", "").replace("@sso_refused", "").replace("@no_", "").replace(
        "@system-ca", ""
    )
    for part in (
        HOST,
        "dua.kota.example",
        "arsip:the-key",
        "masuk.kota.example",
        "/.sso/",
        "10.1.2.3",
        "X-SSO-Username",
    ):
        assert part.lower() in text.lower(), part
    assert all(content.splitlines()[0].endswith("sso gate config arsip") for content in files.values())


@pytest.mark.parametrize("kind", ["nginx", "traefik", "envoy", "apache"])
def test_every_spelling_of_every_header_is_removed(kind: Kind) -> None:
    text = "".join(files_for(kind, PLAN).values()).lower()
    for name in every_spelling():
        assert name.lower() in text, name


def yaml_of(kind: Kind, plan: Plan = PLAN) -> dict[str, Any]:
    files: Files = files_for(kind, plan)
    loaded: dict[str, Any] = yaml.safe_load(next(iter(files.values())))
    return loaded


def test_traefik_removes_then_asks_then_sets_and_the_application_never_gets_the_key() -> None:
    http = yaml_of("traefik")["http"]
    order = ["arsip-remove", "arsip-key", "arsip-check", "arsip-no-key"]
    assert http["routers"]["arsip-gate"]["middlewares"] == order
    middlewares = http["middlewares"]
    removed = middlewares["arsip-remove"]["headers"]["customRequestHeaders"]
    assert removed == dict.fromkeys(every_spelling(), "")
    check = middlewares["arsip-check"]["forwardAuth"]
    assert check["address"] == "https://masuk.kota.example/gate/check/redirect"
    assert check["trustForwardHeader"] is False
    assert check["authResponseHeaders"] == ["X-SSO-Username", "X-SSO-JWT"]
    assert middlewares["arsip-no-key"]["headers"]["customRequestHeaders"] == {"X-SSO-Gate-Key": ""}


def test_envoy_removes_then_asks() -> None:
    listener = yaml_of("envoy")["static_resources"]["listeners"][0]
    manager = listener["filter_chains"][0]["filters"][0]["typed_config"]
    assert manager["common_http_protocol_options"]["headers_with_underscores_action"] == "DROP_HEADER"
    removal, check, _ = (entry["typed_config"] for entry in manager["http_filters"])
    assert [one["remove"] for one in removal["mutations"]["request_mutations"]] == [
        name.lower() for name in every_spelling()
    ]
    service = check["http_service"]
    assert (service["path_prefix"], check["failure_mode_allow"]) == ("/gate/check/envoy", False)
    kept = service["authorization_response"]["allowed_upstream_headers"]["patterns"]
    assert kept == [{"exact": "x-sso-username"}, {"exact": "x-sso-jwt"}]
    host = manager["route_config"]["virtual_hosts"][0]
    assert host["domains"] == [HOST, f"{HOST}:443", "dua.kota.example:8443"]
    own, _ = host["routes"]
    assert own["typed_per_filter_config"]["envoy.filters.http.ext_authz"]["disabled"] is True


@pytest.fixture
async def proxy(city: City) -> Proxy:
    await add_gate(city, gate=gate_of(headers=["username"]))
    return Proxy(city)


@pytest.mark.parametrize("overrides", [TRUSTED])
async def test_the_requests_of_traefik(city: City, proxy: Proxy) -> None:
    """https://doc.traefik.io/traefik/middlewares/http/forwardauth/: a GET with the headers of the client and five of
    Traefik's own; an answer of 2xx lets the request pass, any other is the answer of the client."""
    async with city.browser() as browser:
        await proxy.sign_in(browser)
    sent = {
        "X-Forwarded-Method": "PUT", "X-Forwarded-Proto": "https", "X-Forwarded-Host": HOST,
        "X-Forwarded-Uri": "/surat?x=1", "X-Forwarded-For": USER, "X-Forwarded-Port": "443",
        "X-Forwarded-Server": "traefik", "X-Real-Ip": USER, "Content-Type": "application/json",
        "Content-Encoding": "gzip", "X-SSO-Gate-Key": proxy_credential(city.provider.box, "arsip"),
        "Cookie": f"__Host-sso-gate={proxy.cookies['__Host-sso-gate']}; other=1",
    }  # fmt: skip
    async with city.client(PROXY) as http:
        passed = await http.get("/gate/check/redirect", headers=sent)
        assert (passed.status_code, passed.headers["x-sso-username"]) == (200, "siti")
        refused = await http.get("/gate/check/redirect", headers={**sent, "Cookie": "", **NAVIGATION})
        assert refused.headers["location"] == f"https://{HOST}/.sso/start?to=%2Fsurat%3Fx%3D1&sent=1"
        assert (
            await http.get("/gate/check/redirect", headers={**sent, "X-Forwarded-Proto": "http"})
        ).status_code == 403


@pytest.mark.parametrize("overrides", [TRUSTED])
async def test_the_requests_of_envoy(city: City, proxy: Proxy) -> None:
    """The HTTP service of ext_authz sends method, path behind ``path_prefix``, host and Content-Length: 0; 200 lets the
    request pass, any other answer is that of the client."""
    async with city.browser() as browser:
        await proxy.sign_in(browser)
    cookie = f"__Host-sso-gate={proxy.cookies['__Host-sso-gate']}"
    sent = {
        "host": HOST, "x-forwarded-proto": "https", "x-forwarded-for": USER, "content-length": "0",
        "x-sso-gate-key": proxy_credential(city.provider.box, "arsip"), "x-envoy-internal": "true",
    }  # fmt: skip
    async with city.client(PROXY) as http:
        for method in ("GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "PROPFIND"):
            passed = await http.request(method, "/gate/check/envoy/surat/1?x=1", headers={**sent, "cookie": cookie})
            assert (passed.status_code, passed.headers["x-sso-username"]) == (200, "siti"), method
        refused = await http.get("/gate/check/envoy/surat/1?x=1", headers={**sent, **NAVIGATION})
        assert refused.headers["location"] == f"https://{HOST}/.sso/start?to=%2Fsurat%2F1%3Fx%3D1"
        assert (await http.get("/gate/check/envoy/", headers=sent)).status_code == 401
        assert (await http.get("/gate/check/envoy/", headers={**sent, "host": "lain.example"})).status_code == 403
