"""The quick starts run exactly as the portal shows them: they sign in, and the relying-party check finds nothing wrong
with them. Of a careless application it finds each fault."""

from __future__ import annotations

import io
import os
import re
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from html import unescape
from pathlib import Path
from typing import Any

import httpx2 as httpx
import orjson
import pytest
import yaml
from tests.commands import run_command
from tests.interop.conftest import HERE, LIMITS, PASSWORD, Server
from tests.interop.test_mod_auth_openidc import APACHE, MODULES, USER, apache_at
from tests.ports import free_ports
from tests.support import form_of, forms_in
from tests.waiting import wait_for

pytestmark = [pytest.mark.interop]
FAULTS = {
    "wrong_nonce", "wrong_audience", "wrong_issuer", "expired", "alg_none", "foreign_key", "tampered_signature",
    "missing_state", "foreign_state", "mixed_up_issuer", "replayed_code", "forged_logout_token",
}  # fmt: skip


@dataclass
class Sandbox:
    """An application in the sandbox."""

    server: Server
    name: str
    port: int
    secret: str

    @property
    def environment(self) -> dict[str, str]:
        return {**os.environ, "OIDC_CLIENT_SECRET": self.secret, "PYTHONWARNINGS": "ignore"}

    @property
    def check_issuer(self) -> str:
        return f"{self.server.issuer}/check/{self.name}"

    def check(self, **settings: str) -> tuple[bool, dict[str, str]]:
        """Let it be checked by the command, and return whether it passed, and the outcome of each case.

        Args:
            settings: of the command, besides those of the provider.
        """
        words = ("applications", "check", self.name, "--page", f"http://localhost:{self.port}/", "--json")
        done = run_command(
            self.server.environment | {"SSO_OUTBOUND_TIMEOUT": "30s"} | settings,
            self.server.directory,
            *words,
            loaded=True,
        )
        assert done.stdout, done.stderr
        report = orjson.loads(done.stdout)
        assert (done.returncode == 0) == report["passed"]
        return report["passed"], {finding["case"]: finding["outcome"] for finding in report["findings"]}


def registered(server: Server, name: str, kind: str = "web", **sandbox: Any) -> Sandbox:
    """Register an application in the sandbox by the command."""
    port = free_ports(1)
    here = f"http://localhost:{port}"
    document = {"client_name": name, "scope": "openid profile", "scope_reasons": {"profile": "Nama."}}
    places = {"redirect_uris": [f"{here}/callback"], "initiate_login_uri": f"{here}/login"}
    places |= {
        key: orjson.loads(orjson.dumps(value).decode().replace("{here}", here)) for key, value in sandbox.items()
    }
    registration = {"application_id": name, "kind": kind, "document": document, "sandbox": places}
    file = server.directory / f"{name}.yaml"
    file.write_text(yaml.safe_dump(registration))
    secret = server.sso("applications", "put", str(file), "--owner", "siti").strip()
    return Sandbox(server, name, port, secret)


def downloaded(sandbox: Sandbox, stack: str, folder: Path) -> None:
    """Unpack the program that the portal offers as a ZIP file."""
    with httpx.Client(base_url=sandbox.server.issuer, follow_redirects=True, timeout=60, limits=LIMITS) as browser:
        path = f"/developer/apps/{sandbox.name}/quick-start/{stack}.zip"
        form = form_of(browser.get(path))
        browser.post(form.action, data={**form.fields, "username": "siti", "password": PASSWORD})
        archive = zipfile.ZipFile(io.BytesIO(browser.get(path).content))
    for name in archive.namelist():
        file = folder / name.partition("/")[2]
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(archive.read(name))


