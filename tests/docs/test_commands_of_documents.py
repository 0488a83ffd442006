"""Every command and every sample of the documents works: it is run as the page shows it, in the order of the page.

Each block names its language, and is run by this file, or by another test (`OTHER_TESTS`), or is in `NOT_RUN` with the
reason. A block of a new kind fails. Commands between backticks in the text are compared with the command line.
"""

from __future__ import annotations

import json
import re
import sqlite3
import subprocess
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml
from jinja2 import Environment
from tests.cli.conftest import Cli, cli
from tests.docs.scripts import ROOT, script
from tests.docs.shell import Shell, return_to_the_time_of_the_documents, send, words_of

from sso.cli import command_line
from sso.settings import Settings, load_settings, variable

__all__ = ["cli"]
BLOCKS = script("blocks")
PAGES = {
    str(path.relative_to(ROOT)): path
    for path in sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "packages").rglob("*.md")])
    if "decisions" not in path.parts and path.name != "CHANGELOG.md"
}

OTHER_TESTS = {
    "docs/how-to/install.md": "scripts/install_guide.py",
    "docs/how-to/backup-and-restore.md": "scripts/install_guide.py",
    "docs/how-to/upgrade.md": "scripts/install_guide.py",
    "docs/contributing/contributing.md": "tests/docs/test_contributing.py",
    "docs/tutorial/first-client.md": "tests/journeys/test_tutorial.py",
    "docs/how-to/android.md": "tests/conformance/test_rfc8252_android.py",
    "docs/how-to/employees.md": "tests/docs/test_manuals_of_roles.py",
    "docs/how-to/groups.md": "tests/docs/test_manuals_of_roles.py",
    "docs/how-to/roles.md": "tests/docs/test_manuals_of_roles.py",
    "docs/reference/attributes.md": "tests/docs/test_manuals_of_roles.py",
    "docs/reference/attributes.head.md": "tests/docs/test_manuals_of_roles.py",
    "docs/how-to/bring-an-application.md": "tests/docs/test_bring_an_application.py",
    "docs/id/how-to/bring-an-application.md": "tests/docs/test_bring_an_application.py",
    "docs/id/how-to/php.md": "tests/interop/test_php_packages.py",
    "packages/php/README.md": "tests/interop/test_php_packages.py",
    "docs/reference/libraries.md": "tests/interop/test_relying_parties.py",
}
"""Pages whose blocks another test runs, or the programs of which they are parts."""

NOT_RUN = {
    ("docs/id/how-to/gate.md", "sso gate check"): "asks a proxy and an application: tests/cli/test_gate.py",
    ("docs/how-to/gate.md", "sso gate check"): "asks a proxy and an application: tests/cli/test_gate.py",
    ("docs/how-to/migrate.md", "kc.sh"): "a command of Keycloak",
    ("CONTRIBUTING.md", "make run"): "these are the tests and the demo themselves",
    ("README.md", "make run"): "these are the tests and the demo themselves",
    ("README.md", "require 'SsoClient.php'"): "tests/interop/test_php_packages.py runs the package",
    ("docs/how-to/cas.md", "require_once"): "tests/interop/test_cas_clients.py runs phpCAS",
    ("docs/how-to/compose.md", ""): "needs Docker; tests/deploy checks the file, and this test its commands of sso",
    ("docs/how-to/kubernetes.md", ""): "needs a cluster; tests/deploy checks the manifests, this test the commands",
    ("docs/how-to/developers.md", "pip install"): "tests/hostile/test_sample_programs.py runs the programs",
    ("docs/id/how-to/developers.md", "pip install"): "tests/hostile/test_sample_programs.py runs the programs",
    ("docs/how-to/import.md", "sso users proposals list"): "each line needs a proposal: tests/cli/test_imports.py",
    ("docs/how-to/import.md", "sso users import people.csv --from layanan-lama --column email=surel --check"):
        "asks for a password at a terminal: tests/cli/test_imports.py",
    ("docs/how-to/deployment.md", "sso setup"): "tests/cli/test_setup.py sets up a host without questions",
    ("docs/reference/roles-in-tokens.md", "OIDCScope"): "tests/interop/test_mod_auth_openidc.py runs Apache",
    ("docs/reference/roles-in-tokens.md", "@Bean"): "make interop-all runs Spring",
    ("docs/security/threat-model.md", "flowchart"): "a picture",
}  # fmt: skip
"""Blocks that cannot be run here, by the beginning of the block (empty: every block of the page), and why."""

