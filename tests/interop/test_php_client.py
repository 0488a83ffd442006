"""The client for PHP in one file: signed in, signed out, told of the end, and what it refuses."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx2 as httpx
import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from tests.interop.conftest import LIMITS, Server, signed_in
from tests.support import form_of
from tests.waiting import wait_for

pytestmark = [pytest.mark.interop]
HERE = Path(__file__).parent
PACKAGE = HERE.parents[1] / "packages" / "php"
DOOR = "kunci-cadangan-loket-17"


@dataclass
class Program:
    """The running PHP program."""

    address: str
    server: Server
    data: Path

    def browser(self) -> httpx.Client:
        return httpx.Client(base_url=self.address, timeout=60, limits=LIMITS)

    def signed_in(self, browser: httpx.Client, path: str = "/page") -> httpx.Response:
        """Open a page, sign siti in where the provider asks, and return the last page."""
        return signed_in(self.server, path, browser)


@pytest.fixture(scope="module")
def program(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Program]:
    php = shutil.which("php")
    assert php, "PHP is missing: apt-get install php-cli php-curl"
    data, port = tmp_path_factory.mktemp("php"), server.ports["phpfile"]
    hashed = subprocess.run(
        [php, "-r", f"echo password_hash('{DOOR}', PASSWORD_BCRYPT, ['cost' => 4]);"], capture_output=True
    )
    environment = os.environ | {
        "ISSUER": server.issuer,
        "SECRET": server.secrets["phpfile"],
        "DATA": str(data),
        "RECHECK": "0",
        "DOOR": hashed.stdout.decode(),
        "SSO_CLIENT_FILE": str(PACKAGE / "SsoClient.php"),
        "PHP_CLI_SERVER_WORKERS": "3",
    }
    command = [
        php,
        "-d",
        "display_errors=1",
        "-d",
        "error_reporting=-1",
        "-S",
        f"localhost:{port}",
        str(HERE / "php_client" / "index.php"),
    ]
    with (data / "log").open("w") as log:
        process = subprocess.Popen(command, env=environment, cwd=data, stdout=log, stderr=log, start_new_session=True)
        try:
            wait_for(port, process, data / "log")
            yield Program(f"http://localhost:{port}", server, data)
        finally:
            os.killpg(process.pid, 15)
            process.wait(60)
    text = (data / "log").read_text()
    assert not [line for line in text.splitlines() if "Warning" in line or "Deprecated" in line or "Fatal" in line], (
        text
    )


def test_signs_in_and_out(program: Program) -> None:
    with program.browser() as browser:
        assert browser.get("/").text == "nobody"
        page = program.signed_in(browser, "/page?a=1")
        assert "Siti Rahmawati" in page.text
        assert str(page.url) == program.address + "/page?a=1"
        assert browser.get("/token").text == "valid"
        form = form_of(page)
        assert browser.get("/sso.php?sso=logout").status_code == 400
        assert browser.get("/").text == "somebody"
        answer = browser.post(form.action, data=form.fields, follow_redirects=True)
        assert str(answer.url).startswith(program.address + "/bye")
        assert browser.get("/").text == "nobody"


def test_a_request_that_is_no_page_is_not_redirected(program: Program) -> None:
    with program.browser() as browser:
        for headers in ({"X-Requested-With": "XMLHttpRequest"}, {"Sec-Fetch-Mode": "cors"}):
            answer = browser.get("/page", headers=headers)
            assert (answer.status_code, answer.json()["error"]) == (401, "login_required")
        assert browser.post("/page", data={"a": "1"}).status_code == 401


def test_a_role_is_required(program: Program) -> None:
    with program.browser() as browser:
        page = program.signed_in(browser, "/operator")
        assert page.status_code == 403
        assert "operator" in page.text


def test_the_end_of_a_session_ends_the_session_of_php(program: Program) -> None:
    with program.browser() as browser:
        program.signed_in(browser)
        stored = program.data / f"sess_{browser.cookies['PHPSESSID']}"
        assert stored.exists()
        program.server.sso("sessions", "revoke", "--user", "siti")
        program.server.wait_for_notices("phpfile")
        assert not stored.exists()
        assert browser.get("/").text == "nobody"


def test_the_notice_of_a_sign_out_does_not_end_the_next_sign_in_under_the_same_session_id(program: Program) -> None:
    def ended() -> int:
        """Return of how many sessions the program knows that they ended: all notices so far have been answered."""
        program.server.wait_for_notices("phpfile")
        return len(list((program.data / "sso").glob("ended-*")))

    with program.browser() as browser:
        form = form_of(program.signed_in(browser))
        before, id_before = ended(), browser.cookies["PHPSESSID"]
        browser.post(form.action, data=form.fields, follow_redirects=True)
        begun = browser.get("/page?own=1").headers["location"]
        assert browser.cookies["PHPSESSID"] == id_before, "the program uses the id again"
        assert ended() == before + 1
        assert "Siti Rahmawati" in program.signed_in(browser, begun).text


def test_what_is_forged_is_refused(program: Program) -> None:
    with program.browser() as browser:
        sent = browser.get("/page").headers["location"]
        state = parse_qs(urlsplit(sent).query)["state"][0]
        wrong = {
            "no state": "code=x",
            "other state": "code=x&state=abc",
            "other issuer": f"code=x&state={state}&iss=https://other.example",
        }
        for case, query in wrong.items():
            assert browser.get(f"/sso.php?{query}").status_code in (303, 400), case
            assert browser.get("/").text == "nobody", case
        for target in ("//evil.example", "/\\evil.example", "https://evil.example"):
            assert "evil" not in browser.get("/page", headers={"X-Original": target}).headers["location"]


@pytest.mark.parametrize("change", ["alg none", "other key", "no event", "nonce", "other audience", "garbage"])
def test_a_forged_logout_token_ends_nothing(program: Program, change: str) -> None:
    with program.browser() as browser:
        program.signed_in(browser)
        answer = browser.post("/sso.php", data={"logout_token": forged(change, program.server.issuer)})
        assert answer.status_code == 400
        assert answer.json()["error"] == "invalid_request"
        assert browser.get("/").text == "somebody"


def test_the_local_door_is_narrow(program: Program) -> None:
    with program.browser() as browser:
        form = form_of(browser.get("/sso.php?sso=local"))
        for _ in range(2):
            page = browser.post("/sso.php?sso=local", data={**form.fields, "password": "salah"})
            assert "wrong" in page.text
        assert browser.post("/sso.php?sso=local", data={"csrf": "x", "password": DOOR}).status_code == 200
        assert browser.get("/").text == "nobody"
        assert browser.post("/sso.php?sso=local", data={**form.fields, "password": DOOR}).status_code == 303
        assert browser.get("/operator").text == "operator"
    with program.browser() as browser:
        form = form_of(browser.get("/sso.php?sso=local"))
        for _ in range(6):
            page = browser.post("/sso.php?sso=local", data={**form.fields, "password": "salah"})
        assert "15" in page.text
        page = browser.post("/sso.php?sso=local", data={**form.fields, "password": DOOR})
        assert page.status_code == 200


def test_the_syntax_is_that_of_php_5_6() -> None:
    script = """
    require '/usr/share/php/PhpParser/autoload.php';
    $lexer = new PhpParser\\Lexer\\Emulative(['phpVersion' => '5.6']);
    $parser = (new PhpParser\\ParserFactory())->create(PhpParser\\ParserFactory::ONLY_PHP5, $lexer);
    foreach (array_slice($argv, 1) as $file) { $parser->parse(file_get_contents($file)); }
    echo 'ok';
    """
    done = subprocess.run(["php", "-r", script, "--", str(PACKAGE / "SsoClient.php")], capture_output=True, text=True)
    assert done.stdout == "ok", done.stdout + done.stderr


def test_files_are_for_the_program_alone(program: Program) -> None:
    with program.browser() as browser:
        program.signed_in(browser)
    program.server.wait_for_notices("phpfile")  # after a notice the program deletes files
    files = [file for file in (program.data / "sso").iterdir() if file.suffix == ".json"]
    assert files
    assert {file.stat().st_mode & 0o077 for file in files} == {0}


def forged(change: str, issuer: str) -> str:
    """Return a logout token that is wrong in one way, signed with a key that is not the provider's."""
    claims: dict[str, Any] = {
        "iss": issuer, "aud": "phpfile" if change != "other audience" else "other", "iat": 1, "exp": 4102444800,
        "jti": uuid.uuid4().hex, "sub": "x", "events": {"http://schemas.openid.net/event/backchannel-logout": {}},
    }  # fmt: skip
    if change == "garbage":
        return "a.b.c"
    if change == "no event":
        del claims["events"]
    if change == "nonce":
        claims["nonce"] = "n"
    kid = json.loads(httpx.get(f"{issuer}/jwks", timeout=60).text)["keys"][0]["kid"]
    if change == "alg none":
        return jwt.encode(claims, "", algorithm="none", headers={"kid": kid})
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    return jwt.encode(claims, key, algorithm="RS256", headers={"kid": kid})


