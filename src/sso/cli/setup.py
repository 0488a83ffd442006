"""``sso setup``: from an empty machine to a provider with its first administrator, step by step."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from sso.cli.common import Json, complain, group, print_json
from sso.platform.messages import _

if TYPE_CHECKING:
    from sso.cli.setup_steps import Answers, Installation

app = group()


def setup(
    yes: Annotated[
        bool, typer.Option("--yes", help="Ask nothing: use the options, the environment and the present values.")
    ] = False,
    env_file: Annotated[Path, typer.Option(help="The file that keeps the settings.")] = Path(".env"),
    issuer: Annotated[str, typer.Option(help="The public address, such as https://masuk.kota.example.")] = "",
    database_url_file: Annotated[
        str, typer.Option(metavar="FILE", help="A file with the database address; -: standard input.")
    ] = "",
    smtp_url_file: Annotated[
        str, typer.Option(metavar="FILE", help="A file with the address of the mail server; -: standard input.")
    ] = "",
    mail_from: Annotated[str, typer.Option(help="The sender of e-mails.")] = "",
    test_mail: Annotated[str, typer.Option(metavar="ADDRESS", help="Send a test e-mail to this address.")] = "",
    admin_name: Annotated[str, typer.Option(help="Full name of the first administrator.")] = "",
    admin_email: Annotated[str, typer.Option(help="E-mail address of the first administrator.")] = "",
    admin_username: Annotated[str, typer.Option(help="Username of the first administrator.")] = "",
    applications: Annotated[str, typer.Option(help="none, example (the 122 examples), or a catalogue file.")] = "",
    json: Json = False,
) -> None:
    """Set up the provider, step by step.

    Asks for the address, database, secret key, e-mail, first administrator and applications. It can be run again at
    any time: each step shows what is set and asks before it changes anything. A step that is interrupted changes
    nothing. The settings are written to a file that only its owner can read. At the end it prints a one-time link
    with which the administrator chooses a password and two-step verification in the browser, and a checklist.
    Secrets are typed without being shown, or read from a file.
    """
    from sso.cli.dialogue import Dialogue
    from sso.cli.setup_steps import Answers

    if not yes and not sys.stdin.isatty():
        _wrong(_("There is no terminal to ask questions at. Use --yes, with options or variables for the answers."))
    answers = Answers(
        issuer, database_url_file, smtp_url_file, mail_from, test_mail, admin_name, admin_email, admin_username,
        applications,
    )  # fmt: skip
    dialogue = Dialogue(asks=not yes)
    try:
        installation = _steps(dialogue, answers, env_file)
    except (KeyboardInterrupt, typer.Abort):
        complain("", _("Interrupted. The finished steps are kept; run sso setup again to go on."))
        raise SystemExit(1) from None
    _print_result(installation, json)


def _steps(dialogue: object, answers: Answers, env_file: Path) -> Installation:
    from sso.cli.setup_steps import Installation, administrator, applications, basics, mail

    installation = Installation(dialogue, answers, env_file)  # type: ignore[arg-type]
    basics(installation)
    mail(installation)
    administrator(installation)
    applications(installation)
    return installation


def _print_result(installation: Installation, json: bool) -> None:
    """Print the checklist, and the link once."""
    from sso.cli.doctor import remedy_of
    from sso.setup.examination import examine
    from sso.setup.findings import finding_view

    findings = asyncio.run(examine(installation.settings()))
    if json:
        result = {"issuer": installation.settings().issuer, "env_file": str(installation.env_file)}
        print_json({**result, "link": installation.link, "findings": [finding_view(finding) for finding in findings]})
        return
    say = installation.dialogue.say
    say("")
    say(_("Checklist:"))
    for finding in findings:
        if finding.state != "good":
            remedy = remedy_of(finding, installation.settings().issuer)
            say(f"  - {finding.title(_)}: {finding.translated(_)} [{remedy}]")
    say("  " + _("%(count)s checks are fine.") % {"count": sum(finding.state == "good" for finding in findings)})
    say("")
    if installation.link:
        say(_("Start the server (sso serve), then open this link in a browser. It works once, within 24 hours:"))
        print(installation.link)
    else:
        say(_("Start the server: sso serve"))


def _wrong(text: str) -> NoReturn:
    complain(text)
    raise SystemExit(2)
