"""`sso setup`, `sso settings`, and the language of commands."""

from __future__ import annotations

import asyncio
import os
import pty
import sys
from pathlib import Path

import pytest
from tests.cli.conftest import Cli
from tests.commands import run_command
from tests.support import without_settings
from tests.waiting import sleeps, until

from sso.cli.setup_steps import first_line
from sso.settings import load_settings
from sso.settings.env_file import write_env_file

ROOT = Path(__file__).parents[2]


@pytest.fixture
def fresh(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """The environment of a machine on which nothing is set."""
    monkeypatch.chdir(tmp_path)
    return without_settings(os.environ)


def test_a_production_installation_is_set_up_without_questions(
    fresh: dict[str, str], tmp_path: Path, empty_database: str
) -> None:
    (tmp_path / "database").write_text(empty_database + "\n")
    words = ["setup", "--yes", "--json", "--issuer", "https://masuk.kota.example", "--database-url-file", "database"]
    words += ["--admin-email", "ayu@kota.example", "--applications", "example"]
    done = run_command(fresh, tmp_path, *words)
    assert done.returncode == 0, done.stderr
    env = tmp_path / ".env"
    assert env.stat().st_mode & 0o777 == 0o600
    settings = load_settings(_env_file=env)
    secret = settings.secret_key[0].get_secret_value()
    assert len(secret) >= 43
    assert secret not in done.stdout + done.stderr, "the secret key is never printed"
    assert '"link": "https://masuk.kota.example/setup?c=' in done.stdout
    assert '"about": "applications"' in done.stdout
    before = env.read_text()
    again = run_command(fresh, tmp_path, "setup", "--yes")
    assert again.returncode == 0, again.stderr
    assert env.read_text() == before, "nothing is lost and nothing changes"
    assert "/setup?c=" not in again.stdout
    bad = run_command(fresh, tmp_path, "setup", "--yes", "--issuer", "http://masuk.kota.example")
    assert bad.returncode == 1
    assert "must be https" in bad.stderr
    assert env.read_text() == before


def test_what_does_not_work_is_not_written(fresh: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "database").write_text("postgresql://sso:rahasia@127.0.0.1:1/sso")
    words = ["setup", "--yes", "--issuer", "https://masuk.kota.example", "--database-url-file", "database"]
    away = run_command(fresh, tmp_path, *words)
    assert away.returncode == 1
    assert "The database does not answer" in away.stderr
    assert "rahasia" not in away.stderr
    assert not (tmp_path / ".env").exists()
    (tmp_path / "smtp").write_text("smtp://127.0.0.1:1")
    words = ["setup", "--yes", "--smtp-url-file", "smtp", "--test-mail", "ayu@kota.example"]
    mail = run_command(fresh, tmp_path, *words)
    assert mail.returncode == 1
    assert "SSO_SMTP_URL" not in (tmp_path / ".env").read_text()
    assert run_command(fresh, tmp_path, "setup").returncode == 2, "there is no terminal"


async def test_the_steps_are_asked_in_a_terminal_and_ctrl_c_keeps_what_is_finished(
    fresh: dict[str, str], tmp_path: Path
) -> None:
    """In a real terminal: the defaults are taken, then Ctrl-C comes at the mail server."""
    leader, follower = pty.openpty()
    environment = {**fresh, "PYTHONPATH": str(ROOT / "src"), "SSO_LANGUAGE": "id"}
    program = "from sso.cli import main; import sys; sys.argv = ['sso', 'setup']; main()"
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", program, stdin=follower, stdout=follower, stderr=follower, env=environment, cwd=tmp_path,
        start_new_session=True, preexec_fn=lambda: __import__("fcntl").ioctl(0, __import__("termios").TIOCSCTTY, 0),
    )  # fmt: skip
    os.close(follower)
    seen = b""

    async def until_printed(words: str) -> None:
        nonlocal seen
        while words.encode() not in seen:
            seen += await asyncio.get_running_loop().run_in_executor(None, os.read, leader, 4096)

    try:
        await asyncio.wait_for(until_printed("Alamat (issuer)"), 90)
        os.write(leader, b"\n")
        await asyncio.wait_for(until_printed("Jenis basis data"), 90)
        os.write(leader, b"sqlite\n")
        await asyncio.wait_for(until_printed("server email sekarang"), 90)
        # A signal between the question and the read would not interrupt the read: wait until the process waits.
        await until(lambda: sleeps(process.pid))
        os.write(leader, b"\x03")
        assert await asyncio.wait_for(process.wait(), 90) == 1
    finally:
        if process.returncode is None:
            process.kill()  # or the thread that reads would go on
            await process.wait()
        os.close(leader)
    assert (tmp_path / ".env").read_text() == "SSO_ISSUER=http://localhost:8000\n"
    assert (tmp_path / "var/sso.db").exists()


