"""What is decided at the gate without I/O, as tables."""

from __future__ import annotations

import pytest
from tests.gate.proxy import HOST

from sso.clients.metadata import ClientMetadata
from sso.clients.metadata.gate import GateSettings
from sso.gate.decision import (
    Kind,
    ProxiedRequest,
    Redirect,
    is_navigation,
    is_sign_out,
    normal_path,
    path_rule,
    way_back,
    without_session,
)
from sso.gate.headers import encoded
from sso.gate.proxies.names import spellings
from sso.portal.applications import RequestedSettings, Unfinished
from sso.portal.applications.metadata import production_metadata, sandbox_metadata

GATE = GateSettings(
    hosts=[HOST],
    public_paths=["/aset", "/tentang.html"],
    role_paths={"/kelola": ["app:pengelola"], "/kelola/uang": ["app:kasir"], "/aset/rahasia": ["officer"]},
    sign_out_path="/keluar.php",
)
MANAGER, BOTH, OFFICER = (("app:pengelola",),), (("app:pengelola",), ("app:kasir",)), (("officer",),)


@pytest.mark.parametrize(
    ("uri", "kind", "roles"),
    [
        ("/", Kind.SIGNED_IN, ()),
        ("/aset", Kind.PUBLIC, ()),
        ("/aset/gaya.css?v=1", Kind.PUBLIC, ()),
        ("/aset?next=/kelola", Kind.PUBLIC, ()),
        ("/asetku", Kind.SIGNED_IN, ()),
        ("/tentang.html", Kind.PUBLIC, ()),
        ("/Aset/gaya.css", Kind.SIGNED_IN, ()),
        ("/aset/../kelola", Kind.REFUSED, ()),
        ("/aset/./gaya.css", Kind.REFUSED, ()),
        ("//aset/gaya.css", Kind.SIGNED_IN, ()),
        ("/aset;a=b/gaya.css", Kind.SIGNED_IN, ()),
        ("/aset/rahasia", Kind.SIGNED_IN, OFFICER),
        ("/kelola", Kind.SIGNED_IN, MANAGER),
        ("/kelola/", Kind.SIGNED_IN, MANAGER),
        ("/kelola?x=1", Kind.SIGNED_IN, MANAGER),
        ("/kelola#x", Kind.REFUSED, ()),
        ("/KeLoLa/x", Kind.SIGNED_IN, MANAGER),
        ("//kelola", Kind.SIGNED_IN, MANAGER),
        ("/./kelola", Kind.REFUSED, ()),
        ("/x/../kelola", Kind.REFUSED, ()),
        ("/kelola;jsessionid=1/x", Kind.SIGNED_IN, MANAGER),
        ("/;a/kelola", Kind.SIGNED_IN, MANAGER),
        ("/%6belola", Kind.SIGNED_IN, MANAGER),
        ("/kelola%3bx", Kind.SIGNED_IN, MANAGER),
        ("/kelola/uang", Kind.SIGNED_IN, BOTH),
        ("/kelolaan", Kind.SIGNED_IN, ()),
        ("/aset/%2e%2e/kelola", Kind.REFUSED, ()),
        ("/aset/..%2fkelola", Kind.REFUSED, ()),
        ("/aset%2F..%2Fkelola", Kind.REFUSED, ()),
        ("/aset/..%5ckelola", Kind.REFUSED, ()),
        ("/aset/..\\kelola", Kind.REFUSED, ()),
        ("/%256belola", Kind.REFUSED, ()),
        ("/aset/%00", Kind.REFUSED, ()),
        ("/aset/%0a", Kind.REFUSED, ()),
        ("/aset/%zz", Kind.REFUSED, ()),
        ("/aset/%", Kind.REFUSED, ()),
        ("/aset/%c0%ae", Kind.REFUSED, ()),
        ("/..", Kind.REFUSED, ()),
        ("/kelola/x/../../y", Kind.REFUSED, ()),
        ("/kelola/..;/..;/x", Kind.REFUSED, ()),
        ("/kelola/.;a=b/x", Kind.REFUSED, ()),
        ("/kelola//../x", Kind.REFUSED, ()),
        ("/kelola/..%3b/x", Kind.REFUSED, ()),
        ("/x/.%3b./kelola", Kind.REFUSED, ()),
        ("/x#/../kelola", Kind.REFUSED, ()),
        ("/aset/a#/../../kelola", Kind.REFUSED, ()),
        ("/aset?/../kelola", Kind.PUBLIC, ()),
        ("/x?a=b#c", Kind.REFUSED, ()),
        ("/index.php/kelola/x", Kind.SIGNED_IN, MANAGER),
        ("/INDEX.PHP/Kelola", Kind.SIGNED_IN, MANAGER),
        ("/a/b.php/kelola", Kind.SIGNED_IN, MANAGER),
        ("/a.php;x/kelola", Kind.SIGNED_IN, MANAGER),
        ("/aset/index.php/kelola", Kind.SIGNED_IN, MANAGER),
        ("/aset/index.php/x", Kind.SIGNED_IN, ()),
        ("/index.php/aset/x", Kind.SIGNED_IN, ()),
        ("/aset/php/x", Kind.PUBLIC, ()),
        ("/aset/../../kelola", Kind.REFUSED, ()),
        ("kelola", Kind.REFUSED, ()),
        ("https://arsip.kota.example/kelola", Kind.REFUSED, ()),
        ("", Kind.REFUSED, ()),
    ],
)
def test_what_a_path_needs(uri: str, kind: Kind, roles: tuple[tuple[str, ...], ...]) -> None:
    rule = path_rule(GATE, uri)
    assert (rule.kind, rule.roles) == (kind, roles)


