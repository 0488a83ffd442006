"""The plug-in for WordPress, with the WordPress and the MariaDB that Debian has."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from html import unescape
from pathlib import Path

import httpx2 as httpx
import pytest
from tests.interop.conftest import LIMITS, Server, signed_in
from tests.interop.test_php_packages import PACKAGE, PROGRAMS, registered
from tests.interop.test_relying_party_check import FAULTS, Running, Sandbox
from tests.support import form_of

pytestmark = [pytest.mark.interop]
WORDPRESS = Path("/usr/share/wordpress")
PLUGIN = PACKAGE / "wordpress" / "sso-login"
LOGIN = "/wp-login.php?action=sso"
ADMINISTRATOR = {"log": "admin", "pwd": "kunci-cadangan-loket-17"}


@dataclass
class Site:
    """WordPress, which runs."""

    sandbox: Sandbox
    folder: Path
    environment: dict[str, str]
    running: list[Running] = field(default_factory=list)

    @property
    def address(self) -> str:
        return f"http://localhost:{self.sandbox.port}"

    def php(self, *words: str) -> str:
        command = ["php", "-d", f"auto_prepend_file={PROGRAMS / 'wordpress' / 'prepend.php'}", *words]
        done = subprocess.run(command, env=self.environment, cwd=self.folder, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def run(self, code: str) -> str:
        """Run some PHP within WordPress, and return what it prints."""
        script = self.folder / "run.php"
        script.write_text(f"<?php require '{self.folder}/wp-load.php'; {code}")
        return self.php(str(script))

    def start(self) -> None:
        prepended = f"auto_prepend_file={PROGRAMS / 'wordpress' / 'prepend.php'}"
        command = ["php", "-d", prepended, "-S", f"localhost:{self.sandbox.port}", "-t", str(self.folder)]
        self.running.append(Running(command, self.environment, self.folder, self.sandbox.port))

    def browser(self) -> httpx.Client:
        return httpx.Client(base_url=self.address, timeout=60, limits=LIMITS)

    def sessions(self) -> int:
        """Return how many sessions of WordPress siti has."""
        user = (
            "get_users(['meta_key' => '_sso_login_sub', 'meta_compare' => 'EXISTS', 'role__not_in' => 'administrator'])"
        )
        return int(
            self.run(f"foreach ({user} as $u) echo count(WP_Session_Tokens::get_instance($u->ID)->get_all());") or 0
        )


def database(folder: Path) -> tuple[Running, Path]:
    """Start a MariaDB that listens at a socket alone, and return it and the file of the socket."""
    program = shutil.which("mariadbd") or "/usr/sbin/mariadbd"
    socket, root = folder / "mariadb.sock", ["--user=root"] if os.getuid() == 0 else []
    common = ["--no-defaults", f"--datadir={folder / 'mariadb'}"]
    install = ["mariadb-install-db", *common, *root, "--auth-root-authentication-method=normal", "--skip-test-db"]
    subprocess.run(install, check=True, capture_output=True)
    quick = ["--innodb-flush-log-at-trx-commit=0", "--innodb-buffer-pool-size=16M", "--skip-log-bin"]
    command = [program, *common, *root, f"--socket={socket}", "--skip-networking", *quick]
    return Running(command, os.environ, folder, socket, "mariadb.log"), socket


@pytest.fixture(scope="module")
def site(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("wordpress")
    sandbox = registered(server, ("wordpress",), LOGIN, LOGIN)["wordpress"]
    for file in WORDPRESS.iterdir():
        if file.name not in ("wp-content", "wp-config.php"):
            (folder / file.name).symlink_to(file)
    shutil.copy(PROGRAMS / "wordpress" / "wp-config.php", folder)
    shutil.copytree(PLUGIN, folder / "wp-content/plugins/sso-login")
    shutil.copy(PACKAGE / "SsoClient.php", folder / "wp-content/plugins/sso-login")
    shutil.copytree(PROGRAMS / "wordpress" / "theme", folder / "wp-content/themes/uji")
    maria, socket = database(folder)
    environment = sandbox.environment | {
        "DATA": str(folder),
        "DATABASE_SOCKET": str(socket),
        "ADDRESS": f"http://localhost:{sandbox.port}",
        "OIDC_ISSUER": server.issuer,
        "OIDC_CLIENT_ID": f"{sandbox.name}-sandbox",
    }
    wordpress = Site(sandbox, folder, environment)
    try:
        connect = f"(new mysqli('localhost', 'root', '', '', 0, '{socket}'))->query('CREATE DATABASE wordpress');"
        subprocess.run(["php", "-r", connect], check=True)
        assert wordpress.php(str(PROGRAMS / "wordpress" / "install.php")).endswith("installed")
        wordpress.start()
        yield wordpress
    finally:
        for running in (*wordpress.running, maria):
            running.stop()


def logout_link(page: str) -> str:
    link = re.search(r'id="logout" href="([^"]+)"', page)
    assert link, page
    return unescape(link[1])


def test_the_sign_in_page_leads_to_the_provider_and_back(site: Site, server: Server) -> None:
    with site.browser() as browser:
        assert browser.get("/").text == "Belum masuk: /login"
        page = signed_in(server, "/wp-login.php?redirect_to=%2F%3Fa%3D1", browser)
        assert str(page.url) == site.address + "/?a=1", page.text
        assert "Halo, Siti Rahmawati" in page.text
        assert '<p id="roles">subscriber</p>' in page.text
        left = browser.get(logout_link(page.text), follow_redirects=True)
        assert (str(left.url), left.text) == (site.address + "/", "Belum masuk: /login")
        again = browser.get("/wp-login.php", follow_redirects=True)
        assert str(again.url).startswith(server.issuer)
        assert 'type="password"' in again.text, "the user is signed out at the provider too"


def test_only_roles_of_the_closed_list_are_given_and_they_are_taken_again(site: Site, server: Server) -> None:
    client = f"{site.sandbox.name}-sandbox"
    server.give(client, "operator")
    with site.browser() as browser:
        assert '<p id="roles">subscriber editor</p>' in signed_in(server, "/wp-login.php", browser).text
        changed = "$o = get_option('sso_login'); $o['roles'] = '{}'; update_option('sso_login', $o);"
        site.run(changed.format(""))
        assert '<p id="roles">subscriber</p>' in browser.get("/").text
        site.run(changed.format("operator = editor"))


def test_the_end_of_a_session_at_the_provider_ends_the_session_of_wordpress(site: Site, server: Server) -> None:
    site.run("WP_Session_Tokens::destroy_all_for_all_users();")
    with site.browser() as browser:
        signed_in(server, "/wp-login.php", browser)
        assert site.sessions() == 1
        server.sso("sessions", "revoke", "--user", "siti", "--note", "Uji")
        server.wait_for_notices(f"{site.sandbox.name}-sandbox")
        assert site.sessions() == 0
        assert browser.get("/").text == "Belum masuk: /login"


def test_the_local_door_is_for_administrators_alone(site: Site) -> None:
    with site.browser() as browser:
        assert browser.get("/wp-login.php").status_code == 302
        page = browser.get("/wp-login.php?local=1")
        assert (page.status_code, form_of(page).action != "") == (200, True)
        assert "wp-login.php?action=sso" in page.text
        answers = set()
        for password in ("sandi-lama-yang-panjang", "salah"):
            answer = browser.post("/wp-login.php", data={**ADMINISTRATOR, "log": "lama", "pwd": password})
            error = re.search(r'<div id="login_error">(.*?)</div>', answer.text, re.S)
            assert answer.status_code == 200
            assert error
            answers.add(error[1])
        assert len(answers) == 1, "a right password is told by nothing"
        assert browser.post("/wp-login.php", data=ADMINISTRATOR).status_code == 302
        assert "Halo, admin" in browser.get("/").text
        settings = browser.get("/wp-admin/options-general.php?page=sso-login")
        assert f"{site.address}/wp-login.php?action=sso" in unescape(settings.text)
        assert site.environment["OIDC_CLIENT_SECRET"] not in settings.text


def test_a_role_of_the_city_opens_no_door_without_the_city(site: Site, server: Server) -> None:
    """Roles that the provider gave count only while the user is signed in by it."""
    option = "$o = get_option('sso_login'); $o['roles'] = 'operator = administrator'; $o['passwords'] = {};"
    option += " update_option('sso_login', $o);"
    siti = "$u = get_users(['meta_key' => '_sso_login_sub', 'meta_compare' => 'EXISTS'])[0];"
    given = f"{siti} (new Sso_Login_Users())->applyRoles($u, ['roles' => ['operator']]);"
    roles = f"{siti} echo implode(' ', $u->roles);"
    door = (
        f"{siti} echo (int) user_can($u, 'manage_options'), (int) apply_filters('allow_password_reset', true, $u->ID);"
    )
    name = site.run(
        f"{option.format('true')} {siti} wp_set_password('sandi-siti-di-sini', $u->ID); echo $u->user_login;"
    )
    password = {"log": name, "pwd": "sandi-siti-di-sini"}

    server.give(f"{site.sandbox.name}-sandbox", "operator")
    with site.browser() as browser, site.browser() as other:
        assert '<p id="roles">subscriber administrator</p>' in signed_in(server, "/wp-login.php", browser).text
        assert site.run(door) == "10", "the password cannot be reset"
        assert other.post("/wp-login.php", data=password).status_code == 200, "the password opens nothing"
        server.sso("sessions", "revoke", "--user", "siti", "--note", "Uji")
        server.wait_for_notices(f"{site.sandbox.name}-sandbox")
        assert site.run(roles) == "subscriber"
        assert other.post("/wp-login.php", data=password).status_code == 200

        site.run(option.format("false") + given)
        assert other.post("/wp-login.php", data=password).status_code == 302, "passwords are open to everybody"
        assert site.run(roles) == "subscriber"
        site.run(given)
        assert '<p id="roles">subscriber</p>' in other.get("/").text, "nor in a session of a password"

        assert '<p id="roles">subscriber administrator</p>' in signed_in(server, "/wp-login.php", browser).text
        browser.get(logout_link(browser.get("/").text))
        assert site.run(roles) == "subscriber"
    local = "update_user_meta(1, '_sso_login_roles', ['editor']); "
    local += "echo (int) apply_filters('allow_password_reset', true, 1);"
    assert site.run(option.format("true") + local) == "1", "an administrator of this site stays one"
    site.run("delete_user_meta(1, '_sso_login_roles'); $o = get_option('sso_login'); $o['roles'] = 'operator = editor';"
             " update_option('sso_login', $o);")  # fmt: skip


def test_an_administrator_links_the_own_account_and_nobody_else_becomes_one(site: Site, server: Server) -> None:
    siti = "$u = get_users(['meta_key' => '_sso_login_sub', 'meta_compare' => 'EXISTS'])[0];"
    site.run(f"{siti} require ABSPATH . 'wp-admin/includes/user.php'; wp_delete_user($u->ID);")
    with site.browser() as browser:
        assert browser.post("/wp-login.php", data=ADMINISTRATOR).status_code == 302
        assert browser.get("/wp-admin/admin-post.php?action=sso_login_link").status_code == 403, "without its token"
        profile = browser.get("/wp-admin/profile.php")
        link = re.search(r'href="([^"]+action=sso_login_link[^"]+)"', profile.text)
        assert link
        page = signed_in(server, unescape(link[1]), browser)
        assert "Siti Rahmawati" in page.text
        form = form_of(page)
        sub = "echo get_user_meta(1, '_sso_login_sub', true);"
        assert site.run(sub) == "", "nothing is linked unasked"
        for forged in ({"_wpnonce": ""}, {"_wpnonce": "0123456789"}):
            assert browser.post(form.action, data={**form.fields, **forged, "choice": "link"}).status_code == 403
        assert browser.post(form.action, data={**form.fields, "choice": "cancel"}).status_code == 303
        assert browser.post(form.action, data={**form.fields, "choice": "link"}).status_code == 403, "it was cancelled"
        assert (site.run(sub), "Halo, admin" in browser.get("/").text) == ("", True)

        sign_in_page = browser.get(unescape(link[1]), follow_redirects=True)
        assert 'type="password"' in sign_in_page.text, "not whoever is signed in at the provider"
        form = form_of(signed_in(server, unescape(link[1]), browser))
        page = browser.post(form.action, data={**form.fields, "choice": "link"}, follow_redirects=True)
        assert str(page.url) == site.address + "/wp-admin/profile.php", page.text
        assert "action=sso_login_link" not in page.text
        assert site.run(sub).startswith(server.issuer + " ")
    with site.browser() as browser:
        assert "Halo, admin" in signed_in(server, "/wp-login.php", browser).text
    site.run("delete_user_meta(1, '_sso_login_sub'); update_user_meta(1, 'nip', 'x');")


def test_a_link_that_was_begun_counts_for_its_own_sign_in_alone(site: Site, server: Server) -> None:
    with site.browser() as browser:
        assert browser.post("/wp-login.php", data=ADMINISTRATOR).status_code == 302
        link = re.search(r'href="([^"]+action=sso_login_link[^"]+)"', browser.get("/wp-admin/profile.php").text)
        assert link
        begun = browser.get(unescape(link[1]))
        assert "prompt=login" in begun.headers["location"]
        assert "Halo, Siti Rahmawati" in signed_in(server, LOGIN, browser).text, "another sign-in of this browser"
        assert browser.get("/wp-admin/admin-post.php?action=sso_login_confirm").status_code == 403
        finished = signed_in(server, begun.headers["location"], browser)
        assert finished.status_code == 403, "the administrator is not signed in any more"
    assert site.run("echo get_user_meta(1, '_sso_login_sub', true);") == ""


def test_the_form_shows_the_city_account_in_both_languages(site: Site) -> None:
    claims = "['sub' => 'x', 'name' => '<b>Siti</b>', 'email' => 'siti@kota.example']"
    form = f"echo (new Sso_Login())->confirmation(get_user_by('id', 1), {claims}, 'n');"
    english = site.run(form)
    assert "&lt;b&gt;Siti&lt;/b&gt;" in english
    assert "siti@kota.example" in english
    assert "sign in to this site as admin." in english
    assert "masuk ke situs ini sebagai admin." in site.run("add_filter('locale', fn() => 'id_ID'); " + form)


@pytest.mark.parametrize(
    ("claims", "expected"),
    [
        ("['sub' => 'a', 'email' => 'lama@warga.example', 'email_verified' => true]", "lama"),
        ("['sub' => 'b', 'email' => 'lama@warga.example', 'email_verified' => true]", "ambiguous_user"),
        ("['sub' => 'a']", "lama"),
        ("['sub' => 'c', 'email' => 'lama@warga.example', 'email_verified' => false]", "local_user"),
        ("['sub' => 'c', 'email' => 'admin@warga.example', 'email_verified' => true]", "local_user"),
        ("['sub' => 'c', 'local_user_id' => '1']", "local_user"),
        ("['sub' => 'c', 'local_user_id' => '1 OR 1=1']", "local_user"),
    ],
)
def test_a_user_of_before_is_found_by_what_is_vouched_for(site: Site, claims: str, expected: str) -> None:
    changed = "$o = get_option('sso_login'); $o['create'] = false; update_option('sso_login', $o);"
    tried = f"try {{ echo (new Sso_Login_Users())->find({claims})->user_login; }}"
    assert site.run(f"{changed} {tried} catch (SsoException $e) {{ echo $e->error; }}") == expected


def test_it_passes_the_check(site: Site) -> None:
    issuer = site.sandbox.check_issuer
    changed = f"$o['issuer'] = '{issuer}'; $o['create'] = true; update_option('sso_login', $o);"
    site.run("$o = get_option('sso_login'); " + changed)
    passed, outcomes = site.sandbox.check()
    assert passed, outcomes
    assert {case for case, outcome in outcomes.items() if outcome == "refused"} == FAULTS, outcomes
