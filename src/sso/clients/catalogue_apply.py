"""Bringing the database to what a catalogue says: plan, show, apply all or nothing."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

from sqlalchemy.ext.asyncio import AsyncSession

from sso import clock
from sso.clients import store
from sso.clients.catalogue import Catalogue
from sso.clients.metadata import ClientMetadata
from sso.clients.models import BLOCKED, REMOVED, ClientPrivilege
from sso.clients.privileges import ALONE_GRANT_TYPES, end_all, end_grant, grant_rows, held_by
from sso.clients.registry import stored_metadata
from sso.clients.secrets import ClientError
from sso.clients.sectors import SubjectChange, check_kept_sector, subject_basis, subject_change
from sso.clients.store import StoredClient
from sso.clients.validation_errors import scope_warnings
from sso.errors import Refusal
from sso.platform.actor import CLI, Actor
from sso.platform.audit import record_by
from sso.platform.db import bump_version
from sso.platform.permissions import needs_a_word, restricted

Action = Literal["create", "update", "resume", "suspend", "delete"]
PrivilegeAction = Literal["grant", "revoke", "kept"]
FieldChanges = dict[str, tuple[object, object]]
"""The old and the new value of each field that differs, by its name."""


class CatalogueConflict(Refusal):
    """Applications in the file belong to another catalogue."""


@dataclass(frozen=True, slots=True)
class Change:
    """One application that will change."""

    action: Action
    client_id: str
    fields: FieldChanges = field(default_factory=dict)


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
        return not self.changes and all(change.action == "kept" for change in self.privileges)

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
        CatalogueConflict: when the file names an application of another catalogue, or keeps the sector of another.
    """
    known = await store.all_clients(session)
    present = {client_id: client for client_id, client in known.items() if client.status != REMOVED}
    begun = await store.begun_ids(session, [name for name in catalogue.applications if name not in present])
    _check_ownership(catalogue, present, begun)
    _check_kept_sectors(catalogue, present)
    changes = _changes(catalogue, present, delete=delete)
    written = sum(1 for change in changes if change.action in ("create", "update", "resume"))
    return Plan(
        catalogue,
        changes,
        unchanged=len(catalogue.applications) - written,
        again=frozenset(name for name in catalogue.applications if name in known and name not in present),
        privileges=await _privilege_changes(session, catalogue, present),
        subjects=_subject_changes(catalogue, present),
    )


def _check_ownership(catalogue: Catalogue, present: Mapping[str, StoredClient], begun: Collection[str]) -> None:
    """Check that the catalogue names no application that another catalogue, or a team in the portal, manages.

    Raises:
        CatalogueConflict: naming each such application.
    """
    foreign = [
        f"{client_id} belongs to the catalogue {present[client_id].catalogue!r}"
        for client_id in catalogue.applications
        if client_id in present and present[client_id].catalogue != catalogue.name
    ]
    foreign += [f"{name} is being registered in the portal" for name in catalogue.applications if name in begun]
    if foreign:
        raise CatalogueConflict("; ".join(foreign))


def _changes(catalogue: Catalogue, present: Mapping[str, StoredClient], *, delete: bool) -> list[Change]:
    """Return the changes of clients: those that the file names, then those that vanished from it."""
    named = [
        _change_of(client_id, metadata, present.get(client_id))
        for client_id, metadata in catalogue.applications.items()
    ]
    vanished = [
        Change("delete" if delete else "suspend", client_id)
        for client_id, client in present.items()
        if client.catalogue == catalogue.name
        and client_id not in catalogue.applications
        and (delete or client.status == "active")
    ]
    return [*(change for change in named if change is not None), *vanished]


def _change_of(client_id: str, metadata: ClientMetadata, client: StoredClient | None) -> Change | None:
    """Return the change of one client that the file names; None: it stays as it is."""
    if client is None:
        values = {name: value for name, value in metadata.effective().items() if value not in (None, [], {})}
        return Change("create", client_id, {name: (None, value) for name, value in values.items()})
    differing = _difference(client.metadata, metadata)
    if client.status not in ("active", BLOCKED):
        return Change("resume", client_id, differing)
    return Change("update", client_id, differing) if differing else None


def _subject_changes(catalogue: Catalogue, present: Mapping[str, StoredClient]) -> list[SubjectChange]:
    """Return the clients that the file gives other subjects (``sub``)."""
    changes = [
        subject_change(client_id, stored_metadata(present[client_id].metadata), metadata)
        for client_id, metadata in catalogue.applications.items()
        if client_id in present and _difference(present[client_id].metadata, metadata)
    ]
    return [change for change in changes if change is not None]


def _check_kept_sectors(catalogue: Catalogue, present: Mapping[str, StoredClient]) -> None:
    """Check the sectors that the file keeps: an application keeps its own; a new one, such as after a restore from the
    file alone, keeps one that is nobody else's.

    Raises:
        CatalogueConflict: naming each application that keeps another's sector.
    """
    wrong = [
        f"{client_id}: {problem}"
        for client_id, metadata in catalogue.applications.items()
        if metadata.kept_sector and (problem := _kept_sector_problem(client_id, metadata, present))
    ]
    if wrong:
        raise CatalogueConflict("; ".join(wrong))


def _kept_sector_problem(client_id: str, metadata: ClientMetadata, present: Mapping[str, StoredClient]) -> str:
    """Return why a client may not keep its sector; empty: it may."""
    if client_id in present:
        try:
            check_kept_sector(stored_metadata(present[client_id].metadata), metadata)
        except ClientError as error:
            return str(error)
        return ""
    for other, client in present.items():
        if metadata.kept_sector == subject_basis(stored_metadata(client.metadata)):
            return f"kept_sector: {metadata.kept_sector} is the sector of {other}"
    return ""


