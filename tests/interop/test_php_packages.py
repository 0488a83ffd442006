"""The package for PHP in programs of plain PHP (php-fpm behind nginx), Laravel, Symfony and CodeIgniter: signed in,
kept out, told of the end, linked to a table, and checked."""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import shutil
import sqlite3
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from textwrap import dedent

import httpx2 as httpx
import pytest
import yaml
from tests.interop.conftest import HERE, LIMITS, Server, signed_in
from tests.interop.test_relying_party_check import FAULTS, Running, Sandbox, downloaded, quick_start_files
from tests.ports import free_ports
from tests.support import form_of
from tests.waiting import wait_until

pytestmark = [pytest.mark.interop]
ROOT = HERE.parents[1]
PACKAGE = ROOT / "packages" / "php"
PROGRAMS = HERE / "php_packages"
NAMES = ("plain", "laravel", "symfony", "codeigniter3", "codeigniter4")

FPM = """\
[global]
daemonize = no
error_log = {folder}/fpm.log
[www]
listen = {folder}/fpm.sock
pm = static
pm.max_children = 2
clear_env = no
catch_workers_output = yes
{user}
"""
NGINX = """\
daemon off;
pid {folder}/nginx.pid;
error_log {folder}/nginx.log;
{user}
events {{}}
http {{
  access_log off;
  client_body_temp_path {folder}/nginx-body;
  fastcgi_temp_path {folder}/nginx-fastcgi;
  proxy_temp_path {folder}/nginx-proxy;
  uwsgi_temp_path {folder}/nginx-uwsgi;
  scgi_temp_path {folder}/nginx-scgi;
  server {{
    listen 127.0.0.1:{port};
    location / {{
      include /etc/nginx/fastcgi_params;
      fastcgi_param SCRIPT_FILENAME {script};
      fastcgi_pass unix:{folder}/fpm.sock;
    }}
  }}
}}
"""


@cache
def blocks(page: Path = PACKAGE / "README.md") -> dict[str, str]:
    """Return the code that a page shows, by the last file that the paragraph before it names."""
    text, code = page.read_text(), {}
    for block in re.finditer(r"^ *```(?:php|yaml)\n(.*?)^ *```", text, re.S | re.M):
        before = text[: block.start()].rstrip().rpartition("\n\n")[2]
        named = re.findall(r"`([\w/-]+\.(?:php|yaml))`", before)
        if named and before.endswith(":"):
            code[named[-1]] = dedent(block[1])
    return code


def lay(folder: Path, *names: str) -> None:
    """Write files of a program as the README shows them."""
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(blocks()[name])


def content_of(session: Path) -> bytes:
    """Return what a file of sessions holds, nothing where the program has deleted it. A program writes it under a lock,
    so that none is read while it is half written."""

    def is_locked() -> bool:
        with contextlib.suppress(BlockingIOError):
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            return True
        return False

    try:
        with session.open("rb") as file:
            wait_until(is_locked)
            return file.read()
    except FileNotFoundError:
        return b""


@dataclass
class Program:
    """A program in the sandbox, which runs."""

    sandbox: Sandbox
    folder: Path
    address: str
    running: list[Running]

    @property
    def sessions(self) -> Path:
        return self.folder / ("storage/framework/sessions" if self.sandbox.name.endswith("laravel") else "sessions")

    def holds_siti(self) -> bool:
        """Tell whether a session that is stored still has a user."""
        return any(b"Siti Rahmawati" in content_of(file) for file in self.sessions.iterdir() if not file.is_dir())

    def browser(self) -> httpx.Client:
        return httpx.Client(base_url=self.address, timeout=60, limits=LIMITS)


def environment_of(sandbox: Sandbox, folder: Path, issuer: str) -> dict[str, str]:
    here = f"http://localhost:{sandbox.port}"
    return sandbox.environment | {
        "SSO_PACKAGE": str(folder / "sso-php" if (folder / "sso-php").exists() else PACKAGE),
        "DATA": str(folder),
        "SESSIONS": str(folder / "sessions"),
        "OIDC_ISSUER": issuer,
        "OIDC_CLIENT_ID": f"{sandbox.name}-sandbox",
        "OIDC_REDIRECT_URI": f"{here}/callback",
        "OIDC_POST_LOGOUT_REDIRECT_URI": f"{here}/",
        "OIDC_SCOPE": "openid profile roles",
        "CI_ENVIRONMENT": "production",
        "app.baseURL": f"{here}/",
        "app.indexPage": "",
        "session.savePath": str(folder / "sessions"),
    }


