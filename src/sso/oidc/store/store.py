"""Every SQL statement about grants. Functions that take an ``Executor`` run within the bridge."""

from __future__ import annotations

import uuid
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import cache
from typing import Literal

from sqlalchemy import ColumnElement, Executable, FromClause, Select, and_, bindparam, delete, null, or_, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from sso.identity.groups.store import NO_ACCESS, Access, access_columns, read_access
from sso.identity.sessions.models import SessionClient, SsoSession
from sso.identity.sessions.store import ACTIVE, ACTIVE_SESSION_COLUMNS, ActiveSession, client_session_cte
from sso.identity.users.models import User
from sso.identity.users.store import Person
from sso.oidc.store.models import AccessToken, Consent, Grant, RefreshToken
from sso.oidc.store.types import AccessTokenClaims, GrantDetails
from sso.platform.db import INSERTS, Executor, InsertFor, fetch, lock_rows, session_of, table_of
from sso.platform.db.ends import note_end, note_ends
from sso.platform.db.sql_types import Columns, InsertReturning, ResultRow, SelectStatement, SqlColumn, UpdateReturning


@dataclass(frozen=True, slots=True)
class LiveGrant:
    """A grant that holds: not revoked, its person enabled, its session not over unless it was made to outlive it.

    ``sid`` is the name by which the application knows the session; ``details`` what was asked for besides scopes.
    ``leaving``, ``locked_until`` and ``consented`` tell of the user: see ``standing.py``.
    ``created_at``: None where it is made at this moment. ``access``: the user's roles and groups now, where they were
    read: only for an application that they are told to.
    """

    id: uuid.UUID
    client_id: str
    user_id: uuid.UUID
    session_id: uuid.UUID | None
    scope: str
    nonce: str | None
    auth_time: datetime
    acr: str
    amr: list[str]
    redirect_uri: str | None
    code_challenge: str | None
    details: GrantDetails
    created_at: datetime | None = None
    sid: str | None = None
    leaving: bool = False
    locked_until: datetime | None = None
    consented: list[str] | None = None
    access: Access = NO_ACCESS

    def with_sid(self, sid: str) -> LiveGrant:
        """Return it with the name by which the application knows the session."""
        return replace(self, sid=sid)

    @property
    def granted_at(self) -> float | None:
        """When it was made, in seconds since 1970; None: at this moment."""
        return self.created_at.timestamp() if self.created_at is not None else None

    @property
    def asserted(self) -> bool:
        """Whether nobody signed in for it: it came of an assertion (RFC 7523)."""
        return "assertion" in self.details


# The statements of the frequent flows are built once: building one costs more than running it.
_grants, _refresh, _access, _consents = map(table_of, (Grant, RefreshToken, AccessToken, Consent))
_users, _sessions, _client_sessions = map(table_of, (User, SsoSession, SessionClient))
_g, _r, _a, _c, _u, _s, _p = _grants.c, _refresh.c, _access.c, _consents.c, _users.c, _sessions.c, _client_sessions.c

_GRANT = (
    _g.id, _g.client_id, _g.user_id, _g.session_id, _g.scope, _g.nonce, _g.auth_time, _g.acr, _g.amr, _g.redirect_uri,
    _g.code_challenge, _g.details, _g.created_at,
)  # fmt: skip
_BEHIND = (
    _grants.join(_users, _u.id == _g.user_id)
    .outerjoin(_sessions, _s.id == _g.session_id)
    .outerjoin(_client_sessions, (_p.session_id == _g.session_id) & (_p.client_id == _g.client_id))
    .outerjoin(_consents, (_c.user_id == _g.user_id) & (_c.client_id == _g.client_id))
)
_STANDING = (_u.delete_at.is_not(None), _u.locked_until, _c.scopes)
_GRANT_ACTIVE = (_g.revoked_at.is_(None)) & (_u.disabled_at.is_(None)) & (_g.offline | ACTIVE)

# For an application that is told roles or groups each statement has a second form, with these columns at the end.
_ACCESS = access_columns(_g.user_id, _g.client_id, _grants)
_ACCESS_COLUMNS = len(_ACCESS)

