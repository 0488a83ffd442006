"""Bringing the database to what a catalogue says: plan, show, apply all or nothing."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

from sqlalchemy.ext.asyncio import AsyncSession

from sso import clock
from sso.clients import store
from sso.clients.catalogue import Catalogue
from sso.clients.mistakes import scope_warnings
from sso.clients.models import BLOCKED, REMOVED, ClientPrivilege
from sso.clients.privileges import ALONE_GRANT_TYPES, end_all, end_grant, grant_rows, held_by
from sso.clients.registry import stored_metadata
from sso.clients.secrets import ClientError
from sso.clients.sectors import SubjectChange, check_kept_sector, subject_basis, subject_change
from sso.errors import Refusal
from sso.platform.audit import record
from sso.platform.db import bump_version
from sso.platform.permissions import needs_a_word, restricted

Action = Literal["create", "update", "resume", "suspend", "delete"]
PrivilegeAction = Literal["grant", "revoke", "kept"]


class CatalogueConflict(Refusal):
    """Applications in the file belong to another catalogue."""


@dataclass(frozen=True, slots=True)
class Change:
    """One application that will change. ``fields`` maps each differing field to its old and new value."""

    action: Action
    client_id: str
    fields: dict[str, tuple[Any, Any]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class PrivilegeChange:
    """A privilege that will be granted or revoked. ``kept``: the file names it and somebody revoked it, so it stays
    revoked. ``without_person``: it is granted for tokens without a person too."""

    action: PrivilegeAction
    client_id: str
    privilege: str
    without_person: bool = False


@dataclass(frozen=True, slots=True)
class Plan:
    """Every change, and how many applications stay as they are. ``again``: those that had been removed.
    ``privileges``: what is granted and revoked with it: that the file names them is the act of granting. ``subjects``:
    the applications of which every ``sub`` changes."""

    catalogue: Catalogue
    changes: list[Change]
    unchanged: int
    again: frozenset[str] = frozenset()
    privileges: list[PrivilegeChange] = field(default_factory=list)
    subjects: list[SubjectChange] = field(default_factory=list)

    @property
    def warnings(self) -> list[str]:
        """What is probably not meant, but can be registered."""
        return [
            f"{client_id}: {text}"
            for client_id, metadata in self.catalogue.applications.items()
            for text in scope_warnings(metadata.scope)
        ]

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to do."""
        return not self.changes and all(one.action == "kept" for one in self.privileges)

    def counted(self) -> dict[str, int]:
        """Return how many changes there are of each kind."""
        counts = {"create": 0, "update": 0, "resume": 0, "suspend": 0, "delete": 0}
        for change in self.changes:
            counts[change.action] += 1
        return {**counts, "unchanged": self.unchanged}


async def make_plan(session: AsyncSession, catalogue: Catalogue, *, delete: bool = False) -> Plan:
    """Compare a catalogue with the database.

    Args:
        session: a reading session, or the transaction that will apply the plan.
        catalogue: what the file says.
        delete: delete applications that vanished from the file instead of suspending them.

    Raises:
        CatalogueConflict: when the file names an application of another catalogue.
    """
    known = await store.all_clients(session)
    present = {name: one for name, one in known.items() if one[1] != REMOVED}
    foreign = [
        f"{client_id} belongs to the catalogue {present[client_id][0]!r}"
        for client_id in catalogue.applications
        if client_id in present and present[client_id][0] != catalogue.name
    ]
    new = [name for name in catalogue.applications if name not in present]
    begun = await store.begun_ids(session, new)
    foreign += [f"{name} is being registered in the portal" for name in new if name in begun]
    if foreign:
        raise CatalogueConflict("; ".join(foreign))
    _check_kept_sectors(catalogue, present)
    changes: list[Change] = []
    subjects: list[SubjectChange] = []
    for client_id, metadata in catalogue.applications.items():
        wanted = metadata.stored()
        if client_id not in present:
            holds = {name: value for name, value in metadata.effective().items() if value not in (None, [], {})}
            changes.append(Change("create", client_id, {name: (None, value) for name, value in holds.items()}))
            continue
        _, status, stored = present[client_id]
        differing = _difference(stored, wanted)
        if differing:
            changed = subject_change(client_id, stored_metadata(stored), metadata)
            subjects += [changed] if changed is not None else []
        if status not in ("active", BLOCKED):
            changes.append(Change("resume", client_id, differing))
        elif differing:
            changes.append(Change("update", client_id, differing))
    for client_id, (owner, status, _) in present.items():
        if owner == catalogue.name and client_id not in catalogue.applications and (delete or status == "active"):
            changes.append(Change("delete" if delete else "suspend", client_id))
    kept = sum(1 for change in changes if change.action in ("create", "update", "resume"))
    again = frozenset(name for name in catalogue.applications if name in known and name not in present)
    privileges = await _privileges(session, catalogue, {name: one[2] for name, one in present.items()})
    return Plan(catalogue, changes, len(catalogue.applications) - kept, again, privileges, subjects)


