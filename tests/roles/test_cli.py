"""``sso roles``: list, show, give, end, apply and export."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

from tests.cli.conftest import Cli, cli

from sso import clock

__all__ = ["cli"]
CATALOGUE = """
catalogue: antrean
applications:
  - client_id: antrean
    type: web
    client_name: Antrean
    first_party: true
    redirect_uris: [https://antrean.example/cb]
    application_roles:
      operator: {title: Petugas}
      reader: {title: Pembaca, title#en: Reader}
"""
FILE = """
assignments:
  - {client_id: antrean, role: operator, user: siti, valid_until: 2099-12-31, reason: Surat tugas}
"""
YEAR = clock.now().year + 4
"""A year in which a role may end: it lasts for ten years at most."""


def test_roles_on_the_command_line(cli: Cli, tmp_path: Path) -> None:
    catalogue = tmp_path / "antrean.yaml"
    catalogue.write_text(CATALOGUE)
    applied = cli("clients", "apply", str(catalogue))
    assert applied.code == 0, applied.err
    assert [row["name"] for row in cli("roles", "show", "antrean", "--json").json] == ["operator", "reader"]
    assert (
        cli("roles", "give", "antrean", "reader", "--user", "siti", "--reason", "Baca").out == "The role was given.\n"
    )
    assert "already" in cli("roles", "give", "antrean", "reader", "--user", "siti", "--reason", "Baca").out
    other = cli("roles", "give", "antrean", "reader", "--user", "siti", "--until", f"{YEAR}-12-31", "--reason", "Baca")
    assert "with other times" in other.err
    wrong = cli("roles", "give", "antrean", "chief", "--user", "siti", "--reason", "x")
    assert "does not define" in wrong.err
    file = tmp_path / "roles.yaml"
    file.write_text(FILE.replace("2099", f"{YEAR}"))
    plan = cli("roles", "apply", str(file), "--dry-run", "--end-others")
    assert "would give: 1, would change: 0, would end: 1" in plan.out, plan.err
    until = f"{YEAR + 1}-01-01T00:00+07:00"
    assert f"give: antrean: operator, user siti, until {until}" in plan.out, "the last day, in the city"
    assert len(cli("roles", "list", "--client", "antrean", "--json").json) == 1
    assert "given: 1, changed: 0, ended: 1" in cli("roles", "apply", str(file), "--end-others").out
    again = cli("roles", "apply", str(file), "--end-others").out
    assert "given: 0, changed: 0, ended: 0" in again
    check_review(cli)
    exported = tmp_path / "export.yaml"
    exported.write_text(cli("roles", "export").out)
    again = cli("roles", "apply", str(exported), "--end-others").out
    assert "given: 0, changed: 0, ended: 0" in again, "an export is a file"
    file.write_text(FILE.replace("2099", f"{YEAR + 1}"))
    cli.monkeypatch.setenv("SSO_LANGUAGE", "id")
    changed = cli("roles", "apply", str(file))
    cli.monkeypatch.setenv("SSO_LANGUAGE", "en")
    assert "diberikan: 0, diubah: 1, diakhiri: 0" in changed.out, changed
    (row,) = cli("roles", "list", "--user", "siti", "--json").json
    assert (row["role"], row["until"][:19]) == ("operator", f"{YEAR + 1}-12-31T17:00:00"), "the last day in the city"
    assert cli("roles", "end", row["id"], "--reason", "Selesai").code == 0
    assert "ended already" in cli("roles", "end", row["id"], "--reason", "Selesai").err
    file.write_text("assignments:\n  - {client_id: tidak-ada, role: x, user: siti, reason: r}\n  - {role: x}\n")
    assert "assignment 2: client_id" in cli("roles", "apply", str(file)).err


def check_review(cli: Cli) -> None:
    """Start an access review, confirm the one role, and cancel the review."""
    refused = cli("reviews", "start", "antrean", "--until", "2020-01-01", "--reason", "Tahunan")
    assert "tomorrow at the earliest" in refused.err
    last_day = (clock.now() + timedelta(days=30)).date().isoformat()
    assert cli("reviews", "start", "antrean", "--until", last_day, "--reason", "Tahunan").out.startswith("started: ")
    (review,) = cli("reviews", "list", "antrean", "--json").json
    assert (review["status"], review["unconfirmed"]) == ("running", 1)
    (role,) = cli("roles", "list", "--client", "antrean", "--json").json
    options = ("roles", "list", "--client", "antrean", "--json")
    given = cli("roles", "give", "antrean", "reader", "--user", "siti", "--reason", "Loket")
    assert given.code == 0, given.err
    for more, names in (
        (("--role", "reader"), ["reader"]), (("--unconfirmed",), ["operator"]), (("--before", role["id"]), []),
        (("--limit", "1"), ["reader"]),
    ):  # fmt: skip
        assert [row["role"] for row in cli(*options, *more).json] == names, more
    assert "--before" in cli(*options, "--limit", "1").err
    (new,) = cli(*options, "--role", "reader").json
    assert [row["id"] for row in cli(*options, "--before", new["id"]).json] == [role["id"]], "the older ones"
    assert "there is no unit or group NONE" in cli(*options, "--unit", "NONE").err
    assert cli("roles", "end", new["id"], "--reason", "Salah").code == 0
    confirmed = cli("reviews", "confirm", role["id"])
    assert confirmed.out == "confirmed: 1\n", confirmed.err
    assert cli("reviews", "list", "antrean", "--json").json[0]["unconfirmed"] == 0
    assert cli("reviews", "cancel", review["id"], "--reason", "Salah tanggal").out == "cancelled\n"
    assert "over" in cli("reviews", "cancel", review["id"], "--reason", "Salah tanggal").err