NO_CODE = ("text", "csv", "mermaid")
CHECKED = ("json", "python", "html", "yaml", "ini")
"""Languages of blocks that are read and compared, without the shell."""
IN_A_SHELL = ("sh", "console", "sql", "http")

REALM = {
    "realm": "kota",
    "clients": [
        {
            "clientId": "portal", "name": "Portal", "enabled": True, "protocol": "openid-connect",
            "redirectUris": ["https://portal.kota.example/callback"], "standardFlowEnabled": True,
        }
    ],
    "users": [{"id": "u-1", "username": "joko", "email": "joko@warga.example", "enabled": True}],
}  # fmt: skip
FILES: dict[str, dict[str, Any]] = {
    "docs/how-to/migrate.md": {
        "realm.json": json.dumps(REALM),
        "users.csv": ("docs/how-to/migrate.md", "local_user_id,"),
    },
    "docs/reference/api.md": {
        "antrean.yaml": ("docs/how-to/roles.md", "catalogue: antrean"),
        "unit.csv": ("docs/how-to/groups.md", "code,name_id"),
    },
    "docs/how-to/import.md": {
        "layanan-lama.yaml": "catalogue: lama\napplications:\n  - client_id: layanan-lama\n    type: web\n"
        "    client_name: Layanan lama\n    redirect_uris: [https://lama.example/cb]\n",
        "people.csv": "surel,nama,username,catatan\nwati@warga.example,Wati Lestari,wati,x\n",
        "realm.json": json.dumps(REALM),
    },
}
"""Files that a page says its reader has: their text, or another page and the beginning of its block."""


def listed(page: str, text: str) -> str:
    """Return why a block is not run; empty: it is."""
    return next((why for (name, begin), why in NOT_RUN.items() if name == page and text.startswith(begin)), "")


def mine(page: str) -> list[Any]:
    """Return the blocks of a page that this file runs."""
    if page in OTHER_TESTS:
        return []
    return [block for block in BLOCKS.blocks(PAGES[page].read_text()) if not listed(page, block.text)]


RUN = [page for page in PAGES if any(block.language in IN_A_SHELL for block in mine(page))]


@pytest.mark.parametrize("page", PAGES)
def test_every_block_is_run_or_listed(page: str) -> None:
    for block in mine(page):
        assert block.language, f"{page}:{block.line}: name the language of the block after the backticks"
        assert block.language in NO_CODE + CHECKED + IN_A_SHELL, f"{page}:{block.line}: nothing runs {block.language}"


def test_lists_name_pages_blocks_and_tests_that_exist() -> None:
    for page, test in OTHER_TESTS.items():
        assert page in PAGES, page
        assert (ROOT / test).exists(), test
    for page, begin in NOT_RUN:
        assert any(block.text.startswith(begin) for block in BLOCKS.blocks(PAGES[page].read_text())), (page, begin)


def test_blocks_are_found() -> None:
    text = (
        "1. Do\n\n   ```sh\n   sso a\n   ```\n\n2. Or\n\n        sso b\n\n- a\n    - b\n\n    - c: d\n\nx\n\n    - e\n"
    )
    assert [(block.language, block.text) for block in BLOCKS.blocks(text)] == [
        ("sh", "sso a\n"), ("", "sso b\n"), ("", "- e\n"),
    ]  # fmt: skip


@cache
def root_command() -> Any:
    return typer.main.get_command(command_line())