def started(name: str, sandbox: Sandbox, folder: Path, issuer: str) -> list[Running]:
    """Start a program that lies in a folder."""
    environment = environment_of(sandbox, folder, issuer)
    if name == "plain":
        return behind_nginx(sandbox, folder, environment)
    script = {"laravel": "public/index.php", "symfony": str(PROGRAMS / "symfony" / "index.php")}.get(name)
    if name.startswith("codeigniter"):
        real = name.upper() in os.environ
        script = ("public/index.php" if name == "codeigniter4" else "index.php") if real else "stub.php"
    if name == "codeigniter3":
        environment |= {"OIDC_DATA_DIR": str(folder.with_name("codeigniter3-data"))}
    command = ["php", "-d", "display_errors=1", "-S", f"localhost:{sandbox.port}", str(folder / str(script))]
    return [Running(command, environment, folder, sandbox.port)]


def behind_nginx(sandbox: Sandbox, folder: Path, environment: dict[str, str]) -> list[Running]:
    fpm = next(iter(sorted(Path("/usr/sbin").glob("php-fpm8*"))), None)
    assert fpm, "php-fpm is missing: apt-get install php-fpm"
    assert shutil.which("nginx") or Path("/usr/sbin/nginx").exists(), "nginx is missing: apt-get install nginx"
    root = os.getuid() == 0
    (folder / "fpm.conf").write_text(FPM.format(folder=folder, user="user = root\ngroup = root" if root else ""))
    configuration = NGINX.format(
        folder=folder, port=sandbox.port, script=PROGRAMS / "plain.php", user="user root;" if root else ""
    )
    (folder / "nginx.conf").write_text(configuration)
    command = [str(fpm), "-y", str(folder / "fpm.conf"), *(["-R"] if root else [])]
    process = Running(command, environment, folder, folder / "fpm.sock", "fpm-output.log")
    nginx = shutil.which("nginx") or "/usr/sbin/nginx"
    command = [nginx, "-c", str(folder / "nginx.conf"), "-e", str(folder / "nginx.log")]
    try:
        return [process, Running(command, environment, folder, sandbox.port)]
    except RuntimeError:
        process.stop()
        raise


def prepared(name: str, sandbox: Sandbox, folder: Path) -> None:
    """Lay out what a program consists of."""
    (folder / "sessions").mkdir(parents=True)
    if name == "laravel":
        shutil.copytree(PROGRAMS / "laravel", folder, dirs_exist_ok=True)
        folders = (
            "bootstrap/cache",
            "storage/framework/views",
            "storage/framework/sessions",
            "vendor/composer",
            "database",
        )
        for place in (*folders, "routes"):
            (folder / place).mkdir(parents=True, exist_ok=True)
        downloaded(sandbox, "laravel", folder)
        lay(folder, "config/sso.php")
        package = (folder / "sso-php/composer.json").read_text()
        (folder / "vendor/composer/installed.json").write_text(f'{{"packages": [{package}]}}')  # as Composer writes it
        assert quick_start_files(sandbox, "laravel")["routes/web.php"] == (folder / "routes/web.php").read_text()
        with closing(sqlite3.connect(folder / "database/users.sqlite")) as database, database:
            database.execute(
                "CREATE TABLE users (id INTEGER PRIMARY KEY, name TEXT, nip TEXT, email TEXT, sso_sub TEXT UNIQUE)"
            )
    if name == "symfony":
        lay(folder, "config/packages/security.yaml", "config/services.yaml", "config/routes.yaml")
    if name == "codeigniter3":
        laid_out_3(folder)
    if name == "codeigniter4":
        if real := os.environ.get("CODEIGNITER4"):
            shutil.copytree(real, folder, dirs_exist_ok=True)
        shutil.copytree(PROGRAMS / "codeigniter4", folder, dirs_exist_ok=True)
        lay(folder, "app/Config/Sso.php", "app/Config/Routes.php")


