"""The steps of ``sso setup``. Each tries its settings and then writes them at once: no step is left half done."""

from __future__ import annotations

import asyncio
import os
import secrets
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar
from urllib.parse import quote, urlsplit

from sso.cli.common import complain, opened_provider, refuse
from sso.cli.dialogue import Dialogue, read_secret_file
from sso.errors import Refusal
from sso.platform.messages import _
from sso.settings import Settings, SettingsError, is_loopback_host, load_settings
from sso.settings.env_file import write_env_file
from sso.settings.reference import masked

if TYPE_CHECKING:
    from sso.accounts.services import AccountActions
    from sso.setup.links import NewAdministrator

SECRET_BYTES = 48
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Answers:
    """What was said on the command line; empty: it is asked, or stays as it is."""

    issuer: str = ""
    database_url_file: str = ""
    smtp_url_file: str = ""
    mail_from: str = ""
    test_mail: str = ""
    name: str = ""
    email: str = ""
    username: str = ""
    applications: str = ""


@dataclass(slots=True)
class Installation:
    """The installation that is set up.

    Args:
        dialogue: asks.
        answers: what was said on the command line.
        env_file: the file that keeps the settings.
        link: the address of the administrator's link; empty: none was made.
    """

    dialogue: Dialogue
    answers: Answers
    env_file: Path
    link: str = ""

    def settings(self, **changed: object) -> Settings:
        """Return the settings of the environment and the file, with some that are not written yet."""
        return load_settings(_env_file=self.env_file, **changed)

    def is_fixed(self, name: str) -> bool:
        """Tell whether the environment sets a setting, so that the file cannot, and say so."""
        fixed = bool(os.environ.get(f"SSO_{name.upper()}"))
        if fixed:
            self.dialogue.say(_("SSO_%(name)s is set in the environment, which wins.") % {"name": name.upper()})
        return fixed

    def write(self, values: dict[str, str]) -> None:
        """Write settings to the file, by the name of the field; those that the environment sets too are left out."""
        named = {f"SSO_{name.upper()}": value for name, value in values.items()}
        own = {name: value for name, value in named.items() if not os.environ.get(name)}
        if own:
            write_env_file(self.env_file, own)
            self.dialogue.say(_("Written to %(file)s; only its owner can read the file.") % {"file": self.env_file})


def basics(installation: Installation) -> None:
    """Ask for the address, the database and the secret key, try them, write them together, and make the schema."""
    dialogue, before = installation.dialogue, _present(installation)
    dialogue.heading(1, _("Address"))
    dialogue.say(_("The public address of the provider. Applications and tokens name it, so it must never change."))
    issuer = before.issuer
    if not installation.is_fixed("issuer"):
        given = installation.answers.issuer or before.issuer
        issuer = dialogue.checked(_("Address (issuer)"), given, _issuer_mistakes)
    loopback = is_loopback_host(urlsplit(issuer).hostname or "")
    dialogue.heading(2, _("Database"))
    fixed = installation.is_fixed("database_url")
    url = before.database_url if fixed else _database_url(installation, before, loopback)
    values = {"issuer": issuer} | ({"database_url": url} if url != before.database_url or url else {})
    dialogue.heading(3, _("Secret key"))
    values |= _secret_key(installation, before, loopback)
    settings = installation.settings(**values)
    asyncio.run(_check_secret(settings))
    installation.write(values)
    settings.secrets()
    asyncio.run(_prepare(settings))
    dialogue.say(_("The database has the schema of this release."))


def _present(installation: Installation) -> Settings:
    """Return the present settings; where they cannot be used, those of a new installation."""
    try:
        return installation.settings()
    except SettingsError as error:
        complain(_("The current settings cannot be used:"), *error.mistakes)
        return Settings.model_construct(issuer="http://localhost:8000", database_url="", secret_key=[])


def _issuer_mistakes(issuer: str) -> list[str]:
    try:
        load_settings(issuer=issuer, secret_key="x" * SECRET_BYTES, database_url="sqlite:///:memory:")
    except SettingsError as error:
        return [line for line in error.mistakes if "SSO_ISSUER" in line]
    return []


def _database_url(installation: Installation, before: Settings, loopback: bool) -> str:
    """Return the address of the database, which answers; empty: SQLite in the data directory."""
    dialogue, file = installation.dialogue, installation.answers.database_url_file
    given = read_secret_file(file) if file else ""
    while True:
        url = given or _asked_database_url(dialogue, before, loopback)
        try:
            asyncio.run(_try_database(url, before.data_dir))
        except Exception as error:
            text = _("The database does not answer: %(error)s") % {"error": first_line(error)}
            if given or not dialogue.asks:
                refuse(text)
            complain(text)
            continue
        dialogue.say(_("The database answers: %(url)s") % {"url": masked(url) or "SQLite"})
        return url


