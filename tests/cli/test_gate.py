"""``sso gate config`` and ``sso gate check``."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from tests.cli.conftest import Cli

from sso.clients.metadata import ClientMetadata
from sso.clients.registry import Client
from sso.gate.outside import Finding, NotHere, Reply, Unreachable, try_gate

CATALOGUE = """
catalogue: gerbang
applications:
  - client_id: arsip
    type: gate
    client_name: Arsip
    first_party: true
    gate: {hosts: [arsip.kota.example], headers: [username, nip], public_paths: [/aset]}
  - client_id: tua
    type: gate
    client_name: Program tua
    first_party: true
    gate: {hosts: [tua.kota.example], basic: {account: gerbang}}
"""
HOST, ISSUER = "https://arsip.kota.example", "https://masuk.kota.example"


@pytest.fixture
def applied(cli: Cli, tmp_path: Path) -> Cli:
    file = tmp_path / "gerbang.yaml"
    file.write_text(CATALOGUE)
    assert cli("clients", "apply", str(file)).code == 0
    return cli


def test_a_configuration_is_printed_or_written(applied: Cli, tmp_path: Path) -> None:
    printed = applied("gate", "config", "arsip", "--for", "nginx", "--application", "http://10.1.2.3:8080")
    assert printed.code == 0
    assert "server_name arsip.kota.example;" in printed.out
    assert "proxy_set_header X-SSO-NIP $sso_nip;" in printed.out
    assert "proxy_pass http://10.1.2.3:8080;" in printed.out
    assert (
        applied("gate", "config", "arsip", "--for", "nginx", "--application", "http://10.1.2.3:8080").out == printed.out
    )
    folder = tmp_path / "files"
    folder.mkdir()
    written = applied("gate", "config", "arsip", "--for", "haproxy", "--output", str(folder))
    assert written.out.split() == [str(folder / "haproxy.cfg"), str(folder / "sso-gate.lua")]
    assert {path.stat().st_mode & 0o777 for path in folder.iterdir()} == {0o600}


def test_a_missing_secret_of_basic_credentials_is_said_and_no_secret_is_printed(applied: Cli) -> None:
    config = ("gate", "config", "tua", "--for", "nginx")
    warned = applied(*config)
    assert (warned.code, "sso clients secret tua" in warned.err) == (0, True)
    secret = applied("clients", "secret", "tua").out.strip()
    printed = applied(*config)
    assert (printed.err, secret in printed.out, "$sso_authorization" in printed.out) == ("", False, True)
    assert applied("clients", "secret", "arsip").code == 1


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("config", "warga", "--for", "nginx"), "warga is not an application of the type gate"),
        (("config", "tidak-ada", "--for", "nginx"), "tidak-ada is not an application of the type gate"),
        (("config", "arsip", "--for", "squid"), "--for must be one of nginx"),
        (("check", "arsip", "https://lain.example/"), "must be at a host of the application"),
        (("check", "arsip", "http://arsip.kota.example/"), "must be at a host of the application"),
    ],
)
def test_what_cannot_be_done_is_said(applied: Cli, words: tuple[str, ...], message: str) -> None:
    answer = applied("gate", *words)
    assert answer.code == 1
    assert message in answer.err


class Proxy:
    """A proxy in front of an application; ``wrong`` names what it does wrong."""

    def __init__(self, wrong: str = "") -> None:
        self.wrong = wrong

    async def __call__(self, url: str, headers: Mapping[str, str]) -> Reply:
        store = {} if self.wrong == "cached" else {"cache-control": "no-store"}
        if url.startswith(ISSUER):
            return Reply(200 if self.wrong == "provider" else 403)
        if url.startswith("http://10."):
            if self.wrong == "direct":
                return Reply(200)
            raise Unreachable("nothing")
        if "/.sso/start" in url:
            cookie = {} if self.wrong == "cookie" else {"set-cookie": "__Host-sso-gate-browser=x; Secure"}
            return Reply(302, {"location": f"{ISSUER}/authorize?x", **cookie})
        if "/.sso/sign-out" in url:
            return Reply(404 if self.wrong == "sign-out" else 303, {"location": f"{ISSUER}/logout?x", **store})
        if "X-SSO_Username" in headers and self.wrong == "forged":
            return Reply(200)
        if headers.get("X-Forwarded-Host") and self.wrong == "host":
            return Reply(302, {"location": "https://elsewhere.example/.sso/start?to=/", **store})
        if "%2e" in url and self.wrong == "trick":
            return Reply(200)
        if headers["Sec-Fetch-Mode"] == "navigate":
            return Reply(200 if self.wrong == "open" else 302, {"location": f"{HOST}/.sso/start?to=/", **store})
        return Reply(401, store)


def tried(wrong: str = "", url: str = f"{HOST}/", direct: str = "http://10.1.2.3:8080/") -> list[Finding]:
    """Return what is wrong behind a proxy."""
    values: dict[str, Any] = {"hosts": ["arsip.kota.example"], "public_paths": ["/aset"]}
    meta = ClientMetadata.model_validate({"type": "gate", "client_name": "Arsip", "gate": values})
    client = Client("arsip", "active", meta, ())
    return [finding for finding in asyncio.run(try_gate(client, ISSUER, url, direct, Proxy(wrong))) if not finding.ok]


@pytest.mark.parametrize(
    ("wrong", "checks"),
    [
        ("", []),
        ("open", ["page", "forged host"]),
        ("cached", ["page", "script", "sign-out"]),
        ("forged", ["forged headers"]),
        ("host", ["forged host"]),
        ("cookie", ["sign-in"]),
        ("sign-out", ["sign-out"]),
        ("trick", ["path /aset/%2e%2e/"]),
        ("provider", ["provider"]),
        ("direct", ["direct access"]),
    ],
)
def test_the_check_says_what_is_wrong(wrong: str, checks: list[str]) -> None:
    assert [finding.check for finding in tried(wrong)] == checks


def test_the_check_needs_a_host_of_the_application() -> None:
    with pytest.raises(NotHere):
        tried(url="https://lain.example/")