_FIND_SESSION = (
    select(*ACTIVE_SESSION_COLUMNS, _u.name, _u.locked_until, _u.delete_at.is_not(None), _c.scopes)
    .join(_users, _u.id == _s.user_id)
    .outerjoin(_consents, (_c.user_id == _s.user_id) & (_c.client_id == bindparam("client_id")))
    .where(_s.token_hash == bindparam("token_hash"), ACTIVE, _u.disabled_at.is_(None))
)
_CODE = (_g.code_hash == bindparam("code")) & (_g.client_id == bindparam("client"))
_UNUSED = (_g.code_used_at.is_(None)) & (_g.code_expires_at > bindparam("now")) & (_g.revoked_at.is_(None))


# On SQLite the columns of RETURNING have no table: the names within must not be those of the grant's columns.
_allowed = select(_c.user_id.label("whose"), _c.client_id.label("whom"), _c.scopes).subquery("allowed")


def _use_code(*sessions_first: ColumnElement[bool]) -> UpdateReturning:
    used = update(_grants).where(_CODE, _UNUSED, *sessions_first)
    return used.values(code_used_at=bindparam("now"), expires_at=bindparam("until")).returning(
        *_GRANT,
        null(),
        *(
            select(column).where(_u.id == _g.user_id).correlate(_grants).scalar_subquery()
            for column in (_u.delete_at.is_not(None), _u.locked_until)
        ),
        select(_allowed.c.scopes)
        .where(_allowed.c.whose == _g.user_id, _allowed.c.whom == _g.client_id)
        .correlate(_grants)
        .scalar_subquery(),
    )


_HELD = (
    select(_g.id)
    .join(_sessions, _s.id == _g.session_id)
    .where(_CODE, _UNUSED)
    .with_for_update(read=True, of=_sessions)
    .cte("held")
)
# The session is locked before the grant, in one statement: a row of the grant is updated only after the row of "held"
# that it is joined with, and PostgreSQL returns that row after it has locked the session.
_USE_CODE = {"postgresql": _use_code(_g.id == _HELD.c.id), "sqlite": _use_code()}
_USE_CODE_WITH_ACCESS = {dialect: statement.returning(*_ACCESS) for dialect, statement in _USE_CODE.items()}
_FIND_CODE = (
    select(*_GRANT, _p.sid, *_STANDING).select_from(_BEHIND).where(_CODE, _UNUSED, ACTIVE, _u.disabled_at.is_(None))
)
_FIND_CODE_WITH = {False: _FIND_CODE, True: _FIND_CODE.add_columns(*_ACCESS)}
_USABLE = (
    (_r.token_hash == bindparam("token"))
    & (_r.client_id == bindparam("client"))
    & (_r.used_at.is_(None))
    & (_r.expires_at > bindparam("now"))
)
_USE_REFRESH_TOKEN = (
    update(_refresh)
    .where(_USABLE)
    .values(used_at=bindparam("now"), successor_hash=bindparam("successor"))
    .returning(_r.grant_id)
)
_GIVE_BACK_REFRESH_TOKEN = (
    update(_refresh).where(_r.token_hash == bindparam("token")).values(used_at=None, successor_hash=None)
)
_DELETE_REFRESH_TOKEN = delete(_refresh).where(_r.token_hash == bindparam("token"))
_FIND_USED_CODE = select(_g.id).where(_CODE, _g.code_used_at.is_not(None))
_REVOKE_GRANT = (
    update(_grants)
    .where(_g.id == bindparam("grant_id"), _g.revoked_at.is_(None))
    .values(revoked_at=bindparam("now"))
    .returning(_g.id)
)
_REVOKE_ACCESS_TOKEN = (
    update(_access)
    .where(_a.token_hash == bindparam("token"), _a.client_id == bindparam("client"))
    .values(revoked_at=bindparam("now"))
    .returning(_a.token_hash)
)
_FIND_GRANT = (
    select(*_GRANT, _p.sid, *_STANDING).select_from(_BEHIND).where(_g.id == bindparam("grant_id"), _GRANT_ACTIVE)
)
Lock = Literal["none", "share", "change"]


def _locking(statement: SelectStatement, access: bool) -> dict[tuple[Lock, bool], SelectStatement]:
    return {
        ("none", access): statement,
        ("share", access): statement.with_for_update(read=True, of=_grants),
        ("change", access): statement.with_for_update(key_share=True, of=_grants),
    }


