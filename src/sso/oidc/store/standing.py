"""What is known of a user when an application asks for a token: one statement for every way to a token."""

from __future__ import annotations

import uuid
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import bindparam, exists, func, select

from sso.clients.access_policy import RolesAndGroups
from sso.clients.models import TeamMember
from sso.identity.authn.assurance import identity_level
from sso.identity.employees.store import EMPLOYEE, employment_ended
from sso.identity.groups.store import NO_ACCESS, Access, access_columns, read_access
from sso.identity.users.models import Identifier, User, UserRole
from sso.oidc.store.models import Consent
from sso.platform.db import Executor, table_of, valid_at
from sso.platform.db.sql_types import ResultRow, SelectStatement


@dataclass(frozen=True, slots=True)
class Standing:
    """A user, as far as it decides whether an application may have tokens for them.

    ``usable``: neither disabled nor deleted. ``leaving``: the user asked to be deleted. ``test``: a test user of the
    portal. ``in_team``: the user belongs to the team of the sandbox. ``consented`` is what the user allowed the
    application. ``access``: the user's roles and groups in the application. What was not read has the value that
    refuses.
    """

    user_id: uuid.UUID
    usable: bool = True
    leaving: bool = False
    locked_until: datetime | None = None
    test: bool = False
    contact_verified: bool = False
    checked: bool = False
    roles: frozenset[str] = frozenset()
    in_team: bool = False
    consented: tuple[str, ...] = ()
    access: Access = NO_ACCESS

    @property
    def roles_and_groups(self) -> RolesAndGroups:
        """The roles and groups of the user, as ``allowed_roles`` asks for them."""
        return roles_and_groups_of(self.roles, self.access)

    @property
    def identity(self) -> str:
        """The identity assurance level."""
        return identity_level(contact_verified=self.contact_verified, checked=self.checked)


def roles_and_groups_of(roles: Collection[str], access: Access) -> RolesAndGroups:
    """Return roles of this service, and roles and groups in an application, as ``allowed_roles`` asks for them."""
    if access is NO_ACCESS:
        return RolesAndGroups(roles)
    within = {code for code, _ in access.groups}
    return RolesAndGroups(roles, {role for role, _ in access.roles}, access.member_of, within)


_users, _identifiers, _roles, _team, _consents = map(table_of, (User, Identifier, UserRole, TeamMember, Consent))
_u, _i, _r, _t, _c = _users.c, _identifiers.c, _roles.c, _team.c, _consents.c

_COLUMNS = (
    _u.id,
    _u.disabled_at.is_(None) & _u.deleted_at.is_(None),
    _u.delete_at.is_not(None),
    _u.locked_until,
    _u.preferences,
    exists().where(_i.user_id == _u.id, (_i.kind == "email") | (_i.kind == "phone"), _i.verified_at.is_not(None))
    .correlate(_users),
    _u.identity_checked_at.is_not(None),
    select(func.aggregate_strings(_r.role, " ")).where(_r.user_id == _u.id).correlate(_users).scalar_subquery(),
    exists().where(_t.user_id == _u.id, _t.application_id == bindparam("application_id")).correlate(_users),
    select(_c.scopes).where(_c.user_id == _u.id, _c.client_id == bindparam("client_id")).correlate(_users)
    .scalar_subquery(),
)  # fmt: skip
_ROLES = 7
_BY_ID = select(*_COLUMNS).where(_u.id == bindparam("user_id"))
_verified = _identifiers.alias("proven")
_BY_IDENTIFIER = (
    select(*_COLUMNS)
    .select_from(_users.join(_verified, _verified.c.user_id == _u.id))
    .where(
        _verified.c.lookup.in_(bindparam("lookups", expanding=True)),
        _verified.c.verified_at.is_not(None),
        valid_at(_verified.c, bindparam("now", type_=_u.created_at.type)),
    )
)


_ACCESS = access_columns(_u.id, bindparam("client_id"), _users)
_ENDED = employment_ended(_u.id, bindparam("now", type_=_u.created_at.type)).correlate(_users)
_LOCK_BY_ID = _BY_ID.with_for_update(read=True, of=_users)
_LOCK_BY_IDENTIFIER = _BY_IDENTIFIER.with_for_update(read=True, of=_users)
_STATEMENTS = {
    (statement, at_employment, at_access): statement.add_columns(
        *((_ENDED,) if at_employment else ()), *(_ACCESS if at_access else ())
    )
    for statement in (_BY_ID, _LOCK_BY_ID, _LOCK_BY_IDENTIFIER)
    for at_employment in (False, True)
    for at_access in (False, True)
}
"""The statements for an application that looks at the time of an employment, and at roles or groups of its own."""


def standing_of(
    session: Executor,
    user_id: uuid.UUID,
    client_id: str,
    application_id: str,
    *,
    lock: bool = False,
    now: datetime | None = None,
    with_access: bool = False,
    with_employment: bool = False,
) -> Standing | None:
    """Return what is known of a user. One statement; for use in the bridge.

    Args:
        session: for reading.
        user_id: the user.
        client_id: the application that asks.
        application_id: the application whose team may use it, where it is a sandbox.
        lock: nobody disables the user until the transaction ends.
        now: the time, where one of the following is wanted.
        with_access: read the user's roles and groups in the application.
        with_employment: the role ``employee`` does not count where the employment is over by time.
    """
    names = {"client_id": client_id, "application_id": application_id}
    key = (_LOCK_BY_ID if lock else _BY_ID, with_employment, with_access)
    if with_access or with_employment:
        return _read(session, key, user_id=user_id, now=now, **names)
    return _read(session, key, user_id=user_id, **names)


def standing_with(
    session: Executor,
    lookups: Sequence[str],
    client_id: str,
    application_id: str,
    now: datetime,
    *,
    with_access: bool = False,
    with_employment: bool = False,
) -> Standing | None:
    """Return the same of the user whose verified identifier, valid now, has one of the normalised forms ``lookups``,
    held; None where these are identifiers of several users."""
    names = {"client_id": client_id, "application_id": application_id, "now": now}
    return _read(session, (_LOCK_BY_IDENTIFIER, with_employment, with_access), lookups=list(lookups), **names)


def _read(session: Executor, key: tuple[SelectStatement, bool, bool], **values: object) -> Standing | None:
    _, with_employment, with_access = key
    rows: Sequence[ResultRow] = session.execute(_STATEMENTS[key], values).all()
    if len({row[0] for row in rows}) != 1:
        return None
    row = rows[0]
    preferences: Mapping[str, object] = row[4] or {}
    consented: Iterable[str] = row[9] or ()
    more = row[len(_COLUMNS) :]
    ended = {EMPLOYEE} if with_employment and more[0] else set()
    return Standing(
        user_id=row[0],
        usable=bool(row[1]),
        leaving=bool(row[2]),
        locked_until=row[3],
        test=bool(preferences.get("test")),
        contact_verified=bool(row[5]),
        checked=bool(row[6]),
        roles=frozenset((row[_ROLES] or "").split()) - ended,
        in_team=bool(row[8]),
        consented=tuple(consented),
        access=read_access(more[with_employment:]) if with_access else NO_ACCESS,
    )
