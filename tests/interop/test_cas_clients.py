"""phpCAS and mod_auth_cas of Debian sign in, learn the attributes, and are closed by a logout request, with the quick
starts of the portal exactly as it shows them."""

from __future__ import annotations

import asyncio
import os
import shutil
import ssl
import subprocess
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import urljoin, urlsplit

import httpx2 as httpx
import pytest
import yaml
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from tests.interop.conftest import PASSWORD, Server
from tests.interop.test_mod_auth_openidc import APACHE, MODULES, USER
from tests.support import form_of
from tests.waiting import wait_for, wait_until

from sso.clients.metadata import ClientMetadata
from sso.clients.registry import Client
from sso.gate.cas.logout_request import logout_request
from sso.http.developer.quick_start import files_of

pytestmark = [pytest.mark.interop]
CONFIGURATION = (
    APACHE
    + """\
LoadModule rewrite_module {modules}/mod_rewrite.so
LoadModule auth_cas_module {modules}/mod_auth_cas.so
DirectoryIndex index.html
Include {root}/masuk-cas.conf
<Location /app/>
  Header always set X-Person "expr=%{{REMOTE_USER}}"
</Location>
<Location /app/operator/>
  Require cas-attribute roles:operator
</Location>
"""
)


def client_of(server: Server, client_id: str) -> Client:
    """Return an application of the catalogue, as the portal has it."""
    catalogue = yaml.safe_load((server.directory / "interop.yaml").read_text())
    document = next(entry for entry in catalogue["applications"] if entry["client_id"] == client_id)
    del document["client_id"]
    context = {"allow_http_loopback": True}
    return Client(client_id, "active", ClientMetadata.model_validate(document, context=context), ())


def open_signed_in(browser: httpx.Client, address: str) -> httpx.Response:
    """Open a page, sign siti in where the provider asks, and return the last page."""
    page = browser.get(address, follow_redirects=True)
    if "/cas/login" in str(page.url):
        form = form_of(page)
        fields = {**form.fields, "username": "siti", "password": PASSWORD}
        page = browser.post(urljoin(str(page.url), form.action), data=fields, follow_redirects=True)
    return page


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A certificate for localhost, and its key: phpCAS speaks https only, and checks the certificate."""
    folder, key = tmp_path_factory.mktemp("tls"), ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(UTC)
    self_signed = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    (folder / "cert.pem").write_bytes(self_signed.public_bytes(serialization.Encoding.PEM))
    plain = serialization.NoEncryption()
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, plain)
    (folder / "key.pem").write_bytes(pem)
    return folder / "cert.pem", folder / "key.pem"


@pytest.fixture(scope="module")
def https(server: Server, certificate: tuple[Path, Path]) -> Iterator[str]:
    """The provider behind a proxy that ends TLS."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*certificate)
    loop, listeners = asyncio.new_event_loop(), list[asyncio.Server]()

    async def pipe(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while data := await reader.read(65536):
                writer.write(data)
                await writer.drain()
        except OSError:
            pass
        finally:
            writer.close()

    async def pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        behind = await asyncio.open_connection("localhost", urlsplit(server.issuer).port)
        await asyncio.gather(pipe(reader, behind[1]), pipe(behind[0], writer))

    async def serve() -> None:
        listeners.append(await asyncio.start_server(pass_on, "127.0.0.1", 0, ssl=context))

    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    asyncio.run_coroutine_threadsafe(serve(), loop).result(60)
    yield f"https://localhost:{listeners[0].sockets[0].getsockname()[1]}"

    async def stop() -> None:
        listeners[0].close()
        others = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)

    asyncio.run_coroutine_threadsafe(stop(), loop).result(60)
    loop.call_soon_threadsafe(loop.stop)
    thread.join(60)
    loop.close()


