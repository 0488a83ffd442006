"""A city whose applications register themselves with the profile ``certification``, and a web in which they live."""

from __future__ import annotations

import ipaddress
import ssl
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID


class World:
    """A real https server: what applications publish, and what was asked of it."""

    def __init__(self, directory: Path) -> None:
        self.pages: dict[str, tuple[int, str, bytes]] = {}
        self.fetched_paths: list[str] = []
        self.forms: list[tuple[str, bytes]] = []
        self.posts: list[tuple[str, dict[str, str], bytes]] = []
        self.ca_file = directory / "ca.pem"
        pem = directory / "server.pem"
        _make_certificate(self.ca_file, pem)
        world = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                world.fetched_paths.append(self.path)
                self._answer(*world.pages.get(self.path, (404, "text/plain", b"")))

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                world.forms.append((self.path, body))
                world.posts.append((self.path, dict(self.headers.items()), body))
                self._answer(*world.pages.get(self.path, (404, "text/plain", b"")))

            def _answer(self, status: int, kind: str, body: bytes) -> None:
                self.send_response(status)
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(pem)
        self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def url(self, path: str) -> str:
        """Return the address of ``path``."""
        return f"https://localhost:{self._server.server_address[1]}{path}"

    def publish(self, path: str, body: bytes | str, kind: str = "application/json", status: int = 200) -> str:
        """Put a page into the world and return its address."""
        self.pages[path] = (status, kind, body.encode() if isinstance(body, str) else body)
        return self.url(path)

    def close(self) -> None:
        """Stop the server."""
        self._server.shutdown()
        self._server.server_close()


def _make_certificate(ca_file: Path, pem: Path) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(UTC)
    names = [x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=30))
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    ca_file.write_bytes(certificate.public_bytes(Encoding.PEM))
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    pem.write_bytes(private + certificate.public_bytes(Encoding.PEM))


@pytest.fixture(scope="session")
def _world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    world = World(tmp_path_factory.mktemp("world"))
    yield world
    world.close()


@pytest.fixture
def world(_world: World) -> World:
    """The web outside, empty."""
    _world.pages.clear()
    _world.fetched_paths.clear()
    _world.forms.clear()
    _world.posts.clear()
    return _world


@pytest.fixture
def overrides(world: World) -> dict[str, Any]:
    return {
        "client_registration": "open",
        "client_registration_profile": "certification",
        "outbound_networks": ["127.0.0.0/8", "::1/128"],
        "outbound_ca_file": world.ca_file,
    }
