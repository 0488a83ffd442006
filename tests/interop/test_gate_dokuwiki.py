"""DokuWiki from Debian behind the gate, with a user of its own table.

It signs the user in by HTTP Basic, which it knows itself, and by a header, which a plug-in of one file reads.
"""

from __future__ import annotations

import hashlib
import itertools
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import httpx2 as httpx
import pytest
from argon2 import PasswordHasher
from tests.interop.conftest import LIMITS, Server
from tests.interop.test_gate import NAVIGATION, Gates, Visitor, certificate, prepared
from tests.interop.test_php_packages import PROGRAMS
from tests.interop.test_relying_party_check import Running
from tests.journeys.conftest import free_ports
from tests.waiting import wait_for, wait_until

pytestmark = [pytest.mark.interop]
DOKUWIKI, CONFIGURATION = Path("/usr/share/dokuwiki"), Path("/etc/dokuwiki")
DATA = ("attic", "cache", "index", "locks", "log", "media", "media_attic", "media_meta", "meta", "pages", "tmp")
OLD_ID, NAME, PASSWORD = "pegawai17", "Joko Susilo", "perahu-kayu-di-sungai-17"
PREPEND = """<?php
define('DOKU_CONF', '{0}/conf/');
define('DOKU_PLUGIN', '{0}/plugins/');
"""
SETTINGS = """<?php
$conf['savedir'] = '{0}/data';
$conf['useacl'] = 1;
$conf['authtype'] = '{1}';
$conf['disableactions'] = 'register';
$conf['title'] = 'Arsip';
"""


@dataclass
class Wiki:
    """DokuWiki behind nginx."""

    folder: Path
    gates: Gates

    def use(self, plugin: str) -> None:
        """Choose how DokuWiki signs users in."""
        (self.folder / "conf/local.php").write_text(SETTINGS.format(self.folder, plugin))

    def visitor(self, user: str = "joko") -> Visitor:
        """Return a browser."""
        visitor = Visitor(self.gates, "dokuwiki")
        visitor.user = (user, PASSWORD)
        return visitor


@pytest.fixture(scope="module")
def wiki(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Wiki]:
    folder = tmp_path_factory.mktemp("dokuwiki")
    for name in DATA:
        (folder / "data" / name).mkdir(parents=True)
    shutil.copytree(CONFIGURATION, folder / "conf", symlinks=False, ignore=lambda *_: ["htaccess", "apache.conf"])
    (folder / "plugins").mkdir()
    for plugin in (DOKUWIKI / "lib/plugins").iterdir():
        (folder / "plugins" / plugin.name).symlink_to(plugin)
    (folder / "plugins/authgate").mkdir()
    shutil.copy(PROGRAMS / "dokuwiki_auth.php", folder / "plugins/authgate/auth.php")
    (folder / "prepend.php").write_text(PREPEND.format(folder))
    hashed = PasswordHasher(time_cost=1, memory_cost=8192, parallelism=1).hash(PASSWORD)
    lines = [f'{OLD_ID},joko,{NAME},"{hashed}"', f'pegawai18,wati,Wati,"{hashed}"']
    (folder / "users.csv").write_text("\n".join(["local_user_id,username,name,password_hash", *lines]) + "\n")
    server.sso("users", "import", str(folder / "users.csv"), "--from", "dokuwiki")
    password = hashlib.sha1(server.secrets["dokuwiki"].encode()).hexdigest()
    (folder / "conf/users.auth.php").write_text(f"{OLD_ID}:{password}:{NAME}:joko@kota.example:user\n")
    (folder / "conf/acl.auth.php").write_text("*\t@ALL\t0\n*\t@user\t8\n")
    program, port = free_ports(2), 0
    port = program + 1
    command = ["php", "-d", f"auto_prepend_file={folder / 'prepend.php'}", "-S", f"127.0.0.1:{program}", "-t",
               str(DOKUWIKI)]  # fmt: skip
    http = httpx.Client(verify=False, timeout=60, limits=LIMITS)
    site = Wiki(folder, Gates(server, f"http://127.0.0.1:{program}", http, {"dokuwiki": port}))
    site.use("authplain")
    with ExitStack() as closing:
        closing.callback(http.close)
        running = Running(command, {"PATH": "/usr/bin:/bin"}, folder, program)
        closing.callback(running.stop)
        proxy = folder / "nginx"
        proxy.mkdir()
        folder.chmod(0o755)
        certificate(proxy)
        options = {
            "--for": "nginx", "--application": site.gates.application, "--listen": str(port),
            "--certificate": str(proxy / "cert.pem"), "--certificate-key": str(proxy / "key.pem"),
            "--output": str(proxy), "--provider": server.issuer.replace("localhost", "127.0.0.1"),
        }  # fmt: skip
        server.sso("gate", "config", "dokuwiki", *itertools.chain(*options.items()))
        process = subprocess.Popen(prepared("nginx", proxy, port), start_new_session=True)
        closing.callback(process.wait, 60)
        closing.callback(process.terminate)
        wait_for(port, process, proxy / "error.log")
        yield site


@pytest.mark.parametrize("plugin", ["authplain", "authgate"])
def test_a_user_of_the_old_table_is_signed_in_without_a_question_of_the_program(wiki: Wiki, plugin: str) -> None:
    wiki.use(plugin)
    visitor = wiki.visitor()
    page = visitor.follow(visitor.get("/doku.php?id=start"))
    assert page.status_code == 200, page.text
    assert f"<bdi>{NAME}</bdi>" in page.text, page.text
    assert wiki.gates.server.secrets["dokuwiki"] not in page.text
    forged = {**NAVIGATION, "Authorization": "Basic YWRtaW46YWRtaW4=", "X-SSO-Local-User-Id": "admin"}
    again = visitor.get("/doku.php?id=start", forged)
    assert f"<bdi>{NAME}</bdi>" in again.text
    wiki.gates.server.sso("sessions", "revoke", "--all")
    wait_until(lambda: visitor.get("/doku.php?id=start").status_code == 302)


def test_who_is_not_in_the_old_table_is_nobody_there(wiki: Wiki) -> None:
    wiki.use("authplain")
    visitor = wiki.visitor("wati")
    page = visitor.follow(visitor.get("/doku.php?id=start"))
    assert 'class="user"' not in page.text, "DokuWiki knows nobody"
    assert NAME not in page.text
    assert page.headers.get("www-authenticate") is None