def test_without_rules_every_path_needs_a_session_and_none_is_refused() -> None:
    gate = GateSettings(hosts=[HOST])
    for uri in ("/", "/api/v4/projects/a%2Fb", "/%zz"):
        assert path_rule(gate, uri).kind is Kind.SIGNED_IN


@pytest.mark.parametrize(
    ("raw", "path"),
    [("/", "/"), ("/a/", "/a/"), ("/a/.", "/a/"), ("/a/b/..", "/a/"), ("/a//b", "/a/b"), ("/s%C3%A9", "/sé")],
)
def test_paths_are_normalised(raw: str, path: str) -> None:
    assert normal_path(raw) == path


@pytest.mark.parametrize(
    ("headers", "answer"),
    [
        ({"sec-fetch-mode": "navigate"}, True),
        ({"accept": "text/html,*/*"}, True),
        ({"sec-fetch-mode": "cors", "accept": "text/html"}, False),
        ({"sec-fetch-mode": "no-cors"}, False),
        ({"sec-fetch-mode": "websocket", "upgrade": "websocket"}, False),
        ({"upgrade": "websocket", "accept": "text/html"}, False),
        ({"accept": "application/json"}, False),
        ({"accept": "text/html", "x-requested-with": "XMLHttpRequest"}, False),
        ({}, False),
    ],
)
def test_navigations_are_known(headers: dict[str, str], answer: bool) -> None:
    assert is_navigation(headers) is answer


@pytest.mark.parametrize(
    ("method", "uri", "referer", "onward"),
    [
        ("GET", "/a", "", Redirect(302, "/.sso/start", (("to", "/a"),))),
        ("HEAD", "/a?b=c", "", Redirect(302, "/.sso/start", (("to", "/a?b=c"),))),
        ("POST", "/a", "", Redirect(303, "/.sso/start", (("to", "/a"), ("sent", "1")))),
        ("POST", "/a", f"https://{HOST}/b?x=1", Redirect(303, "/.sso/start", (("to", "/b?x=1"), ("sent", "1")))),
        ("POST", "/a", f"https://{HOST}", Redirect(303, "/.sso/start", (("to", "/"), ("sent", "1")))),
        ("POST", "/a", "https://jahat.example/b", Redirect(303, "/.sso/start", (("to", "/a"), ("sent", "1")))),
        ("POST", "/a", f"https://{HOST}//jahat.example", Redirect(303, "/.sso/start", (("to", "/"), ("sent", "1")))),
        ("GET", "/keluar.php?x=1", "", Redirect(303, "/.sso/sign-out")),
        ("POST", "/keluar.php", "", Redirect(303, "/.sso/sign-out")),
    ],
)
def test_where_a_browser_without_a_session_goes(method: str, uri: str, referer: str, onward: Redirect) -> None:
    headers = {"sec-fetch-mode": "navigate", "referer": referer}
    assert without_session(GATE, ProxiedRequest(HOST, uri, method, "203.0.113.7", "", headers)) == onward
    assert (
        without_session(GATE, ProxiedRequest(HOST, uri, method, "203.0.113.7", "", {"sec-fetch-mode": "cors"})) is None
    )


@pytest.mark.parametrize(
    "uri",
    ["//jahat.example/", "/\\jahat.example", "https://jahat.example/", "/ok\r\nX: y", "/a b", "/.sso/sign-out", "@x",
     "", "/" + "a" * 1000, "/é"],
)  # fmt: skip
def test_the_way_back_is_a_path_of_the_host(uri: str) -> None:
    assert way_back(uri) == "/"
    assert way_back("/surat?halaman=2&x=%2F") == "/surat?halaman=2&x=%2F"


def test_the_sign_out_path_is_one_path() -> None:
    assert is_sign_out(GATE, "/keluar.php?a=b")
    assert is_sign_out(GATE, "//keluar.php")
    assert not is_sign_out(GATE, "/keluar.php/x")
    assert not is_sign_out(GateSettings(hosts=[HOST]), "/")


