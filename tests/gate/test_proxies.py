"""Configurations of proxies: what each contains; and the requests that Traefik and Envoy document, replayed."""

from __future__ import annotations

import re
from typing import Any

import pytest
import yaml
from tests.gate.proxy import HOST, NAVIGATION, PROXY, TRUSTED, USER, Proxy, add_gate, gate_of
from tests.support import City

from sso.gate.keys import proxy_credential
from sso.gate.proxies import KINDS, Files, Kind, Plan, files_for
from sso.gate.proxies.names import removed_names

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
    assert set(re.findall(r"@[\w-]+", text)) <= {"@type", "@sso_refused", "@system-ca", "@socket", "@no_socket",
                                                "@no_sso_jwt", "@no_sso_username"}  # fmt: skip
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
    for name in removed_names():
        assert name.lower() in text, name


def test_names_are_removed_by_pattern_where_a_proxy_knows_patterns() -> None:
    caddy = files_for("caddy", PLAN)["Caddyfile"]
    for mark in "!#$%&'*+-.^_`|~":
        for prefix in ("SSO", "Forwarded", "Original", "Rewrite"):
            assert f'request_header "-X{mark}{prefix}*"' in caddy
    haproxy = files_for("haproxy", PLAN)["haproxy.cfg"]
    patterns = [line.split()[2] for line in haproxy.splitlines() if line.endswith("-m reg")]
    for name in removed_names():
        if name != "HTTP2-Settings":
            assert any(re.search(pattern, name) for pattern in patterns), name
    for mark in "!#$%&'*+-.^_`|~":
        assert any(re.search(pattern, f"x{mark}sso~username") for pattern in patterns), mark
    assert "^x%Wsso" in files_for("apache", PLAN)["sso-gate.lua"]
    assert "^x%Wsso" in files_for("envoy", PLAN)["envoy.yaml"]
    nginx = files_for("nginx", PLAN)["sso-gate.conf"]
    assert "underscores_in_headers off;" in nginx
    assert "ignore_invalid_headers on;" in nginx


SOCKETS: dict[Kind, tuple[str, ...]] = {
    "nginx": ("proxy_set_header Upgrade $sso_upgrade;", "~*^websocket$ websocket;", 'HTTP2-Settings "";'),
    "traefik": ("HeaderRegexp(`Upgrade`, `^(?i:websocket)$`)", 'Upgrade: ""', 'HTTP2-Settings: ""'),
    "caddy": ("@no_socket not header_regexp Upgrade (?i)^websocket$", "@no_socket -Upgrade", "-HTTP2-Settings"),
    "haproxy": ("del-header upgrade unless { var(txn.sso_socket) -m bool }", "del-header http2-settings"),
    "envoy": ("upgrade_configs: [{upgrade_type: websocket}]", 'remove: "http2-settings"'),
    "apache": ('== "websocket"', "^http2%Wsettings$", "upgrade=websocket"),
}


@pytest.mark.parametrize("kind", KINDS)
def test_web_sockets_pass_and_no_other_protocol(kind: Kind) -> None:
    text = "".join(files_for(kind, PLAN).values())
    assert [part for part in SOCKETS[kind] if part not in text] == []
    assert "$http_upgrade;" not in text


HOSTS: dict[Kind, str] = {
    "nginx": 'proxy_set_header Host "HOST";',
    "traefik": 'Host: "HOST"',
    "caddy": 'header_up Host "HOST"',
    "haproxy": "set-var(txn.sso_host) str(HOST) if { req.fhdr(host),",
    "envoy": 'host_rewrite_literal: "HOST"',
    "apache": '= "HOST"',
}


@pytest.mark.parametrize("kind", KINDS)
def test_the_application_gets_a_registered_host(kind: Kind) -> None:
    text = "".join(files_for(kind, PLAN).values())
    for host in PLAN.hosts:
        assert HOSTS[kind].replace("HOST", host) in text
    assert "$http_host" not in text
    assert ":AUTHORITY" not in text


def yaml_of(kind: Kind, plan: Plan = PLAN) -> dict[str, Any]:
    files: Files = files_for(kind, plan)
    loaded: dict[str, Any] = yaml.safe_load(next(iter(files.values())))
    return loaded


def test_traefik_removes_then_asks_then_sets_and_the_application_never_gets_the_key() -> None:
    http = yaml_of("traefik")["http"]
    for name, first, kind in (("gate", "arsip", "plain"), ("socket", "arsip-2", "socket")):
        order = ["arsip-remove", f"arsip-{kind}", f"{first}-host", "arsip-key", "arsip-check", "arsip-no-key"]
        assert http["routers"][f"{first}-{name}"]["middlewares"] == order
    assert sorted(http["routers"]) == [f"{first}-{name}" for first in ("arsip-2", "arsip") for name in
                                       ("gate", "socket", "sso")]  # fmt: skip
    middlewares = http["middlewares"]
    removed = middlewares["arsip-remove"]["headers"]["customRequestHeaders"]
    assert removed == dict.fromkeys(removed_names(), "")
    check = middlewares["arsip-check"]["forwardAuth"]
    assert check["address"] == "https://masuk.kota.example/gate/check/redirect"
    assert check["trustForwardHeader"] is False
    assert check["authResponseHeaders"] == ["X-SSO-Username", "X-SSO-JWT"]
    assert middlewares["arsip-no-key"]["headers"]["customRequestHeaders"] == {"X-SSO-Gate-Key": ""}


def test_envoy_removes_then_asks() -> None:
    listener = yaml_of("envoy")["static_resources"]["listeners"][0]
    manager = listener["filter_chains"][0]["filters"][0]["typed_config"]
    assert manager["common_http_protocol_options"]["headers_with_underscores_action"] == "DROP_HEADER"
    removal, _, check, _ = (entry["typed_config"] for entry in manager["http_filters"])
    *removed, address = removal["mutations"]["request_mutations"]
    assert [mutation["remove"] for mutation in removed] == [name.lower() for name in removed_names()]
    assert address["append"]["header"]["value"] == "%DOWNSTREAM_DIRECT_REMOTE_ADDRESS_WITHOUT_PORT%"
    assert address["append"]["append_action"] == "OVERWRITE_IF_EXISTS_OR_ADD"
    service = check["http_service"]
    assert (service["path_prefix"], check["failure_mode_allow"]) == ("/gate/check/envoy", False)
    patterns = service["authorization_response"]["allowed_upstream_headers"]["patterns"]
    assert patterns == [{"exact": "x-sso-username"}, {"exact": "x-sso-jwt"}]
    host, other = manager["route_config"]["virtual_hosts"]
    assert (host["domains"], other["domains"]) == ([HOST, f"{HOST}:443"], ["dua.kota.example:8443"])
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