_FIND_GRANT_WITH = {**_locking(_FIND_GRANT, False), **_locking(_FIND_GRANT.add_columns(*_ACCESS), True)}
_renewable = (
    select(_r.grant_id)
    .select_from(
        _refresh.join(_grants, _g.id == _r.grant_id)
        .join(_users, _u.id == _g.user_id)
        .outerjoin(_sessions, _s.id == _g.session_id)
    )
    .where(_USABLE, _GRANT_ACTIVE)
    .with_for_update(key_share=True, of=(_refresh, _grants))
    .cte("renewable")
)
_renewed = _USE_REFRESH_TOKEN.where(_r.grant_id == _renewable.c.grant_id).returning(_r.client_id).cte("renewed")
_SUCCESSOR = ("created_at", "expires_at", "format")


def _insert_refresh_token_of(grant: FromClause) -> InsertReturning:
    """Return the statement that stores the refresh token ``:successor`` of the grant that ``grant`` selects."""
    values = (bindparam(f"successor_{name}", type_=_r[name].type) for name in _SUCCESSOR)
    token = bindparam("successor", type_=_r.token_hash.type)
    return (
        _refresh.insert()
        .from_select(
            ["token_hash", "grant_id", "client_id", *_SUCCESSOR],
            select(token, grant.c.grant_id, grant.c.client_id, *values),
        )
        .returning(_r.grant_id)
    )


_RENEW = _insert_refresh_token_of(_renewed)
"""For PostgreSQL: token and grant are locked, the token is used, its successor is stored; nothing of it where the token
was used or the grant is over. SQLite knows no UPDATE within WITH."""
_held_session = (
    select(_g.id)
    .join(_sessions, _s.id == _g.session_id)
    .join(_users, _u.id == _s.user_id)
    .where(_CODE, _UNUSED, ACTIVE, _u.disabled_at.is_(None))
    .with_for_update(read=True, of=_sessions)
    .cte("held_session")
)
_held_code = (
    select(_g.id, _g.session_id, _g.client_id)
    .join(_held_session, _held_session.c.id == _g.id)
    .where(_CODE, _UNUSED)
    .with_for_update(key_share=True, of=_grants)
    .cte("held_code")
)
_used_session = client_session_cte(_held_code)
_used_code = (
    update(_grants)
    .where(_g.id == _held_code.c.id, _held_code.c.session_id == _used_session.c.session_id)
    .values(code_used_at=bindparam("now"), expires_at=bindparam("until"))
    .returning(_g.id.label("grant_id"), _g.client_id)
    .cte("used_code")
)
_EXCHANGE: dict[bool, SelectStatement | InsertReturning] = {
    False: select(_used_code.c.grant_id),
    True: _insert_refresh_token_of(_used_code),
}
"""For PostgreSQL; True: with a refresh token. The session and the code are locked, the application's use of the session
is recorded, the code is used, the token is stored; nothing of it where the code was used, the session is over, or the
application knows the session by another name than ``:sid``."""
_SESSION_OF_GRANT = (
    select(_s.id)
    .join(_grants, _g.session_id == _s.id)
    .where(_g.id == bindparam("grant_id"))
    .with_for_update(read=True, of=_sessions)
)
_FIND_REFRESH = (
    select(*_GRANT, _p.sid, *_STANDING, _r.created_at, _r.expires_at)
    .select_from(_BEHIND.join(_refresh, _r.grant_id == _g.id))
    .where(_r.token_hash == bindparam("token"), _r.used_at.is_(None), _r.expires_at > bindparam("now"), _GRANT_ACTIVE)
)
_FIND_REFRESH_WITH = {False: _FIND_REFRESH, True: _FIND_REFRESH.add_columns(*_ACCESS)}
_FIND_ACCESS = (
    select(_a.client_id, _a.claims, _a.grant_id, *_GRANT, _p.sid, *_STANDING)
    .select_from(_access.outerjoin(_BEHIND, _g.id == _a.grant_id))
    .where(
        _a.token_hash == bindparam("token"),
        _a.revoked_at.is_(None),
        _a.expires_at > bindparam("now"),
        _a.grant_id.is_(None) | _GRANT_ACTIVE,
    )
)


def with_grants(table: FromClause, grant_id: SqlColumn, *columns: SqlColumn) -> dict[bool, SelectStatement]:
    """Return the statements that read ``columns`` of a table whose rows may name a grant in ``grant_id``, whether the
    grant holds, and the grant; True: with the user's roles and groups. Read the grant with :func:`grant_of_row`."""
    behind = table.outerjoin(_BEHIND, _g.id == grant_id)
    active = (_GRANT_ACTIVE & _p.ended_at.is_(None)).label("holds")
    statement = select(*columns, active, *_GRANT, _p.sid, *_STANDING).select_from(behind)
    return {False: statement, True: statement.add_columns(*_ACCESS)}