def quick_start_files(sandbox: Sandbox, stack: str) -> dict[str, str]:
    """Return the files of a quick start as the portal shows them."""
    with httpx.Client(base_url=sandbox.server.issuer, follow_redirects=True, timeout=60, limits=LIMITS) as browser:
        page = browser.get(f"/developer/apps/{sandbox.name}/quick-start?stack={stack}")
        form = form_of(page)
        browser.post(form.action, data={**form.fields, "username": "siti", "password": PASSWORD})
        page = browser.get(f"/developer/apps/{sandbox.name}/quick-start?stack={stack}")
    parts = re.findall(r"<h2>(?:<code>)?([^<]+)(?:</code>)?</h2>\s*<pre[^>]*><code>(.*?)</code></pre>", page.text, re.S)
    assert parts, page.text
    return {unescape(name).strip(): unescape(text) for name, text in parts}


class Running:
    """A program that serves until it is stopped.

    Args:
        command: what starts it.
        environment: its environment variables.
        folder: where it runs, and where its log is.
        place: the port, or the file of a socket, at which it listens.
        log: the name of its log.

    Raises:
        RuntimeError: with its log, when it does not start.
    """

    def __init__(
        self,
        command: list[str],
        environment: Mapping[str, str],
        folder: Path,
        place: int | Path,
        log: str = "program.log",
    ) -> None:
        with (folder / log).open("w") as output:
            self.process = subprocess.Popen(command, env=environment, cwd=folder, stdout=output, stderr=output)
        try:
            wait_for(place, self.process, folder / log)
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        self.process.terminate()  # not killed: Apache would leave its children
        self.process.wait(60)


@pytest.fixture
def programs() -> Iterator[list[Running]]:
    """What runs during a test, stopped afterwards."""
    running: list[Running] = []
    yield running
    for program in running:
        program.stop()


def browser_at(sandbox: Sandbox) -> httpx.Client:
    """Return a browser whose addresses are those of the application."""
    return httpx.Client(base_url=f"http://localhost:{sandbox.port}", follow_redirects=True, timeout=60, limits=LIMITS)


def signed_in_at(browser: httpx.Client, issuer: str) -> str:
    """Sign siti in at the application, and return what it says then."""
    page = browser.get("/login")
    for _ in range(3):
        forms = forms_in(page.text)
        if not forms or not str(page.url).startswith(issuer):
            break
        form = next((form for form in forms if form.sends), forms[0])
        base = str(page.url.copy_with(path=form.action, query=None))
        typed = {"username": "siti", "password": PASSWORD} if form.action == "/login" else {}
        press = dict([form.buttons[0]]) if form.buttons and not typed else {}
        page = browser.post(base, data={**form.fields, **typed, **press})
    return page.text


def command_for(stack: str, folder: Path, port: int) -> list[str]:
    """Return how the program is run."""
    if stack == "python":
        return [sys.executable, "app.py"]
    if stack == "php":
        return ["php", "-S", f"localhost:{port}", "index.php"]
    node = shutil.which("node")
    if node is None or not (HERE / "openid_client/node_modules/openid-client").is_dir():
        pytest.fail("no node with openid-client on this machine: run `make test`, which says what it needs")
    (folder / "node_modules").symlink_to(HERE / "openid_client/node_modules")
    return [node, "server.mjs"]


@pytest.mark.parametrize("stack", ["python", "node", "php"])
def test_a_quick_start_signs_in_and_out_as_it_is_downloaded_and_passes_the_check(
    server: Server, stack: str, tmp_path: Path, programs: list[Running]
) -> None:
    places = {"post_logout_redirect_uris": ["{here}/"], "backchannel_logout_uri": "{here}/backchannel-logout"}
    sandbox = registered(server, f"mulai-{stack}", **places)
    downloaded(sandbox, stack, tmp_path)
    command = command_for(stack, tmp_path, sandbox.port)
    program = Running(command, sandbox.environment, tmp_path, sandbox.port)
    programs.append(program)
    with browser_at(sandbox) as browser:
        assert "Halo, Siti Rahmawati" in signed_in_at(browser, server.issuer)
        page = browser.post("/logout")
        assert (str(page.url), page.text) == (f"http://localhost:{sandbox.port}/", "Belum masuk: /login")
        assert "Halo, Siti Rahmawati" in signed_in_at(browser, server.issuer)
        server.sso("sessions", "revoke", "--user", "siti", "--note", "Uji")
        server.wait_for_notices(f"{sandbox.name}-sandbox")
        assert browser.get("/").text == "Belum masuk: /login"
    program.stop()
    environment = {**sandbox.environment, "OIDC_ISSUER": sandbox.check_issuer}
    programs.append(Running(command, environment, tmp_path, sandbox.port))
    passed, outcomes = sandbox.check()
    assert passed, str(outcomes)
    assert outcomes["honest"] == "passed"
    assert {case for case, outcome in outcomes.items() if outcome == "refused"} == FAULTS, outcomes