def laid_out_3(folder: Path) -> None:
    if real := os.environ.get("CODEIGNITER3"):
        shutil.copytree(real, folder, dirs_exist_ok=True)
        index = folder / "index.php"
        index.write_text(index.read_text().replace("'development');", "'production');"))
    shutil.copytree(PROGRAMS / "codeigniter3", folder, dirs_exist_ok=True)
    shutil.copytree(PACKAGE / "codeigniter3" / "application", folder / "application", dirs_exist_ok=True)
    (folder / "application/third_party").mkdir(exist_ok=True)
    shutil.copy(PACKAGE / "SsoClient.php", folder / "application/third_party")
    added = {f"application/config/{file.name}": file.read_text() for file in (folder / "append").iterdir()}
    for name in ("sso", "hooks", "routes"):
        place = f"application/config/{name}.php"
        added[place] = added.get(place, "") + blocks()[place].removeprefix("<?php")
    for place, text in added.items():
        before = (folder / place).read_text() if (folder / place).exists() else "<?php\n"
        (folder / place).write_text(before + text.removeprefix("<?php"))


def registered(
    server: Server, names: tuple[str, ...], page: str = "/callback", login: str = "/login"
) -> dict[str, Sandbox]:
    """Register applications in the sandbox, all with one run of the command.

    Args:
        server: the provider.
        names: what each is called.
        page: the path of the redirect URI, which is the back-channel logout URI too.
        login: the path that begins a sign-in.
    """
    port, sandboxes, commands = free_ports(len(names)), {}, []
    for number, name in enumerate(names):
        application, here = f"paket-{name}", f"http://localhost:{port + number}"
        document = {
            "client_name": application,
            "scope": "openid profile roles",
            "scope_reasons": {"profile": "Nama.", "roles": "Hak petugas."},
            "application_roles": {"operator": {"title": "Petugas loket", "title#en": "Clerk"}},
        }
        places = {
            "redirect_uris": [f"{here}{page}", f"{here}/sso.php"],
            "initiate_login_uri": f"{here}{login}",
            "post_logout_redirect_uris": [f"{here}/"],
            "backchannel_logout_uri": f"{here}{page}",
        }
        registration = {"application_id": application, "kind": "web", "document": document, "sandbox": places}
        file = server.directory / f"{application}.yaml"
        file.write_text(yaml.safe_dump(registration))
        commands.append(["applications", "put", str(file), "--owner", "siti"])
        sandboxes[name] = Sandbox(server, application, port + number, "")
    for name, secret in zip(names, server.sso_lines(*commands), strict=True):
        sandboxes[name].secret = secret
    return sandboxes


@pytest.fixture(scope="module")
def registrations(server: Server) -> dict[str, Sandbox]:
    return registered(server, (*NAMES, "onefile"))


@pytest.fixture(scope="module")
def programs(
    server: Server, registrations: dict[str, Sandbox], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, Program]]:
    by_name: dict[str, Program] = {}
    folder = tmp_path_factory.mktemp("packages")
    try:
        for name, sandbox in ((name, registrations[name]) for name in NAMES):
            prepared(name, sandbox, folder / name)
            by_name[name] = Program(sandbox, folder / name, f"http://localhost:{sandbox.port}", [])
            by_name[name].running += started(name, sandbox, folder / name, server.issuer)
        yield by_name
    finally:
        for program in by_name.values():
            for running in program.running:
                running.stop()


@pytest.mark.parametrize("name", NAMES)
def test_signs_in_and_out(programs: dict[str, Program], server: Server, name: str) -> None:
    program = programs[name]
    with program.browser() as browser:
        assert browser.get("/").text == "Belum masuk: /login"
        assert browser.get("/loket", headers={"X-Requested-With": "XMLHttpRequest"}).status_code == 401
        page = signed_in(server, "/loket", browser)
        assert str(page.url) == program.address + "/loket", page.text
        assert page.text == "Pengguna: Siti Rahmawati"
        assert program.holds_siti()
        home = browser.get("/")
        assert "Halo, Siti Rahmawati" in home.text
        assert browser.post("/callback?sso=logout").status_code == 400, "another site cannot sign a user out"
        form = form_of(home)
        left = browser.post(form.action, data=form.fields, follow_redirects=True)
        assert (str(left.url), left.text) == (program.address + "/", "Belum masuk: /login")
    assert not program.holds_siti()