_FIND_ACCESS_WITH = {False: _FIND_ACCESS, True: _FIND_ACCESS.add_columns(*_ACCESS)}


@cache
def _insert_within(names: tuple[str, ...], by_consent: bool, access: bool) -> InsertReturning:
    """Return the statement that stores a grant within an active session, and where the person's consent is what allows
    it, while that is there. Both are held, so that they cannot end before the transaction does."""
    columns = [bindparam(name, type_=_g[name].type).label(name) for name in names]
    active = select(*columns).join_from(_sessions, _users, _u.id == _s.user_id)
    held: tuple[FromClause, ...] = (_sessions,)
    if by_consent:
        mine = (_c.user_id == _s.user_id) & (_c.client_id == bindparam("client_id"))
        active, held = active.join(_consents, mine), (_sessions, _consents)
    active = active.where(_s.id == bindparam("session_id"), ACTIVE, _u.disabled_at.is_(None))
    active = active.with_for_update(read=True, of=held)
    of_access = access_columns(bindparam("user_id"), bindparam("client_id"), None) if access else ()
    return _grants.insert().from_select(list(names), active).returning(_g.id, *of_access)


_INSERT_GRANT, _INSERT_REFRESH, _INSERT_ACCESS = _grants.insert(), _refresh.insert(), _access.insert()


def _live_grant(values: ResultRow, access: bool = False) -> LiveGrant:
    if not access:
        return LiveGrant(*values)
    return replace(LiveGrant(*values[:-_ACCESS_COLUMNS]), access=read_access(values[-_ACCESS_COLUMNS:]))


def grant_of_row(row: ResultRow, first: int, *, access: bool) -> LiveGrant:
    """Return the grant in a row of :func:`with_grants`, which begins at the column ``first``."""
    return _live_grant(row[first:], access)


def find_session(
    session: Executor, token_hash: bytes, client_id: str | None, now: datetime, idle_since: datetime
) -> tuple[ActiveSession, Person, list[str]] | None:
    """Return the active session with the cookie ``token_hash``, its person, and the scopes that the person allowed
    ``client_id``: all that an authorization request needs, in one statement."""
    values = {"token_hash": token_hash, "client_id": client_id, "now": now, "idle_since": idle_since}
    row = session.execute(_FIND_SESSION, values).first()
    if row is None:
        return None
    session_row = ActiveSession(*row[:6])
    return session_row, Person(session_row.user_id, row[6], row[7], bool(row[8])), row[9] or []


def insert_grant(session: Executor, values: dict[str, object]) -> None:
    """Store a grant that begins as a code."""
    session.execute(_INSERT_GRANT, values)


def insert_grant_within(
    session: Executor,
    values: dict[str, object],
    now: datetime,
    idle_since: datetime,
    *,
    by_consent: bool,
    access: bool = False,
) -> Access | None:
    """Store a grant within its session, which is held until the transaction ends, and return the user's roles and
    groups where ``access`` asks for them. None: it could not be stored, because the session, or with ``by_consent`` the
    person's consent, has ended. One statement."""
    statement = _insert_within(tuple(values), by_consent, access)
    row = session.execute(statement, {**values, "now": now, "idle_since": idle_since}).first()
    if row is None:
        return None
    return read_access(row[1:]) if access else NO_ACCESS


def insert_refresh_token(session: Executor, values: dict[str, object]) -> None:
    """Store a refresh token."""
    session.execute(_INSERT_REFRESH, values)


def insert_access_token(session: Executor, values: dict[str, object]) -> None:
    """Store an opaque access token."""
    session.execute(_INSERT_ACCESS, values)


_CONSENTED_SCOPES = select(_c.scopes).where(_c.user_id == bindparam("user_id"), _c.client_id == bindparam("client_id"))


def _remember_consent(insert: InsertFor) -> Executable:
    statement = insert(_consents)
    renewed = {name: statement.excluded[name] for name in ("scopes", "updated_at")}
    return statement.on_conflict_do_update(index_elements=["user_id", "client_id"], set_=renewed)


_REMEMBER_CONSENT = {dialect: _remember_consent(insert) for dialect, insert in INSERTS.items()}