@pytest.fixture(scope="module")
def phpcas(
    server: Server, https: str, certificate: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    php, folder, port = shutil.which("php"), tmp_path_factory.mktemp("phpcas"), server.ports["phpcas"]
    assert php, "PHP is missing: apt-get install php-cli php-cas php-xml"
    for name, text in files_of("phpcas", https, client_of(server, "phpcas")):
        (folder / name).write_text(text)
    (folder / "sessions").mkdir()
    environment = os.environ | {"CAS_CA_FILE": str(certificate[0]), "PHP_CLI_SERVER_WORKERS": "2"}
    options = ["error_reporting=-1", "display_errors=1", f"session.save_path={folder}/sessions"]
    command = [php, *(word for option in options for word in ("-d", option)), "-S", f"localhost:{port}", "index.php"]
    with (folder / "log").open("w") as log:
        process = subprocess.Popen(command, env=environment, cwd=folder, stdout=log, stderr=log, start_new_session=True)
        try:
            wait_for(port, process, folder / "log")
            yield f"http://localhost:{port}"
        finally:
            os.killpg(process.pid, 15)
            process.wait(60)


def test_phpcas_signs_in_and_out_and_is_told_of_the_end(
    server: Server, phpcas: str, certificate: tuple[Path, Path]
) -> None:
    trusted = ssl.create_default_context(cafile=str(certificate[0]))
    with httpx.Client(timeout=60, verify=trusted) as browser:
        assert "Masuk" in browser.get(phpcas).text
        page = open_signed_in(browser, f"{phpcas}/masuk.php")
        assert "Siti Rahmawati (siti)" in page.text, page.text
        assert "ticket" not in str(page.url)
        with httpx.Client(timeout=60) as stranger:
            forged = logout_request("ST-000", datetime.now(UTC))
            stranger.post(f"{phpcas}/masuk.php", data={"logoutRequest": forged})
        assert "Siti Rahmawati" in browser.get(phpcas).text, "a forged request ends nothing"
        server.sso("sessions", "revoke", "--user", "siti")
        wait_until(lambda: "Masuk" in browser.get(phpcas).text)
        assert "Siti Rahmawati" in open_signed_in(browser, f"{phpcas}/masuk.php").text
        page = browser.get(f"{phpcas}/logout", follow_redirects=True)
        form = form_of(page)
        done = browser.post(urljoin(str(page.url), form.action), data=form.fields, follow_redirects=True)
        assert str(done.url) == f"{phpcas}/bye"
        assert "Masuk" in done.text


@pytest.fixture
def apache(server: Server) -> Iterator[str]:
    program, root = shutil.which("apache2") or "/usr/sbin/apache2", Path("/tmp") / f"sso-cas-{os.getpid()}"
    if not Path(program).exists() or not (MODULES / "mod_auth_cas.so").exists():
        pytest.fail("no Apache with mod_auth_cas on this machine: run `make test`, which installs it")
    shutil.rmtree(root, ignore_errors=True)
    for path, text in (("app", "the protected page"), ("app/operator", "the page of operators")):
        (root / "htdocs" / path).mkdir(parents=True, exist_ok=True)
        (root / "htdocs" / path / "index.html").write_text(text)
    root.chmod(0o755)
    (root / "cache").mkdir()
    if USER:
        shutil.chown(root / "cache", "www-data", "www-data")
    [(_, text)] = files_of("apache_cas", server.issuer, client_of(server, "apache-cas"))
    cache = "/var/cache/apache2/mod_auth_cas/"
    assert cache in text
    (root / "masuk-cas.conf").write_text(text.replace(cache, f"{root}/cache/"))
    port, configuration = server.ports["modcas"], root / "httpd.conf"
    configuration.write_text(CONFIGURATION.format(root=root, port=port, modules=MODULES, user=USER))
    process = subprocess.Popen([program, "-f", str(configuration), "-DFOREGROUND"], start_new_session=True)
    try:
        wait_for(port, process, configuration)
        yield f"http://localhost:{port}"
    finally:
        process.terminate()
        process.wait(60)
        shutil.rmtree(root, ignore_errors=True)


def test_mod_auth_cas_opens_a_page_and_closes_it_by_a_logout_request(server: Server, apache: str) -> None:
    with httpx.Client(timeout=60) as browser:
        page = open_signed_in(browser, f"{apache}/app/operator/")
        assert (page.status_code, page.text) == (200, "the protected page"), "only the service URL signs users in"
        assert len(page.headers["x-person"]) > 20, "the sub"
        assert browser.get(f"{apache}/app/operator/").status_code == 401, "it needs the role operator"
        assert browser.get(f"{apache}/app/").status_code == 200
        with httpx.Client(timeout=60) as stranger:
            stranger.post(f"{apache}/app/", data={"logoutRequest": logout_request("ST-000", datetime.now(UTC))})
        assert browser.get(f"{apache}/app/").status_code == 200, "a forged request ends nothing"
        server.sso("sessions", "revoke", "--user", "siti")
        wait_until(lambda: browser.get(f"{apache}/app/").status_code != 200)
        server.give("apache-cas", "operator")
        assert open_signed_in(browser, f"{apache}/app/").text == "the protected page"
        assert browser.get(f"{apache}/app/operator/").text == "the page of operators"
