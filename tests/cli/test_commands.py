"""The `sso` command: what it prints, what it refuses, and its exit codes."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from datetime import timedelta
from pathlib import Path
from uuid import uuid4

import pytest
from tests.cli.conftest import Cli
from tests.conftest import CATALOGUE, run_apart
from tests.support import PASSWORD, without_settings
from tests.waiting import wait_until
from typer.main import get_command

from sso import clock
from sso.cli import command_line
from sso.platform.db import Database, job_runs
from sso.settings import load_settings

ROOT = Path(__file__).parents[2]
STRONG = "perahu-kertas-di-sungai-88"


def test_every_command_explains_itself(capsys: pytest.CaptureFixture[str]) -> None:
    app = command_line()
    whole = get_command(app)
    commands = [["setup"], ["serve"], ["worker"], ["demo"], ["doctor"]]
    for group in app.registered_groups:
        commands.append([str(group.name)])
        assert group.typer_instance is not None
        for command in group.typer_instance.registered_commands:
            commands.append([str(group.name), str(command.name)])
    assert len(commands) > 20
    for command in commands:
        assert whole.main([*command, "--help"], prog_name="sso", standalone_mode=False) in (0, None)
        printed = capsys.readouterr().out
        assert len(printed.splitlines()) > 4
        for option in re.findall(r"--[a-z-]*(?:secret|password)[a-z-]*", printed):
            assert option in ("--password-stdin", "--check-password"), "secrets are never arguments: it takes a user"


def test_applications_are_applied_listed_and_shown(cli: Cli) -> None:
    first = cli("clients", "apply", str(ROOT / "clients.example.yaml"))
    assert first.code == 0
    assert first.out.count("\n  + ") + 1 == 122
    assert "tangerang: 122 applications; 122 new, 0 unchanged; applied" in first.out
    again = cli("clients", "apply", str(ROOT / "clients.example.yaml"))
    assert "122 unchanged; nothing to do" in again.out
    listed = cli("clients", "list", "--group", "E-Logistik")
    assert listed.out.rstrip().endswith("17 applications")
    as_json = cli("clients", "list", "--json").json
    assert len([client for client in as_json if client["type"] == "android" and client["client_id"] != "ponsel"]) == 6
    application = cli("clients", "show", "layanan-warga").json
    assert application["metadata"]["client_name"] == "Layanan Warga"
    assert cli("clients", "show", "tidak-ada").code == 1


def test_a_plan_is_shown_and_not_applied(cli: Cli, tmp_path: Path) -> None:
    text = CATALOGUE.read_text()
    (tmp_path / "c.yaml").write_text(text.replace("client_name: Mesin\n", "client_name: Mesin Baru\n"))
    planned = cli("clients", "apply", "c.yaml", "--dry-run")
    assert "~ mesin  Mesin Baru" in planned.out
    assert "client_name: 'Mesin' -> 'Mesin Baru'" in planned.out
    assert planned.out.rstrip().endswith("would be applied")
    assert cli("clients", "show", "mesin").json["name"] == "Mesin"
    (tmp_path / "c.yaml").write_text(text[: text.index("  - client_id: padam")])
    assert "! padam" in cli("clients", "apply", "c.yaml").out
    assert cli("clients", "show", "padam").json["status"] == "suspended"
    machine = cli("clients", "apply", "c.yaml", "--delete", "--json").json
    assert (machine["delete"], machine["changes"][0]["client_id"]) == (1, "padam")


def test_privileges_are_granted_by_the_file_and_by_hand_listed_and_revoked(cli: Cli, tmp_path: Path) -> None:
    text = CATALOGUE.read_text()
    wider = text.replace(
        "client_name: Mesin\n    scope: kirim",
        "client_name: Mesin\n    first_party: true\n    scope: sso:users:roles kirim",
    )
    assert wider != text
    (tmp_path / "c.yaml").write_text(wider)
    line = "  mesin: grant sso:users:roles (also without a user)"
    assert line in cli("clients", "apply", "c.yaml", "--dry-run").out.splitlines()
    assert not cli("clients", "grants", "mesin", "--json").json
    assert line in cli("clients", "apply", "c.yaml").out.splitlines()
    (granted,) = cli("clients", "grants", "mesin", "--json").json
    assert (granted["privilege"], granted["granted_by"]) == ("sso:users:roles", "catalogue tests")
    assert cli("clients", "show", "mesin").json["privileges"] == ["sso:users:roles"]
    assert "mesin (sso:users:roles; without a person too)" in cli("doctor").out
    assert cli("clients", "revoke-grant", "mesin", "sso:users:roles", "--reason", "Selesai").code == 0
    output = cli("clients", "apply", "c.yaml").out
    assert "mesin: sso:users:roles stays revoked; to grant it again: sso clients grant mesin sso:users:roles" in output
    assert output.rstrip().endswith("nothing to do")
    assert "registered and not granted (sso clients grant ID SCOPE): mesin sso:users:roles" in cli("doctor").out
    again = cli("clients", "grant", "mesin", "sso:users:roles", "--reason", "Lagi", "--without-person")
    assert again.code == 0
    assert "stays revoked" not in cli("clients", "apply", "c.yaml").out
    (tmp_path / "c.yaml").write_text(text)
    assert "  mesin: revoke sso:users:roles" in cli("clients", "apply", "c.yaml").out.splitlines()
    assert not cli("clients", "grants", "mesin", "--json").json
    assert len(cli("clients", "grants", "mesin", "--all", "--json").json) == 2
    for client_id, scope in (("mitra", "nik"), ("mesin", "sso:x"), ("tidak-ada", "nik"), ("petugas", "sso:users:read")):
        refused = cli("clients", "grant", client_id, scope, "--reason", "x")
        assert refused.code == 1, f"{client_id} {scope}"


def test_a_bad_file_is_refused_line_by_line(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "c.yaml").write_text("catalogue: kota\napplications:\n  - client_id: a\n    type: web\n")
    answer = cli("clients", "apply", "c.yaml")
    assert answer.code == 1
    assert "c.yaml:3: a: client_name: is required" in answer.err
    assert answer.out == ""
    assert cli("clients", "apply", "none.yaml").code == 1


def test_a_secret_is_printed_once_and_alone(cli: Cli) -> None:
    answer = cli("clients", "secret", "warga")
    assert answer.code == 0
    assert re.fullmatch(r"[A-Za-z0-9_-]{43}\n", answer.out)
    assert "shown once" in answer.err
    assert answer.out.strip() not in cli("clients", "show", "warga").out
    assert cli("clients", "secret", "peta").code == 1
    assert "uses no secret" in cli("clients", "secret", "peta").err
    assert cli("clients", "secret", "tidak-ada").code == 1


def test_people_are_made_shown_disabled_and_enabled(cli: Cli) -> None:
    created = cli(
        "users", "create", "wati", "--name", "Wati Lestari", "--email", "wati@warga.example", "--role", "developer",
        "--password-stdin", stdin=STRONG + "\n",
    )  # fmt: skip
    assert created.code == 0, created.err
    user = cli("users", "show", "wati@warga.example").json
    assert user["roles"] == ["developer"]
    assert STRONG not in created.out + created.err
    assert "already used" in cli("users", "create", "wati", "--password-stdin", stdin=STRONG).err
    assert cli("users", "disable", "wati").out.startswith("disabled; 0 sessions")
    assert cli("users", "show", "wati").json["disabled_at"]
    assert cli("users", "enable", "wati").code == 0
    assert cli("users", "show", "wati").json["disabled_at"] is None
    assert cli("users", "password", "wati", "--password-stdin", stdin="another-" + STRONG).code == 0
    assert len(cli("users", "list", "--json").json) == 5
    assert cli("users", "show", "nobody").code == 1


@pytest.mark.parametrize(
    ("password", "reason"),
    [
        ("short", "at least"),
        ("passwordpassword", "guessed"),
        ("wati-lestari-2026", "guessed"),
        ("x" * 300, "at most"),
        ("", "at least"),
    ],
)
def test_weak_passwords_are_refused(cli: Cli, password: str, reason: str) -> None:
    answer = cli("users", "create", "wati", "--name", "Wati Lestari", "--password-stdin", stdin=password)
    assert answer.code == 1
    assert reason in answer.err


def test_wrong_people_are_refused(cli: Cli) -> None:
    answer = cli("users", "create", "a b", "--email", "x", "--role", "king", "--password-stdin", stdin=STRONG)
    assert answer.code == 1
    for field in ("username:", "email:", "roles.0:"):
        assert field in answer.err


def test_a_password_is_not_asked_for_where_nobody_can_type(cli: Cli) -> None:
    assert "--password-stdin" in cli("users", "create", "wati").err


def test_people_are_imported_and_what_is_rejected_is_reported(cli: Cli, tmp_path: Path) -> None:
    good = [{"username": f"orang{n}", "name": f"Orang {n}"} for n in range(20)]
    (tmp_path / "p.jsonl").write_text("\n".join(json.dumps(user) for user in good))
    assert "20 users would be created" in cli("users", "import", "p.jsonl", "--dry-run").out
    assert cli("users", "show", "orang1").code == 1
    assert "20 users were created" in cli("users", "import", "p.jsonl").out
    (tmp_path / "p.jsonl").write_text(json.dumps({"username": "lain", "name": "Lain"}) + "\nnot json")
    answer = cli("users", "import", "p.jsonl")
    assert "1 users were created" in answer.out
    assert "1 rows were rejected" in answer.out
    assert "2,,cannot be read" in (tmp_path / "p.jsonl.rejected.csv").read_text()
    assert "no application" in cli("users", "import", "p.jsonl", "--from", "nobody").err
    assert "not email" in cli("users", "import", "p.jsonl", "--verified", "x").err


def test_proposals_checks_and_recovery_from_the_command_line(cli: Cli, tmp_path: Path) -> None:
    cli("users", "create", "wati", "--email", "wati@warga.example", "--verified", "--password-stdin", stdin=STRONG)
    (tmp_path / "p.csv").write_text("email,name\nwati@warga.example,Wati\nWATI@warga.example,Wati\n")
    assert (
        "2 rows may belong to users who have an account" in cli("users", "import", "p.csv", "--verified", "email").out
    )
    proposals = json.loads(cli("users", "proposals", "list", "--json").out)
    assert [proposal["reasons"] for proposal in proposals] == [["email"], ["email"]]
    assert "w•••i@warga.example" in json.dumps(proposals, ensure_ascii=False)
    assert cli("users", "proposals", "merge", proposals[0]["id"]).out.strip() == "merged"
    assert cli("users", "proposals", "separate", proposals[1]["id"]).code == 1
    assert cli("users", "proposals", "drop", proposals[1]["id"]).out.strip() == "dropped"
    assert "wati" in cli("users", "proposals", "list", "--status", "merged").out.casefold()
    words = ("--document", "ktp", "--number", "3671014104900001", "--place", "MPP")
    assert cli("users", "check", "wati", *words).out.strip() == "recorded"
    assert "3671••••••••0001" in cli("users", "show", "3671 0141 0490 0001").out
    assert "document must be" in cli("users", "check", "wati", "--document", "x", *words[2:]).err
    assert cli("users", "uncheck", "wati").out.strip() == "withdrawn"
    assert len(cli("users", "recovery", "wati").out.strip()) == 14


def test_keys_are_listed_and_rotated(cli: Cli) -> None:
    before = cli("keys", "list", "--json").json
    assert len(before) == 10
    assert cli("keys", "rotate", "--force").code == 0
    assert cli("keys", "rotate").code == 1
    after = cli("keys", "list", "--json").json
    assert len(after) == 16
    assert sum(key["status"] == "retired" for key in after) == 6
    assert "EdDSA" in cli("keys", "rotate", "--force", "--alg", "Ed25519").out
    assert cli("keys", "rotate", "--alg", "HS256").code == 1
    retired = [key["alg"] for key in cli("keys", "list", "--json").json if key["status"] == "retired"]
    assert (len(retired), retired.count("EdDSA")) == (7, 2)
    assert "private" not in cli("keys", "list").out
    assert cli("keys", "reencrypt").out.startswith("0 secrets")


def test_tables_and_help_are_in_the_language_of_the_terminal(cli: Cli) -> None:
    assert " active " in cli("keys", "list").out
    empty = cli("webhooks", "list")
    assert (empty.out.split(), empty.err) == (["id", "url", "events", "state", "description"], "The list is empty.\n")
    cli.monkeypatch.setenv("SSO_LANGUAGE", "id")
    table = cli("keys", "list").out
    assert " aktif " in table
    assert " active " not in table
    statuses = {key["status"] for key in cli("keys", "list", "--json").json}
    assert statuses == {"active", "next"}, "programs read the words of the provider"
    refused = cli("users", "create", "siti", "--password-stdin", stdin="perahu-kertas-di-sungai-88")
    assert (refused.code, refused.err) == (1, "siti dipakai akun lain.\n"), "use cases refuse in English"
    refused = cli("reviews", "cancel", "01a21e99-bdd1-7630-926c-12d823ac98d3", "--reason", "x")
    assert (refused.code, refused.err) == (1, "Peninjauan akses ini tidak ada.\n")
    help_text = cli("keys", "--help").out
    assert help_text.startswith("Pemakaian: ")
    assert "Tampilkan pesan ini lalu keluar." in help_text
    assert "Show this message" not in help_text


def test_sessions_are_listed_and_revoked(cli: Cli) -> None:
    assert cli("sessions", "list", "--json").json == []
    assert cli("sessions", "revoke").code == 1
    assert cli("sessions", "revoke", "--all", "--user", "siti").code == 1
    assert cli("sessions", "revoke", "--session", "x").code == 1
    assert cli("sessions", "revoke", "--user", "siti").out.startswith("0 sessions")


def test_the_database_is_looked_at_and_the_doctor_is_content(cli: Cli) -> None:
    assert cli("db", "current", "--json").json["current"] == cli("db", "current", "--json").json["head"]
    assert "nothing to do" in cli("db", "upgrade").out
    answer = cli("doctor", "--json")
    assert answer.code == 0, answer.out
    states = {finding["about"]: finding["state"] for finding in answer.json}
    assert states["keys"] == states["audit"] == states["database"] == states["schema"] == "good"
    assert "BAD" not in cli("doctor").out


def test_the_audit_log_is_verified_and_exported(cli: Cli) -> None:
    lines = cli("audit", "export").out.splitlines()
    assert all(json.loads(line)["seq"] for line in lines)
    assert cli("audit", "verify").out.startswith(f"intact: {len(lines)} entries")


def test_the_doctor_says_what_is_wrong(cli: Cli) -> None:
    cli.monkeypatch.setenv("SSO_SECRET_KEY", "quite another secret key of 32 characters")
    answer = cli("doctor")
    assert answer.code == 1
    assert "still in SSO_SECRET_KEY" in answer.out
    assert cli("keys", "rotate", "--force").code == 1


def test_the_doctor_says_that_the_file_of_countries_cannot_be_used(cli: Cli, tmp_path: Path) -> None:
    broken = tmp_path / "countries.mmdb"
    broken.write_bytes(b"no database")
    cli.monkeypatch.setenv("SSO_COUNTRY_DATABASE", str(broken))
    answer = cli("doctor")
    assert answer.code == 1
    assert "BAD        Countries of IP addresses: SSO_COUNTRY_DATABASE cannot be used" in answer.out
    assert "Database schema" in answer.out, "the other findings are shown too"


def test_the_doctor_warns_of_open_registration(cli: Cli) -> None:
    cli.monkeypatch.setenv("SSO_CLIENT_REGISTRATION", "open")
    assert "SSO_CLIENT_REGISTRATION=open: everybody can register applications" in cli("doctor").out


def test_wrong_settings_are_exit_code_2(cli: Cli) -> None:
    cli.monkeypatch.setenv("SSO_ISSUER", "http://masuk.kota.example")
    cli.monkeypatch.setenv("SSO_AUTHORIZATION_CODE_LIFETIME", "soon")
    answer = cli("serve")
    assert answer.code == 2
    assert answer.err.count("\n") == 3
    assert cli("clients", "fly").code == 2


def test_the_command_is_installed() -> None:
    command, environment = [Path(sys.executable).with_name("sso"), "--help"], without_settings(os.environ)
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert "Commands" in done.stdout
    assert PASSWORD not in done.stdout


def test_an_invitation_is_made_and_shown_once(cli: Cli) -> None:
    invitation = cli("clients", "invite", "Dinas Kesehatan", "--profile", "legacy", "--uses", "0")
    assert len(invitation.out.strip()) == 43
    assert "shown once" in invitation.err
    assert cli("clients", "invite", "x", "--profile", "wild").code == 1
    assert "Dinas Kesehatan" in cli("audit", "export").out


def test_what_an_application_is_freed_from_is_shown(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "c.yaml").write_text(
        "catalogue: kota\napplications:\n"
        "  - {client_id: kuno, type: web, profile: legacy, client_name: Kuno, redirect_uris: [https://kuno.example/cb],\n"
        "     response_types: [code, id_token]}\n"
    )
    assert cli("clients", "apply", "c.yaml").code == 0
    application = cli("clients", "show", "kuno").json
    assert application["profile"] == "legacy"
    assert application["relaxed"] == ["require_pkce: false", "response_types: id_token, token"]
    assert application["metadata"]["require_pkce"] is False
    assert "kuno (require_pkce: false, response_types: id_token, token)" in cli("doctor").out
    again = cli("clients", "apply", "c.yaml").out
    assert "1 unchanged" in again


def test_a_person_is_made_with_a_profile(cli: Cli) -> None:
    """The command of docs/reference/conformance.md, as it stands there."""
    page = (Path(__file__).parents[2] / "docs/reference/conformance.md").read_text()
    written = page.partition("sso users create ")[2].partition("}}'")[0] + "}}'"
    words = shlex.split("users create " + written.replace("\\\n", " "))
    assert cli(*words, "--password-stdin", stdin="perahu-kertas-di-sungai-88").code == 0
    assert "profile.birthdate" in cli("users", "create", "x1y", "--profile", '{"birthdate": "soon"}').err
    assert "not JSON" in cli("users", "create", "x1y", "--profile", "x").err


def in_a_session(cli: Cli) -> str:
    """Let siti be signed in with two applications, and return the session."""
    from sso.identity.sessions import store
    from sso.identity.sessions.store import open_client_session
    from sso.platform.db import Database, new_id
    from sso.settings import load_settings

    async def work() -> str:
        db, now, session_id = Database(load_settings()), clock.now(), new_id()
        async with db.write() as session:
            values = {"token_hash": b"x" * 32, "created_at": now, "last_seen_at": now, "auth_time": now}
            values |= {"expires_at": now + timedelta(days=1), "acr": "x", "amr": []}
            await store.insert(session, {"id": session_id, "user_id": cli.contents["users"]["siti"], **values})
            for name in ("warga", "sehat"):
                await session.run_sync(
                    lambda sync, name=name: open_client_session(sync, session_id, name, now, now - timedelta(hours=1))
                )
        await db.close()
        return str(session_id)

    return str(run_apart(work()))


def test_the_end_of_a_session_is_proven(cli: Cli) -> None:
    session_id = in_a_session(cli)
    assert cli("sessions", "delivery-report", session_id).code == 1, "it has not ended"
    assert cli("sessions", "delivery-report", "x").code == 1
    assert cli("sessions", "revoke", "--session", session_id).out.startswith("1 sessions")
    assert cli("sessions", "list", "--json").json == []
    ended = cli("sessions", "list", "--ended", "--json").json
    assert (ended[0]["id"], ended[0]["reason"]) == (session_id, "administrator")
    printed = cli("sessions", "delivery-report", session_id)
    assert "Siti Rahmawati: ended" in printed.out
    assert "1 applications have not been notified yet" in printed.out
    report = cli("sessions", "delivery-report", session_id, "--json").json
    notices = {
        application["client_id"]: (application["how"], application["state"]) for application in report["applications"]
    }
    assert notices == {"warga": ("back_channel", "waiting"), "sehat": ("token_lifetime", "unconfirmed")}


def test_a_worker_apart_from_the_server_sends_and_stops_when_it_is_asked(cli: Cli, tmp_path: Path) -> None:
    session_id = in_a_session(cli)
    cli("sessions", "revoke", "--session", session_id)
    with (tmp_path / "log").open("w") as log:
        command = [str(Path(sys.executable).with_name("sso")), "worker"]
        process = subprocess.Popen(command, stdout=log, stderr=log)
        try:

            def has_failed() -> bool:
                # Where it goes (warga.example) there is nobody, so it is tried, fails, and waits to be tried again.
                applications = cli("sessions", "delivery-report", session_id, "--json").json["applications"]
                assert process.poll() is None, (tmp_path / "log").read_text()
                return any(application["attempts"] and application["failure"] for application in applications)

            wait_until(has_failed, look_seconds=0.4)
        finally:
            process.terminate()
        assert process.wait(60) == 0
    assert "worker started" in (tmp_path / "log").read_text()


def test_the_ending_of_many_sessions_is_watched_and_stopped(cli: Cli) -> None:
    in_a_session(cli)
    assert "started" in cli("sessions", "revoke", "--all", "--background").out
    begun = cli("sessions", "endings", "--json").json[0]
    assert (begun["status"], begun["ended"], begun["total"]) == ("running", 0, 1)
    assert "running" in cli("sessions", "endings").out
    assert cli("sessions", "stop", begun["id"]).out == "stopped\n"
    assert cli("sessions", "stop", begun["id"]).code == 1
    assert cli("sessions", "stop", "x").code == 1
    assert len(cli("sessions", "list", "--json").json) == 1
    assert cli("sessions", "revoke", "--all").out.startswith("1 sessions were ended")
    assert cli("sessions", "endings", "--json").json[0]["status"] == "done"


def test_the_doctor_says_when_the_jobs_ran_and_which_failed(cli: Cli) -> None:
    assert "Background jobs: they have not run yet" in cli("doctor").out

    async def run(error: str | None) -> None:
        db, now = Database(load_settings()), clock.now()
        async with db.write() as session:
            await job_runs.take_lease(session, job_runs.JOBS, uuid4(), now, timedelta(0))
            await job_runs.record_run(session, "replay", job_runs.RunResult(now, now, 5, 0, error))
        await db.close()

    run_apart(run("RuntimeError('broken')"))
    assert "warning    Background jobs: last started" in cli("doctor").out
    assert "replay: RuntimeError('broken')" in cli("doctor").out
    clock.advance(3600)
    assert "no process runs them" in cli("doctor").out
