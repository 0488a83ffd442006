"""The gate behind real proxies, each with the configuration that `sso gate config` prints, as it is."""

from __future__ import annotations

import base64
import contextlib
import datetime
import hashlib
import itertools
import json
import os
import re
import shutil
import socket
import ssl
import subprocess
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from http.client import HTTPResponse
from http.cookiejar import DefaultCookiePolicy
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import httpx2 as httpx
import jwt
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from tests.commands import run_commands
from tests.interop.conftest import LIMITS, PASSWORD, Server
from tests.ports import free_ports
from tests.support import form_of
from tests.waiting import wait_for, wait_until

from sso.gate.proxies.names import MARKS, TOKEN_MARKS, removed_credentials, spellings

pytestmark = [pytest.mark.interop]
PROXIES = ("nginx", "caddy", "haproxy", "apache", *(("traefik", "envoy") if os.environ.get("INTEROP_ALL") else ()))
"""``make interop-all`` also installs Traefik and Envoy, which Debian does not have."""
TOOLS = Path(__file__).parents[2] / "var" / "interop" / "venv" / "bin"
NAVIGATION = {"Sec-Fetch-Mode": "navigate", "Accept": "text/html"}
SCRIPT = {"Sec-Fetch-Mode": "cors", "Accept": "application/json"}
MODULES = "/usr/lib/apache2/modules"


class Application(BaseHTTPRequestHandler):
    """An old application: it believes its headers, and says what came."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        if self.headers.get("Upgrade"):
            self._socket()
            return
        if self.path == "/tolak":
            self.send_response(401)
            self.send_header("WWW-Authenticate", 'Basic realm="arsip"')
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        length = int(self.headers.get("Content-Length") or 0)
        size = len(self.rfile.read(length))
        headers = [[name, value.encode("latin-1").decode()] for name, value in self.headers.items()]
        body = json.dumps({"path": self.path, "headers": headers, "size": size}).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_POST = do_PUT = do_GET

    def _socket(self) -> None:
        key = self.headers.get("Sec-WebSocket-Key", "") + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
        self.send_response(101)
        self.send_header("Upgrade", self.headers["Upgrade"])
        self.send_header("Connection", "Upgrade")
        self.send_header("Sec-WebSocket-Accept", base64.b64encode(hashlib.sha1(key.encode()).digest()).decode())
        self.end_headers()
        self.wfile.write(b"\x81\x05" + self.headers.get("X-SSO-Username", "?").encode().ljust(5))
        self.wfile.flush()
        self.close_connection = True

    def log_message(self, format: str, *args: Any) -> None:
        pass


@dataclass
class Gates:
    """Proxies that run, and where the application is."""

    server: Server
    application: str
    http: httpx.Client
    ports: dict[str, int] = field(default_factory=dict)
    folders: dict[str, Path] = field(default_factory=dict)

    def log(self) -> str:
        """Return what the proxies wrote, for a test that fails."""
        return "".join(
            path.read_text(errors="replace") for folder in self.folders.values() for path in folder.glob("*log")
        )


def certificate(folder: Path) -> None:
    """Write a certificate for every host, its key, and both in one file."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "gerbang.example")])
    begin = datetime.datetime.now(datetime.UTC) - datetime.timedelta(days=1)
    built = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(begin)
        .not_valid_after(begin + datetime.timedelta(days=30))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(f"{p}.gerbang.example") for p in PROXIES]), False)
        .sign(key, hashes.SHA256())
    )
    public = built.public_bytes(serialization.Encoding.PEM)
    form = (serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption())
    private = key.private_bytes(serialization.Encoding.PEM, *form)
    for path, content in (("cert.pem", public), ("key.pem", private), ("both.pem", public + private)):
        (folder / path).write_bytes(content)


NGINX = """daemon off; pid {0}/pid; error_log {0}/error.log; {1}
events {{}}
http {{ access_log off; include {0}/sso-gate.conf; }}
"""
APACHE = """
ServerName localhost
ServerRoot {0}
PidFile {0}/pid
ErrorLog {0}/error.log
Listen 127.0.0.1:{1}
{2}
LoadModule mpm_event_module {3}/mod_mpm_event.so
{4}
Include {0}/sso-gate.conf
"""
TRAEFIK = """
entryPoints: {{websecure: {{address: "127.0.0.1:{1}"}}}}
providers: {{file: {{filename: {0}/sso-gate.yml, watch: false}}}}
global: {{checkNewVersion: false, sendAnonymousUsage: false}}
"""
APACHE_MODULES = ("authz_core", "headers", "lua", "ssl", "socache_shmcb", "proxy", "proxy_http", "proxy_wstunnel")