def mistake(words: list[str]) -> str:
    """Return what the command line does not know in the words of a command; empty: nothing."""
    command: Any = root_command()
    path = ["sso"]
    rest = list(words)
    while isinstance(getattr(command, "commands", None), dict) and rest and not rest[0].startswith("-"):
        subcommand = command.commands.get(rest[0])
        if subcommand is None:
            return f"{' '.join(path)} has no command {rest[0]}"
        path.append(rest.pop(0))
        command = subcommand
    options = {name: option for option in command.params for name in (*option.opts, *option.secondary_opts)}
    arguments = [argument for argument in command.params if argument.param_type_name == "argument"]
    places = sum(1 for argument in arguments if argument.nargs == 1)
    many = len(arguments) > places
    while rest:
        word = rest.pop(0)
        name = word.partition("=")[0]
        if not word.startswith("-") or word == "-":
            places -= 1
        elif name in ("--help", "--version"):
            continue
        elif name not in options:
            return f"{' '.join(path)} has no option {name}"
        elif not options[name].is_flag and "=" not in word and rest:
            rest.pop(0)
    return f"{' '.join(path)} has too many arguments" if places < 0 and not many else ""


def test_mistakes_in_commands_are_found() -> None:
    assert mistake(["users", "list", "--json"]) == ""
    assert mistake(["clients", "secret", "ID", "--overlap", "86400"]) == ""
    assert mistake(["users", "lost"]) == "sso users has no command lost"
    assert mistake(["users", "list", "--jsn"]) == "sso users list has no option --jsn"
    assert mistake(["users", "disable", "siti", "budi"]) == "sso users disable has too many arguments"


@pytest.mark.parametrize("page", sorted(set(PAGES) - {"docs/contributing/contributing.md"}))  # which adds a command
def test_commands_of_a_page_have_options_that_exist(page: str) -> None:
    text = PAGES[page].read_text()
    commands = [line for block in BLOCKS.blocks(text) if block.language in ("sh", "console") for line in joined(block)]
    commands += re.findall(r"(?<!`)`(sso [^`]+)`", re.sub(r"```.*?```", "", text, flags=re.S))
    for command in commands:
        try:
            calls = words_of(command)
        except ValueError:  # a quotation over several lines
            calls = []
        for words in calls:
            known = [word for word in words if not re.search(r"^\[|\]$|^…", word)]
            assert not mistake(known), f"{page}: {command}: {mistake(known)}"


def joined(block: Any) -> list[str]:
    """Return the commands of a block, each on one line; of a block ``console`` those after ``$``."""
    lines = re.sub(r"\\\n\s*", "", block.text).splitlines()
    if block.language == "console":
        return [line[2:] for line in lines if line.startswith("$ ")]
    return [line for line in lines if not line.lstrip().startswith("#")]


@pytest.mark.parametrize("page", [page for page in PAGES if any(block.language in CHECKED for block in mine(page))])
def test_samples_of_a_page_can_be_read(page: str, tmp_path: Path) -> None:
    for block in mine(page):
        where = f"{page}:{block.line}"
        if block.language == "json":
            json.loads(block.text)
        elif block.language == "yaml":
            assert yaml.safe_load(block.text), where
        elif block.language == "python":
            compile(block.text, where, "exec")
        elif block.language == "html":
            Environment(extensions=["jinja2.ext.i18n"]).parse(block.text)
        elif block.language == "ini":
            check_settings(block.text, where, tmp_path)


def check_settings(text: str, where: str, folder: Path) -> None:
    """Check that settings exist, and that the provider accepts their values."""
    secret = folder / "secret"
    secret.write_text("x" * 48)
    known = {variable(name): name for name in Settings.model_fields}
    values = {}
    for line in text.splitlines():
        name, equals, value = re.sub(r"\s+#.*", "", line).partition("=")
        assert equals, f"{where}: {line}"
        assert name in known, f"{where}: {name}"
        if name != "SSO_OUTBOUND_CA_FILE":
            values[known[name]] = str(secret) if name.endswith("_FILE") else value
    secure = {"secret_key": "x" * 48, "database_url": "sqlite:///:memory:"}
    load_settings(**{**secure, **values})


