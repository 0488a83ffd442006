"""The ``sso`` command. Thin: read arguments, call a service, print. Secrets are never arguments."""

from __future__ import annotations

import typer

from sso.cli import audit, clients, database, demo, doctor, keys, serve, sessions, users
from sso.cli.common import guarded

app = typer.Typer(
    name="sso",
    help="A city's single sign-on. Settings come from the environment (SSO_...) or a file .env; see docs/settings.md.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
app.command("serve")(serve.serve)
app.command("demo")(demo.demo)
app.add_typer(database.app, name="db")
app.add_typer(clients.app, name="clients")
app.add_typer(users.app, name="users")
app.add_typer(keys.app, name="keys")
app.add_typer(sessions.app, name="sessions")
app.add_typer(audit.app, name="audit")
app.command("doctor")(doctor.doctor)


def main() -> None:
    """Run the command. Exit code 0: done; 1: it cannot be done, and why is said; 2: arguments or settings are wrong."""
    guarded(app)