def prepared(kind: str, folder: Path, port: int) -> list[str]:
    """Write what stands around the configuration of a proxy, and return the command that starts it."""
    root = os.geteuid() == 0
    if kind == "nginx":
        (folder / "nginx.conf").write_text(NGINX.format(folder, "user root;" if root else ""))
        return [shutil.which("nginx") or "/usr/sbin/nginx", "-p", str(folder), "-c", str(folder / "nginx.conf")]
    if kind == "caddy":
        path = folder / "Caddyfile"
        path.write_text("{\n\tadmin off\n\tauto_https disable_redirects\n}\n" + path.read_text())
        return ["caddy", "run", "--config", str(path), "--adapter", "caddyfile"]
    if kind == "haproxy":
        return ["haproxy", "-db", "-f", str(folder / "haproxy.cfg")]
    if kind == "traefik":
        static = TRAEFIK.format(folder, port)
        (folder / "traefik.yml").write_text(static)
        return [str(TOOLS / "traefik"), f"--configFile={folder / 'traefik.yml'}"]
    if kind == "envoy":
        return [str(TOOLS / "envoy"), "-c", str(folder / "envoy.yaml"), "--concurrency", "1", "--use-dynamic-base-id"]
    modules = "\n".join(f"LoadModule {name}_module {MODULES}/mod_{name}.so" for name in APACHE_MODULES)
    user = "User www-data\nGroup www-data" if root else ""
    (folder / "httpd.conf").write_text(APACHE.format(folder, port, user, MODULES, modules))
    return [shutil.which("apache2") or "/usr/sbin/apache2", "-f", str(folder / "httpd.conf"), "-DFOREGROUND"]


@pytest.fixture(scope="module")
def gates(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gates]:
    """One application, and four proxies in front of it."""
    application = ThreadingHTTPServer(("127.0.0.1", 0), Application)
    application.daemon_threads = True
    threading.Thread(target=application.serve_forever, daemon=True).start()
    http = httpx.Client(verify=False, timeout=60, limits=LIMITS)
    http.cookies.jar.set_policy(DefaultCookiePolicy(allowed_domains=[]))  # each visitor has its own
    proxies = Gates(server, f"http://127.0.0.1:{application.server_address[1]}", http)
    first, processes = free_ports(len(PROXIES)), []
    commands: list[list[str]] = []
    with contextlib.ExitStack() as closing:
        closing.callback(http.close)
        closing.callback(application.server_close)
        closing.callback(application.shutdown)
        for port, kind in enumerate(PROXIES, first):
            folder = Path("/tmp") / f"sso-gate-{kind}-{os.getpid()}"
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir(mode=0o755)
            closing.callback(shutil.rmtree, folder, ignore_errors=True)
            certificate(folder)
            pem = "both.pem" if kind == "haproxy" else "cert.pem"
            options = {
                "--for": kind,
                "--application": proxies.application,
                "--listen": str(port),
                "--certificate": str(folder / pem),
                "--certificate-key": str(folder / "key.pem"),
                "--output": str(folder),
                "--provider": server.issuer.replace("localhost", "127.0.0.1"),
            }
            commands.append(["gate", "config", "gerbang", *itertools.chain(*options.items())])
            proxies.ports[kind], proxies.folders[kind] = port, folder
        old = proxies.folders["nginx"] / "sso-gate.conf"
        old.touch(mode=0o644)
        run_commands(server.environment, server.directory, *commands)
        assert old.stat().st_mode & 0o777 == 0o600, "also where the file was there before"
        for kind, folder in proxies.folders.items():
            port = proxies.ports[kind]
            for path in folder.iterdir():
                path.chmod(0o644)  # this Apache runs as another user
            command, environment = prepared(kind, folder, port), {**os.environ, "XDG_DATA_HOME": str(folder)}
            log = (folder / "out.log").open("w")
            closing.callback(log.close)
            process = subprocess.Popen(command, stdout=log, stderr=log, env=environment, start_new_session=True)
            processes.append(process)
            closing.callback(process.wait, 60)
            closing.callback(process.terminate)
        for process, kind in zip(processes, PROXIES, strict=True):
            wait_for(proxies.ports[kind], process, proxies.folders[kind] / "out.log")
        yield proxies


