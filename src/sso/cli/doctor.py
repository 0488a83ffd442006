"""``sso doctor``: what is wrong with this installation, and what to do about it."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Awaitable, Callable
from dataclasses import asdict, dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Literal

from sso import clock
from sso.cli.common import Json, print_json
from sso.errors import Refusal

if TYPE_CHECKING:
    from sso.clients.registry import Registry
    from sso.platform.db import Database
    from sso.platform.db.replication import Guarantee
    from sso.platform.security.encryption import SecretBox
    from sso.settings import Settings

State = Literal["good", "warning", "bad"]
SIGNS: dict[State, str] = {"good": "ok     ", "warning": "warning", "bad": "BAD    "}
MIN_FREE_BYTES = 500 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at."""

    about: str
    state: State
    text: str


def doctor(json: Json = False) -> None:
    """Look at settings, database, keys, applications, people, deliveries, audit log. Exit code 1 when something is bad.

    Changes nothing. Run it after a set-up, an upgrade, or on a restored backup.
    """
    from sso.settings import load_settings

    findings = asyncio.run(examine(load_settings()))
    if json:
        print_json([asdict(finding) for finding in findings])
    else:
        for finding in findings:
            print(f"{SIGNS[finding.state]} {finding.about}: {finding.text}")
    if any(finding.state == "bad" for finding in findings):
        raise SystemExit(1)


async def examine(settings: Settings) -> list[Finding]:
    """Return what was found. What cannot be examined is a finding too."""
    from sso.platform.db import Database
    from sso.platform.db.database import NoDatabase
    from sso.platform.security.encryption import SecretBox
    from sso.settings import SettingsError

    findings = [_settings(settings), _disk(settings)]
    if settings.country_database is not None:
        findings.append(_countries(settings))
    try:
        db = Database(settings, create=False)
        box = SecretBox(settings.secrets(create=False))
    except NoDatabase as error:
        return [*findings, Finding("database", "bad", str(error))]
    except SettingsError as error:
        return [*findings, Finding("secret key", "bad", "; ".join(error.mistakes))]
    try:
        for subject, look in _looks(settings, db, box):
            try:
                findings.append(await look())
            except Exception as error:
                findings.append(Finding(subject, "bad", f"{type(error).__name__}: {str(error).splitlines()[0]}"))
                if subject in ("database", "schema"):
                    break
    finally:
        await db.close()
    return findings


def _looks(settings: Settings, db: Database, box: SecretBox) -> list[tuple[str, Callable[[], Awaitable[Finding]]]]:
    """Return what is examined, in this order, by its name. The applications are read before what needs them."""
    from sso.clients.registry import Registry

    registry = Registry()
    return [
        ("database", lambda: _database(db)),
        ("clock", lambda: _clock(db)),
        ("standby", lambda: _standby(db)),
        ("schema", lambda: _schema(db)),
        ("keys", lambda: _keys(settings, db, box)),
        ("applications", lambda: _applications(db, registry)),
        ("privileges", lambda: _privileges(registry)),
        ("subjects", lambda: _subjects(settings, db, registry)),
        ("people", lambda: _people(db)),
        ("deliveries", lambda: _deliveries(db)),
        ("mail", lambda: _mail(settings)),
        ("messages", lambda: _messages(settings, db)),
        ("limits", lambda: _limits(settings, db)),
        ("webhooks", lambda: _webhooks(db)),
        ("jobs", lambda: _jobs(db)),
        ("audit", lambda: _audit(db, box)),
    ]


def _settings(settings: Settings) -> Finding:
    if settings.loopback:
        return Finding("settings", "warning", f"{settings.issuer} is reached from this machine only: a trial")
    if settings.client_registration == "open":
        return Finding(
            "settings", "warning", "SSO_CLIENT_REGISTRATION=open: everybody can register applications; a test system?"
        )
    if not settings.trusted_proxies:
        return Finding("settings", "warning", "SSO_TRUSTED_PROXIES is empty: behind a proxy everybody has its address")
    return Finding("settings", "good", f"issuer {settings.issuer}")


def _countries(settings: Settings) -> Finding:
    from sso.platform.security.geoip import Countries

    try:
        Countries(settings)
    except Refusal as error:
        return Finding("countries", "bad", "; ".join(error.mistakes))
    return Finding("countries", "good", f"read from {settings.country_database}")


def _disk(settings: Settings) -> Finding:
    place = settings.data_dir if settings.data_dir.exists() else settings.data_dir.absolute().parent
    free = shutil.disk_usage(place).free if place.exists() else 0
    state: State = "good" if free > MIN_FREE_BYTES else "bad"
    return Finding("disk", state, f"{free // 1024 // 1024} MB free at {place}")


