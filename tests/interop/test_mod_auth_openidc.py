"""Apache with Debian's mod_auth_openidc protects a page; signing out by the back channel closes it."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import httpx2 as httpx
import pytest
from tests.interop.conftest import LIMITS, PASSWORD, Server
from tests.support import form_of
from tests.waiting import wait_for

pytestmark = [pytest.mark.interop]
MODULES = Path("/usr/lib/apache2/modules")

APACHE = """
ServerName localhost
ServerRoot {root}
PidFile {root}/pid
Listen 127.0.0.1:{port}
ErrorLog {root}/error.log
LogLevel warn
{user}
LoadModule mpm_event_module {modules}/mod_mpm_event.so
LoadModule authn_core_module {modules}/mod_authn_core.so
LoadModule authz_core_module {modules}/mod_authz_core.so
LoadModule authz_user_module {modules}/mod_authz_user.so
LoadModule dir_module {modules}/mod_dir.so
LoadModule headers_module {modules}/mod_headers.so
LoadModule mime_module {modules}/mod_mime.so
TypesConfig /etc/mime.types
DocumentRoot {root}/htdocs
"""
"""What an Apache needs to start."""
CONFIGURATION = (
    APACHE
    + """\
LoadModule auth_openidc_module {modules}/mod_auth_openidc.so
OIDCProviderMetadataURL {issuer}/.well-known/openid-configuration
OIDCClientID apache
OIDCClientSecret {secret}
OIDCRedirectURI http://localhost:{port}/app/callback
OIDCCryptoPassphrase a-passphrase-for-this-test-only
OIDCScope "openid profile email roles"
OIDCPKCEMethod S256
OIDCHTTPTimeoutShort 60
OIDCRemoteUserClaim name
OIDCDefaultLoggedOutURL http://localhost:{port}/bye
OIDCHTMLErrorTemplate {root}/error.html
<Directory {root}/htdocs>
  DirectoryIndex index.html
  Require all granted
</Directory>
<Location /app/>
  AuthType openid-connect
  Require valid-user
  Header always set X-Person "expr=%{{REMOTE_USER}}"
</Location>
<Location /app/operator/>
  Require claim roles:operator
</Location>
"""
)


USER = "User www-data\nGroup www-data" if os.geteuid() == 0 else ""


def apache_at(name: str) -> tuple[str, Path]:
    """Return the program, and a new folder for it that holds a page to be protected."""
    program = shutil.which("apache2") or "/usr/sbin/apache2"
    if not Path(program).exists() or not (MODULES / "mod_auth_openidc.so").exists():
        pytest.fail("no Apache with mod_auth_openidc on this machine: run `make test`, which installs it")
    root = Path("/tmp") / f"{name}-{os.getpid()}"
    shutil.rmtree(root, ignore_errors=True)
    (root / "htdocs/app").mkdir(parents=True)
    (root / "htdocs/app/index.html").write_text("the protected page")
    (root / "htdocs/app/operator").mkdir()
    (root / "htdocs/app/operator/index.html").write_text("the page of operators")
    root.chmod(0o755)
    return program, root


@pytest.fixture
def apache(server: Server, tmp_path: Path) -> Iterator[str]:
    program, root = apache_at("sso-apache")
    (root / "error.html").write_text("%s %s")
    configuration = root / "httpd.conf"
    configuration.write_text(
        CONFIGURATION.format(
            root=root,
            port=server.ports["apache"],
            modules=MODULES,
            issuer=server.issuer,
            secret=server.secrets["apache"],
            user=USER,
        )
    )
    process = subprocess.Popen([program, "-f", str(configuration), "-DFOREGROUND"], start_new_session=True)
    try:
        wait_for(server.ports["apache"], process, configuration)
        yield f"http://localhost:{server.ports['apache']}"
    finally:
        process.terminate()
        process.wait(60)
        shutil.rmtree(root, ignore_errors=True)


async def test_a_page_behind_apache_opens_with_one_sign_in_and_closes_by_the_back_channel(
    server: Server, apache: str
) -> None:
    async with httpx.AsyncClient(timeout=60, limits=LIMITS) as browser:
        answer = await follow(browser, f"{apache}/app/")
        form = form_of(answer)
        fields = {**form.fields, "username": "siti", "password": PASSWORD}
        answer = await follow(browser, server.issuer + form.action, fields)
        assert answer.status_code == 200, answer.text
        assert answer.text == "the protected page"
        assert answer.headers["x-person"] == "Siti Rahmawati"
        assert (await browser.get(f"{apache}/app/")).status_code == 200
        assert (await browser.get(f"{apache}/app/operator/")).status_code == 401, "it needs the role operator"
        await opens_with_the_role(server, apache)
        server.sso("sessions", "revoke", "--all")
        server.wait_for_notices("apache")
        closed = await browser.get(f"{apache}/app/")
        assert closed.status_code == 302, (server.directory / "log").read_text()
        assert closed.headers["location"].startswith(f"{server.issuer}/authorize?")


async def opens_with_the_role(server: Server, apache: str) -> None:
    """`Require claim roles:operator` reads the claim of the ID token."""
    server.give("apache", "operator")
    async with httpx.AsyncClient(timeout=60, limits=LIMITS) as browser:
        form = form_of(await follow(browser, f"{apache}/app/operator/"))
        fields = {**form.fields, "username": "siti", "password": PASSWORD}
        answer = await follow(browser, server.issuer + form.action, fields)
    assert (answer.status_code, answer.text) == (200, "the page of operators")


async def follow(browser: httpx.AsyncClient, url: str, form: dict[str, str] | None = None) -> httpx.Response:
    answer = await (browser.post(url, data=form) if form else browser.get(url))
    for _ in range(10):
        if not answer.is_redirect:
            return answer
        answer = await browser.get(answer.headers["location"])
    raise AssertionError("too many redirects")