class Visitor:
    """A browser that knows where each host is."""

    def __init__(self, gates: Gates, kind: str) -> None:
        self.gates, self.kind = gates, kind
        self.host = f"{kind}.gerbang.example"
        self.cookies: dict[str, dict[str, str]] = {}
        self.http = gates.http
        self.user = ("siti", PASSWORD)

    def get(
        self,
        url: str,
        headers: Mapping[str, str] | list[tuple[str, str]] = NAVIGATION,
        method: str = "GET",
        **options: Any,
    ) -> httpx.Response:
        """Send a request; follow no redirect."""
        parts = urlsplit(url if "//" in url[:8] else f"https://{self.host}{url}")
        kind, _, rest = parts.netloc.partition(".")
        jar = self.cookies.setdefault(parts.netloc, {})
        sent = [*(headers.items() if isinstance(headers, Mapping) else headers)]
        sent.append(("Cookie", "; ".join(f"{name}={value}" for name, value in jar.items())))
        target, extensions = url, {}
        if rest == "gerbang.example":
            target = f"https://127.0.0.1:{self.gates.ports[kind]}{parts.path}" + (
                f"?{parts.query}" if parts.query else ""
            )
            extensions = {"sni_hostname": parts.netloc}
            sent.append(("Host", parts.netloc))
        request = self.http.build_request(method, target, headers=sent, extensions=extensions, **options)
        request.url = request.url.copy_with(
            raw_path=target.partition("//")[2].partition("/")[2].join(("/", "")).encode()
        )
        answer = self.http.send(request)
        for line in answer.headers.get_list("set-cookie"):
            name, _, value = line.partition(";")[0].partition("=")
            jar.pop(name, None)
            if value:
                jar[name] = value
        return answer

    def follow(self, answer: httpx.Response) -> httpx.Response:
        """Follow redirects, and sign the user in where the provider asks."""
        for _ in range(12):
            if answer.is_redirect:
                answer = self.get(answer.headers["location"])
            elif str(answer.url).startswith(self.gates.server.issuer) and "password" in answer.text:
                form = form_of(answer)
                fields = {**form.fields, "username": self.user[0], "password": self.user[1]}
                answer = self.get(self.gates.server.issuer + form.action, method="POST", data=fields)
            else:
                return answer
        raise AssertionError("too many redirects")

    def open(self, path: str = "/") -> dict[str, Any]:
        """Open a page of the application, and return what the application got."""
        answer = self.follow(self.get(path))
        assert answer.status_code == 200, f"{answer.status_code} {answer.text}\n{self.gates.log()}"
        received: dict[str, Any] = answer.json()
        return received


@pytest.fixture(scope="module", params=PROXIES)
def visitor(request: pytest.FixtureRequest, gates: Gates) -> Visitor:
    return Visitor(gates, request.param)


def gate_headers(received: Mapping[str, Any]) -> dict[str, str]:
    """Return the headers of the gate that an application got, under the names that CGI makes of them."""
    heard = ((re.sub("[^A-Z0-9]", "_", name.upper()), value) for name, value in received["headers"])
    return {name: value for name, value in heard if name.startswith("X_SSO_") and value}