@pytest.mark.parametrize("page", RUN)
@pytest.mark.parametrize("database_kind", ["sqlite"])
def test_commands_of_a_page_work_in_their_order(page: str, cli: Cli, tmp_path: Path) -> None:
    return_to_the_time_of_the_documents()
    prepare(page, cli, tmp_path)
    shell = Shell(cli, tmp_path)
    shell.variables["token"] = ""
    for block in mine(page):
        where = f"{page}:{block.line}"
        if block.language == "yaml":
            apply_catalogue(cli, block.text, where)
            if name := SAVED_AS.get((page, block.text.partition("\n")[0])):
                (tmp_path / name).write_text(block.text)
        elif block.language == "sh":
            shell.variables |= variables_for(page, block.text, cli)
            done = shell.run(as_typed(page, block.text))
            assert done.code == 0, f"{where}:\n{done.out}{done.err}"
        elif block.language == "console":
            run_console(shell, block, where)
        elif block.language == "sql":
            with sqlite3.connect(tmp_path / "sso.db") as connection:
                connection.execute(block.text)
        elif block.language == "http":
            send_request(cli, with_ids(cli, block.text), where)


SAVED_AS = {
    ("docs/how-to/gate.md", "catalogue: kota"): "arsip.yaml",
    ("docs/id/how-to/gate.md", "catalogue: kota"): "arsip.yaml",
}
"""Blocks that a page asks its reader to save, by their first line."""


def blocks_of(page: str, begin: str) -> str:
    """Return the block of another page that begins with a line."""
    return next(block.text for block in BLOCKS.blocks(PAGES[page].read_text()) if block.text.startswith(begin))


def with_ids(cli: Cli, text: str) -> str:
    """Return a request with the ids of a user and of a unit for ``USER-ID`` and ``UNIT-ID``."""
    if "USER-ID" not in text:
        return text
    unit = next(group["id"] for group in cli("groups", "list", "--json").json if group["code"] == "PKM-CPD")
    return text.replace("USER-ID", str(cli.contents["users"]["siti"])).replace("UNIT-ID", unit)


def prepare(page: str, cli: Cli, folder: Path) -> None:
    """Make what a page says that its reader has: files, applications, and a mail server."""
    cli.monkeypatch.setenv("SSO_SMTP_URL", "smtp://127.0.0.1:1")  # where nothing is sent from
    for name, content in FILES.get(page, {}).items():
        (folder / name).write_text(content if isinstance(content, str) else blocks_of(*content))
        if name.endswith(".yaml"):
            assert cli("clients", "apply", name).code == 0
        elif name == "unit.csv":
            assert cli("groups", "import-csv", name, "--reason", "SOTK").code == 0


def apply_catalogue(cli: Cli, text: str, where: str) -> None:
    """Apply the applications of a block; other files of YAML are not for `sso clients apply`."""
    document = yaml.safe_load(text)
    if isinstance(document, list) and "client_id" in document[0]:
        document = {"catalogue": re.sub(r"\W", "-", where.lower()), "applications": document}
    if not isinstance(document, dict) or "applications" not in document:
        return
    Path("block.yaml").write_text(yaml.safe_dump(document))
    for options in (["--dry-run"], []):
        done = cli("clients", "apply", "block.yaml", *options)
        assert done.code == 0, f"{where}: {done.err}"


def as_typed(page: str, text: str) -> str:
    """Return a block with the names of the test's users and applications for those of the page."""
    names = NAMES.get(page, {})
    return re.sub("|".join(map(re.escape, names)), lambda match: names[match[0]], text) if names else text


CREATE = "sso users create suite"
NAMES: dict[str, dict[str, str]] = (
    {
        page: {CREATE: f"printf perahu-kertas-88 | {CREATE} --password-stdin"}  # the password is typed at a terminal
        for page in ("docs/reference/conformance.md", "docs/reference/conformance.head.md")
    }
    | {
        page: {
            "/etc/nginx/conf.d/arsip.conf": "arsip.conf",
            "nginx -t && systemctl reload nginx": "grep -q auth_request arsip.conf",
        }
        for page in ("docs/how-to/gate.md", "docs/id/how-to/gate.md")
    }
    | {
        "docs/security/incidents.md": {"NAME": "siti", "sso grants revoke ID": "sso grants list"},
    }
)


