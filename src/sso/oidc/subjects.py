"""Changes of an application that would give every one of its users a new ``sub``: found, counted, and refused until
somebody accepts them by naming the application. What changes a ``sub`` is in ``clients/sectors.py``."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace

from sqlalchemy import func, select, union
from sqlalchemy.ext.asyncio import AsyncSession

from sso.clients import store
from sso.clients.metadata import ClientMetadata
from sso.clients.models import REMOVED, SANDBOX_END
from sso.clients.registry import stored_metadata
from sso.clients.secrets import ClientError
from sso.clients.sectors import SubjectChange, SubjectsWouldChange, check_kept_sector, subject_basis, subject_change
from sso.identity.sessions.models import SessionClient, SsoSession
from sso.oidc.store.models import Consent, Grant
from sso.platform.actor import Actor
from sso.platform.audit import record_by

ACCEPT = "accept_new_subjects:"
"""How a program accepts the change, followed by the client_id."""


async def count_users(session: AsyncSession, client_id: str) -> int:
    """Return how many people an application knows: who allowed it something, was granted something, or used it in a
    session that is kept."""
    used = select(SsoSession.user_id).join(SessionClient, SessionClient.session_id == SsoSession.id)
    people = union(
        select(Consent.user_id).where(Consent.client_id == client_id),
        select(Grant.user_id).where(Grant.client_id == client_id),
        used.where(SessionClient.client_id == client_id),
    ).subquery()
    return int((await session.execute(select(func.count()).select_from(people))).scalar_one())


async def counted(session: AsyncSession, changes: Sequence[SubjectChange]) -> list[SubjectChange]:
    """Return changes with the number of people that each affects."""
    return [replace(change, users=await count_users(session, change.client_id)) for change in changes]


async def change_of(
    session: AsyncSession, client_id: str, before: ClientMetadata | None, after: ClientMetadata
) -> SubjectChange | None:
    """Return the change of every ``sub`` that a change of an application brings, with how many people it affects."""
    change = subject_change(client_id, before, after) if before is not None else None
    return (await counted(session, [change]))[0] if change is not None else None


async def check_kept(
    session: AsyncSession, client_id: str, before: ClientMetadata | None, after: ClientMetadata
) -> None:
    """Check that a sector that an application begins to keep is its own, and no other application's: a redirect URI on
    the host of another one is no proof that the sector may be used elsewhere.

    Args:
        session: the transaction.
        client_id: the application.
        before: what is registered; None: it is new.
        after: what is to be registered.

    Raises:
        ClientError: when it is another application's.
    """
    check_kept_sector(before, after)
    sector = after.kept_sector
    if sector is None or (before is not None and before.kept_sector == sector):
        return
    for other, (_, status, stored) in (await store.all_clients(session)).items():
        own = other in (client_id, client_id + SANDBOX_END)
        if not own and status != REMOVED and subject_basis(stored_metadata(stored)) == sector:
            raise ClientError(
                f"kept_sector: {sector} is the sector of {other} too: register a sector_identifier_uri on the host "
                f"{sector}"
            )


async def check_subjects(
    session: AsyncSession,
    client_id: str,
    before: ClientMetadata | None,
    after: ClientMetadata,
    *,
    accepted: str,
    actor: Actor,
    accept: str = ACCEPT,
) -> None:
    """Refuse a change of an application that gives its users a new ``sub``, unless it was accepted.

    Args:
        session: the transaction.
        client_id: the application.
        before: what is registered; None: it is new.
        after: what is to be registered.
        accepted: the client_id, where somebody accepts the change.
        actor: who changes it.
        accept: how the change is accepted there, for the message.

    Raises:
        SubjectsWouldChange: when people are affected and nobody has accepted it.
        ClientError: when it would take over another application's sector.
    """
    await check_kept(session, client_id, before, after)
    change = await change_of(session, client_id, before, after)
    if change is not None:
        require_acceptance(session, [change], {accepted}, actor=actor, accept=accept)


def require_acceptance(
    session: AsyncSession,
    changes: Sequence[SubjectChange],
    accepted: Collection[str],
    *,
    actor: Actor,
    accept: str,
) -> None:
    """Refuse changes that affect people and were not accepted; write those that happen into the audit log.

    Raises:
        SubjectsWouldChange: naming each of them.
    """
    refused = [change for change in changes if change.users and change.client_id not in accepted]
    if refused:
        raise SubjectsWouldChange(refused, accept)
    for change in changes:
        data = {"before": change.before or "public", "after": change.after or "public", "users": change.users}
        record_by(session, actor, EVENT, address=actor.stored_ip_address, client_id=change.client_id, data=data)


EVENT = "client.subjects_changed"
