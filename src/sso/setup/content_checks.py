"""Checks of what is in the database: keys, applications, administrators, deliveries, jobs, backups, audit log."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

from sso import clock
from sso.clients.registry import Client, Registry
from sso.platform.db import Database
from sso.platform.messages import N_
from sso.platform.security.encryption import SecretBox
from sso.settings import Settings
from sso.setup import store
from sso.setup.findings import Finding, Words, bad, either, good, says, warning

CHANGED_DAYS = 30
"""How long doctor tells of a change of every ``sub`` of an application."""
LATE_JOBS = timedelta(minutes=30)
"""After which time without jobs doctor warns: they are due every five minutes."""
OLD_BACKUP = timedelta(days=2)
COUNTED = {
    "pending": N_("%(count)s waiting"),
    "held": N_("%(count)s held back"),
    "done": N_("%(count)s delivered"),
    "given_up": N_("%(count)s failed"),
    "skipped": N_("%(count)s skipped"),
}
"""What is said of the deliveries of each status."""
NAMED = 5
"""How many applications, receivers or servers a finding names."""


def some(names: Sequence[str]) -> str:
    """Return the first names of a list."""
    return ", ".join(names[:NAMED]) + ("…" if len(names) > NAMED else "")


async def keys(settings: Settings, db: Database, box: SecretBox) -> Finding:
    """Check that the signing keys can be decrypted, and how old they are."""
    from sso.platform.keys import KeyRing

    ring = KeyRing(box, timedelta(0), settings.signing_alg)
    async with db.read() as session:
        await ring.load(session)
        active = await store.active_keys(session)
    if not ring.algs:
        return warning(
            "keys", says("there are none yet; the first start of the server makes them"), command="sso serve"
        )
    text = says("signatures: %(algs)s", algs=", ".join(sorted(ring.algs)))
    interval, now = settings.key_rotation_interval, clock.now()
    ages = [now - since for _, since in active if since is not None]
    if not ages:
        return good("keys", text)
    oldest = says("the oldest key in use is %(days)s days old", days=max(ages).days)
    if interval and max(ages) > 2 * interval:
        late = says("no process has rotated the keys (SSO_KEY_ROTATION_INTERVAL)")
        return warning("keys", text, oldest, late, page="/admin/keys", command="sso keys rotate")
    return good("keys", text, oldest, page="/admin/keys")


def applications(registry: Registry) -> Finding:
    """Check the registered applications: their secrets, scopes and relaxed rules."""
    from sso.clients.profiles import relaxations
    from sso.clients.validation_errors import scope_warnings

    clients = list(registry)
    if not clients:
        text = says("no application is registered")
        return warning("applications", text, page="/admin/setup#applications", command="sso clients apply FILE")
    missing = [
        client.client_id
        for client in clients
        if client.enabled and client.meta.needs_secret and not client.current_secrets()
    ]
    relaxed = [f"{client.client_id} ({', '.join(names)})" for client in clients if (names := relaxations(client.meta))]
    misspelt = [f"{client.client_id}: {text}" for client in clients for text in scope_warnings(client.meta.scope)]
    words = [says("%(count)s are registered", count=len(clients))]
    if missing:
        values = {"count": len(missing), "names": some(missing)}
        words.append(says("%(count)s have no client secret (sso clients secret ID): %(names)s", **values))
    words += [says("%(mistakes)s", mistakes="; ".join(misspelt[:NAMED]))] if misspelt else []
    if relaxed:
        values = {"count": len(relaxed), "names": "; ".join(relaxed[:NAMED])}
        words.append(says("%(count)s have relaxed rules: %(names)s", **values))
    command = f"sso clients secret {missing[0]}" if missing else ""
    is_good = not (missing or relaxed or misspelt)
    return either("applications", is_good, *words, page="/admin/applications", command=command)


def logout(registry: Registry) -> Finding:
    """Check that the applications that users sign in to learn when a session ends."""
    signing_in = [client for client in registry if client.enabled and not client.sandbox and _signs_users_in(client)]
    silent = [
        client.client_id
        for client in signing_in
        if not client.meta.backchannel_logout_uri and not client.meta.frontchannel_logout_uri
    ]
    if not silent:
        return good("logout", says("every application is notified when a session ends"), page="/admin/applications")
    values = {"count": len(silent), "names": some(silent)}
    text = says("%(count)s applications have no logout address, so users stay signed in there: %(names)s", **values)
    return warning("logout", text, page=f"/admin/applications/{silent[0]}/settings")


def _signs_users_in(client: Client) -> bool:
    return client.meta.application_type == "web" and "authorization_code" in client.meta.grant_types


def privileges(registry: Registry) -> Finding:
    """Check which applications have administration permissions or restricted data."""
    from sso.platform.permissions import GIVES_POWER, PERMISSIONS, restricted

    power = {PERMISSIONS[name].scope for name in GIVES_POWER}
    named = [client for client in registry if client.enabled and (client.held or restricted(client.meta.scope.split()))]
    parts: list[Words] = []
    missing: list[str] = []
    for client in sorted(named, key=lambda application: application.client_id):
        mine = restricted(client.scopes)
        alone = set(restricted(client.scopes_alone)) & power
        held = {"application": client.client_id, "scopes": " ".join(mine)}
        if alone:
            parts.append(says("%(application)s (%(scopes)s; without a person too)", **held))
        elif mine:
            parts.append(says("%(application)s (%(scopes)s)", **held))
        missing += [f"{client.client_id} {name}" for name in client.not_granted(client.meta.scope.split())]
    if parts:
        values = {"count": len(parts), "names": parts}
        text = says("applications with administration permissions or restricted data: %(count)s: %(names)s", **values)
    else:
        text = says("no application has administration permissions or restricted data")
    words = [text]
    if missing:
        names = ", ".join(missing)
        words.append(says("registered and not granted (sso clients grant ID SCOPE): %(names)s", names=names))
    command = f"sso clients grant {missing[0]}" if missing else ""
    return either("privileges", not missing, *words, page="/admin/applications", command=command)


async def unit_codes(db: Database, registry: Registry) -> Finding:
    """Check that the units and groups that applications name exist, in their list or in ``allowed_roles``."""
    from sso.clients.access_policy import codes_named
    from sso.identity.groups.tree import unknown_codes

    named = {
        client.client_id: codes_named(client.meta.allowed_roles, client.meta.groups_of_interest)
        for client in registry
        if client.enabled
    }
    async with db.read() as session:
        unknown = await unknown_codes(session, set().union(*named.values()))
    lines = {client_id: ", ".join(sorted(codes & unknown)) for client_id, codes in named.items()}
    wrong = [f"{client_id}: {line}" for client_id, line in sorted(lines.items()) if line]
    if not wrong:
        return good("unit codes", says("every code that applications name is one of a unit or group"))
    text = says("applications name codes of no unit or group: %(names)s", names="; ".join(wrong[:NAMED]))
    return warning("unit codes", text, page="/admin/groups")


async def subjects(settings: Settings, db: Database, registry: Registry) -> Finding:
    """Say which applications keep a sector, and of which every ``sub`` changes when a submitted change is approved."""
    from sso.clients.sectors import subject_basis

    pairwise = [client for client in registry if client.enabled and not client.sandbox and subject_basis(client.meta)]
    with_sector = [f"{client.client_id} ({client.meta.kept_sector})" for client in pairwise if client.meta.kept_sector]
    waiting = await _waiting_changes(settings, db)
    changed = await _changed_subjects(db)
    words = [says("%(count)s applications know users by an identifier of their sector", count=len(pairwise))]
    words += (
        [says("%(count)s keep a sector: %(names)s", count=len(with_sector), names=some(with_sector))]
        if with_sector
        else []
    )
    if changed:
        values = {"days": CHANGED_DAYS, "names": some(changed)}
        words.append(says("every sub changed in the last %(days)s days: %(names)s", **values))
    words += [says("not yet approved: %(change)s", change=change) for change in waiting[:NAMED]]
    return either("subjects", not (waiting or changed), *words, page="/admin/applications")


async def _waiting_changes(settings: Settings, db: Database) -> list[str]:
    """Return the submitted changes that would change every ``sub`` of an application."""
    from sso.portal import applications as apps
    from sso.portal.approval import pending_subject_change

    waiting = []
    async with db.read() as session:
        for application in await apps.page_of_applications(session, states=("submitted", "approved"), limit=1000):
            change = await pending_subject_change(session, application, allow_http_loopback=settings.loopback)
            if change is not None and change.users:
                waiting.append(f"{change.client_id}: {change.text()}; {change.advice('--accept-new-subjects')}")
    return waiting


async def _changed_subjects(db: Database) -> list[str]:
    """Return the applications of which every ``sub`` changed lately."""
    from sso.oidc.subjects import EVENT
    from sso.platform.audit.service import AuditFilter, page_of_events

    since = clock.now() - timedelta(days=CHANGED_DAYS)
    async with db.read() as session:
        return [
            f"{event.client_id} at {event.at:%Y-%m-%d}"
            for event in await page_of_events(session, AuditFilter(type=EVENT, since=since), None, 20)
            if event.data.get("users")
        ]


async def people(settings: Settings, db: Database) -> Finding:
    """Check that there are administrators, more than one, with two-step verification."""
    from sso.identity.users import store as users
    from sso.identity.users.service import ADMIN

    async with db.read() as session:
        administrators = await users.page_of_users(session, None, 2, role=ADMIN, status="active")
    if not administrators:
        return warning("people", says("there is no administrator; make a link with: sso setup"), command="sso setup")
    if len(administrators) == 1:
        text = says("there is one administrator: without this administrator, nobody can administer the provider")
        return warning("people", text, page="/admin/people", command="sso setup")
    if ADMIN not in settings.second_factor_roles:
        text = says("administrators can sign in without two-step verification (SSO_SECOND_FACTOR_ROLES)")
        roles = ",".join([ADMIN, *settings.second_factor_roles])
        return warning("people", text, setting=f"SSO_SECOND_FACTOR_ROLES={roles}")
    return good("people", says("there are several administrators"), page="/admin/people?role=admin")


async def deliveries(db: Database) -> Finding:
    """Count the deliveries by state."""
    from sso.platform.outbox import store as outbox

    async with db.read() as session:
        counts = await outbox.counts(session)
    failed = counts.get("given_up", 0)
    words = [Words(text, {"count": counts[status]}) for status, text in COUNTED.items() if counts.get(status)]
    return either(
        "deliveries",
        not failed,
        *(words or [says("none yet")]),
        page="/admin/deliveries",
        command="sso deliveries list",
    )


async def receivers(db: Database) -> Finding:
    """Name the servers that do not accept deliveries."""
    from sso.platform.outbox import store as outbox

    async with db.read() as session:
        failing = await outbox.failing_receivers(session, NAMED)
    if not failing:
        return good("receivers", says("every receiver accepts its deliveries"), page="/admin/deliveries")
    names = ", ".join(f"{receiver.name} ({receiver.count})" for receiver in failing)
    return warning("receivers", says("deliveries fail: %(names)s", names=names), page="/admin/deliveries")


async def limits(settings: Settings, db: Database) -> Finding:
    """Check that the storage of rate limits answers."""
    from sso.platform.security.rate_limits import storage_for

    url = settings.rate_limit_storage
    kind = url.get_secret_value().partition(":")[0] if url else "memory"
    if kind == "memory":
        return good("limits", says("each process counts for itself; for several hosts set SSO_RATE_LIMIT_STORAGE"))
    if not await storage_for(settings, db).check():
        text = says("%(kind)s does not answer (SSO_RATE_LIMIT_STORAGE)", kind=kind)
        return bad("limits", text, command="redis-cli -h HOST ping")
    return good("limits", says("all processes count together: %(kind)s", kind=kind))


async def webhooks(db: Database) -> Finding:
    """Check which webhooks are off."""
    from sso.platform.outbox.webhooks import all_webhooks

    async with db.read() as session:
        known = await all_webhooks(session)
    off = [webhook.url for webhook in known if not webhook.enabled]
    words = [says("%(count)s are registered", count=len(known))]
    words += [says("disabled, because they answered 410: %(urls)s", urls=some(off))] if off else []
    return either("webhooks", not off, *words, command="sso webhooks list")


async def jobs(db: Database) -> Finding:
    """Check that the background jobs run and succeed."""
    from sso.platform.db import job_runs

    async with db.read() as session:
        runs = {run.name: run for run in await job_runs.runs(session)}
    lease = runs.get(job_runs.JOBS)
    if lease is None:
        text = says("they have not run yet; a server with SSO_RUN_WORKER, or sso worker, runs them")
        return good("jobs", text, command="sso worker")
    time = f"{lease.started_at:%Y-%m-%d %H:%M}"
    words = [says("last started at %(time)s UTC", time=time)]
    if clock.now() - lease.started_at > LATE_JOBS:
        words.append(says("no process runs them; set SSO_RUN_WORKER or start sso worker"))
        return warning("jobs", *words, command="sso worker")
    failed = [says("%(job)s: %(error)s", job=run.name, error=run.error) for run in runs.values() if run.error]
    return either("jobs", not failed, *words, *failed[:3], command="sso worker")


async def backups(db: Database) -> Finding:
    """Check when ``sso backup`` made the last backup."""
    async with db.read() as session:
        last = await store.last_backup(session)
    command = "sso backup DIRECTORY --verify"
    if last is None:
        text = says("no backup was made with sso backup; ignore this if you back up the database in another way")
        return warning("backups", text, command=command)
    time = f"{last:%Y-%m-%d %H:%M}"
    words = says("the last backup was made at %(time)s UTC", time=time)
    return either("backups", clock.now() - last <= OLD_BACKUP, words, command=command)


async def audit(db: Database, box: SecretBox) -> Finding:
    """Verify the whole audit log."""
    from sso.platform.audit import verify

    async with db.read() as session:
        report = await verify(session, box)
    if report.broken_at is not None:
        return bad("audit", says("the chain is broken: %(reason)s", reason=report.reason), command="sso audit verify")
    values = {"count": report.chained, "waiting": report.not_chained}
    return good("audit", says("%(count)s entries are whole; %(waiting)s wait to be chained", **values))