async def consented_scopes(session: AsyncSession, user_id: uuid.UUID, client_id: str) -> list[str]:
    """Return the scopes that a person allowed an application."""
    values = {"user_id": user_id, "client_id": client_id}
    return (await fetch(session, _CONSENTED_SCOPES, values)).scalar_one_or_none() or []


async def remember_consent(
    session: AsyncSession, user_id: uuid.UUID, client_id: str, scopes: list[str], now: datetime
) -> None:
    """Remember what a person allows an application."""
    values = {"user_id": user_id, "client_id": client_id, "scopes": scopes, "created_at": now, "updated_at": now}
    await fetch(session, _REMEMBER_CONSENT[session.get_bind().dialect.name], values)


def use_code(
    session: Executor, code_hash: bytes, client_id: str, now: datetime, expires_at: datetime, *, access: bool = False
) -> LiveGrant | None:
    """Consume a code of ``client_id`` and return its grant. Of many callers at once exactly one gets it.

    The grant's session is held first, so that nothing ends it until the transaction does. ``access``: with the user's
    roles and groups.
    """
    values = {"code": code_hash, "client": client_id, "now": now, "until": expires_at}
    statements = _USE_CODE_WITH_ACCESS if access else _USE_CODE
    row = session.execute(statements[session.get_bind().dialect.name], values).first()
    return _live_grant(row, access) if row else None


def find_code(
    session: Executor, code_hash: bytes, client_id: str, now: datetime, idle_since: datetime, *, access: bool = False
) -> LiveGrant | None:
    """Return the grant of a code of ``client_id`` that can be used, in a session that is active. One statement.
    ``access`` as in :func:`use_code`."""
    values = {"code": code_hash, "client": client_id, "now": now, "idle_since": idle_since}
    row = session.execute(_FIND_CODE_WITH[access], values).first()
    return _live_grant(row, access) if row else None


def exchange_code(
    session: Executor,
    code_hash: bytes,
    client_id: str,
    sid: str,
    now: datetime,
    idle_since: datetime,
    expires_at: datetime,
    refresh_token: Mapping[str, object] | None,
) -> bool:
    """Consume a code, record that its application uses the session, and store the refresh token; tell whether the code
    could be used, its session is active, and the application knows it by ``sid``. One statement, for PostgreSQL. Of
    many callers at once exactly one gets it.

    Args:
        session: runs the statement, within a transaction or as one.
        code_hash: the hash of the code.
        client_id: the application.
        sid: the name by which the application knows the session, or will know it.
        now: the moment of the use.
        idle_since: sessions that were not used since then are over.
        expires_at: until when the grant is kept.
        refresh_token: the row of the refresh token, if any.
    """
    values = {"code": code_hash, "client": client_id, "sid": sid, "now": now, "idle_since": idle_since}
    values["until"] = expires_at
    if refresh_token is not None:
        values |= _successor_values(refresh_token)
    return session.execute(_EXCHANGE[refresh_token is not None], values).first() is not None


def _successor_values(row: Mapping[str, object]) -> dict[str, object]:
    return {"successor": row["token_hash"], **{f"successor_{name}": row[name] for name in _SUCCESSOR}}


def find_used_code(session: Executor, code_hash: bytes, client_id: str) -> uuid.UUID | None:
    """Return the grant of a code that ``client_id`` has used before."""
    grant_id: uuid.UUID | None = session.execute(
        _FIND_USED_CODE, {"code": code_hash, "client": client_id}
    ).scalar_one_or_none()
    return grant_id


def revoke_grant(session: Executor, grant_id: uuid.UUID, now: datetime) -> bool:
    """End a grant with everything that grew from it; tell whether it was alive."""
    if session.execute(_REVOKE_GRANT, {"grant_id": grant_id, "now": now}).first() is None:
        return False
    note_end(session, "grant", grant_id, now)
    return True


def use_refresh_token(
    session: Executor,
    token_hash: bytes,
    client_id: str,
    successor_hash: bytes,
    now: datetime,
    idle_since: datetime,
    *,
    access: bool = False,
) -> tuple[uuid.UUID, LiveGrant | None] | None:
    """Consume a refresh token of ``client_id``. Of many callers exactly one gets it. ``access`` as in
    :func:`find_grant`.

    Returns:
        The id of its grant, and the grant where it still holds: held until the transaction ends, so that nothing is
        issued from one that is being revoked. None: no such token can be used.
    """
    values = {"token": token_hash, "client": client_id, "successor": successor_hash, "now": now}
    grant_id: uuid.UUID | None = session.execute(_USE_REFRESH_TOKEN, values).scalar_one_or_none()
    if grant_id is None:
        return None
    return grant_id, find_grant(session, grant_id, now, idle_since, lock="change", access=access)