def _check_kept_sectors(catalogue: Catalogue, present: dict[str, tuple[str, str, dict[str, Any]]]) -> None:
    """Check the sectors that the file keeps: an application keeps its own; a new one, such as after a restore from the
    file alone, keeps one that is nobody else's.

    Raises:
        CatalogueConflict: naming each application that keeps another's sector.
    """
    keeping = {name: one for name, one in catalogue.applications.items() if one.kept_sector}
    wrong = []
    for client_id, metadata in keeping.items():
        if client_id in present:
            try:
                check_kept_sector(stored_metadata(present[client_id][2]), metadata)
            except ClientError as error:
                wrong.append(f"{client_id}: {error}")
            continue
        for other, (_, _, stored) in present.items():
            if metadata.kept_sector == subject_basis(stored_metadata(stored)):
                wrong.append(f"{client_id}: kept_sector: {metadata.kept_sector} is the sector of {other}")
                break
    if wrong:
        raise CatalogueConflict("; ".join(wrong))


async def _privileges(
    session: AsyncSession, catalogue: Catalogue, present: dict[str, dict[str, Any]]
) -> list[PrivilegeChange]:
    """Return which privileges are granted, because the file names them, and revoked, because it does so no more."""
    latest: dict[tuple[str, str], ClientPrivilege] = {}
    for one in await store.privileges_of_catalogue(session, catalogue.name):  # oldest first
        latest[one.client_id, one.privilege] = one
    found: list[PrivilegeChange] = []
    for client_id, metadata in catalogue.applications.items():
        wanted = restricted(metadata.scope.split())
        alone = set(metadata.grant_types) <= ALONE_GRANT_TYPES
        for name in wanted:
            before = latest.get((client_id, name))
            if before is None or (before.revoked_at is not None and not before.stays_revoked):
                found.append(PrivilegeChange("grant", client_id, name, alone and needs_a_word(name)))
            elif before.revoked_at is not None:
                found.append(PrivilegeChange("kept", client_id, name))
        had = restricted(str(present.get(client_id, {}).get("scope") or "").split())
        for name in had:
            before = latest.get((client_id, name))
            if name not in wanted and before is not None and before.revoked_at is None:
                found.append(PrivilegeChange("revoke", client_id, name))
    return found


async def apply_plan(session: AsyncSession, plan: Plan, *, actor: str = "cli") -> None:
    """Carry out a plan within the transaction of ``session``: all of it, or nothing. Secrets are never touched."""
    if plan.is_empty:
        return
    now = clock.now()
    await store.lock_clients(session, [change.client_id for change in plan.changes])
    deleted = [change.client_id for change in plan.changes if change.action == "delete"]
    if deleted:
        await store.remove_clients(session, deleted, now)
    version = await bump_version(session, "clients")
    created = []
    for change in plan.changes:
        if change.action in ("update", "resume"):
            metadata = plan.catalogue.applications[change.client_id].stored()
            status = {"status": "active"} if change.action == "resume" else {}
            await store.update_client(session, change.client_id, version, now, metadata_=metadata, **status)
        elif change.action == "suspend":
            await store.update_client(session, change.client_id, version, now, status="suspended")
        elif change.client_id in plan.again:
            metadata = plan.catalogue.applications[change.client_id].stored()
            values = {"status": "active", "metadata_": metadata, "catalogue": plan.catalogue.name}
            await store.update_client(session, change.client_id, version, now, **values)
        elif change.action == "create":
            created.append(
                {
                    "client_id": change.client_id,
                    "catalogue": plan.catalogue.name,
                    "status": "active",
                    "metadata": plan.catalogue.applications[change.client_id].stored(),
                    "version": version,
                    "created_at": now,
                    "updated_at": now,
                }
            )
    await store.insert_clients(session, created)
    for client_id in deleted:
        await end_all(session, client_id, actor=_name(plan), reason="the application was removed")
    await _apply_privileges(session, plan, version)
    record(
        session,
        "clients.applied",
        actor=actor,
        subject=plan.catalogue.name,
        data={"counts": plan.counted(), "changed": [f"{c.action} {c.client_id}" for c in plan.changes[:1000]]},
    )


async def _apply_privileges(session: AsyncSession, plan: Plan, version: int) -> None:
    for one in plan.privileges:
        if one.action == "grant":
            reason, alone = "named by the catalogue", one.without_person
            grant_rows(session, one.client_id, [one.privilege], actor=_name(plan), reason=reason, without_person=alone)
        elif one.action == "revoke":
            held = await held_by(session, one.client_id)
            reason = "not named by the catalogue any more"
            end_grant(session, held[one.privilege], actor=_name(plan), reason=reason, stays=False)
    changed = sorted({one.client_id for one in plan.privileges if one.action != "kept"})
    await store.touch_clients(session, changed, version)
    await session.flush()


def _name(plan: Plan) -> str:
    return f"catalogue {plan.catalogue.name}"


def _difference(old: dict[str, Any], new: dict[str, Any]) -> dict[str, tuple[Any, Any]]:
    if old == new:
        return {}
    # An older release may have written defaults too. What is compared and shown is what holds, written or not.
    before, after = stored_metadata(old).effective(), stored_metadata(new).effective()
    return {name: (before[name], after[name]) for name in after if before[name] != after[name]}
