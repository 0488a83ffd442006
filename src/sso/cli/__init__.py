"""The ``sso`` command. Thin: read arguments, call a service, print. Secrets are never arguments.

Each command is a module, imported only when it is called (or helped with), so that none waits for the others.
"""

from __future__ import annotations

import gc

# What an import makes stays until the end: looking for garbage in it is a tenth of the time of most commands.
_collects = gc.isenabled()
gc.disable()

import os  # noqa: E402
import sys  # noqa: E402
from functools import partial  # noqa: E402
from importlib import import_module  # noqa: E402
from typing import Annotated  # noqa: E402

import typer  # noqa: E402
import typer.main  # noqa: E402

from sso import __version__  # noqa: E402
from sso.cli.common import START_GC_THRESHOLD, guarded  # noqa: E402
from sso.platform.messages import choose_language  # noqa: E402

if _collects:
    gc.enable()

COMMANDS = {
    "setup": "Set up the provider, step by step.",
    "serve": "Start the server. Put a reverse proxy with TLS in front of it; see docs/how-to/deployment.md.",
    "worker": "Send deliveries and run background jobs until the process is stopped.",
    "doctor": "Check the installation and say what needs attention.",
    "backup": "Back up the database to an encrypted file while servers run.",
    "restore": "Restore a backup into an empty database and upgrade its schema to this release.",
    "demo": "Start a demonstration with example data.",
}
"""Each command's module, function and name, and what help says of it: the first paragraph of its docstring."""
GROUPS = {
    "settings": ("settings", "Show and change settings that are kept in the database."),
    "db": ("database", "Upgrade and check the schema of the database."),
    "clients": ("clients", "Manage registered applications, their secrets and permissions."),
    "applications": ("applications", "Manage applications of teams, from the sandbox to production."),
    "gate": ("gate", "Configure and check proxies in front of applications (forward authentication)."),
    "users": ("users", "Manage users: create, import, disable, recover."),
    "groups": ("groups", "Manage units and groups, and their members."),
    "employees": ("employees", "Import employees from a personnel system; show and end employments."),
    "attributes": ("attributes", "Declare attributes of users beside the standard claims."),
    "keys": ("keys", "Manage the signing and encryption keys."),
    "sessions": ("sessions", "Show and end sessions."),
    "grants": ("grants", "Show and revoke what users granted to applications."),
    "roles": ("roles", "Show, give and end roles of applications."),
    "reviews": ("reviews", "Show, start and cancel access reviews, and confirm roles."),
    "deliveries": ("deliveries", "Show and retry deliveries: logout notices, events, e-mails, SMS, webhooks."),
    "webhooks": ("webhooks", "Manage webhooks: servers that receive audit events (Standard Webhooks)."),
    "mail": ("mail", "Test the mail server."),
    "messages": ("messages", "Test messages to phone numbers: SMS and WhatsApp."),
    "audit": ("audit", "Show, export and verify the audit log."),
}
"""Each group's module, and what help says of it."""
HELP = (
    "Single sign-on for a city (OpenID Connect provider). Settings come from the environment (SSO_...), a file .env, "
    "or the database; see docs/reference/settings.md. Begin with: sso setup"
)


def run_translated(app: typer.Typer) -> None:
    """Run the command with its help in the language that was chosen."""
    from sso.cli.language import translate_help

    command = typer.main.get_command(app)
    translate_help(command)
    command()


def _print_version(shows_version: bool) -> None:
    if shows_version:
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
    gc.disable()
    try:
        language = choose_language()
        if "_SSO_COMPLETE" in os.environ:  # a shell completes a command, which may be any
            app = command_line()
        else:
            app = command_line(next((word for word in sys.argv[1:] if word in COMMANDS or word in GROUPS), ""))
        gc.set_threshold(START_GC_THRESHOLD)
        gc.enable()
        guarded(app if language == "en" else partial(run_translated, app))
    finally:
        gc.freeze()  # the interpreter collects once more when it ends: a tenth of a second that frees nothing