def renew_refresh_token(
    session: Executor, used_hash: bytes, successor: dict[str, object], idle_since: datetime
) -> bool:
    """Consume a refresh token and store its successor; tell whether the token could be used and its grant holds.
    One statement, for PostgreSQL. Of many callers exactly one gets it, and none while the grant is being revoked.

    Args:
        session: runs the statement, within a transaction or as one.
        used_hash: the hash of the token.
        successor: the row of the successor; it is used at the moment when that was made.
        idle_since: sessions that were not used since then are over.
    """
    values = {
        "token": used_hash,
        "client": successor["client_id"],
        "now": successor["created_at"],
        "idle_since": idle_since,
        **_successor_values(successor),
    }
    return session.execute(_RENEW, values).first() is not None


def give_back_refresh_token(session: Executor, token_hash: bytes) -> None:
    """Undo :func:`use_refresh_token` within the same transaction."""
    session.execute(_GIVE_BACK_REFRESH_TOKEN, {"token": token_hash})


def undo_renewal(session: Executor, used_hash: bytes, successor_hash: bytes) -> None:
    """Undo the use of a refresh token whose successor was stored, within the same transaction."""
    session.execute(_DELETE_REFRESH_TOKEN, {"token": successor_hash})
    give_back_refresh_token(session, used_hash)


def find_refresh_token(session: Executor, token_hash: bytes) -> RefreshToken | None:
    """Return a refresh token as it is now, used or not."""
    return session_of(session).get(RefreshToken, token_hash, populate_existing=True)


def find_grant(
    session: Executor,
    grant_id: uuid.UUID,
    now: datetime,
    idle_since: datetime,
    *,
    lock: Lock = "none",
    access: bool = False,
) -> LiveGrant | None:
    """Return a grant where it still holds. ``lock`` holds it until the transaction ends, so that nothing is issued
    from one that is being revoked: ``share``, or ``change`` where this transaction may revoke it itself. ``access``:
    with the user's roles and groups. One statement."""
    values = {"grant_id": grant_id, "now": now, "idle_since": idle_since}
    row = session.execute(_FIND_GRANT_WITH[lock, access], values).first()
    return _live_grant(row, access) if row else None


def lock_session_of(session: Executor, grant_id: uuid.UUID) -> None:
    """Hold the session of a grant, if it has one, until the transaction ends: before the grant is."""
    session.execute(_SESSION_OF_GRANT, {"grant_id": grant_id})


def find_unused_refresh_token(
    session: Executor, token_hash: bytes, now: datetime, idle_since: datetime, *, access: bool = False
) -> tuple[LiveGrant, datetime, datetime] | None:
    """Return the grant of a refresh token that can be used, and when the token was made and ends. One statement.
    ``access`` as in :func:`find_grant`."""
    values = {"token": token_hash, "now": now, "idle_since": idle_since}
    row = session.execute(_FIND_REFRESH_WITH[access], values).first()
    if row is None:
        return None
    times = len(row) - (_ACCESS_COLUMNS if access else 0) - 2
    return _live_grant((*row[:times], *row[times + 2 :]), access), row[times], row[times + 1]


def find_access_token(
    session: Executor, token_hash: bytes, now: datetime, idle_since: datetime, *, access: bool = False
) -> tuple[str, AccessTokenClaims, LiveGrant | None] | None:
    """Return client, claims and grant (none for client_credentials) of an opaque access token that is valid now, in
    one statement. ``access`` as in :func:`find_grant`."""
    values = {"token": token_hash, "now": now, "idle_since": idle_since}
    row = session.execute(_FIND_ACCESS_WITH[access], values).first()
    if row is None:
        return None
    return row[0], row[1], _live_grant(row[3:], access) if row[2] is not None else None


def revoke_access_token(session: Executor, token_hash: bytes, client_id: str, now: datetime) -> bool:
    """Revoke an opaque access token of ``client_id``; tell whether there was one."""
    values = {"token": token_hash, "client": client_id, "now": now}
    if session.execute(_REVOKE_ACCESS_TOKEN, values).first() is None:
        return False
    note_end(session, "access_token", token_hash, now)
    return True