async def _database(db: Database) -> Finding:
    from sqlalchemy import text as sql

    async with db.write() as session:
        if db.is_sqlite:
            whole = (await session.execute(sql("PRAGMA quick_check"))).scalar_one()
            broken = (await session.execute(sql("PRAGMA foreign_key_check"))).all()
            state: State = "good" if whole == "ok" and not broken else "bad"
            return Finding("database", state, f"SQLite {db.url.database}: {whole}")
        version = (await session.execute(sql("SHOW server_version"))).scalar_one()
        standby = (await session.execute(sql("SELECT pg_is_in_recovery()"))).scalar_one()
        return Finding("database", "bad" if standby else "good", f"PostgreSQL {version}{' (read-only)' * standby}")


GUARANTEES: dict[Guarantee, str] = {
    "none": "a commit waits for nothing (synchronous_commit = off): a crash of the database loses the newest changes",
    "disk": "a commit waits for the disk of the primary only: a fail-over can lose the newest changes",
    "standby_memory": "a commit waits until a standby has received it (remote_write)",
    "standby_disk": "a commit waits until a standby has stored it: a fail-over to that standby loses nothing",
    "standby_visible": "a commit waits until a standby has replayed it: a fail-over to that standby loses nothing",
}


async def _standby(db: Database) -> Finding:
    from sso.platform.db.replication import read_replication

    replication = await read_replication(db)
    if replication is None:
        return Finding("standby", "good", "none: SQLite")
    parts = [GUARANTEES[replication.guarantee]]
    for standby in replication.standbys:
        lag = f"{standby.lag_bytes} bytes behind" if standby.lag_bytes is not None else "lag not shown"
        seconds = f", {standby.lag_seconds:.1f} seconds" if standby.lag_seconds else ""
        parts.append(f"{standby.name} ({standby.state}, {standby.sync_state}): {lag}{seconds}")
    if replication.hidden:
        parts.append("the database shows the lag to nobody but pg_monitor: GRANT pg_monitor TO the role of sso")
    if replication.waits_for_nobody:
        text = "no standby is connected: each write waits for one, and is answered with 503. Start a standby, or let"
        return Finding("standby", "bad", f"{text} PostgreSQL wait for none (synchronous_standby_names = '')")
    if not replication.standbys:
        parts.insert(0, "no standby is connected")
    late = any((standby.lag_seconds or 0.0) > LATE_STANDBY_SECONDS for standby in replication.standbys)
    risky = replication.guarantee == "none" or bool(replication.standbys and not replication.commits_wait)
    return Finding("standby", "warning" if late or risky or replication.hidden else "good", "; ".join(parts))


LATE_STANDBY_SECONDS = 5.0
"""How many seconds a standby may be behind before doctor warns."""


async def _clock(db: Database) -> Finding:
    from sso.platform.db.database_clock import DatabaseClock

    difference = await DatabaseClock(db).compare()
    if difference is None:
        return Finding("clock", "good", "the clock of this host is the clock of SQLite")
    text = f"this host is {abs(difference):.1f} seconds {'ahead of' if difference > 0 else 'behind'} the database"
    if clock.is_wrong():
        return Finding("clock", "bad", f"{text}: it is not ready and runs no jobs; set the clocks (NTP)")
    return Finding("clock", "good", text)


async def _schema(db: Database) -> Finding:
    from sso.platform.db.migrate import current_revision, head_revision

    current, head = await current_revision(db), head_revision()
    if current == head:
        return Finding("schema", "good", str(current))
    if current is None:
        raise RuntimeError("the database is empty; run: sso db upgrade")
    return Finding("schema", "bad", f"{current}, this release needs {head}; run: sso db upgrade")


async def _keys(settings: Settings, db: Database, box: SecretBox) -> Finding:
    from sso.platform.keys import KeyRing

    keys = KeyRing(box, timedelta(0), settings.signing_alg)
    async with db.read() as session:
        await keys.load(session)
    if not keys.algs:
        return Finding("keys", "warning", "none yet; they are made at the first start")
    return Finding("keys", "good", f"can sign {', '.join(sorted(keys.algs))}")


