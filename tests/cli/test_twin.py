"""The commands that do what the administration API does."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from tests.api.test_resources import managed_by_the_api
from tests.cli.conftest import Cli, Post
from tests.cli.test_commands import STRONG

from sso.app import create_app
from sso.settings import load_settings


def served(work: Any) -> Any:
    """Run ``work`` with a provider on the database of the commands."""
    from tests.conftest import run_apart
    from tests.support import City

    async def inside() -> Any:
        settings = load_settings(run_worker=False)
        app = create_app(settings)
        async with app.router.lifespan_context(app):
            return await work(City(app, settings, {}, {}))

    return run_apart(inside())


def sign_in(cli: Cli, client_id: str = "warga") -> dict[str, Any]:
    """Sign siti in at an application and return her tokens."""

    async def work(city: Any) -> dict[str, Any]:
        city.secrets.update(cli.contents["secrets"])
        async with city.browser() as browser:
            tokens: dict[str, Any] = (await browser.tokens(city.relying_party(client_id))).body
            return tokens

    issued: dict[str, Any] = served(work)
    return issued


def active(cli: Cli, tokens: dict[str, Any], client_id: str = "warga") -> bool:
    """Tell whether an access token is good."""

    async def work(city: Any) -> bool:
        city.secrets.update(cli.contents["secrets"])
        return bool((await city.relying_party(client_id).introspect(tokens["access_token"]))["active"])

    return bool(served(work))


def test_roles_are_given_and_the_last_administrator_stays(cli: Cli) -> None:
    assert "helpdesk" in cli("users", "roles", "budi", "--role", "helpdesk", "--role", "citizen").out
    assert cli("users", "show", "budi").json["roles"] == ["citizen", "helpdesk"]
    for words in (("users", "roles", "ratna"), ("users", "disable", "ratna"), ("users", "delete", "ratna", "--yes")):
        answer = cli(*words)
        assert answer.code == 1
        assert "last administrator" in answer.err
    assert "is not a role" in cli("users", "roles", "budi", "--role", "king").err


def test_a_person_is_deleted(cli: Cli) -> None:
    tokens = sign_in(cli)
    assert "1 sessions were ended" in cli("users", "delete", "siti", "--yes").out
    assert not active(cli, tokens)
    assert cli("users", "show", "siti").code == 1
    assert cli("users", "create", "siti", "--password-stdin", stdin=STRONG).code == 0, "the name is free again"


def test_an_application_is_suspended_resumed_and_removed(cli: Cli) -> None:
    tokens = sign_in(cli)
    assert cli("clients", "suspend", "warga").code == 0
    assert cli("clients", "show", "warga").json["status"] == "suspended"
    assert "suspended already" in cli("clients", "suspend", "warga").err
    assert not active(cli, tokens) if cli("clients", "resume", "warga").code == 0 else False
    (session,) = cli("sessions", "list", "--json").json
    assert session["name"] == "Siti Rahmawati", "the person stays signed in"
    refused = cli("clients", "remove", "warga", "--yes")
    assert (refused.code, "remove it from that file" in refused.err) == (1, True)
    served(lambda city: managed_by_the_api(city, "warga"))
    assert cli("clients", "remove", "warga", "--yes").code == 0
    assert cli("clients", "show", "warga").code == 1
    assert cli("clients", "suspend", "warga").code == 1
    tokens = sign_in(cli, "sehat")
    assert cli("clients", "suspend", "sehat", "--end-sessions").code == 0
    (ending, *_) = cli("sessions", "endings", "--json").json
    assert (ending["client_id"], ending["reason"]) == ("sehat", "client_suspended")


def test_grants_are_listed_and_revoked(cli: Cli) -> None:
    tokens = sign_in(cli)
    (grant,) = cli("grants", "list", "--user", "siti", "--client", "warga", "--json").json
    assert grant["id"] in cli("grants", "list").out
    assert cli("grants", "revoke", grant["id"]).code == 0
    assert not active(cli, tokens)
    assert "no active grant" in cli("grants", "revoke", grant["id"]).err
    assert "is not a valid ID" in cli("grants", "revoke", "x").err


def test_deliveries_are_listed_and_sent_once_more(cli: Cli) -> None:
    sign_in(cli)
    cli("sessions", "revoke", "--user", "siti", "--note", "Telepon dicuri")
    (event,) = cli("audit", "list", "--type", "sessions.ending", "--json").json
    assert event["data"]["note"] == "Telepon dicuri"
    (sent,) = cli("deliveries", "list", "--status", "pending", "--json").json
    assert (sent["kind"], sent["client_id"]) == ("backchannel_logout", "warga")
    assert "backchannel_logout" in cli("deliveries", "list", "--client", "warga").out
    assert cli("deliveries", "retry", sent["id"]).code == 0
    assert "--status must be" in cli("deliveries", "list", "--status", "lost").err
    assert cli("deliveries", "retry", "01a21063-fbe4-71ec-a218-b57300141282").code == 1


def test_webhooks_are_added_listed_tested_and_removed(cli: Cli) -> None:
    added = cli("webhooks", "add", "https://hook.example/", "--event", "session.ended", "--description", "SIEM")
    assert re.fullmatch(r"whsec_[A-Za-z0-9+/=]+\n", added.out)
    (webhook,) = cli("webhooks", "list", "--json").json
    assert (webhook["url"], webhook["events"]) == ("https://hook.example/", ["session.ended"])
    assert added.out.strip() not in cli("webhooks", "list").out
    assert cli("webhooks", "test", webhook["id"]).code == 0
    assert cli("deliveries", "list", "--kind", "webhook", "--json").json[0]["receiver"] == "hook.example"
    assert cli("webhooks", "remove", webhook["id"]).code == 0
    assert cli("webhooks", "remove", webhook["id"]).code == 1
    assert "must begin with https" in cli("webhooks", "add", "http://x.example/", "--event", "*").err
    assert "at least one" in cli("webhooks", "add", "https://x.example/").err


def test_the_audit_log_is_listed_let_go_and_verified(cli: Cli, tmp_path: Path) -> None:
    cli("users", "disable", "siti")
    (event,) = cli("audit", "list", "--type", "user.disabled", "--json").json
    assert event["actor"] == "cli"
    assert "user.disabled" in cli("audit", "list", "--actor", "cli").out
    archive = tmp_path / "archive.jsonl"
    archive.write_text(cli("audit", "export", "--until", "2999-01-01").out)
    lines = archive.read_text().splitlines()
    assert cli("audit", "export", "--until", "2000-01-01").out == ""
    assert json.loads(lines[-1])["type"] == "audit.exported", "who takes it away is in it"
    assert cli("audit", "prune", "--before", "2999-01-01").out == f"{len(lines) + 1} events were deleted\n"
    assert f"after checkpoint {len(lines) + 1}" in cli("audit", "verify").out
    assert f"intact: {len(lines)} entries" in cli("audit", "verify", "--archive", str(archive)).out
    changed = [json.loads(line) for line in lines]
    changed[0]["actor"] = "mallory"
    archive.write_text("\n".join(json.dumps(entry) for entry in changed))
    answer = cli("audit", "verify", "--archive", str(archive))
    assert answer.code == 1
    assert "entry 1 was altered" in answer.out


def test_a_mail_is_sent_to_see_whether_that_works(
    cli: Cli,
    post: Post,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert "set SSO_SMTP_URL" in cli("mail", "test", "ratna@kota.example").err
    monkeypatch.setenv("SSO_SMTP_URL", f"smtp://sso:kata%3Asandi@127.0.0.1:{post.port}")
    assert cli("mail", "test", "ratna@kota.example").out == "sent\n"
    assert post.mails[0]["To"] == "ratna@kota.example"
    post.refusal = "550 nobody here"
    assert "refuses the address" in cli("mail", "test", "nobody@kota.example").err
    monkeypatch.setenv("SSO_SMTP_URL", f"smtp://sso:salah@127.0.0.1:{post.port}")
    assert cli("mail", "test", "ratna@kota.example").code == 1


def test_everything_sealed_is_sealed_anew(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    cli("webhooks", "add", "https://hook.example/", "--event", "*")
    from tests.support import SECRET_KEY

    monkeypatch.setenv("SSO_SECRET_KEY", f"another secret of more than 32 characters,{SECRET_KEY}")
    assert cli("keys", "reencrypt").code == 0
    monkeypatch.setenv("SSO_SECRET_KEY", "another secret of more than 32 characters")
    (listed,) = cli("webhooks", "list", "--json").json

    async def work(city: Any) -> bytes:
        import uuid

        from sso.platform.outbox.models import Webhook
        from sso.platform.outbox.webhooks import _purpose

        async with city.provider.db.read() as session:
            webhook = await session.get(Webhook, uuid.UUID(listed["id"]))
            secret: bytes = city.provider.box.decrypt(webhook.secret, _purpose(webhook.id))
            return secret

    assert len(served(work)) == 32


def test_the_doctor_sees_who_administers_and_which_webhooks_are_off(cli: Cli) -> None:
    assert "there is one administrator" in cli("doctor").out
    cli("users", "roles", "budi", "--role", "admin")
    assert "there are several administrators" in cli("doctor").out
    cli("webhooks", "add", "https://hook.example/", "--event", "*")

    async def switch_off(city: Any) -> None:
        from sqlalchemy import update

        from sso.platform.outbox.models import Webhook

        async with city.provider.db.write() as session:
            await session.execute(update(Webhook).values(enabled=False))

    served(switch_off)
    assert "disabled, because they answered 410: https://hook.example/" in cli("doctor").out


def test_an_application_of_a_team_from_a_file_to_production(cli: Cli, tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setenv("SSO_RELYING_PARTY_CHECK", "offered")
    file = tmp_path / "antrean.yaml"
    text = (
        "application_id: antrean\nkind: web\ndocument:\n  client_name: Antrean\n  contacts: [tim@antrean.example]\n"
        "  redirect_uris: [https://antrean.example/cb]\n  scope: openid\n"
        "sandbox: {redirect_uris: ['http://localhost:3000/cb']}\n"
    )
    file.write_text(text)
    assert cli("applications", "put", str(file)).code == 1, "who owns it must be said"
    created = cli("applications", "put", str(file), "--owner", "siti")
    assert created.code == 0, created.err
    assert len(created.out.strip()) == 43
    file.write_text(text.replace("/cb]", "/kembali]"))
    assert cli("applications", "put", str(file)).code == 0
    assert cli("applications", "submit", "antrean", "--text", "Mulai").code == 0
    (waiting,) = cli("applications", "list", "--state", "submitted", "--json").json
    assert waiting["application_id"] == "antrean"
    assert cli("applications", "send-back", "antrean", "--text", "Logo?").code == 0
    assert cli("applications", "submit", "antrean").code == 0
    assert cli("applications", "approve", "antrean", "--first-party").code == 2, "of which revision must be said"
    assert cli("applications", "approve", "antrean", "--revision", "2").code == 1, "it was sent back since"
    assert cli("applications", "approve", "antrean", "--revision", "3", "--first-party").code == 0
    application = cli("applications", "show", "antrean").json
    assert (application["state"], application["granted"], application["changes"]) == (
        "approved",
        {"first_party": True},
        {},
    )
    assert cli("clients", "show", "antrean").json["metadata"]["redirect_uris"] == ["https://antrean.example/kembali"]
    assert cli("applications", "member", "antrean", "siti", "--role", "none").code == 1, "the last owner stays"
    assert cli("applications", "member", "antrean", "budi", "--role", "owner").code == 0
    assert cli("applications", "member", "antrean", "siti", "--role", "none").code == 0
    assert cli("applications", "show", "nothing").code == 1