@pytest.mark.parametrize(
    ("claims", "column", "expected"),
    [
        ({"local_user_id": "7", "email": "dua@warga.example", "email_verified": True}, "surel", "7"),
        ({"nip": "198503302003121001"}, "surel", "8"),
        ({"email": "siti@warga.example", "email_verified": True}, "surel", "7"),
        ({"email": "siti@warga.example", "email_verified": False}, "surel", "nobody"),
        ({"email": "siti@warga.example"}, "surel", "nobody"),
        ({"email": "siti@warga.example", "email_verified": "true"}, "surel", "nobody"),
        ({"email": "dua@warga.example", "email_verified": True}, "surel", "ambiguous_user"),
        ({"local_user_id": ["7"], "nip": ""}, "surel", "nobody"),
        ({"email": "síti@warga.example", "email_verified": True}, "surel", "nobody"),
        ({"email": "Siti@warga.example", "email_verified": True}, "surel", "7"),
        ({"email": "x", "email_verified": True}, "id = id OR id", "configuration"),
    ],
)
def test_a_user_of_the_old_table_is_found_by_what_is_vouched_for(
    claims: dict[str, Any], column: str, expected: str
) -> None:
    command = ["php", str(HERE / "php_client" / "local_users.php"), json.dumps(claims), column]
    environment = os.environ | {"SSO_CLIENT_FILE": str(PACKAGE / "SsoClient.php")}
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert done.stdout == expected, done.stdout + done.stderr