def test_the_application_hears_who_it_is_and_nothing_that_a_client_says(visitor: Visitor) -> None:
    received = visitor.open("/surat?halaman=2")
    assert received["path"] == "/surat?halaman=2"
    heard = gate_headers(received)
    assert (heard["X_SSO_USERNAME"], heard["X_SSO_NAME"]) == ("siti", "Siti Rahmawati")
    token = heard["X_SSO_JWT"]
    keys = jwt.PyJWKSet.from_dict(httpx.get(f"{visitor.gates.server.issuer}/jwks", timeout=60).json())
    key = keys[jwt.get_unverified_header(token)["kid"]]
    claims = jwt.decode(token, key, ["ES256"], audience="gerbang", issuer=visitor.gates.server.issuer)
    assert claims["host"] == visitor.host
    heard.pop("X_SSO_JWT")
    names = ["X-SSO-Username", "X-SSO-Roles", "X-SSO-JWT", "X-SSO-NIP", "X-SSO-Gate-Key", "X-SSO-Local-User-Id"]
    marks = MARKS if visitor.kind in ("nginx", "traefik") else TOKEN_MARKS
    spelled = [spelling for name in names for spelling in spellings(name)]
    spelled += [f"X{first}SSO{second}Username" for first in marks for second in marks]
    forged = [((str.lower, str.upper, str)[place % 3](name), "admin") for place, name in enumerate(spelled)]
    for batch in (forged[begin : begin + 70] for begin in range(0, len(forged), 70)):
        again = visitor.get("/surat", [*SCRIPT.items(), *batch])
        assert again.status_code == 200, visitor.gates.log()
        heard_again = gate_headers(again.json())
        heard_again.pop("X_SSO_JWT")
        assert heard_again == heard, batch
        public = visitor.get("/aset/gaya.css", [*SCRIPT.items(), *batch])
        assert (public.status_code, gate_headers(public.json())) == (200, {})


def any_certificate() -> ssl.SSLContext:
    """Return a context of clients that accepts the certificates of the proxies, and reads none of an authority."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context


def raw(visitor: Visitor, target: str, *lines: str, host: str = "") -> tuple[int, dict[str, str]]:
    """Send a request with the visitor's cookies as it is written; return the status, and the headers that the
    application got, with names in small letters."""
    cookies = "; ".join(f"{name}={value}" for name, value in visitor.cookies[visitor.host].items())
    sent = [f"GET {target} HTTP/1.1", f"Host: {host or visitor.host}", *lines, "Sec-Fetch-Mode: cors",
            f"Cookie: {cookies}", "", ""]  # fmt: skip
    connection = socket.create_connection(("127.0.0.1", visitor.gates.ports[visitor.kind]), 60)
    with any_certificate().wrap_socket(connection, server_hostname=visitor.host) as secure:
        secure.sendall("\r\n".join(sent).encode())
        answer = HTTPResponse(secure)
        answer.begin()
        received = json.loads((answer.read() if answer.status == 200 else b"") or b"{}")
    heard = {name.lower(): value for name, value in received.get("headers", [])}
    return answer.status, {**heard, ":path": received["path"]} if received else {}


FORGED = base64.b64encode(b"admin:admin").decode()
CREDENTIALS = (
    (f"Authorization: Basic {FORGED}",),
    (f"AUTHORIZATION: basic {FORGED}",),
    (f"authorization:Basic {FORGED}", f"Authorization: Bearer {FORGED}"),
    (f"Authorization : Basic {FORGED}",),
    (f"Authorization\t: Basic {FORGED}",),
    (f"Authorization:\x0bBasic {FORGED}",),
    (f"Authorization: Basic\r\n {FORGED}",),
    (f"X-Lain: 1\r\n Authorization: Basic {FORGED}",),
    (f"X-Lain: 1\nAuthorization: Basic {FORGED}",),
    (f"X-Lain: 1\rAuthorization: Basic {FORGED}",),
    (f"\tAuthorization: Basic {FORGED}",),
    (f" Authorization: Basic {FORGED}",),
    ("Connection: close, Authorization", f"Authorization: Basic {FORGED}"),
    ("Connection: Authorization",),
    ("TE: trailers", "Trailer: Authorization", f"Authorization: Basic {FORGED}"),
    *((f"{name}: Basic {FORGED}",) for name in removed_credentials() if name != "Authorization"),
)


def credentials_of(heard: Mapping[str, str]) -> list[str]:
    """Return what a program reads as credentials: of every header whose name CGI reads as ``HTTP_AUTHORIZATION``, and
    of ``Proxy-Authorization``."""
    spelled = {name: re.sub("[^A-Z0-9]", "_", name.upper()) for name in heard}
    return [value for name, value in heard.items() if spelled[name] in ("AUTHORIZATION", "PROXY_AUTHORIZATION")]


def test_the_application_gets_the_basic_credentials_of_the_gate_and_no_others(visitor: Visitor) -> None:
    visitor.open("/")
    secret = visitor.gates.server.secrets["gerbang"]
    own = "Basic " + base64.b64encode(f"siti:{secret}".encode()).decode()
    for path, expected in (("/surat", [own]), ("/aset/x", [])):
        for lines in CREDENTIALS:
            status, heard = raw(visitor, path, *lines)
            assert status in (200, 400, 421), (lines, status)
            if status == 200:
                assert [value for value in credentials_of(heard) if value] == expected, (path, lines)
    stranger = Visitor(visitor.gates, visitor.kind)
    for headers in ({"Authorization": own}, {"Authorization": own, "Cookie": "__Host-sso-gate=x"}):
        refused = stranger.get("/surat", {**SCRIPT, **headers})
        assert refused.status_code == 401, "the password of the application opens nothing at the gate"
        assert "www-authenticate" not in refused.headers
    challenged = visitor.get("/tolak", SCRIPT)
    assert (challenged.status_code, challenged.headers.get("www-authenticate")) == (401, None)
    pages = visitor.get("/loket/x").text + str(refused.headers) + refused.text + visitor.gates.log()
    assert secret not in pages
    assert own not in pages


def test_no_client_reads_the_answer_to_a_check(visitor: Visitor) -> None:
    visitor.open("/")
    secret = visitor.gates.server.secrets["gerbang"]
    own = base64.b64encode(f"siti:{secret}".encode()).decode()
    claims = [f"X-Original-{name}: {value}" for name, value in
              (("Host", visitor.host), ("Proto", "https"), ("URI", "/surat"), ("Method", "GET"))]  # fmt: skip
    for begin in ("/.sso/..", "/.sso/%2e%2e", "/.sso/..%2f", "/.sso//..", "/.sso/..;", "/.sso/x/../.."):
        for check in ("redirect", "nginx", "envoy/surat"):
            status, headers, body = answered(visitor, f"{begin}/gate/check/{check}", *claims)
            assert own not in str(headers), (begin, check, status)
            assert status != 200 or b'"path"' in body, "the application, not the provider"
    for target in ("/gate/check/envoy/../../../.sso/x", "/gate/check/nginx/../../../.sso/x"):
        assert own not in str(answered(visitor, target, *claims)[1]), target


def answered(visitor: Visitor, target: str, *lines: str) -> tuple[int, list[tuple[str, str]], bytes]:
    """Send a request with the visitor's cookies as it is written; return status, headers and body of the answer."""
    cookies = "; ".join(f"{name}={value}" for name, value in visitor.cookies[visitor.host].items())
    sent = [f"GET {target} HTTP/1.1", f"Host: {visitor.host}", *lines, f"Cookie: {cookies}", "", ""]
    connection = socket.create_connection(("127.0.0.1", visitor.gates.ports[visitor.kind]), 60)
    with any_certificate().wrap_socket(connection, server_hostname=visitor.host) as secure:
        secure.sendall("\r\n".join(sent).encode())
        answer = HTTPResponse(secure)
        answer.begin()
        return answer.status, answer.getheaders(), answer.read() if answer.status == 200 else b""