def first_line(error: Exception) -> str:
    """Return the first line of an error; its type where it has no text."""
    return next(iter(str(error).strip().splitlines()), type(error).__name__)


def _asked_database_url(dialogue: Dialogue, before: Settings, loopback: bool) -> str:
    if before.database_url:
        dialogue.say(_("Set: %(value)s") % {"value": masked(before.database_url)})
        if not dialogue.yes(_("Change the database?"), False):
            return before.database_url
    path = f"sqlite:///{(before.data_dir / 'sso.db').absolute()}"
    kind = dialogue.choice(_("Kind of database"), ("sqlite", "postgresql"), "sqlite")
    if kind == "sqlite":
        return "" if loopback else path
    host = dialogue.text(_("Host"), "localhost")
    name = dialogue.text(_("Name of the database"), "sso")
    user = dialogue.text(_("User"), "sso")
    password = dialogue.secret(_("Password (not shown; empty: none)"))
    return f"postgresql://{quote(user, safe='')}{':' + quote(password, safe='') if password else ''}@{host}/{name}"


async def _try_database(url: str, data_dir: Path) -> None:
    """Connect to the database.

    Raises:
        Exception: when it does not answer.
    """
    from sqlalchemy import text as sql

    from sso.platform.db import Database

    db = Database(Settings(database_url=url, data_dir=data_dir, issuer="http://localhost"))
    try:
        async with db.read() as session:
            await session.execute(sql("SELECT 1"))
    finally:
        await db.close()


def _secret_key(installation: Installation, before: Settings, loopback: bool) -> dict[str, str]:
    """Return the secret key that is to be written; empty: there is one."""
    say, key_file = installation.dialogue.say, before.data_dir / "secret.key"
    if before.secret_key:
        say(_("A secret key is set. It is not shown and stays as it is. To replace it: docs/how-to/operations.md."))
        return {}
    if loopback:
        say(_("The secret key is kept in %(path)s.") % {"path": key_file})
        return {}
    if key_file.exists():
        say(_("The secret key of the trial, in %(path)s, goes on to be used.") % {"path": key_file})
        return {"secret_key": key_file.read_text().strip()}
    say(
        _("A secret key is made. Keep a copy of it apart from the backups: without it nobody can decrypt the database.")
    )
    return {"secret_key": secrets.token_urlsafe(SECRET_BYTES)}


async def _check_secret(settings: Settings) -> None:
    """Check that the secret key fits a database that is in use already.

    Raises:
        CannotDecrypt: when it does not.
    """
    from sso.platform.db import Database
    from sso.platform.db.migrate import current_revision
    from sso.platform.keys import KeyRing
    from sso.platform.security.encryption import SecretBox

    db = Database(settings)
    try:
        if settings.secret_key and await current_revision(db) is not None:
            async with db.read() as session:
                await KeyRing(SecretBox(settings.secrets()), timedelta(0)).load(session)
    finally:
        await db.close()


async def _prepare(settings: Settings) -> None:
    """Make the schema, and the keys that are missing."""
    from sso.platform.db import Database
    from sso.platform.db.migrate import upgrade

    db = Database(settings)
    try:
        await upgrade(db)
    finally:
        await db.close()
    async with opened_provider(settings, begins=True):
        pass


def mail(installation: Installation) -> None:
    """Ask for the mail server, send a test e-mail, and write the settings where it was accepted."""
    dialogue, answers, settings = installation.dialogue, installation.answers, installation.settings()
    dialogue.heading(4, _("E-mail"))
    url, sender = _mail_server(installation, settings), answers.mail_from
    if not url and settings.smtp_url is None:
        dialogue.say(_("No mail server: users receive no e-mails. Run sso setup again to add one."))
        return
    if url and not sender:
        sender = dialogue.text(_("Sender of e-mails"), settings.mail_from)
    values = ({"smtp_url": url} if url else {}) | ({"mail_from": sender} if sender else {})
    changed = installation.settings(**values)
    to = answers.test_mail or dialogue.text(_("Send a test e-mail to (empty: none)"))
    if to and (problem := _send_test_mail(changed, to)):
        complain(problem)
        if not dialogue.yes(_("Save these settings anyway?"), False):
            if not dialogue.asks:
                refuse(_("The settings of the mail server were not written."))
            mail(installation)
            return
    elif to:
        dialogue.say(_("The mail server has accepted the test e-mail to %(address)s.") % {"address": to})
    if values:
        installation.write(values)