def test_settings_in_the_database_by_commands(cli: Cli) -> None:
    assert cli("settings", "set", "SSO_CITY_NAME=Kota Satu", "--reason", "Uji").out.startswith(
        "SSO_CITY_NAME: (no value)"
    )
    assert cli("settings", "set", "city_name=Kota Dua", "--reason", "Uji").code == 0
    setting = cli("settings", "show", "SSO_CITY_NAME", "--json").json
    assert (setting["value"], setting["source"]) == ("Kota Dua", "database")
    assert "Only the environment" in cli("settings", "show", "SSO_ISSUER").out
    last, first = cli("settings", "history", "SSO_CITY_NAME", "--json").json
    assert (last["before"], last["after"], last["reason"]) == ("Kota Satu", "Kota Dua", "Uji")
    assert (
        "Kota Dua -> Kota Satu" in cli("settings", "revert", "city_name", str(first["id"]), "--reason", "Kembali").out
    )
    assert "Kota Satu" in cli("settings", "history").out
    assert cli("settings", "unset", "SSO_CITY_NAME", "--reason", "Selesai").code == 0
    listed = {row["name"]: row for row in cli("settings", "list", "--json").json}
    assert listed["SSO_CITY_NAME"]["source"] == "default"
    assert "SSO_SECRET_KEY" not in listed
    everything = cli("settings", "list", "--all")
    assert "SSO_SECRET_KEY" in everything.out
    assert "tests of more than" not in everything.out, "secrets are masked"
    for wrong in ("SSO_SECRET_KEY=x", "SSO_NOTHING=x", "SSO_CITY_NAME", "SSO_SESSION_LIFETIME=8d", "SSO_ISSUER=x"):
        refused = cli("settings", "set", wrong, "--reason", "x")
        assert refused.code == 1, wrong
    cli.monkeypatch.setenv("SSO_CITY_NAME", "Dari Lingkungan")
    refused = cli("settings", "set", "SSO_CITY_NAME=x", "--reason", "x")
    assert (refused.code, "set in the environment, which wins" in refused.err) == (1, True)


def test_commands_speak_indonesian_where_the_terminal_does(cli: Cli) -> None:
    cli.monkeypatch.setenv("LANG", "id_ID.UTF-8")
    assert "Siapkan penyedia" in cli("--help").out
    assert "Opsi:" in cli("users", "--help").out
    assert "Hanya sesi pengguna ini." in cli("sessions", "list", "--help").out
    assert cli("users", "list").out.split("\n")[0].split() == ["id", "nama", "peran", "status"]
    assert cli("clients", "resume", "warga").code == 1
    assert cli("clients", "suspend", "warga").out == "ditangguhkan; lihat: sso sessions endings\n"
    assert "Administrator: hanya ada satu administrator" in cli("doctor").out
    assert cli("settings", "show", "SSO_NOTHING").err.startswith("SSO_NOTHING bukan pengaturan")
    cli.monkeypatch.setenv("SSO_LANGUAGE", "en")
    assert "Only sessions of this user." in cli("sessions", "list", "--help").out
    assert cli("users", "list").out.split("\n")[0].split() == ["id", "name", "roles", "status"]
    assert "Administrators: there is one administrator" in cli("doctor").out
    codes = cli("doctor", "--json").json
    assert all(set(check) == {"about", "state", "text", "page", "command", "setting"} for check in codes)


def test_the_file_of_settings_stays_whole_and_private(tmp_path: Path, fresh: dict[str, str]) -> None:
    path = tmp_path / "env"
    path.write_text("# ours\nSSO_ISSUER=https://old.example\nOTHER=1\n")
    write_env_file(path, {"SSO_ISSUER": "http://localhost:9000", "SSO_CITY_NAME": "Kota 'Baru' # 1"})
    assert path.read_text().splitlines()[:3] == ["# ours", "SSO_ISSUER=http://localhost:9000", "OTHER=1"]
    assert path.stat().st_mode & 0o777 == 0o600
    assert load_settings(_env_file=path).city_name == "Kota 'Baru' # 1"
    with pytest.raises(ValueError, match="line break"):
        write_env_file(path, {"SSO_ISSUER": "a\nSSO_SECRET_KEY=b"})
    assert [entry.name for entry in tmp_path.iterdir()] == ["env"]


def test_the_file_of_settings_keeps_its_owner_and_group(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    owners: list[tuple[int, int]] = []
    real = os.fstat

    def of_root(handle: int) -> os.stat_result:
        return os.stat_result((*real(handle)[:4], 0, 0, *real(handle)[6:]))

    monkeypatch.setattr(os, "fstat", of_root)
    monkeypatch.setattr(os, "fchown", lambda handle, uid, gid: owners.append((uid, gid)))
    service = os.stat_result((0o100640, 0, 0, 1, 4711, 4712, 0, 0, 0, 0))
    path = tmp_path / "env"
    stat = Path.stat
    monkeypatch.setattr(Path, "stat", lambda self, **options: service if self in (path, tmp_path) else stat(self))
    monkeypatch.setattr(Path, "exists", lambda self, **options: os.path.exists(self))  # noqa: PTH110
    write_env_file(path, {"SSO_ISSUER": "http://localhost:9000"})
    assert owners == [(4711, 4712)], "a new file belongs to whom the directory belongs to"
    write_env_file(path, {"SSO_ISSUER": "http://localhost:9001"})
    assert owners == [(4711, 4712)] * 2


def test_an_error_without_text_is_named_by_its_type() -> None:
    assert first_line(ConnectionRefusedError()) == "ConnectionRefusedError"
    assert first_line(OSError("one\ntwo")) == "one"
