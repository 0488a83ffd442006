"""Privileges of applications: the scopes of permissions (``sso:...``) and of restricted data, granted one by one.

An application has a privilege where its scope is registered and granted, and where it is a production application of
the city (``first_party``). Who takes hold of an application, by a change, a secret, a key or a place in its team, gets
at what it may do: so they must have all of it themselves. Every such path calls :func:`check_hold`, or
:func:`check_registration`, which calls it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import TypedDict

from sqlalchemy.ext.asyncio import AsyncSession

from sso import clock
from sso.clients import store
from sso.clients.attributes import check_mappers
from sso.clients.claims import allowed_by
from sso.clients.claims import permissions as data_of
from sso.clients.metadata import ClientMetadata
from sso.clients.models import REMOVED, SANDBOX, ClientPrivilege, ClientRow
from sso.clients.profiles import relaxations
from sso.errors import Refusal
from sso.platform.actor import Actor
from sso.platform.audit import record_by
from sso.platform.db import bump_version, new_id
from sso.platform.permissions import (
    GRANTING,
    PERMISSIONS,
    RESTRICTED_SCOPES,
    is_restricted,
    lacking,
    needs_a_word,
    restricted,
    usable_alone,
    yields,
)

ALONE_GRANT_TYPES = frozenset({"client_credentials", "urn:ietf:params:oauth:grant-type:jwt-bearer"})
"""Grant types whose tokens come without anybody signing in."""
MAX_REASON_CHARS = 500
PRIVILEGES = (*(permission.scope for permission in PERMISSIONS.values()), *RESTRICTED_SCOPES)
"""Every privilege that there is."""


class PrivilegeRefused(Refusal):
    """The act would yield more than the actor has. ``missing``: the permissions that the actor lacks."""

    status = 403
    code = "more_than_yours"

    def __init__(self, text: str, missing: Collection[str] = ()) -> None:
        super().__init__(text)
        self.missing = list(missing)


class PrivilegeError(PrivilegeRefused):
    """A privilege cannot be granted to, or revoked from, this application, whoever acts; the message says why."""

    status = 409
    code = "refused"
    page = "more_than_yours"


@dataclass(frozen=True, slots=True)
class Authority:
    """What somebody may do who acts on applications.

    Args:
        permissions: theirs over every application; those of their groups alone are not among them.
        person: whether a person acts who has signed in: not a program, not a token from a JWT assertion.
        everywhere: whether they act on every application; False: on those of their groups, or of their team.
    """

    permissions: frozenset[str]
    person: bool = True
    everywhere: bool = True

    def check(self, privileges: Collection[str], what: str) -> None:
        """Check that they have everything that ``privileges`` yield.

        Raises:
            PrivilegeRefused: when not.
        """
        missing = lacking(self.permissions, yields(privileges))
        if missing:
            raise PrivilegeRefused(
                f"{what}, which needs permissions that you do not have: {', '.join(missing)}", missing
            )

    def check_grant(self, privileges: Collection[str]) -> None:
        """Check that they may give ``privileges`` to applications, or take them.

        Raises:
            PrivilegeRefused: when not.
        """
        if not privileges:
            return
        named = ", ".join(sorted(privileges))
        if not self.person or not self.everywhere or GRANTING not in self.permissions:
            text = f"{named}: only a person with the permission {GRANTING} gives or takes this"
            raise PrivilegeRefused(text, [GRANTING])
        self.check(privileges, f"{named} would be given")


OPERATOR = Authority(frozenset(PERMISSIONS))
"""Whoever runs commands on the server has the database, and may do everything."""


@dataclass(frozen=True, slots=True)
class Held:
    """A privilege as the registry knows it.

    Args:
        without_person: whether the grant says that it holds without a person too.
        since: seconds since 1970; tokens from before were made for a grant that was revoked then.
    """

    without_person: bool
    since: float = 0


def held_of(rows: Iterable[tuple[str, bool, datetime | None]]) -> dict[str, Held]:
    """Return the privileges that hold, from (privilege, without_person, revoked_at) of every grant."""
    listed = list(rows)
    ended: dict[str, float] = {}
    for name, _, revoked_at in listed:
        if revoked_at is not None:
            ended[name] = max(ended.get(name, 0), revoked_at.timestamp())
    return {name: Held(alone, ended.get(name, 0)) for name, alone, revoked_at in listed if revoked_at is None}


def effective_scopes(scopes: Collection[str], may_hold: bool, held: dict[str, Held]) -> tuple[set[str], set[str]]:
    """Return the scopes that an application may have: with a person, and without one.

    Args:
        scopes: what is registered.
        may_hold: whether it is a production application of the city.
        held: the privileges that it was granted.
    """
    ordinary = {scope for scope in scopes if not is_restricted(scope)}
    given = {scope for scope in scopes if may_hold and scope in held and is_restricted(scope)}
    return ordinary | given, ordinary | {scope for scope in given if usable_alone(scope, held[scope].without_person)}


async def held_by(session: AsyncSession, client_id: str) -> dict[str, ClientPrivilege]:
    """Return the grants of privileges to an application that hold now."""
    return {privilege.privilege: privilege for privilege in await store.privileges_of(session, client_id, active=True)}


async def check_hold(session: AsyncSession, client_id: str, authority: Authority) -> dict[str, ClientPrivilege]:
    """Check that somebody may take hold of an application: they have everything that it was granted. Return that.

    Raises:
        PrivilegeRefused: when they have not.
    """
    held = await held_by(session, client_id)
    authority.check(held, f"{client_id!r} has been granted {', '.join(sorted(held))}")
    return held


async def check_registration(
    session: AsyncSession,
    client_id: str,
    before: ClientMetadata | None,
    after: ClientMetadata,
    authority: Authority,
    *,
    actor: Actor,
    status: str = "active",
    decided: bool = False,
) -> None:
    """Check that somebody may register ``after`` in place of ``before``, and grant or revoke the privileges that are
    registered with it, or no more.

    Args:
        session: the transaction.
        client_id: the application; its row is there already.
        before: what was registered; None: nothing.
        after: what is to be registered.
        authority: what the actor may do.
        actor: who acts, for the audit log.
        status: the application's; a sandbox has no privileges.
        decided: every privilege in ``after`` needs a decision now, also one that was there before.

    Raises:
        PrivilegeRefused: when the act would yield more than the actor has.
        PrivilegeError: when the application cannot have a privilege.
    """
    held = await check_hold(session, client_id, authority)
    if wrong := await check_mappers(session, after):
        raise PrivilegeError("; ".join(wrong))
    had = set(restricted(before.scope.split())) if before is not None else set()
    needed = set(restricted(after.scope.split()))
    if status == SANDBOX and needed - had:
        raise PrivilegeError(f"a sandbox cannot have {', '.join(sorted(needed - had))}")
    authority.check_grant(needed if decided else needed - had)
    if not (authority.everywhere and "clients:write" in authority.permissions):
        reserved = reserved_changes(before, after)
        if reserved:
            text = f"{', '.join(reserved)}: only somebody who may change every application decides this"
            raise PrivilegeRefused(text, ["clients:write"])
    new = sorted(name for name in needed - had if name not in held)
    grant_rows(session, client_id, new, actor=actor, reason="registered with it")
    for name in sorted(had - needed):
        if name in held:
            end_grant(session, held[name], actor=actor, reason="not registered any more", stays=False)


ANDROID_LINK = ("android_package", "android_certificate_fingerprints")
"""What lets an Android application open addresses of this service and use what is saved for it."""


def reserved_changes(before: ClientMetadata | None, after: ClientMetadata) -> list[str]:
    """Return the fields of a change that an administrator of a group does not decide: what frees an application from a
    rule, lets it act for others, or lets it have more data without asking the person."""
    refused = []
    if after.first_party and not (before is not None and before.first_party):
        refused.append("first_party")
    elif after.first_party and before is not None:
        more = data_of(after.scope.split(), after.claim_reasons) - allowed_by(
            data_of(before.scope.split(), before.claim_reasons)
        )
        refused += [f"scope ({', '.join(sorted(more))})"] if more else []
    if after.profile != "standard" and (before is None or before.profile != after.profile):
        refused.append("profile")
    freed = set(relaxations(after)) - set(relaxations(before) if before is not None else ())
    refused += sorted(scope.partition(":")[0] for scope in freed)
    for name in ("audience", "resource_identifier", "assertion_issuers", *ANDROID_LINK):
        value = getattr(after, name)
        if value and value != getattr(before, name, None):
            refused.append(name)
    return list(dict.fromkeys(refused))


def grant_rows(
    session: AsyncSession,
    client_id: str,
    privileges: Collection[str],
    *,
    actor: Actor,
    reason: str,
    without_person: bool = False,
) -> None:
    """Write grants and their audit events. Whether they may be given is checked before."""
    now = clock.now()
    for name in privileges:
        session.add(
            ClientPrivilege(
                id=new_id(),
                client_id=client_id,
                privilege=name,
                without_person=without_person,
                granted_by=str(actor.name),
                granted_at=now,
                reason=reason[:MAX_REASON_CHARS],
                stays_revoked=False,
            )
        )
        data = {"privilege": name, "without_person": without_person, "reason": reason}
        record_by(
            session, actor, "client.privilege_granted", address=actor.stored_ip_address, client_id=client_id, data=data
        )


def end_grant(
    session: AsyncSession,
    grant: ClientPrivilege,
    *,
    actor: Actor,
    reason: str,
    stays: bool,
) -> None:
    """Write that a grant is over, and its audit event."""
    grant.revoked_at, grant.revoked_by, grant.stays_revoked = clock.now(), actor.name, stays
    grant.revoked_reason = reason[:MAX_REASON_CHARS]
    data = {"privilege": grant.privilege, "reason": reason}
    record_by(
        session,
        actor,
        "client.privilege_revoked",
        address=actor.stored_ip_address,
        client_id=grant.client_id,
        data=data,
    )


async def grant_privilege(
    session: AsyncSession,
    client_id: str,
    privilege: str,
    *,
    reason: str,
    without_person: bool,
    authority: Authority,
    actor: Actor,
) -> ClientPrivilege:
    """Grant a privilege to a production application of the city. It has it where its scope is registered too.

    Raises:
        PrivilegeRefused: when the actor may not give it.
        PrivilegeError: when the application cannot have it, or has it.
    """
    row = await _production(session, client_id)
    if privilege not in PRIVILEGES:
        raise PrivilegeError(f"{privilege!r} is no privilege: name one of {', '.join(PRIVILEGES)}")
    if not reason.strip():
        raise PrivilegeError("a reason is required")
    await check_hold(session, client_id, authority)
    authority.check_grant([privilege])
    if without_person and not usable_alone(privilege, True):
        raise PrivilegeError(f"{privilege} always needs a user")
    without_person = without_person and needs_a_word(privilege)
    held = await held_by(session, client_id)
    if privilege in held and held[privilege].without_person == without_person:
        raise PrivilegeError(f"{client_id!r} has {privilege} already")
    if privilege in held:
        end_grant(session, held[privilege], actor=actor, reason="granted again", stays=False)
    grant_rows(
        session,
        client_id,
        [privilege],
        actor=actor,
        reason=reason.strip(),
        without_person=without_person,
    )
    row.version = await bump_version(session, "clients")
    await session.flush()
    return (await held_by(session, client_id))[privilege]


async def revoke_privilege(
    session: AsyncSession,
    client_id: str,
    privilege: str,
    *,
    reason: str,
    authority: Authority,
    actor: Actor,
) -> ClientPrivilege:
    """Revoke a privilege. No catalogue grants it again.

    Raises:
        PrivilegeRefused: when the actor may not take it.
        PrivilegeError: when the application has no such privilege, or no reason is given.
    """
    row = await store.lock_client(session, client_id)
    authority.check_grant([privilege])
    held = (await held_by(session, client_id)).get(privilege) if row is not None else None
    if row is None or held is None:
        raise PrivilegeError(f"{client_id!r} has not been granted {privilege!r}")
    if not reason.strip():
        raise PrivilegeError("a reason is required")
    end_grant(session, held, actor=actor, reason=reason.strip(), stays=True)
    row.version = await bump_version(session, "clients")
    await session.flush()
    return held


async def end_all(session: AsyncSession, client_id: str, *, actor: Actor, reason: str) -> None:
    """Revoke every privilege of an application that is removed."""
    for grant in (await held_by(session, client_id)).values():
        end_grant(session, grant, actor=actor, reason=reason, stays=False)
    await session.flush()


async def _production(session: AsyncSession, client_id: str) -> ClientRow:
    """Return the row of an application that can have privileges, locked until the transaction ends."""
    row = await store.lock_client(session, client_id)
    if row is None or row.status == REMOVED:
        raise PrivilegeError(f"there is no application {client_id!r}")
    if row.status == SANDBOX:
        raise PrivilegeError(f"{client_id!r} is a sandbox, which has no privileges")
    if row.metadata_.get("first_party") is not True:
        raise PrivilegeError(f"{client_id!r} is not the city's own (first_party: true)")
    return row


class PrivilegeView(TypedDict):
    """A grant of a privilege, as lists show it."""

    privilege: str
    without_person: bool
    granted_by: str
    granted_at: datetime
    reason: str
    revoked_at: datetime | None
    revoked_by: str | None
    revoked_reason: str | None


def privilege_view(grant: ClientPrivilege) -> PrivilegeView:
    """Return a grant for lists."""
    return {
        "privilege": grant.privilege,
        "without_person": grant.without_person,
        "granted_by": grant.granted_by,
        "granted_at": grant.granted_at,
        "reason": grant.reason,
        "revoked_at": grant.revoked_at,
        "revoked_by": grant.revoked_by,
        "revoked_reason": grant.revoked_reason,
    }