async def _applications(db: Database, registry: Registry) -> Finding:
    from sso.clients.profiles import relaxations
    from sso.clients.validation_errors import scope_warnings
    from sso.platform.db import read_versions

    async with db.read() as session:
        await registry.load(session, await read_versions(session))
    clients = list(registry)
    missing = [
        client.client_id
        for client in clients
        if client.enabled and client.meta.needs_secret and not client.current_secrets()
    ]
    relaxed = [f"{client.client_id} ({', '.join(names)})" for client in clients if (names := relaxations(client.meta))]
    parts = [f"{len(clients)} registered"]
    if missing:
        more = "..." if len(missing) > 3 else ""
        parts.append(f"{len(missing)} have no secret yet (sso clients secret ID): {', '.join(missing[:3])}{more}")
    misspelt = [f"{client.client_id}: {text}" for client in clients for text in scope_warnings(client.meta.scope)]
    if misspelt:
        parts.append("; ".join(misspelt[:5]))
    if relaxed:
        parts.append(f"{len(relaxed)} with relaxed rules: {'; '.join(relaxed[:5])}")
    return Finding(
        "applications", "warning" if missing or relaxed or misspelt or not clients else "good", "; ".join(parts)
    )


async def _subjects(settings: Settings, db: Database, registry: Registry) -> Finding:
    """Say which applications keep a sector, and of which every ``sub`` changes when a submitted change is approved."""
    from sso.clients.sectors import subject_basis
    from sso.oidc.subjects import EVENT
    from sso.platform.audit.service import AuditFilter, page_of_events
    from sso.portal import applications as apps
    from sso.portal.approval import pending_subject_change

    pairwise = [client for client in registry if client.enabled and not client.sandbox and subject_basis(client.meta)]
    kept = [f"{client.client_id} ({client.meta.kept_sector})" for client in pairwise if client.meta.kept_sector]
    loopback, waiting = settings.loopback, []
    async with db.read() as session:
        for application in await apps.page_of_applications(session, states=("submitted", "approved"), limit=1000):
            change = await pending_subject_change(session, application, allow_http_loopback=loopback)
            if change is not None and change.users:
                waiting.append(f"{change.client_id}: {change.text()}; {change.advice('--accept-new-subjects')}")
        since = clock.now() - timedelta(days=CHANGED_DAYS)
        wanted_events = AuditFilter(type=EVENT, since=since)
        changed = [
            f"{event.client_id} at {event.at:%Y-%m-%d}"
            for event in await page_of_events(session, wanted_events, None, 20)
            if event.data.get("users")
        ]
    parts = [f"{len(pairwise)} applications know people by a sub of their sector"]
    parts += [f"{len(kept)} keep a sector: {', '.join(kept[:5])}"] if kept else []
    parts += [f"every sub changed in the last {CHANGED_DAYS} days: {', '.join(changed[:5])}"] if changed else []
    parts += [f"not yet approved: {name}" for name in waiting[:5]]
    return Finding("subjects", "warning" if waiting or changed else "good", "; ".join(parts))


CHANGED_DAYS = 30
"""How long doctor tells of a change of every ``sub`` of an application."""


async def _privileges(registry: Registry) -> Finding:
    from sso.platform.permissions import GIVES_POWER, PERMISSIONS, restricted

    power = {PERMISSIONS[name].scope for name in GIVES_POWER}
    named = [client for client in registry if client.enabled and (client.held or restricted(client.meta.scope.split()))]
    parts, missing = [], []
    for client in sorted(named, key=lambda application: application.client_id):
        mine = restricted(client.scopes)
        alone = " without a person too" if set(restricted(client.scopes_alone)) & power else ""
        parts += [f"{client.client_id} ({' '.join(mine)}{';' + alone if alone else ''})"] if mine else []
        missing += [f"{client.client_id} {name}" for name in client.not_granted(client.meta.scope.split())]
    text = f"{len(parts)} applications with administration permissions or restricted data"
    text += f": {'; '.join(parts)}" if parts else ""
    if missing:
        text += f"; registered and not granted (sso clients grant ID SCOPE): {', '.join(missing)}"
    return Finding("privileges", "warning" if missing else "good", text)


async def _people(db: Database) -> Finding:
    from sso.identity.users import store as users
    from sso.identity.users.service import ADMIN

    async with db.read() as session:
        administrators = await users.page_of_users(session, None, 2, role=ADMIN, status="active")
    if not administrators:
        return Finding("people", "warning", "nobody is an administrator: sso users create NAME --role admin")
    advice = (
        "one administrator: if they leave there is nobody" if len(administrators) == 1 else "several administrators"
    )
    return Finding("people", "good", advice)


async def _mail(settings: Settings) -> Finding:
    if settings.development_outbox:
        return Finding("mail", "warning", "SSO_DEVELOPMENT_OUTBOX: mails and SMS are kept and shown to everyone")
    if settings.smtp_url is None:
        rest = "SMS goes out" if settings.sms_url else "nobody registers or recovers an account by themselves"
        return Finding("mail", "good", f"no server (SSO_SMTP_URL): people get no mail; {rest}")
    return Finding("mail", "good", "a server is set; try it: sso mail test ADDRESS")