def test_no_other_protocol_than_a_web_socket_opens_a_tunnel(visitor: Visitor) -> None:
    visitor.open("/")
    settings = "HTTP2-Settings: AAMAAABkAAQCAAAAAAIAAAAA"
    for connection in ("Upgrade, HTTP2-Settings", "upgrade"):
        for upgrade in ("h2c", "websocket, h2c", "h2c, websocket", "websockets", "TLS/1.0"):
            for path in ("/", "/aset/x"):
                status, heard = raw(visitor, path, f"Connection: {connection}", f"Upgrade: {upgrade}", settings)
                assert status in (200, 400, 403), (upgrade, status)
                assert not heard.get("upgrade"), upgrade
                assert not heard.get("http2-settings"), upgrade
    status, heard = raw(visitor, "/", "Connection: Upgrade", "Upgrade: websocket", "Upgrade: h2c")
    assert status in (101, 200, 400, 403)
    assert heard.get("upgrade", "websocket") in ("", "websocket")


def test_an_application_hears_its_own_host_and_no_other_address(visitor: Visitor) -> None:
    visitor.open("/")
    other = "keuangan.kota.example"
    for target, host in (
        (f"https://{visitor.host}/surat", other),
        (f"https://{visitor.host}/surat", visitor.host),
        ("/surat", f"{other}:80,{visitor.host}"),
        ("/surat", f"{visitor.host},{other}"),
        ("/surat", f"{visitor.host}:99"),
        ("/surat", visitor.host.upper()),
    ):
        status, heard = raw(visitor, target, host=host)
        assert status in (200, 400, 403, 404, 421), (target, host)
        if heard:
            assert heard["host"] == visitor.host, (target, host)
            assert heard.get("x-forwarded-host", visitor.host) == visitor.host
            assert other not in str(heard)
    addresses = ("X-Original-URL", "X-Rewrite-URL", "X-Original-URI", "X-Forwarded-Uri", "X-Forwarded-Prefix")
    spelled = [f"{spelling}: /loket" for name in addresses for spelling in spellings(name)]
    status, heard = raw(visitor, "/surat", *spelled, "Forwarded: host=lain.example")
    assert (status, [name for name, value in heard.items() if "/loket" in value or "lain" in value]) == (200, [])