def variables_for(page: str, text: str, cli: Cli) -> dict[str, str]:
    """Return an access token where a block uses one that it does not get."""
    if "$token" not in text or "token=$(" in text:
        return {}
    scope = "ssf.manage" if "/ssf/" in text else "sso:users:write"
    client = "pusat-keamanan" if "/ssf/" in text else "petugas"
    secret = cli("clients", "secret", client).out.strip().splitlines()[-1]
    body = f"grant_type=client_credentials&scope={scope}"
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    return {"token": send("POST", "/token", form, body, (client, secret)).json()["access_token"]}


def run_console(shell: Shell, block: Any, where: str) -> None:
    """Run the lines after ``$``, and compare what they print with what the page shows: digits may differ."""
    commands: list[list[str]] = []
    for line in block.text.splitlines():
        if line.startswith("$ "):
            commands.append([line[2:]])
        else:
            commands[-1].append(line)
    for command, *lines in commands:
        done = shell.run(command)
        assert done.code == 0, f"{where}: {command}:\n{done.out}{done.err}"
        printed = without_digits(done.out + done.err)
        for line in lines:
            assert without_digits(line.removesuffix("...")).strip() in printed, f"{where}: {line}\n{done.out}{done.err}"


def without_digits(text: str) -> str:
    return re.sub(r"\s+", " ", re.sub(r"\d+", "0", text))


def send_request(cli: Cli, text: str, where: str) -> None:
    """Send a request to the API as the program of the tests that may do everything."""
    head, _, body = text.partition("\n")
    method, _, path = head.partition(" ")
    secret = cli("clients", "secret", "petugas").out.strip().splitlines()[-1]
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    got = send("POST", "/token", form, "grant_type=client_credentials", ("petugas", secret)).json()
    headers = {"Authorization": f"Bearer {got['access_token']}", "Content-Type": "application/json"}
    answer = send(method, path, headers, body)
    assert answer.is_success, f"{where}: {answer.text}"


def test_the_server_block_of_the_guide_is_accepted_by_nginx(tmp_path: Path) -> None:
    """As the guide shows it, but for the paths of the certificate and the ports."""
    (block,) = [text for text in (ROOT / "docs/how-to/install.md").read_text().split("```") if "proxy_pass" in text]
    config = block.partition("<<'END'\n")[2].partition("END\n")[0]
    subject = ["-subj", "/CN=masuk.kota.example", "-keyout", tmp_path / "key", "-out", tmp_path / "certificate"]
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", *subject]
    subprocess.run(command, check=True, capture_output=True)
    config = config.replace("/etc/ssl/certs/masuk.pem", str(tmp_path / "certificate"))
    config = re.sub(r"listen (\[::\]:)?\d+", f"listen unix:{tmp_path}/socket", config, count=1)
    config = re.sub(r"\n    listen \[?.*", "", config)
    config = config.replace("/etc/ssl/private/masuk.key", str(tmp_path / "key"))
    whole = tmp_path / "nginx.conf"
    whole.write_text(f"pid {tmp_path}/pid; error_log stderr; events {{}} http {{ access_log off;\n{config}}}")
    looked = subprocess.run(["/usr/sbin/nginx", "-t", "-c", whole], capture_output=True, text=True)
    assert looked.returncode == 0, looked.stderr


def test_the_noted_result_of_the_guides_is_about_the_commands_that_they_show() -> None:
    guide = script("install_guide")
    noted = guide.RESULT.search(guide.PAGE.read_text())
    assert noted
    assert f"`{guide.digest()}`" in noted[0], "the commands changed: run `make install-guide ARGS=--note`"
    for path in guide.GUIDES:
        for text in guide.commands(path):
            done = subprocess.run(["bash", "-n"], input=text, capture_output=True, text=True)
            assert done.returncode == 0, f"{path.name}: {text}\n{done.stderr}"
    for begin in guide.INSTEAD:
        assert any(text.startswith(begin) for path in guide.GUIDES for text in guide.commands(path)), begin
