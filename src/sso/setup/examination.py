"""What is ready in this installation and what is not: one source for ``sso doctor``, the console, the API and metrics.

``examine`` opens the database by itself and checks everything, also what takes long. ``readiness`` checks what an
administrator looks at often, with the services of a running process and a few short statements.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Protocol

from sso.platform.services import Storage
from sso.setup import content_checks, database_checks, host_checks, message_checks
from sso.setup.findings import Finding, worst_first

if TYPE_CHECKING:
    from sso.clients.registry import Registry
    from sso.platform.db import Database
    from sso.platform.security.encryption import SecretBox
    from sso.settings import Settings

Check = tuple[str, Callable[[], Awaitable[Finding]]]


class ReadinessServices(Storage, Protocol):
    """What the checks of a running process need."""

    @property
    def registry(self) -> Registry:
        """Every registered application."""


async def examine(settings: Settings) -> list[Finding]:
    """Check everything. A check that fails is a finding too.

    Args:
        settings: every setting; the values in the database are taken over where they can be read.
    """
    from sso.platform.db import Database
    from sso.platform.db.database import NoDatabase
    from sso.platform.security.encryption import SecretBox
    from sso.settings import SettingsError

    findings = _of_host(settings)
    try:
        db = Database(settings, create=False)
        box = SecretBox(settings.secrets(create=False))
    except NoDatabase as error:
        return [*findings, database_checks.unknown_database(str(error))]
    except SettingsError as error:
        return [*findings, database_checks.no_secret_key(error.mistakes)]
    try:
        findings += await _done([("database", lambda: database_checks.database(db))])
        if findings[-1].state != "bad":
            findings += await _of_database(settings, db, box)
    finally:
        await db.close()
    return findings


async def readiness(services: ReadinessServices) -> list[Finding]:
    """Check what takes little time, and return the most urgent findings first.

    Left out are the checks that read whole tables: the audit log, the pages of SQLite, changes of subjects.
    """
    settings, db = services.settings, services.db
    checks = [check for check in _of_content(settings, db, services.box, services.registry) if check[0] not in _LONG]
    findings = [*_of_host(settings), host_checks.mail(settings), *await _done(checks)]
    return worst_first(findings)


_LONG = ("audit", "subjects", "deliveries", "standby", "messages")


def _of_host(settings: Settings) -> list[Finding]:
    findings = [host_checks.address_of_provider(settings), host_checks.secret_key(settings), host_checks.disk(settings)]
    if settings.country_database is not None:
        findings.append(host_checks.countries(settings))
    return findings


async def _of_database(settings: Settings, db: Database, box: SecretBox) -> list[Finding]:
    """Check the schema and, where it is current, what is in the database."""
    from sso.clients.registry import Registry
    from sso.platform.db import read_versions
    from sso.platform.stored_settings import stored_values

    findings = await _done([("clock", lambda: database_checks.host_clock(db))])
    findings += await _done([("schema", lambda: database_checks.schema(db))])
    if findings[-1].state == "bad":
        return findings
    registry = Registry()
    async with db.read() as session:
        mistakes = settings.adopt(await stored_values(session))
        await registry.load(session, await read_versions(session))
    if mistakes:
        findings.append(host_checks.stored_settings(mistakes))
    findings.append(host_checks.mail(settings))
    return findings + await _done(_of_content(settings, db, box, registry))


def _of_content(settings: Settings, db: Database, box: SecretBox, registry: Registry) -> list[Check]:
    """Return the checks of what is in the database, in this order, by their names."""

    async def at_once(check: Callable[[Registry], Finding]) -> Finding:
        return check(registry)

    return [
        ("standby", lambda: database_checks.standby(db)),
        ("keys", lambda: content_checks.keys(settings, db, box)),
        ("applications", lambda: at_once(content_checks.applications)),
        ("logout", lambda: at_once(content_checks.logout)),
        ("privileges", lambda: at_once(content_checks.privileges)),
        ("subjects", lambda: content_checks.subjects(settings, db, registry)),
        ("unit codes", lambda: content_checks.unit_codes(db, registry)),
        ("people", lambda: content_checks.people(settings, db)),
        ("deliveries", lambda: content_checks.deliveries(db)),
        ("receivers", lambda: content_checks.receivers(db)),
        ("messages", lambda: message_checks.messages(settings, db)),
        ("limits", lambda: content_checks.limits(settings, db)),
        ("webhooks", lambda: content_checks.webhooks(db)),
        ("jobs", lambda: content_checks.jobs(db)),
        ("backups", lambda: content_checks.backups(db)),
        ("audit", lambda: content_checks.audit(db, box)),
    ]


async def _done(checks: list[Check]) -> list[Finding]:
    """Do checks, and return what they found."""
    findings = []
    for about, check in checks:
        try:
            findings.append(await check())
        except Exception as error:
            findings.append(database_checks.failed(about, error))
    return findings