def test_the_sample_app_passes_and_refuses_a_forged_logout_token_too(
    server: Server, tmp_path: Path, programs: list[Running]
) -> None:
    sandbox = registered(server, "contoh", backchannel_logout_uri="{here}/backchannel-logout")
    environment = {**sandbox.environment, "APP_NAME": "Contoh", "APP_ISSUER": sandbox.check_issuer}
    environment |= {
        "APP_PORT": str(sandbox.port),
        "APP_CLIENT_ID": "contoh-sandbox",
        "APP_CLIENT_SECRET": sandbox.secret,
    }
    example = Path(__file__).parents[2] / "examples" / "app.py"
    programs.append(Running([sys.executable, str(example)], environment, tmp_path, sandbox.port))
    passed, outcomes = sandbox.check()
    assert passed, str(outcomes)
    assert {case for case, outcome in outcomes.items() if outcome == "refused"} == FAULTS, outcomes


def test_of_a_careless_application_each_fault_is_found(server: Server, tmp_path: Path, programs: list[Running]) -> None:
    sandbox = registered(server, "ceroboh", backchannel_logout_uri="{here}/logout")
    environment = {**sandbox.environment, "OIDC_ISSUER": sandbox.check_issuer, "OIDC_CLIENT_ID": "ceroboh-sandbox"}
    environment["OIDC_REDIRECT_URI"] = f"http://localhost:{sandbox.port}/callback"
    command = [sys.executable, str(HERE / "careless.py")]
    programs.append(Running(command, environment, tmp_path, sandbox.port))
    passed, outcomes = sandbox.check()
    assert not passed
    assert outcomes["honest"] == "passed", outcomes
    assert {case for case, outcome in outcomes.items() if outcome == "accepted"} == FAULTS, outcomes


def test_an_application_that_does_not_answer_does_not_pass(server: Server) -> None:
    sandbox = registered(server, "diam")
    passed, outcomes = sandbox.check()
    assert not passed
    assert outcomes == {"honest": "failed"}


PROTECTED = (
    APACHE
    + """\
LoadModule auth_openidc_module {modules}/mod_auth_openidc.so
<Directory {root}/htdocs>
  Require all granted
</Directory>
Include {root}/masuk.conf
"""
)


def test_the_quick_start_for_apache_protects_a_page_as_it_is_shown(server: Server, programs: list[Running]) -> None:
    sandbox = registered(server, "mulai-apache", redirect_uris=["{here}/app/callback"], kind="proxy")
    program, root = apache_at("sso-quick-start")
    (root / "masuk.conf").write_text(quick_start_files(sandbox, "apache")["/etc/apache2/conf-available/masuk.conf"])
    (root / "httpd.conf").write_text(PROTECTED.format(root=root, port=sandbox.port, modules=MODULES, user=USER))
    command = [program, "-f", str(root / "httpd.conf"), "-DFOREGROUND"]
    try:
        programs.append(Running(command, sandbox.environment, root, sandbox.port))
        with httpx.Client(follow_redirects=True, timeout=60, limits=LIMITS) as browser:
            page = browser.get(f"http://localhost:{sandbox.port}/app/index.html")
            for typed in ({"username": "siti", "password": PASSWORD}, {"choice": "allow"}):
                form = form_of(page)
                page = browser.post(server.issuer + form.action, data={**form.fields, **typed})
            assert (page.status_code, page.text) == (200, "the protected page")
    finally:
        programs.pop().stop()
        shutil.rmtree(root, ignore_errors=True)