async def revoke_access_tokens(session: AsyncSession, hashes: Sequence[bytes], now: datetime) -> int:
    """Revoke the opaque access tokens with these hashes; return how many were not revoked."""
    if not hashes:
        return 0
    mine = AccessToken.token_hash.in_(hashes), AccessToken.revoked_at.is_(None)
    revoked = update(AccessToken).where(*mine).values(revoked_at=now).returning(AccessToken.token_hash)
    return len((await session.execute(revoked)).all())


async def revoke_grants_of_sessions(session: AsyncSession, session_ids: Sequence[uuid.UUID], now: datetime) -> None:
    """End every grant of the sessions that was not made to outlive them (``offline_access``)."""
    await _revoke(session, now, Grant.session_id.in_(session_ids), Grant.offline.is_(False), noted=False)


async def revoke_grants(session: AsyncSession, grant_ids: Sequence[uuid.UUID], now: datetime) -> list[uuid.UUID]:
    """End these grants; return those that had not ended."""
    return await _revoke(session, now, Grant.id.in_(grant_ids)) if grant_ids else []


async def _revoke(
    session: AsyncSession, now: datetime, *which: ColumnElement[bool], noted: bool = True
) -> list[uuid.UUID]:
    """End the grants for which the conditions hold, which are locked in the order of their ids; return them.

    ``noted``: what ends them is not remembered otherwise (:mod:`sso.platform.db.ends`).
    """
    mine = (*which, Grant.revoked_at.is_(None))
    ids = await lock_rows(session, select(Grant.id).where(*mine).order_by(Grant.id))
    if ids:
        ended = update(Grant).where(*mine).values(revoked_at=now)
        await session.execute(ended.execution_options(synchronize_session=False))
        if noted:
            await note_ends(session, "grant", ids, now)
    return ids


async def revoke_grants_of_client(session: AsyncSession, client_id: str, now: datetime) -> None:
    """End every grant of an application, those that outlive sessions too."""
    await _revoke(session, now, Grant.client_id == client_id)


async def delete_consents(
    session: AsyncSession, *, user_id: uuid.UUID | None = None, client_id: str | None = None
) -> None:
    """Delete what a person allowed, what an application was allowed, or where both are given what one allowed the
    other."""
    statement = delete(Consent)
    if user_id is not None:
        statement = statement.where(Consent.user_id == user_id)
    if client_id is not None:
        statement = statement.where(Consent.client_id == client_id)
    await session.execute(statement)


_CONSENTS_OF = select(Consent).where(Consent.user_id == bindparam("user_id"))


async def consents_of(session: AsyncSession, user_id: uuid.UUID) -> list[Consent]:
    """Return what a person allowed applications."""
    return list((await session.execute(_CONSENTS_OF, {"user_id": user_id})).scalars())


async def grants_of(session: AsyncSession, user_id: uuid.UUID) -> list[Grant]:
    """Return every authorization of a person that is still known, the newest first."""
    mine = select(Grant).where(Grant.user_id == user_id).order_by(Grant.id.desc())
    return list((await session.execute(mine)).scalars())


async def granted_scopes(session: AsyncSession, user_id: uuid.UUID) -> dict[str, set[str]]:
    """Return which scopes of a person applications were granted and still hold, by application."""
    mine = select(Grant.client_id, Grant.scope).where(Grant.user_id == user_id, Grant.revoked_at.is_(None)).distinct()
    by_client: dict[str, set[str]] = {}
    for client_id, scope in (await session.execute(mine)).all():
        by_client.setdefault(client_id, set()).update(scope.split())
    return by_client


def _of_pairs(columns: Columns) -> ColumnElement[bool]:
    """Return the condition that a row is of one of ``:user_ids`` and of one of ``:client_ids``."""
    of_user = columns.user_id.in_(bindparam("user_ids", expanding=True))
    return and_(of_user, columns.client_id.in_(bindparam("client_ids", expanding=True)))


_GRANTED = select(_g.user_id, _g.client_id, _g.scope).where(_of_pairs(_g), _g.revoked_at.is_(None)).distinct()
_CONSENTED = select(_c.user_id, _c.client_id, _c.scopes).where(_of_pairs(_c))