def test_headers_have_one_line_each() -> None:
    values = {"name": "Siti\r\nX-SSO-Roles: admin", "roles": ["a", "b,c", "d"], "username": "sîti"}
    gate = GateSettings(hosts=[HOST], headers=["name", "roles", "username", "email"])
    assert encoded(gate, values) == (
        (b"x-sso-username", "sîti".encode()),
        (b"x-sso-name", b"SitiX-SSO-Roles: admin"),
        (b"x-sso-email", b""),
        (b"x-sso-roles", b"a,d"),
    )


def test_every_spelling_of_a_header_is_known() -> None:
    assert spellings("X-SSO-Sub")[:4] == ["X-SSO-Sub", "X-SSO_Sub", "X-SSO.Sub", "X_SSO-Sub"]
    assert (len(spellings("X-SSO-Sub")), len(spellings("X-SSO-Local-User-Id"))) == (9, 81)


def mistakes(**fields: object) -> str:
    values = {"type": "gate", "client_name": "Arsip", "gate": {"hosts": [HOST]}, **fields}
    try:
        ClientMetadata.model_validate({name: value for name, value in values.items() if value is not None})
    except ValueError as error:
        return str(error)
    return ""


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({}, ""),
        ({"gate": None}, "gate: is needed"),
        ({"type": "web", "redirect_uris": ["https://a.example/cb"]}, "gate: only for type: gate"),
        ({"gate": {"hosts": []}}, "at least 1 item"),
        ({"gate": {"hosts": ["Arsip.kota.example"]}}, "small letters"),
        ({"gate": {"hosts": ["https://arsip.kota.example"]}}, "must be a host name"),
        ({"gate": {"hosts": ["arsip.kota.example/"]}}, "must be a host name"),
        ({"gate": {"hosts": ["*.kota.example"]}}, "must be a host name"),
        ({"gate": {"hosts": ["arsip.kota.example:443"]}}, "port 443"),
        ({"gate": {"hosts": [HOST, HOST]}}, "twice"),
        ({"gate": {"hosts": [HOST], "headers": ["nik"]}}, "Input should be"),
        ({"gate": {"hosts": [HOST], "headers": ["nip"]}}, "only for the city's own"),
        ({"gate": {"hosts": [HOST], "headers": ["nip"]}, "first_party": True}, ""),
        ({"gate": {"hosts": [HOST], "public_paths": ["aset"]}}, "plain path"),
        ({"gate": {"hosts": [HOST], "public_paths": ["/a/../b"]}}, "plain path"),
        ({"gate": {"hosts": [HOST], "public_paths": ["/.sso/x"]}}, "belongs to the gate"),
        ({"gate": {"hosts": [HOST], "role_paths": {"/a": ["app:x"]}}}, "defines no role x"),
        ({"gate": {"hosts": [HOST], "role_paths": {"/a": []}}}, "at least 1 item"),
        ({"gate": {"hosts": [HOST], "session_seconds": 5}}, "greater than or equal to 60"),
    ],
)
def test_the_settings_of_a_gate_are_checked(fields: dict[str, object], text: str) -> None:
    assert text in mistakes(**fields)
    assert bool(text) == bool(mistakes(**fields))


def test_what_follows_from_a_gate_cannot_be_written() -> None:
    meta = ClientMetadata.model_validate(
        {
            "type": "gate",
            "client_name": "Arsip",
            "gate": {"hosts": [HOST], "headers": ["username", "email", "roles"]},
            "redirect_uris": ["https://jahat.example/cb"],
            "scope": "openid nik",
            "token_endpoint_auth_method": "client_secret_basic",
            "grant_types": ["client_credentials"],
        }
    )
    assert meta.redirect_uris == [f"https://{HOST}/.sso/callback"]
    assert meta.initiate_login_uri == f"https://{HOST}/.sso/start"
    assert meta.scope == "openid profile email roles"
    assert (meta.grant_types, meta.token_endpoint_auth_method) == (["authorization_code"], "none")


def test_a_team_requests_a_gate_and_its_sandbox_gets_no_restricted_data() -> None:
    reasons = {"profile": "Nama di surat", "employee": "NIP di surat"}
    gate = {"hosts": [HOST], "headers": ["username", "nip"]}
    document = {"client_name": "Arsip", "gate": gate, "scope_reasons": reasons}
    requested = RequestedSettings("gate", document).checked()
    production = production_metadata(requested, {"first_party": True})
    assert production.scope == "openid profile employee"
    sandbox = sandbox_metadata(requested, {}, "https://masuk.kota.example/developer/try")
    assert (sandbox.type, sandbox.scope) == ("gate", "openid profile")
    with pytest.raises(Unfinished, match="must be fields"):
        RequestedSettings("gate", {**document, "gate": "x"}).checked()