def _mail_server(installation: Installation, settings: Settings) -> str:
    """Return the address of the mail server; empty: it stays as it is."""
    dialogue, file = installation.dialogue, installation.answers.smtp_url_file
    if file:
        return read_secret_file(file)
    if installation.is_fixed("smtp_url"):
        return ""
    if settings.smtp_url is not None:
        dialogue.say(_("Set: %(value)s") % {"value": masked(settings.smtp_url.get_secret_value())})
        if not dialogue.yes(_("Change the mail server?"), False):
            return ""
    elif not dialogue.yes(_("Set a mail server now?"), dialogue.asks):
        return ""
    host = dialogue.text(_("Host of the mail server"), "")
    if not host:
        return ""
    port = dialogue.text(_("Port (465: TLS; 587: STARTTLS)"), "465")
    user = dialogue.text(_("User (empty: none)"))
    password = dialogue.secret(_("Password (not shown; empty: none)")) if user else ""
    account = f"{quote(user, safe='')}:{quote(password, safe='')}@" if user else ""
    return f"{'smtps' if port == '465' else 'smtp'}://{account}{host}:{port}"


def _send_test_mail(settings: Settings, address: str) -> str:
    """Send a test e-mail at once; return what went wrong, or an empty text."""
    from sso.setup.mail import send_test_mail

    text = _("%(service)s: this is a test e-mail. The mail server works.") % {"service": settings.service_name}
    error = asyncio.run(send_test_mail(settings, address, text))
    return _("The mail server does not accept the e-mail: %(error)s") % {"error": error} if error else ""


def administrator(installation: Installation) -> None:
    """Make the link for the first administrator; where there is one, ask whether to add another."""
    from sso.setup.links import NewAdministrator, has_administrator

    dialogue, answers = installation.dialogue, installation.answers
    dialogue.heading(5, _("Administrator"))

    async def exists(services: AccountActions) -> bool:
        async with services.db.read() as session:
            return await has_administrator(session)

    is_named = bool(answers.name or answers.email or answers.username)
    if _with_provider(installation, exists):
        dialogue.say(_("There is an administrator already."))
        if not dialogue.yes(_("Make a link for another administrator?"), is_named):
            return
    elif not dialogue.asks and not is_named:
        dialogue.say(_("No administrator is named, so no link is made: use --admin-email."))
        return
    dialogue.say(_("With this link the administrator chooses a password and two-step verification in the browser."))
    email = answers.email or dialogue.text(_("E-mail address of the administrator"))
    name = answers.name or dialogue.text(_("Full name"), email.partition("@")[0])
    username = answers.username or dialogue.text(_("Username"), email.partition("@")[0].lower() or "admin")
    person = NewAdministrator(name, username, email)
    installation.link = installation.settings().issuer + _with_provider(installation, _link_for(person))


def _link_for(person: NewAdministrator) -> Callable[[AccountActions], Coroutine[object, object, str]]:
    """Return what makes the link for a person."""
    from sso.platform.actor import CLI
    from sso.setup.links import new_link

    async def work(services: AccountActions) -> str:
        async with services.db.write() as session:
            return await new_link(session, services.box, person, actor=CLI)

    return work


def applications(installation: Installation) -> None:
    """Register the example applications, those of a file, or none."""
    dialogue, answers = installation.dialogue, installation.answers
    dialogue.heading(6, _("Applications"))

    async def count(services: AccountActions) -> int:
        return sum(1 for _client in services.registry)

    registered = _with_provider(installation, count)
    dialogue.say(_("Registered: %(count)s") % {"count": registered})
    chosen = answers.applications or dialogue.text(
        _("Applications to register: none, example (the 122 examples), or a catalogue file"), "none"
    )
    if chosen == "none":
        return
    from sso.clients.catalogue import read_catalogue
    from sso.setup.applications import apply_file, example_catalogue

    path = example_catalogue() if chosen == "example" else Path(chosen)
    try:
        catalogue = read_catalogue(path, allow_http_loopback=installation.settings().loopback)
        changes = _with_provider(installation, lambda services: apply_file(services, catalogue))
    except (Refusal, OSError) as error:
        complain(*(error.mistakes if isinstance(error, Refusal) else [str(error)]))
        if not dialogue.asks:
            refuse(_("The applications were not registered."))
        applications(installation)
        return
    dialogue.say(_("%(count)s applications were registered or changed.") % {"count": changes})


def _with_provider(installation: Installation, work: Callable[[AccountActions], Coroutine[object, object, T]]) -> T:
    """Run ``work`` with the provider of the settings that are written."""

    async def inside() -> T:
        async with opened_provider(installation.settings()) as provider:
            return await work(provider)

    return asyncio.run(inside())