def test_a_client_cannot_let_the_next_server_remove_what_the_gate_says(visitor: Visitor) -> None:
    visitor.open("/")
    for connection in ("close, X-SSO-Username", "X-SSO-Username", "upgrade, x-sso-username, cookie"):
        status, heard = raw(visitor, "/", f"Connection: {connection}", "X.SSO.Username: admin")
        if status == 401 and "cookie" in connection:  # the cookie is removed before the question
            continue
        assert (status, heard.get("x-sso-username"), "admin" in heard.values()) == (200, "siti", False)
        assert "sso" not in heard.get("connection", "").lower()


def test_programs_forms_roles_and_tricks(visitor: Visitor) -> None:
    stranger = Visitor(visitor.gates, visitor.kind)
    script = stranger.get("/", SCRIPT)
    assert (script.status_code, script.headers["cache-control"]) == (401, "no-store")
    page = stranger.get("/a?b=c&d=e")
    assert (page.status_code, page.headers["cache-control"]) == (302, "no-store")
    assert page.headers["location"] == f"https://{visitor.host}/.sso/start?to=%2Fa%3Fb%3Dc%26d%3De"
    form = stranger.get("/isi", {**NAVIGATION, "Referer": f"https://{visitor.host}/borang"}, "POST", data={"a": "b"})
    assert form.status_code == 303, form.text
    assert dict(parse_qsl(urlsplit(form.headers["location"]).query)) == {"to": "/borang", "sent": "1"}
    lost = stranger.follow(form)
    assert (lost.status_code, "/borang" in lost.text) == (200, True)
    visitor.open("/")
    refused = visitor.get("/loket/x")
    assert (refused.status_code, refused.headers["cache-control"]) == (403, "no-store")
    assert "operator" not in refused.text
    assert "X-SSO" not in str(refused.headers).upper()
    for path in ("/loket/x/../../y", "/loket/..;/..;/y", "/loket//../y", "/aset/../y", "/x#/../loket"):
        status, heard = raw(visitor, path)
        assert status in (400, 403, 404) or heard[":path"] in ("/y", "/loket"), path  # resolved before the question
    assert raw(visitor, "/index.php/loket/x")[0] == 403
    for trick in ("/aset/%2e%2e/loket", "/aset/..%2floket", "/aset/..%5cloket", "/%256coket"):
        assert visitor.get(trick, SCRIPT).status_code in (400, 401, 403, 404), trick
    strange = visitor.get("/", {**SCRIPT, "X-Forwarded-Host": "lain.example", "X-Original-URI": "/aset/x",
                                "X-Forwarded-Uri": "/aset/x", "X-Forwarded-Method": "OPTIONS"})  # fmt: skip
    assert gate_headers(strange.json())["X_SSO_USERNAME"] == "siti"
    assert stranger_status(visitor) in (401, 403)


def stranger_status(visitor: Visitor) -> int:
    """Return what somebody without a session gets who claims to ask for a public path."""
    claims = {f"X-{kind}-{name}": "/aset/x" for kind in ("Original", "Forwarded") for name in ("URI", "Uri")}
    return Visitor(visitor.gates, visitor.kind).get("/", {**SCRIPT, **claims}).status_code


