"""A command in the wrong folder creates nothing there: no database, no secret key."""

from __future__ import annotations

import re
import sqlite3
import sys
import uuid
from pathlib import Path
from typing import get_args

import click
import pytest
import typer

from sso.accounts.identity_checks import DOCUMENTS
from sso.cli import command_line, main
from sso.identity.users.merge_proposals import PROPOSAL_STATES
from sso.platform.outbox import DeliveryKind, DeliveryStatus
from sso.platform.permissions import RoleName
from sso.portal.applications import State
from sso.settings import Settings

BEGIN = {"serve", "worker", "demo", "db upgrade", "users create", "users import", "clients apply"}
"""The commands that may begin an installation."""
LISTS = (
    get_args(RoleName), tuple(DeliveryKind), tuple(DeliveryStatus), PROPOSAL_STATES, get_args(State), DOCUMENTS,
)  # fmt: skip
"""What help texts list."""
CATALOGUE = "catalogue: kota\napplications: []\n"


def commands(group: click.Command, path: tuple[str, ...] = ()) -> dict[str, click.Command]:
    if not hasattr(group, "commands"):
        return {" ".join(path): group}
    by_name: dict[str, click.Command] = {}
    for name, command in group.commands.items():
        by_name |= commands(command, (*path, name))
    return by_name


def words(name: str, command: click.Command) -> list[str]:
    """Return a command with something for whatever it requires."""
    arguments = name.split()
    for param in command.params:
        if not param.required:
            continue
        value = "2026-01-01" if param.name == "before" else str(uuid.uuid4()) if param.name.endswith("id") else "1"
        arguments += (
            [value]
            if isinstance(param, click.Argument) or not param.opts[0].startswith("-")
            else [param.opts[0], value]
        )
    return arguments


def test_no_command_but_those_that_begin_an_installation_creates_anything(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, catalogue = tmp_path / "empty", tmp_path / "kota.yaml"
    folder.mkdir()
    catalogue.write_text(CATALOGUE)
    monkeypatch.chdir(folder)
    for setting in Settings.model_fields:
        monkeypatch.delenv(f"SSO_{setting.upper()}", raising=False)
    monkeypatch.setenv("SSO_ISSUER", "http://localhost:8000")
    by_name = commands(typer.main.get_command(command_line()))
    assert by_name.keys() >= BEGIN
    called = [words(name, command) for name, command in by_name.items() if name not in BEGIN]
    called.append(["clients", "apply", str(catalogue), "--dry-run"])
    without_database = []
    for arguments in called:
        monkeypatch.setattr(sys, "argv", ["sso", *arguments])
        with pytest.raises(SystemExit) as ended:
            main()
        output = capsys.readouterr()
        text = output.out + output.err
        assert ended.value.code, (arguments, text)
        assert not list(folder.iterdir()), (arguments, list(folder.iterdir()))
        assert "Traceback" not in text
        if "there is no database at" in text:
            assert "sso db upgrade" in text
            without_database.append(arguments)
    assert len(without_database) > 30, "most commands come as far as the database"
    # Where it exists, the same commands use it, and look only.
    for arguments, code in (
        (["db", "upgrade"], 0),
        (["users", "list"], 0),
        (["keys", "list"], 0),
        (["clients", "apply", str(catalogue)], 0),
    ):
        monkeypatch.setattr(sys, "argv", ["sso", *arguments])
        with pytest.raises(SystemExit) as ended:
            main()
        assert ended.value.code == code, (arguments, capsys.readouterr())
        if arguments == ["keys", "list"]:
            with sqlite3.connect(folder / "var" / "sso.db") as db:
                assert db.execute("SELECT count(*) FROM signing_keys").fetchone() == (0,)
    assert sorted(path.name for path in (folder / "var").rglob("*") if path.suffix in (".db", ".key")) == [
        "secret.key", "sso.db"
    ]  # fmt: skip


def test_a_help_text_that_lists_values_lists_all_of_them() -> None:
    listed = 0
    for name, command in commands(typer.main.get_command(command_line())).items():
        for param in command.params:
            words_of_help = set(re.findall(r"[a-z_]+", getattr(param, "help", None) or ""))
            for values in LISTS:
                if len(words_of_help & set(values)) > 2:
                    listed += 1
                    assert set(values) <= words_of_help, (name, param.name)
    assert listed >= 6