@pytest.mark.parametrize("name", NAMES)
def test_a_role_is_required(programs: dict[str, Program], server: Server, name: str) -> None:
    program = programs[name]
    with program.browser() as browser:
        assert signed_in(server, "/operator", browser).status_code == 403
    server.give(f"{program.sandbox.name}-sandbox", "operator")
    with program.browser() as browser:
        page = signed_in(server, "/operator", browser)
        assert (page.status_code, page.text.partition(": ")[2]) == (200, "Siti Rahmawati")


@pytest.mark.parametrize("name", NAMES)
def test_a_sign_in_renews_the_session_and_forged_returns_are_refused(
    programs: dict[str, Program], server: Server, name: str
) -> None:
    program = programs[name]
    with program.browser() as browser:
        browser.get("/login")
        before = dict(browser.cookies)
        signed_in(server, "/loket", browser)
        session = next(cookie for cookie in before if "sess" in cookie.lower())
        assert browser.cookies[session] != before[session], "the session has a new id after the sign-in"
        for query in ("code=x", "code=x&state=abc", "error=access_denied&state=abc"):
            assert browser.get(f"/callback?{query}").status_code == 400, query
        assert "evil" not in browser.get("/callback?return_to=//evil.example").headers["location"]


def test_the_end_of_a_session_at_the_provider_ends_it_in_every_program(
    programs: dict[str, Program], server: Server
) -> None:
    with ExitStack() as stack:
        browsers = {name: stack.enter_context(program.browser()) for name, program in programs.items()}
        for name, program in programs.items():
            signed_in(server, "/loket", browsers[name])
            assert program.holds_siti(), name
        server.sso("sessions", "revoke", "--user", "siti", "--note", "Uji")
        for name, program in programs.items():
            wait_until(lambda program=program: not program.holds_siti())  # type: ignore[misc]
            assert browsers[name].get("/").text == "Belum masuk: /login", name
            assert browsers[name].get("/loket").status_code in (302, 303), name


def test_laravel_links_the_user_to_a_row_by_sub(programs: dict[str, Program], server: Server) -> None:
    program = programs["laravel"]
    for _ in range(2):
        with program.browser() as browser:
            signed_in(server, "/loket", browser)
    with closing(sqlite3.connect(program.folder / "database/users.sqlite")) as database:
        rows = database.execute("SELECT name, sso_sub <> '' FROM users").fetchall()
    assert rows == [("Siti Rahmawati", 1)]


def test_each_program_passes_the_check(programs: dict[str, Program], server: Server) -> None:
    def checked(program: Program) -> tuple[bool, dict[str, str]]:
        # A notice of the provider would let the program read the keys of the check before the check has made them.
        server.wait_for_notices(f"{program.sandbox.name}-sandbox")
        for running in program.running:
            running.stop()
        name = program.sandbox.name.removeprefix("paket-")
        program.running[:] = started(name, program.sandbox, program.folder, program.sandbox.check_issuer)
        return program.sandbox.check()

    with ThreadPoolExecutor() as pool:
        results = dict(zip(programs, pool.map(checked, programs.values()), strict=True))
    for name, (passed, outcomes) in results.items():
        assert passed, (name, outcomes)
        assert outcomes["honest"] == "passed", name
        assert {case for case, outcome in outcomes.items() if outcome == "refused"} == FAULTS, (name, outcomes)


