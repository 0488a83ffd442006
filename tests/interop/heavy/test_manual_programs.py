"""DokuWiki and phpMyAdmin of Debian, with the files and the catalogue entries that "Bring an application in" shows."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from html import unescape
from pathlib import Path
from textwrap import dedent
from typing import Any

import httpx2 as httpx
import pytest
import yaml
from tests.conftest import run_apart, settings_for
from tests.docs.test_bring_an_application import ENGLISH, entries
from tests.interop.conftest import Server, signed_in
from tests.interop.heavy.conftest import serving
from tests.interop.test_php_packages import PACKAGE
from tests.interop.test_php_wordpress import database
from tests.ports import free_ports
from tests.waiting import wait_until

from sso import clock
from sso.identity.users.models import LocalAccount
from sso.identity.users.service import find
from sso.platform.db import Database

pytestmark = [pytest.mark.interop]
DOKUWIKI, PHPMYADMIN = Path("/usr/share/dokuwiki"), Path("/usr/share/phpmyadmin")
PASSWORD_DBA = "kunci-basis-data-19"


def files_of(program: str, values: dict[str, str]) -> dict[str, str]:
    """Return the files that the page shows for a program, by their names, with the values of the test."""
    section = ENGLISH.read_text().partition(f"\n## {program}\n")[2].partition("\n## ")[0]
    files = {}
    for block in re.finditer(r"^ *```(?:php|ini)\n(.*?)^ *```", section, re.S | re.M):
        name = re.findall(r"`([\w./-]+)`", section[: block.start()].rstrip().rpartition("\n\n")[2])[-1]
        text = dedent(block[1])
        for example, value in values.items():
            text = text.replace(example, value)
        files[name] = text
    return files


def registered(server: Server, client_id: str) -> tuple[int, dict[str, str]]:
    """Register an application as the page shows it; return its port, and the values that differ from the page."""
    port = free_ports(1)
    here, there = f"http://localhost:{port}", f"https://{client_id}.kota.example"
    entry: dict[str, Any] = yaml.safe_load(yaml.safe_dump(entries()[client_id]).replace(there, here))
    entry.pop("minimum_acr", None)  # siti has no second factor
    file = server.directory / f"{client_id}.yaml"
    file.write_text(yaml.safe_dump({"catalogue": f"panduan-{client_id}", "applications": [entry]}))
    server.sso("clients", "apply", str(file))
    server.make_secret(client_id, entry.get("token_endpoint_auth_method", "client_secret_basic"))
    return port, {there: here, "https://masuk.kota.example": server.issuer}


def lay(folder: Path, files: dict[str, str]) -> None:
    """Write files, and the client beside them."""
    shutil.copy(PACKAGE / "SsoClient.php", folder)
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)


@contextmanager
def running(server: Server, client_id: str, folder: Path, port: int, **settings: str) -> Iterator[httpx.Client]:
    """Run a program of PHP, and return a browser at it."""
    sessions = folder.with_name("sessions")
    sessions.mkdir()
    command = ["php", "-d", f"session.save_path={sessions}", "-S", f"localhost:{port}", "-t", str(folder)]
    environment = {**os.environ, "OIDC_CLIENT_SECRET": server.secrets[client_id], **settings}
    with (
        serving(command, environment, port, folder.with_name("log")),
        httpx.Client(base_url=f"http://localhost:{port}", timeout=60) as browser,
    ):
        yield browser


async def _imported(server: Server, client_id: str, local_user_id: str) -> None:
    db = Database(settings_for(server.environment["SSO_DATABASE_URL"], server.directory), create=False)
    try:
        async with db.write() as session:
            user = await find(session, "siti")
            known = {"client_id": client_id, "local_user_id": local_user_id, "user_id": user.id}
            session.add(LocalAccount(**known, created_at=clock.now()))
    finally:
        await db.close()


def test_dokuwiki(server: Server, tmp_path: Path) -> None:
    assert DOKUWIKI.exists(), "DokuWiki is missing: apt-get install dokuwiki"
    port, values = registered(server, "catatan")
    server.give("catatan", "pengelola")
    run_apart(_imported(server, "catatan", "siti.lama"))
    folder = tmp_path / "dokuwiki"
    shutil.copytree(DOKUWIKI, folder, ignore=lambda place, _: ["conf", "data"] if place == str(DOKUWIKI) else [])
    shutil.copytree("/etc/dokuwiki", folder / "conf", ignore_dangling_symlinks=True)
    shutil.copytree("/var/lib/dokuwiki/data", tmp_path / "data")
    lay(folder, files_of("DokuWiki", {**values, "/var/lib/catatan/sso": str(tmp_path / "sso")}))
    (folder / "inc/preload.php").write_text(f"<?php define('DOKU_CONF', '{folder}/conf/');")
    with (folder / "conf/local.protected.php").open("a") as file:
        file.write(f"$conf['savedir'] = '{tmp_path}/data';\n")
    with (folder / "conf/users.auth.php").open("a") as file:
        file.write("\nsiti.lama:x:Siti yang lama:siti@kota.example:user\n")
    with running(server, "catatan", folder, port) as browser:
        assert "do=login" in browser.get("/doku.php?id=start").text
        page = signed_in(server, "/doku.php?id=start&do=login", browser)
        assert "siti.lama" in page.text, page.text
        assert "do=admin" in page.text, "the role is the group of administrators"
        link = re.search(r'href="([^"]*do=logout[^"]*)"', page.text)
        assert link
        left = browser.get(unescape(link[1]), follow_redirects=True)
        assert left.url.port == port
        assert "do=login" in left.text
        again = browser.get("/doku.php?id=start&do=login", follow_redirects=True)
        assert 'type="password"' in again.text, "the user is signed out at the provider too"
        assert "siti.lama" in signed_in(server, "/doku.php?id=start&do=login", browser).text
        server.sso("sessions", "revoke", "--user", "siti", "--note", "Uji")
        wait_until(lambda: "siti.lama" not in browser.get("/doku.php?id=start").text)


def test_phpmyadmin(server: Server, tmp_path: Path) -> None:
    assert PHPMYADMIN.exists(), "phpMyAdmin is missing: apt-get install phpmyadmin"
    port, values = registered(server, "basisdata")
    folder, place = tmp_path / "phpmyadmin", tmp_path / "conf"
    shutil.copytree(PHPMYADMIN, folder)
    (tmp_path / "tmp").mkdir()
    files = files_of("phpMyAdmin", {**values, "/var/lib/basisdata/sso": str(tmp_path / "sso")})
    configuration = files.pop("config.inc.php")
    lay(folder, files)
    vendor = folder / "libraries/vendor_config.php"
    text = vendor.read_text().replace("/etc/phpmyadmin/", f"{place}/").replace("/var/lib/phpmyadmin/", f"{tmp_path}/")
    vendor.write_text(text)
    place.mkdir()
    process, socket = database(tmp_path)
    try:
        statement = f"CREATE USER dba_kota@localhost IDENTIFIED BY '{PASSWORD_DBA}'"
        code = f"(new mysqli('localhost', 'root', '', '', 0, '{socket}'))->query(\"{statement}\");"
        subprocess.run(["php", "-r", code], check=True)
        own = f"$cfg['blowfish_secret'] = str_repeat('x', 32);\n$cfg['Servers'][1]['socket'] = '{socket}';\n"
        (place / "config.inc.php").write_text(configuration + own)
        with running(server, "basisdata", folder, port, PASSWORD_DBA=PASSWORD_DBA) as browser:
            refused = signed_in(server, "/index.php", browser)
            assert "dba_kota" not in refused.text, "the role is needed"
        server.give("basisdata", "dba")
        shutil.rmtree(tmp_path / "sessions")
        with running(server, "basisdata", folder, port, PASSWORD_DBA=PASSWORD_DBA) as browser:
            page = signed_in(server, "/index.php", browser)
            assert page.url.path == "/index.php", page.text
            assert "dba_kota" in page.text
            token = re.search(r'token:"([^"]+)"', page.text) or re.search(r'name="token" value="([^"]+)"', page.text)
            assert token
            left = browser.post("/index.php?route=/logout", data={"token": token[1]}, follow_redirects=True)
            assert 'type="password"' in left.text, "the user is signed out at the provider too"
            assert "dba_kota" in signed_in(server, "/index.php", browser).text
            server.sso("sessions", "revoke", "--user", "siti", "--note", "Uji")
            wait_until(
                lambda: browser.get("/index.php?route=/server/databases").headers.get("location") == "/masuk.php"
            )
    finally:
        process.terminate()
        process.wait(60)
