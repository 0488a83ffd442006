"""The ``sso`` command. Thin: read arguments, call a service, print. Secrets are never arguments.

Each command is a module, imported only when it is called (or helped with), so that none waits for the others.
"""

from __future__ import annotations

import sys
from importlib import import_module
from typing import Annotated

import typer

from sso import __version__
from sso.cli.common import guarded

COMMANDS = ("serve", "worker", "demo", "doctor")
GROUPS = {
    "db": "database",
    "clients": "clients",
    "applications": "applications",
    "users": "users",
    "keys": "keys",
    "sessions": "sessions",
    "grants": "grants",
    "deliveries": "deliveries",
    "webhooks": "webhooks",
    "mail": "mail",
    "audit": "audit",
}
HELP = "A city's single sign-on. Settings come from the environment (SSO_...) or a file .env; see docs/settings.md."


def _print_version(asked: bool) -> None:
    if asked:
        typer.echo(f"sso {__version__}")
        raise typer.Exit


def _options(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version.", callback=_print_version, is_eager=True)
    ] = False,
) -> None:
    """Declare the options that stand before the name of a command."""


def command_line(only: str = "") -> typer.Typer:
    """Return the command line; where ``only`` names a command, a group or ``--version``, with that one alone."""
    app = typer.Typer(
        name="sso", help=HELP, no_args_is_help=True, pretty_exceptions_enable=False, rich_markup_mode=None
    )
    app.callback(help=HELP)(_options)
    for name in COMMANDS:
        if only in ("", name):
            app.command(name)(getattr(import_module(f"sso.cli.{name}"), name))
    for name, module in GROUPS.items():
        if only in ("", name):
            app.add_typer(import_module(f"sso.cli.{module}").app, name=name)
    return app


def main() -> None:
    """Run the command. Exit code 0: done; 1: it cannot be done, and why is said; 2: arguments or settings are wrong."""
    asked = sys.argv[1] if len(sys.argv) > 1 else ""
    guarded(command_line(asked if asked in (*COMMANDS, *GROUPS, "--version") else ""))