def test_codeigniter_3_keeps_its_data_outside_of_the_web_root(tmp_path: Path) -> None:
    root = tmp_path / "public"
    laid_out_3(root)
    (root / "sessions").mkdir()
    (tmp_path / "link").symlink_to(root)
    environment = {"PATH": os.environ["PATH"], "REQUEST_URI": "/", "SESSIONS": str(root / "sessions")}
    environment |= {
        "OIDC_ISSUER": "https://masuk.kota.example",
        "OIDC_CLIENT_ID": "a",
        "OIDC_REDIRECT_URI": "https://a.example/",
    }

    def answer(data: dict[str, str]) -> str:
        code = f"$_SERVER['DOCUMENT_ROOT'] = (string) getenv('ROOT'); require '{root}/stub.php';"
        command = ["php", "-d", "display_errors=1", "-r", code]
        return subprocess.run(command, env=environment | data, cwd=root, capture_output=True, text=True).stdout

    for data in ("", "sso", "../sso"):
        assert "data_dir: set the environment variable OIDC_DATA_DIR" in answer({"OIDC_DATA_DIR": data}), data
    assert "data_dir: set the environment variable OIDC_DATA_DIR" in answer({})
    for place in (root, root / "application/cache/sso", tmp_path / "link/sso"):
        assert "is in the web root" in answer({"OIDC_DATA_DIR": str(place)}), place
    other = {"OIDC_DATA_DIR": str(tmp_path / "web/sso"), "ROOT": str(tmp_path)}
    assert "is in the web root" in answer(other), "another front controller"
    for place in (tmp_path / "sso", tmp_path / "public-sso"):
        assert answer({"OIDC_DATA_DIR": str(place)}) == "Belum masuk: /login"


@pytest.mark.parametrize("page", ["packages/php/README.md", "docs/id/how-to/php.md"])
def test_the_pages_of_the_manuals_sign_in_as_they_are_shown(
    server: Server, registrations: dict[str, Sandbox], tmp_path: Path, page: str
) -> None:
    sandbox = registrations["onefile"]
    here = f"http://localhost:{sandbox.port}"
    lines = (ROOT / "README.md").read_text().partition("```php\n")[2].partition("```")[0]
    shutil.copy(PACKAGE / "SsoClient.php", tmp_path)
    for name, text in (*blocks(ROOT / page).items(), ("front.php", f"<?php\n{lines}")):
        if name in ("sso.php", "index.php", "front.php"):
            values = {"https://masuk.kota.example": server.issuer, "'antrean'": "'paket-onefile-sandbox'"}
            values |= {"'layanan-warga'": "'paket-onefile-sandbox'", "https://antrean.kota.example": here}
            values |= {"https://layanan-warga.kota.example": here, "/var/lib": str(tmp_path / "lib")}
            for example, value in values.items():
                text = text.replace(example, value)
            (tmp_path / name).write_text(text)
    command = ["php", "-d", "display_errors=1", "-S", f"localhost:{sandbox.port}", "-t", str(tmp_path)]
    running = Running(command, sandbox.environment, tmp_path, sandbox.port)
    try:
        with httpx.Client(base_url=here, timeout=60, limits=LIMITS) as browser:
            shown_page = signed_in(server, "/index.php", browser)
            assert shown_page.text.startswith("Siti Rahmawati<form"), shown_page.text
            assert browser.get("/front.php").text.startswith("Siti Rahmawati")
            words = ('lang="id"', "Mulai lagi") if page.startswith("docs/id/") else ('lang="en"', "Begin again")
            assert all(word in browser.get("/sso.php?code=x").text for word in words)
        with httpx.Client(base_url=here, timeout=60, limits=LIMITS) as browser:
            assert signed_in(server, "/front.php", browser).text.startswith("Siti Rahmawati")
    finally:
        running.stop()


def test_the_syntax_is_that_of_php_7_4() -> None:
    """The files that Composer loads: PHP 7.4. Those for CodeIgniter 3 and WordPress go with the one file: PHP 5.6."""
    for version, folders in (("7.4", ("src",)), ("5.6", ("codeigniter3", "wordpress"))):
        files = [str(file) for folder in folders for file in sorted((PACKAGE / folder).rglob("*.php"))]
        assert files
        command = ["php", str(PROGRAMS / "syntax.php"), version, *files]
        done = subprocess.run(command, capture_output=True, text=True)
        assert (done.stdout, done.stderr) == ("", ""), done.stdout + done.stderr