def test_uploads_and_web_sockets_pass(visitor: Visitor) -> None:
    visitor.open("/")
    sent = visitor.get("/unggah", SCRIPT, "POST", content=b"x" * 3_000_000)
    assert (sent.status_code, sent.json()["size"]) == (200, 3_000_000)
    packed = visitor.get("/unggah", {**SCRIPT, "Content-Encoding": "gzip"}, "PUT", content=b"abc")
    assert packed.status_code == 200, "the encoding of the body is not the gate's"
    context = any_certificate()
    context.set_alpn_protocols(["http/1.1"])
    raw = socket.create_connection(("127.0.0.1", visitor.gates.ports[visitor.kind]), 60)
    with context.wrap_socket(raw, server_hostname=visitor.host) as connection:
        cookies = "; ".join(f"{name}={value}" for name, value in visitor.cookies[visitor.host].items())
        lines = ["GET /soket HTTP/1.1", f"Host: {visitor.host}", "Upgrade: websocket", "Connection: Upgrade",
                 "Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
                 "Sec-Fetch-Mode: websocket", f"Cookie: {cookies}", "", ""]  # fmt: skip
        connection.sendall("\r\n".join(lines).encode())
        received = b""
        while b"siti" not in received:
            part = connection.recv(4096)
            assert part, received
            received += part
    assert received.startswith(b"HTTP/1.1 101")


def test_a_cookie_of_another_host_and_a_request_around_the_proxy_are_worth_nothing(visitor: Visitor) -> None:
    visitor.open("/")
    other = Visitor(visitor.gates, next(kind for kind in PROXIES if kind != visitor.kind))
    other.cookies[other.host] = dict(visitor.cookies[visitor.host])
    assert other.get("/", SCRIPT).status_code == 401
    server = visitor.gates.server
    claims = {"X-Forwarded-Host": visitor.host, "X-Forwarded-Proto": "https", "X-Forwarded-Uri": "/aset/x"}
    assert httpx.get(f"{server.issuer}/gate/check/redirect", headers=claims, timeout=60).status_code == 403
    strange = visitor.http.get(f"https://127.0.0.1:{visitor.gates.ports[visitor.kind]}/", headers={
        **SCRIPT, "Host": "lain.example",
        "Cookie": "; ".join(f"{name}={value}" for name, value in visitor.cookies[visitor.host].items())})  # fmt: skip
    assert strange.status_code != 200 or not strange.content or b"siti" not in strange.content


def test_the_check_from_outside_finds_nothing_and_finds_what_is_wrong(visitor: Visitor) -> None:
    """`sso gate check` reaches the host under its own name: here the requests are sent as a browser sends them."""
    import asyncio

    from sso.gate.outside import Reply, try_gate

    gate = type("Gate", (), {"hosts": [visitor.host], "public_paths": ["/aset"]})
    client: Any = type("Client", (), {"meta": type("Meta", (), {"gate": gate})})

    async def send(url: str, headers: Mapping[str, str]) -> Reply:
        answer = Visitor(visitor.gates, visitor.kind).get(url, dict(headers))
        return Reply(answer.status_code, dict(answer.headers.items()))

    issuer = visitor.gates.server.issuer
    findings = asyncio.run(try_gate(client, issuer, f"https://{visitor.host}/", "", send))
    assert [finding for finding in findings if not finding.ok] == []
    findings = asyncio.run(try_gate(client, issuer, f"https://{visitor.host}/", visitor.gates.application, send))
    assert [finding.check for finding in findings if not finding.ok] == ["direct access"]


def test_signing_out_and_the_end_of_a_session_close_the_gate(visitor: Visitor) -> None:
    visitor.open("/")
    here = {**NAVIGATION, "Sec-Fetch-Site": "same-origin", "Sec-Fetch-Dest": "document"}
    left = visitor.get("/keluar", here)
    assert left.headers["location"] == f"https://{visitor.host}/.sso/sign-out", left.status_code
    out = visitor.get(left.headers["location"], here)
    assert out.headers["location"].startswith(f"{visitor.gates.server.issuer}/logout?")
    visitor.get(out.headers["location"])
    assert visitor.get("/", SCRIPT).status_code == 401
    visitor.open("/")
    visitor.gates.server.sso("sessions", "revoke", "--all")
    wait_until(lambda: visitor.get("/", SCRIPT).status_code == 401)
    # The server has two processes, and each remembers its last checks for 0.9 s.
    start = f"https://{visitor.host}/.sso/start?"
    wait_until(lambda: visitor.get("/").headers.get("location", "").startswith(start))