async def _messages(settings: Settings, db: Database) -> Finding:
    from sso.platform.security.message_limits import MessageBudgets
    from sso.platform.security.rate_limits import Counts, DatabaseStorage

    channels = settings.phone_channels
    if not channels:
        return Finding("messages", "good", "neither SMS (SSO_SMS_URL) nor WhatsApp is set up")
    parts = [f"by {' and '.join(channels)}; try it: sso messages test NUMBER --channel {channels[0]}"]
    if "whatsapp" in channels and not settings.development_outbox:
        problem, state = await _whatsapp(settings)
        if problem:
            return Finding("messages", "bad", problem)
        parts.append(state)
        if "sms" not in channels:
            parts.append("there is no SMS for what WhatsApp cannot deliver")
    uses = await MessageBudgets(settings, Counts(DatabaseStorage(db))).uses()
    parts += [f"{use.budget.name}: {use.used} of {use.budget.maximum} today" for use in uses]
    is_full = any(use.percent >= settings.phone_budget_alarm for use in uses)
    return Finding("messages", "warning" if is_full else "good", "; ".join(parts))


async def _whatsapp(settings: Settings) -> tuple[str, str]:
    """Ask WhatsApp for the sender; return what is wrong, and otherwise how the sender is."""
    from sso.platform.outbox import Abandon
    from sso.platform.outbox.whatsapp import WhatsApp
    from sso.platform.security.outbound_http import Outbound

    outbound = Outbound(settings)
    try:
        return "", f"WhatsApp: {await WhatsApp(settings, outbound).check()}"
    except Abandon as error:
        return f"{error}: see docs/operations.md, WhatsApp and SMS", ""
    except Exception as error:
        return f"WhatsApp does not answer: {type(error).__name__}: {error}", ""
    finally:
        await outbound.close()


async def _limits(settings: Settings, db: Database) -> Finding:
    from sso.platform.security.rate_limits import storage_for

    url = settings.rate_limit_storage
    kind = url.get_secret_value().partition(":")[0] if url else "memory"
    if kind == "memory":
        return Finding("limits", "good", "counted in each process; for several set SSO_RATE_LIMIT_STORAGE")
    storage = storage_for(settings, db)
    if not await storage.check():
        return Finding("limits", "bad", f"{kind} does not answer (SSO_RATE_LIMIT_STORAGE)")
    return Finding("limits", "good", f"counted together: {kind}")


async def _webhooks(db: Database) -> Finding:
    from sso.platform.outbox.webhooks import all_webhooks

    async with db.read() as session:
        webhooks = await all_webhooks(session)
    off = [webhook.url for webhook in webhooks if not webhook.enabled]
    text = f"{len(webhooks)}" + (f"; switched off, because they answered 410: {', '.join(off[:3])}" if off else "")
    return Finding("webhooks", "warning" if off else "good", text)


async def _deliveries(db: Database) -> Finding:
    from sso.platform.outbox import store as deliveries

    async with db.read() as session:
        counts = await deliveries.counts(session)
    given_up = counts.get("given_up", 0)
    text = ", ".join(f"{count} {status}" for status, count in sorted(counts.items())) or "none"
    return Finding("deliveries", "warning" if given_up else "good", text)


async def _jobs(db: Database) -> Finding:
    from sso.platform.db import job_runs

    async with db.read() as session:
        runs = {run.name: run for run in await job_runs.runs(session)}
    lease = runs.get(job_runs.JOBS)
    if lease is None:
        return Finding("jobs", "good", "not run yet; a server with SSO_RUN_WORKER, or sso worker, runs them")
    last_run = f"last started at {lease.started_at:%Y-%m-%d %H:%M} UTC"
    failed = [f"{run.name}: {run.error}" for run in runs.values() if run.error]
    if clock.now() - lease.started_at > LATE_JOBS:
        return Finding("jobs", "warning", f"{last_run}: no process runs them; set SSO_RUN_WORKER or start sso worker")
    return Finding("jobs", "warning" if failed else "good", "; ".join([last_run, *failed[:3]]))


LATE_JOBS = timedelta(minutes=30)
"""After which time without jobs doctor warns: they are due every five minutes."""


async def _audit(db: Database, box: SecretBox) -> Finding:
    from sso.platform.audit import verify

    async with db.read() as session:
        report = await verify(session, box)
    if report.broken_at is not None:
        return Finding("audit", "bad", f"the chain is broken: {report.reason}")
    return Finding("audit", "good", f"{report.chained} entries, whole; {report.not_chained} waiting to be chained")