async def scopes_known(
    session: AsyncSession, user_ids: Collection[uuid.UUID], client_ids: Collection[str]
) -> dict[tuple[uuid.UUID, str], set[str]]:
    """Return the scopes of users that applications were granted, by grants that still hold and by consents. Two
    statements."""
    known: dict[tuple[uuid.UUID, str], set[str]] = {}
    values = {"user_ids": [*user_ids], "client_ids": [*client_ids]}
    for user_id, client_id, scope in (await session.execute(_GRANTED, values)).all():
        known.setdefault((user_id, client_id), set()).update(scope.split())
    for user_id, client_id, scopes in (await session.execute(_CONSENTED, values)).all():
        known.setdefault((user_id, client_id), set()).update(scope.partition(" ")[0] for scope in scopes)
    return known


async def granted_with(
    session: AsyncSession, user_id: uuid.UUID, client_ids: Collection[str]
) -> list[tuple[str, frozenset[str], GrantDetails]]:
    """Return the grants of a user that hold: the application, the scopes, and the claims that were asked for by name or
    that the grant does not give. One statement."""
    statement = select(Grant.client_id, Grant.scope, Grant.details).where(
        Grant.user_id == user_id, Grant.client_id.in_(client_ids), Grant.revoked_at.is_(None)
    )
    return [
        (client_id, frozenset(scope.split()), details)
        for client_id, scope, details in (await session.execute(statement)).all()
    ]


async def clients_of_user(session: AsyncSession, user_id: uuid.UUID) -> set[str]:
    """Return every application that a person has granted something that is still known."""
    granted = select(Grant.client_id).where(Grant.user_id == user_id)
    allowed = select(Consent.client_id).where(Consent.user_id == user_id)
    return set((await session.execute(granted.union(allowed))).scalars())


@dataclass(frozen=True, slots=True)
class GrantFilter:
    """Which grants: each given field narrows."""

    user_id: uuid.UUID | None = None
    client_id: str | None = None
    session_id: uuid.UUID | None = None


def _active_grants(filter_: GrantFilter, now: datetime, idle_since: datetime) -> Select[Grant]:
    statement = (
        select(Grant)
        .join(User, User.id == Grant.user_id)
        .outerjoin(SsoSession, SsoSession.id == Grant.session_id)
        .where(_GRANT_ACTIVE, Grant.expires_at > now, Grant.code_hash.is_(None) | Grant.code_used_at.is_not(None))
        .params(now=now, idle_since=idle_since)
    )
    for name in ("user_id", "client_id", "session_id"):
        if (value := getattr(filter_, name)) is not None:
            statement = statement.where(getattr(Grant, name) == value)
    return statement


async def page_of_grants(
    session: AsyncSession,
    filter_: GrantFilter,
    before: uuid.UUID | None,
    now: datetime,
    idle_since: datetime,
    limit: int,
) -> list[Grant]:
    """Return grants that hold, the newest first, from before ``before`` on."""
    statement = _active_grants(filter_, now, idle_since).order_by(Grant.id.desc()).limit(limit)
    if before is not None:
        statement = statement.where(Grant.id < before)
    return list((await session.execute(statement)).scalars())


async def get_grant(session: AsyncSession, grant_id: uuid.UUID, now: datetime, idle_since: datetime) -> Grant | None:
    """Return one grant where it holds."""
    statement = _active_grants(GrantFilter(), now, idle_since).where(Grant.id == grant_id)
    return (await session.execute(statement)).scalar_one_or_none()


async def revoke_grants_of_user(
    session: AsyncSession, user_id: uuid.UUID, now: datetime, *, but: uuid.UUID | None = None, client_id: str = ""
) -> None:
    """End every grant of a person, those that outlive sessions too: all but those of the session ``but``; or only those
    to an application."""
    which: list[ColumnElement[bool]] = [Grant.user_id == user_id]
    if but is not None:
        which.append(Grant.session_id.is_distinct_from(but))
    if client_id:
        which.append(Grant.client_id == client_id)
    await _revoke(session, now, *which)


async def revoke_grants_of_users(
    session: AsyncSession, client_id: str, now: datetime, made_by: Mapping[uuid.UUID, datetime]
) -> None:
    """End the grants to one application that each user made by a moment, those that outlive sessions too."""
    users_of: dict[datetime, list[uuid.UUID]] = {}
    for user_id, moment in made_by.items():
        users_of.setdefault(moment, []).append(user_id)
    by_user = [and_(Grant.user_id.in_(users), Grant.created_at <= moment) for moment, users in users_of.items()]
    if by_user:
        await _revoke(session, now, Grant.client_id == client_id, or_(*by_user))