async def _privilege_changes(
    session: AsyncSession, catalogue: Catalogue, present: Mapping[str, StoredClient]
) -> list[PrivilegeChange]:
    """Return the privileges that are granted, because the file names them, or revoked, because it no longer does."""
    latest: dict[str, dict[str, ClientPrivilege]] = {}
    for grant in await store.privileges_of_catalogue(session, catalogue.name):  # oldest first
        latest.setdefault(grant.client_id, {})[grant.privilege] = grant
    changes: list[PrivilegeChange] = []
    for client_id, metadata in catalogue.applications.items():
        grants = latest.get(client_id, {})
        changes += _granted_by_file(client_id, metadata, grants)
        registered = str(present[client_id].metadata.get("scope") or "") if client_id in present else ""
        changes += _revoked_by_file(client_id, metadata, registered, grants)
    return changes


def _granted_by_file(
    client_id: str, metadata: ClientMetadata, grants: Mapping[str, ClientPrivilege]
) -> Iterator[PrivilegeChange]:
    alone = set(metadata.grant_types) <= ALONE_GRANT_TYPES
    for privilege in restricted(metadata.scope.split()):
        grant = grants.get(privilege)
        if grant is None or (grant.revoked_at is not None and not grant.stays_revoked):
            yield PrivilegeChange("grant", client_id, privilege, alone and needs_a_word(privilege))
        elif grant.revoked_at is not None:
            yield PrivilegeChange("kept", client_id, privilege)


def _revoked_by_file(
    client_id: str, metadata: ClientMetadata, registered_scope: str, grants: Mapping[str, ClientPrivilege]
) -> Iterator[PrivilegeChange]:
    named = restricted(metadata.scope.split())
    for privilege in restricted(registered_scope.split()):
        grant = grants.get(privilege)
        if privilege not in named and grant is not None and grant.revoked_at is None:
            yield PrivilegeChange("revoke", client_id, privilege)


async def apply_plan(session: AsyncSession, plan: Plan, *, actor: Actor = CLI) -> None:
    """Carry out a plan within the transaction of ``session``: all of it, or nothing. Secrets are never touched."""
    if plan.is_empty:
        return
    now = clock.now()
    await store.lock_clients(session, [change.client_id for change in plan.changes])
    deleted = [change.client_id for change in plan.changes if change.action == "delete"]
    if deleted:
        await store.remove_clients(session, deleted, now)
    version = await bump_version(session, "clients")
    for change in plan.changes:
        if values := _new_values(plan, change):
            await store.update_client(session, change.client_id, version, now, **values)
    created = [
        change.client_id for change in plan.changes if change.action == "create" and change.client_id not in plan.again
    ]
    await store.insert_clients(session, [_new_row(plan.catalogue, name, version, now) for name in created])
    for client_id in deleted:
        await end_all(session, client_id, actor=_acting_catalogue(plan), reason="the application was removed")
    await _apply_privileges(session, plan, version)
    record_by(
        session,
        actor,
        "clients.applied",
        address=actor.stored_ip_address,
        subject=plan.catalogue.name,
        data={"counts": plan.counted(), "changed": [f"{c.action} {c.client_id}" for c in plan.changes[:1000]]},
    )


def _new_values(plan: Plan, change: Change) -> dict[str, object]:
    """Return the columns of a client that is there already, and changes; empty: it is new, or deleted."""
    if change.action == "suspend":
        return {"status": "suspended"}
    if change.action == "delete":
        return {}
    metadata = plan.catalogue.applications[change.client_id].stored()
    if change.action == "create":
        again = change.client_id in plan.again
        return {"status": "active", "metadata_": metadata, "catalogue": plan.catalogue.name} if again else {}
    return {"metadata_": metadata, **({"status": "active"} if change.action == "resume" else {})}


def _new_row(catalogue: Catalogue, client_id: str, version: int, now: datetime) -> dict[str, object]:
    return {
        "client_id": client_id,
        "catalogue": catalogue.name,
        "status": "active",
        "metadata": catalogue.applications[client_id].stored(),
        "version": version,
        "created_at": now,
        "updated_at": now,
    }


async def _apply_privileges(session: AsyncSession, plan: Plan, version: int) -> None:
    actor = _acting_catalogue(plan)
    for change in plan.privileges:
        if change.action == "grant":
            grant_rows(
                session,
                change.client_id,
                [change.privilege],
                actor=actor,
                reason="named by the catalogue",
                without_person=change.without_person,
            )
        elif change.action == "revoke":
            held = await held_by(session, change.client_id)
            reason = "not named by the catalogue any more"
            end_grant(session, held[change.privilege], actor=actor, reason=reason, stays=False)
    changed = sorted({change.client_id for change in plan.privileges if change.action != "kept"})
    await store.touch_clients(session, changed, version)
    await session.flush()


def _acting_catalogue(plan: Plan) -> Actor:
    return Actor(f"catalogue {plan.catalogue.name}")


def _difference(stored: dict[str, object], metadata: ClientMetadata) -> FieldChanges:
    """Return the fields that differ: the value in effect before, and after. An older release may have stored defaults
    too, so values in effect are compared."""
    if stored == metadata.stored():
        return {}
    before, after = stored_metadata(stored).effective(), metadata.effective()
    return {name: (before[name], after[name]) for name in after if before[name] != after[name]}
