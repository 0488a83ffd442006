"""Spring Boot: a resource server as in docs/reference/libraries.md, and a client as in the quick start."""

from __future__ import annotations

import os
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path

import httpx2 as httpx
import pytest
from tests.interop.conftest import Server, signed_in
from tests.interop.heavy.conftest import TOOLS, serving, tool
from tests.ports import free_ports

pytestmark = [pytest.mark.interop]
WAYS = (("3.5.7", "jwt"), ("4.0.7", "jwt"), ("4.0.7", "opaque"))
QUICK_START = ["-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-Dspring.main.lazy-initialization=true"]
AUDIENCE = "https://api.kota.example"


def settings(server: Server, way: str) -> list[str]:
    """Return the settings of a resource server that checks JWTs itself, or asks the provider about each token."""
    if way == "jwt":
        return ["--spring.profiles.active=jwt", f"--sso.issuer={server.issuer}", f"--sso.audience={AUDIENCE}"]
    opaque = "--spring.security.oauth2.resourceserver.opaquetoken."
    values = {
        "introspection-uri": f"{server.issuer}/introspect",
        "client-id": "spring",
        "client-secret": server.secrets["spring"],
    }
    return [f"{opaque}{name}={value}" for name, value in values.items()]


def spring(version: str, port: int, settings: list[str], log: Path) -> AbstractContextManager[None]:
    """Run the application with a version of Spring Boot."""
    jar = TOOLS / f"spring-{version}" / f"spring-{version}.jar"
    command = [tool("java"), *QUICK_START, "-jar", str(jar), "--server.address=127.0.0.1", f"--server.port={port}"]
    return serving([*command, *settings], dict(os.environ), port, log)


def access_token(server: Server, client_id: str) -> str:
    """Return an access token of a program."""
    asked = {"grant_type": "client_credentials", "scope": "read"}
    answer = httpx.post(f"{server.issuer}/token", data=asked, auth=(client_id, server.secrets[client_id]), timeout=60)
    token: str = answer.json()["access_token"]
    return token


def test_a_spring_resource_server_checks_access_tokens(server: Server, tmp_path: Path) -> None:
    server.make_secrets("spring", "caller", "stranger")
    port = free_ports(len(WAYS))
    addresses: dict[tuple[str, str], str] = {}
    with ExitStack() as running:
        for number, (version, way) in enumerate(WAYS):
            running.enter_context(spring(version, port + number, settings(server, way), tmp_path / f"{way}-{version}"))
            addresses[version, way] = f"http://localhost:{port + number}/me"
        ours, foreign = access_token(server, "caller"), access_token(server, "stranger")
        for (version, way), address in addresses.items():
            answer = httpx.get(address, headers={"Authorization": f"Bearer {ours}"}, timeout=30)
            assert answer.status_code == 200, (version, way, answer.headers)
            assert answer.json()["name"] == "caller"
            assert "SCOPE_read" in answer.json()["authorities"]
            answer = httpx.get(address, headers={"Authorization": f"Bearer {foreign}"}, timeout=30)
            assert answer.status_code == 401, (version, way)


@pytest.mark.parametrize("version", ["3.5.7", "4.0.7"])
def test_a_spring_client_signs_in(server: Server, version: str, tmp_path: Path) -> None:
    server.make_secrets("spring-client")
    port = server.ports["spring"]
    client = "spring.security.oauth2.client."
    values = {
        "registration.city.client-id": "spring-client",
        "registration.city.client-secret": server.secrets["spring-client"],
        "registration.city.scope": "openid,profile,roles",
        "registration.city.redirect-uri": f"http://localhost:{port}/callback",
        "provider.city.issuer-uri": server.issuer,
    }
    settings = ["--spring.profiles.active=client", *(f"--{client}{name}={value}" for name, value in values.items())]
    with spring(version, port, settings, tmp_path / "log"):
        refused = signed_in(server, f"http://localhost:{port}/operator")
        server.give("spring-client", "operator")
        page = signed_in(server, f"http://localhost:{port}/operator")
    assert refused.status_code == 403, "it needs the role operator"
    assert page.status_code == 200, page.text
    assert "ROLE_operator" in page.json()["authorities"]
    assert page.json()["name"] == "Siti Rahmawati"
