"""Spring Boot: a resource server as in docs/reference/libraries.md, a client with roles, and the quick start as it is
downloaded."""

from __future__ import annotations

import json
import os
import subprocess
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path

import httpx2 as httpx
import pytest
from tests.interop.conftest import Server, signed_in
from tests.interop.heavy.conftest import TOOLS, serving, tool
from tests.interop.test_relying_party_check import FAULTS, browser_at, downloaded, registered, signed_in_at
from tests.ports import free_ports
from tests.support import form_of
from tests.waiting import wait_until

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
    form = {"grant_type": "client_credentials", "scope": "read"}
    answer = httpx.post(f"{server.issuer}/token", data=form, auth=(client_id, server.secrets[client_id]), timeout=60)
    token: str = answer.json()["access_token"]
    return token


def test_a_spring_resource_server_checks_access_tokens(server: Server, tmp_path: Path) -> None:
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
        try:
            page = signed_in(server, f"http://localhost:{port}/operator")
        finally:
            for assignment in json.loads(server.sso("roles", "list", "--client", "spring-client", "--json")):
                server.sso("roles", "end", assignment["id"], "--reason", "the next version begins without it")
    assert refused.status_code == 403, "it needs the role operator"
    assert page.status_code == 200, page.text
    assert "ROLE_operator" in page.json()["authorities"]
    assert page.json()["name"] == "Siti Rahmawati"


@pytest.mark.parametrize("version", ["3.5.7", "4.0.7"])
def test_the_quick_start_signs_in_and_out_as_it_is_downloaded_and_passes_the_check(
    server: Server, version: str, tmp_path: Path
) -> None:
    places = {
        "post_logout_redirect_uris": ["{here}/"],
        "backchannel_logout_uri": "{here}/logout/connect/back-channel/city",
    }
    sandbox = registered(server, f"mulai-spring-{version[0]}", **places)
    downloaded(sandbox, "spring", tmp_path)
    assert "mvn spring-boot:run" in (tmp_path / "README.md").read_text()
    pom = tmp_path / "pom.xml"
    assert "<version>4.0.7</version>" in pom.read_text()
    pom.write_text(pom.read_text().replace("<version>4.0.7</version>", f"<version>{version}</version>"))
    done = subprocess.run([tool("mvn"), "-q", "-B", "package"], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    command = [tool("java"), *QUICK_START, "-jar", str(tmp_path / "target/app-1.jar")]
    with serving(command, sandbox.environment, sandbox.port, tmp_path / "log"), browser_at(sandbox) as browser:
        assert "Halo, Siti Rahmawati" in signed_in_at(browser, server.issuer)
        form = form_of(browser.get("/"))
        page = browser.post(form.action, data=form.fields)
        assert (str(page.url), page.text) == (f"http://localhost:{sandbox.port}/", "Belum masuk: /login")
        assert "Halo, Siti Rahmawati" in signed_in_at(browser, server.issuer)
        server.sso("sessions", "revoke", "--user", "siti", "--note", "Uji")
        wait_until(lambda: browser.get("/").text == "Belum masuk: /login")
    issuer = f"--spring.security.oauth2.client.provider.city.issuer-uri={sandbox.check_issuer}"
    with serving([*command, issuer], sandbox.environment, sandbox.port, tmp_path / "log"):
        passed, outcomes = sandbox.check(SSO_OUTBOUND_TIMEOUT="30s")  # the first requests load classes
    assert passed, str(outcomes)
    assert {case for case, outcome in outcomes.items() if outcome == "refused"} == FAULTS, outcomes
