"""The ``sso`` command. Thin: read arguments, call a service, print. Secrets are never arguments.

Each command is a module, imported only when it is called (or helped with), so that none waits for the others.
"""

from __future__ import annotations

import gc
import os
import sys
from importlib import import_module
from typing import Annotated

import typer

from sso import __version__
from sso.cli.common import guarded

COMMANDS = {
    "serve": "Serve. Put a reverse proxy with TLS in front of it; see docs/deployment.md.",
    "worker": "Send notices and clear up, until it is stopped: for servers with SSO_RUN_WORKER=false. "
    "Any number may run.",
    "demo": "Try it: a fresh embedded database, the 122 example applications, three people and two sample apps.",
    "doctor": "Look at settings, database, keys, applications, people, deliveries, audit log. "
    "Exit code 1 when something is bad.",
    "backup": "Back up the database, encrypted, while servers go on. The secret key (SSO_SECRET_KEY) is not in the "
    "backup.",
    "restore": "Restore a backup into an empty database and bring its schema to this release.",
}
"""Each command's module, function and name, and what help says of it: the first paragraph of its docstring."""
GROUPS = {
    "db": ("database", "The database's schema."),
    "clients": ("clients", "Registered applications."),
    "applications": ("applications", "Applications of teams: from a draft to production."),
    "users": ("users", "People."),
    "keys": ("keys", "Signing keys."),
    "sessions": ("sessions", "Who is signed in."),
    "grants": ("grants", "What was granted, and holds."),
    "deliveries": ("deliveries", "What is sent: notices, events, mails, webhooks."),
    "webhooks": ("webhooks", "Servers that are told of what is in the audit log (Standard Webhooks)."),
    "mail": ("mail", "Mail."),
    "messages": ("messages", "Messages to telephone numbers: SMS and WhatsApp."),
    "audit": ("audit", "What happened."),
}
"""Each group's module, and what help says of it."""
GC_THRESHOLD = 50_000
"""New objects before garbage is collected. A short command makes fewer; an import of a million users many more."""
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


def _listed_only() -> None:
    """Stand for a command whose module is not imported."""


def command_line(only: str | None = None) -> typer.Typer:
    """Return the command line.

    Args:
        only: the one command or group whose module is imported; the others are listed with their help text alone.
            With None, all are imported.
    """
    app = typer.Typer(
        name="sso", help=HELP, no_args_is_help=True, pretty_exceptions_enable=False, rich_markup_mode=None
    )
    app.callback(help=HELP)(_options)
    for name, text in COMMANDS.items():
        if only in (None, name):
            app.command(name)(getattr(import_module(f"sso.cli.{name}"), name))
        else:
            app.command(name, help=text)(_listed_only)
    for name, (module, text) in GROUPS.items():
        if only in (None, name):
            app.add_typer(import_module(f"sso.cli.{module}").app, name=name, help=text)
        else:
            app.command(name, help=text)(_listed_only)
    return app


def main() -> None:
    """Run the command. Exit code 0: done; 1: it cannot be done, and why is said; 2: arguments or settings are wrong."""
    # What an import makes stays until the end: looking for garbage in it is a fifth of the time of most commands.
    gc.disable()
    try:
        if "_SSO_COMPLETE" in os.environ:  # a shell completes a command, which may be any
            app = command_line()
        else:
            app = command_line(next((word for word in sys.argv[1:] if word in COMMANDS or word in GROUPS), ""))
        gc.set_threshold(GC_THRESHOLD)
        gc.enable()
        guarded(app)
    finally:
        gc.freeze()  # the interpreter collects once more when it ends: a tenth of a second that frees nothing
