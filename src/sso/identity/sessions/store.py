"""Every SQL statement about sessions."""

from __future__ import annotations

import uuid
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import Literal, TypedDict, TypeVar, cast

from sqlalchemy import (
    CTE,
    ColumnElement,
    Exists,
    FromClause,
    bindparam,
    case,
    exists,
    func,
    literal_column,
    select,
    update,
)
from sqlalchemy.dialects import postgresql
from sqlalchemy.ext.asyncio import AsyncSession

from sso.identity.sessions.models import SessionClient, SsoSession
from sso.identity.sessions.reasons import EndReason
from sso.identity.users.models import Credential, Identifier, User, UserRole
from sso.identity.users.store import Person
from sso.platform.db import (
    INSERTS,
    Executor,
    count_roughly,
    delete_batch,
    each_of,
    fetch,
    lock_rows,
    make_object,
    one_of,
    table_of,
    valid_at,
)
from sso.platform.db.base import InsertFor
from sso.platform.db.ends import note_ends
from sso.platform.db.sql_types import InsertReturning, ResultRow, SelectStatement
from sso.platform.security.tokens import random_token

NotifiedBy = Literal["back_channel", "front_channel", "shared_signals", "gate", "token_lifetime", "not_at_all"]
REACHED: frozenset[NotifiedBy] = frozenset({"back_channel", "front_channel", "shared_signals", "gate"})
"""How applications are notified of the end of a session, or closed by it; the others find out at the next request."""


@dataclass(frozen=True, slots=True)
class ClientSession:
    """The use of a session by an application. ``sid`` identifies the session for the application; ``notified_by`` says
    how the application learns of the end, None while the session has not ended; ``refused_at`` when a gate refused the
    first request after the end."""

    client_id: str
    sid: str
    session_id: uuid.UUID
    user_id: uuid.UUID
    notified_by: NotifiedBy | None
    first_used_at: datetime
    last_used_at: datetime
    ended_at: datetime | None
    refused_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class ActiveSession:
    """The columns of an active session that the protocol needs."""

    id: uuid.UUID
    user_id: uuid.UUID
    auth_time: datetime
    last_seen_at: datetime
    acr: str
    amr: list[str]


class SessionColumns(TypedDict, total=False):
    """Columns of a session that are stored at its start or renewal."""

    id: uuid.UUID
    user_id: uuid.UUID
    created_at: datetime
    token_hash: bytes
    last_seen_at: datetime
    expires_at: datetime | None
    remembered_until: datetime | None
    auth_time: datetime
    device_hash: bytes | None
    country: str | None
    trusted_until: datetime
    acr: str
    amr: list[str]
    address: str | None
    user_agent: str


MAX_SURPLUS = 100
_Statement = TypeVar("_Statement", bound=SelectStatement)

# The statements of the frequent flows are built once: building one costs more than running it.
_sessions, _clients, _users = table_of(SsoSession), table_of(SessionClient), table_of(User)
_s, _c, _u = _sessions.c, _clients.c, _users.c

ACTIVE_SESSION_COLUMNS = (_s.id, _s.user_id, _s.auth_time, _s.last_seen_at, _s.acr, _s.amr)
_REMEMBERED = _s.remembered_until.is_not(None)
ACTIVE = (
    (_s.ended_at.is_(None))
    & (_s.expires_at > bindparam("now"))
    & ((_s.last_seen_at > bindparam("idle_since")) | _REMEMBERED)
)
"""The condition that a session is active: not ended, not expired, and used after ``idle_since``. The session of a
remembered device has no idle limit: each use moves its ``expires_at``."""


_CLIENT_SESSION = ["session_id", "client_id", "sid", "first_used_at", "last_used_at"]


def _open_client_session(insert: InsertFor) -> InsertReturning:
    active_session = (
        select(
            _s.id, bindparam("client_id", type_=_c.client_id.type), bindparam("sid", type_=_c.sid.type),
            bindparam("now", type_=_c.first_used_at.type), bindparam("now", type_=_c.last_used_at.type),
        )
        .join(_users, _u.id == _s.user_id)
        .where(_s.id == bindparam("session_id"), ACTIVE, _u.disabled_at.is_(None))
        .with_for_update(read=True, of=_sessions)
    )  # fmt: skip
    statement = insert(_clients).from_select(_CLIENT_SESSION, active_session)
    return statement.on_conflict_do_update(
        index_elements=["session_id", "client_id"], set_=_used_again(statement)
    ).returning(_c.sid)


def _used_again(statement: postgresql.Insert) -> dict[str, object]:
    """Return what changes in the row of an application that uses the session again."""
    return {"last_used_at": statement.excluded.last_used_at, "ended_at": None, "notified_by": None, "refused_at": None}


def client_session_cte(held: FromClause) -> CTE:
    """Return a part of a statement for PostgreSQL: it records that an application uses a session under the name
    ``:sid``, at ``:now``, and returns ``session_id``; nothing where the application knows the session by another name.

    Args:
        held: what selects ``session_id`` and ``client_id`` of an active session, and holds it.
    """
    now = [bindparam("now", type_=column.type) for column in (_c.first_used_at, _c.last_used_at)]
    rows = select(held.c.session_id, held.c.client_id, bindparam("sid", type_=_c.sid.type), *now)
    statement = INSERTS["postgresql"](_clients).from_select(_CLIENT_SESSION, rows)
    return (
        statement.on_conflict_do_update(
            index_elements=["session_id", "client_id"],
            set_=_used_again(statement),
            where=_c.sid == bindparam("sid", type_=_c.sid.type),
        )
        .returning(_c.session_id)
        .cte("used_session")
    )


_IS_ACTIVE = (
    select(_s.id)
    .join(_users, _u.id == _s.user_id)
    .where(_s.id == bindparam("session_id"), ACTIVE, _u.disabled_at.is_(None))
)
_LOCK_ACTIVE = _IS_ACTIVE.with_for_update(read=True, of=_sessions)
_OPEN_CLIENT_SESSION = {name: _open_client_session(insert) for name, insert in INSERTS.items()}
_TOUCH = (
    update(_sessions)
    .where(_s.id == bindparam("session_id"), _s.ended_at.is_(None))
    .values(
        last_seen_at=bindparam("now"),
        expires_at=case(
            (_s.remembered_until.is_(None), _s.expires_at),
            (_s.remembered_until < bindparam("later", type_=_s.expires_at.type), _s.remembered_until),
            else_=bindparam("later", type_=_s.expires_at.type),
        ),
    )
)
_mine = _sessions.alias("mine")
_COUNT = (
    select(func.count())
    .select_from(_mine)
    .where(_mine.c.user_id == bindparam("user_id", type_=_s.user_id.type), _mine.c.ended_at.is_(None))
    .scalar_subquery()
)


@cache
def _insert(names: tuple[str, ...]) -> InsertReturning:
    """Return the statement that stores a session if the account is enabled and its credentials have not changed since
    the authentication. The row of the user stays locked, so that this is true until the transaction ends."""
    columns = [bindparam(name, type_=_s[name].type).label(name) for name in names]
    same = (_u.id == bindparam("user_id")) & (_u.security_version == bindparam("security_version"))
    person = select(*columns).select_from(_users).where(same, _u.disabled_at.is_(None)).with_for_update(read=True)
    return _sessions.insert().from_select(list(names), person).returning(_COUNT)


@dataclass(frozen=True, slots=True)
class SigningIn:
    """A user who is about to sign in, and the facts that decide which factors are required.

    ``identifier_kind``, ``lookup`` and ``verified`` describe the identifier that was typed. ``known``: the user has
    signed in with this browser before; ``trusted``: the user trusts this browser; ``seen_before``: the user has signed
    in before, with any browser.
    """

    user: User
    identifier_kind: str
    lookup: str
    verified: bool
    credentials: list[Credential]
    roles: frozenset[str]
    known: bool
    trusted: bool
    seen_before: bool
    country_known: bool

    @property
    def password(self) -> Credential | None:
        """The password credential, if there is one."""
        return next((credential for credential in self.credentials if credential.kind == "password"), None)

    @property
    def factors(self) -> frozenset[str]:
        """The kinds of credential that are set up."""
        return frozenset(credential.kind for credential in self.credentials)


def _seen(*conditions: ColumnElement[bool]) -> Exists:
    return exists().where(_s.user_id == _u.id, *conditions)


_identifiers, _credentials = table_of(Identifier), table_of(Credential)
_i, _k, _r = _identifiers.c, _credentials.c, table_of(UserRole).c
_SPACE = cast(str, literal_column("' '"))  # SQLAlchemy would write a text into the statement late
_BY_THIS_BROWSER = _s.device_hash == bindparam("device_hash")
_FACTS = (
    _i.kind,
    _i.lookup,
    _i.verified_at,
    select(func.aggregate_strings(_r.role, _SPACE)).where(_r.user_id == _u.id).scalar_subquery(),
    _seen(_BY_THIS_BROWSER),
    _seen(_BY_THIS_BROWSER, _s.trusted_until > bindparam("now")),
    _seen(),
    _seen(_s.country == bindparam("country")),
)
_USER_COLUMNS, _FACT_COLUMNS = len(_u), len(_FACTS)


@cache
def _find_signing_in(number: int) -> SelectStatement:
    """Return the statement that finds the users who have one of ``number`` identifiers: the columns of the user, the
    facts, and the columns of each credential."""
    return (
        select(*_u, *_FACTS, *_k)
        .join(_identifiers, _i.user_id == _u.id)
        .outerjoin(_credentials, _k.user_id == _u.id)
        .where(one_of(_i.lookup, "lookup", number), valid_at(_i, bindparam("now")))
    )


async def signing_in(
    session: AsyncSession, lookups: Sequence[str], device_hash: bytes | None, country: str | None, now: datetime
) -> list[SigningIn]:
    """Return the users that the typed identifier can mean, in the order of ``lookups``: users who have verified one of
    these identifiers (a user name needs no verification), or else the only user who claims one. One statement."""
    values = {**each_of("lookup", lookups), "device_hash": device_hash, "country": country, "now": now}
    rows = await fetch(session, _find_signing_in(len(lookups)), values)
    with_facts = [(row[_USER_COLUMNS : _USER_COLUMNS + _FACT_COLUMNS], row) for row in rows]
    verified = [(facts, row) for facts, row in with_facts if facts[2] is not None or facts[0] == "username"]
    people: dict[uuid.UUID, list[ResultRow]] = {}
    for _, row in sorted(verified or with_facts, key=lambda pair: lookups.index(pair[0][1])):
        people.setdefault(row[0], []).append(row)
    if not verified and len(people) > 1:
        return []
    return [_signing_in(session, user_rows) for user_rows in people.values()]


def _signing_in(session: AsyncSession, rows: list[ResultRow]) -> SigningIn:
    kind, lookup, verified_at, roles, *seen = rows[0][_USER_COLUMNS : _USER_COLUMNS + _FACT_COLUMNS]
    columns = [row[_USER_COLUMNS + _FACT_COLUMNS :] for row in rows]
    credentials = {mine[0]: make_object(session, Credential, mine) for mine in columns if mine[0] is not None}
    user = make_object(session, User, rows[0][:_USER_COLUMNS])
    of_roles = frozenset((roles or "").split())
    return SigningIn(
        user, kind, lookup, verified_at is not None, list(credentials.values()), of_roles, *map(bool, seen)
    )


_IS_KNOWN = select(
    exists().where(_s.user_id == _u.id, _s.device_hash == bindparam("device_hash")), exists().where(_s.user_id == _u.id)
).where(_u.id == bindparam("user_id"))


async def is_known(session: AsyncSession, user_id: uuid.UUID, device_hash: bytes) -> tuple[bool, bool]:
    """Tell whether a user has signed in with a browser before, and whether with any browser."""
    row = (await fetch(session, _IS_KNOWN, {"user_id": user_id, "device_hash": device_hash})).first()
    return (bool(row[0]), bool(row[1])) if row else (False, False)


async def trusted_devices(session: AsyncSession, user_id: uuid.UUID, now: datetime) -> list[SsoSession]:
    """Return the newest session of each browser that a user trusts."""
    mine = select(SsoSession).where(SsoSession.user_id == user_id, SsoSession.trusted_until > now)
    newest: dict[bytes | None, SsoSession] = {}
    for trusted in (await session.execute(mine.order_by(SsoSession.last_seen_at))).scalars():
        newest[trusted.device_hash] = trusted
    return list(newest.values())


async def distrust(session: AsyncSession, user_id: uuid.UUID) -> None:
    """Remove the trust from every browser of a user."""
    mine = await lock(session, SsoSession.user_id == user_id, SsoSession.trusted_until.is_not(None))
    await session.execute(update(SsoSession).where(SsoSession.id.in_(mine)).values(trusted_until=None))


async def clear_places(session: AsyncSession, user_id: uuid.UUID) -> None:
    """Delete IP addresses, browsers and countries from the sessions of a user."""
    nothing = {"address": None, "user_agent": None, "device_hash": None, "country": None, "trusted_until": None}
    await lock(session, SsoSession.user_id == user_id)
    await session.execute(update(SsoSession).where(SsoSession.user_id == user_id).values(nothing))


async def clear_device(session: AsyncSession, session_id: uuid.UUID) -> None:
    """Make the browser of a session unknown to its user, who reported that somebody else used the browser."""
    reported = await session.get(SsoSession, session_id)
    if reported is not None and reported.device_hash is not None:
        same_browser = (SsoSession.user_id == reported.user_id) & (SsoSession.device_hash == reported.device_hash)
        await lock(session, same_browser)
        await session.execute(update(SsoSession).where(same_browser).values(device_hash=None, trusted_until=None))


async def client_sessions_of_user(session: AsyncSession, user_id: uuid.UUID, client_id: str) -> list[uuid.UUID]:
    """Return the sessions of a user that an application uses."""
    statement = (
        select(SessionClient.session_id)
        .join(SsoSession, SsoSession.id == SessionClient.session_id)
        .where(
            SsoSession.user_id == user_id,
            SsoSession.ended_at.is_(None),
            SessionClient.client_id == client_id,
            SessionClient.ended_at.is_(None),
        )
    )
    return list((await session.execute(statement)).scalars())


async def client_sessions_of_users(
    session: AsyncSession, user_ids: Collection[uuid.UUID], client_id: str
) -> list[tuple[uuid.UUID, uuid.UUID, datetime]]:
    """Return the sessions of users that an application uses: session, user, and when it used the session last."""
    statement = (
        select(SessionClient.session_id, SsoSession.user_id, SessionClient.last_used_at)
        .join(SsoSession, SsoSession.id == SessionClient.session_id)
        .where(
            SsoSession.user_id.in_(user_ids),
            SsoSession.ended_at.is_(None),
            SessionClient.client_id == client_id,
            SessionClient.ended_at.is_(None),
        )
    )
    return [(row[0], row[1], row[2]) for row in (await session.execute(statement)).all()]


async def all_of_user(session: AsyncSession, user_id: uuid.UUID) -> list[SsoSession]:
    """Return every stored session of a user, the newest first."""
    mine = select(SsoSession).where(SsoSession.user_id == user_id).order_by(SsoSession.id.desc())
    return list((await session.execute(mine)).scalars())


async def last_used_clients(session: AsyncSession, user_id: uuid.UUID) -> dict[str, datetime]:
    """Return the applications that a user used in stored sessions, with the time of the last use."""
    statement = (
        select(SessionClient.client_id, func.max(SessionClient.last_used_at))
        .join(SsoSession, SsoSession.id == SessionClient.session_id)
        .where(SsoSession.user_id == user_id)
        .group_by(SessionClient.client_id)
    )
    return {row[0]: row[1] for row in (await session.execute(statement)).all()}


async def touch(session: AsyncSession, session_id: uuid.UUID, now: datetime, later: datetime) -> None:
    """Record the use of a session. The session of a remembered device then expires at ``later``."""
    await session.execute(_TOUCH, {"session_id": session_id, "now": now, "later": later})


async def insert(session: AsyncSession, values: SessionColumns, security_version: int = 0) -> int | None:
    """Store a new session. One statement.

    Args:
        session: the transaction.
        values: the columns.
        security_version: of the user at the authentication; 0 if the credentials never changed.

    Returns:
        The approximate number of sessions of the user that have not ended; None if the session was not stored, because
        the user was disabled or the credentials changed since ``security_version``.
    """
    result = await fetch(session, _insert(tuple(values)), {**values, "security_version": security_version})
    count = result.scalar_one_or_none()
    return None if count is None else int(count) + 1


async def lock_for_renewal(session: AsyncSession, user_id: uuid.UUID, session_ids: Sequence[uuid.UUID]) -> None:
    """Lock a user and sessions, of which one is renewed and others end in the same transaction."""
    await session.execute(select(_u.id).where(_u.id == user_id).with_for_update(read=True))
    await lock(session, SsoSession.id.in_(session_ids))


async def surplus(session: AsyncSession, user_id: uuid.UUID, limit: int) -> list[uuid.UUID]:
    """Return the sessions of a user beyond ``limit``, least recently used, at most ``MAX_SURPLUS``."""
    mine = select(_s.id).where(_s.user_id == user_id, _s.ended_at.is_(None))
    mine = mine.order_by(_s.last_seen_at.desc(), _s.id.desc()).offset(limit).limit(MAX_SURPLUS)
    return list((await session.execute(mine)).scalars())


@cache
def _of_browser(number: int) -> SelectStatement:
    return (
        select(_s.token_hash, *ACTIVE_SESSION_COLUMNS, _u.name, _u.locked_until, _u.delete_at.is_not(None))
        .join(_users, _u.id == _s.user_id)
        .where(one_of(_s.token_hash, "token_hash", number), ACTIVE, _u.disabled_at.is_(None))
    )


async def of_browser(
    session: AsyncSession, token_hashes: Sequence[bytes], now: datetime, idle_since: datetime
) -> dict[bytes, tuple[ActiveSession, Person]]:
    """Return the active sessions with these cookies, with their users, by the hash of the cookie. One statement."""
    values = {**each_of("token_hash", token_hashes), "now": now, "idle_since": idle_since}
    rows = await fetch(session, _of_browser(len(token_hashes)), values)
    return {row[0]: (ActiveSession(*row[1:7]), Person(row[2], row[7], row[8], bool(row[9]))) for row in rows}


@dataclass(frozen=True, slots=True)
class EndedSession:
    """When and why a session ended, or will end: the columns that say so."""

    ended_at: datetime | None
    end_reason: str | None
    expires_at: datetime
    last_seen_at: datetime
    remembered_until: datetime | None


_ENDED = select(_s.ended_at, _s.end_reason, _s.expires_at, _s.last_seen_at, _s.remembered_until).where(
    _s.token_hash.in_(bindparam("token_hashes", expanding=True))
)


async def ended_of_browser(session: AsyncSession, token_hashes: Sequence[bytes]) -> list[EndedSession]:
    """Return when and why the sessions with these cookies ended, or will end. One statement."""
    rows: Sequence[ResultRow] = (await session.execute(_ENDED, {"token_hashes": list(token_hashes)})).all()
    return [EndedSession(*row) for row in rows]


async def renew(
    session: AsyncSession, session_id: uuid.UUID, now: datetime, idle_since: datetime, values: SessionColumns
) -> bool:
    """Give an active session of the same user a new cookie and authentication; tell whether the session was active."""
    statement = update(_sessions).where(_s.id == session_id, ACTIVE).values(values).returning(_s.id)
    return (await session.execute(statement, {"now": now, "idle_since": idle_since})).first() is not None


def open_client_session(
    session: Executor, session_id: uuid.UUID, client_id: str, now: datetime, idle_since: datetime
) -> str | None:
    """Record that an application uses a session and return its ``sid``; None if the session is not active.

    The session stays locked until the transaction ends, so that it cannot end without this application.
    """
    values = {"session_id": session_id, "client_id": client_id, "sid": random_token(), "now": now}
    statement = _OPEN_CLIENT_SESSION[session.get_bind().dialect.name]
    known_sid: str | None = session.execute(statement, {**values, "idle_since": idle_since}).scalar_one_or_none()
    return known_sid


async def participants(session: AsyncSession, session_ids: Sequence[uuid.UUID]) -> list[ClientSession]:
    """Return every use of these sessions by an application."""
    statement = (
        select(
            SessionClient.client_id,
            SessionClient.sid,
            SessionClient.session_id,
            SsoSession.user_id,
            SessionClient.notified_by,
            SessionClient.first_used_at,
            SessionClient.last_used_at,
            SessionClient.ended_at,
            SessionClient.refused_at,
        )
        .join(SsoSession, SsoSession.id == SessionClient.session_id)
        .where(SessionClient.session_id.in_(session_ids))
        .order_by(SessionClient.first_used_at)
    )
    rows: Sequence[ResultRow] = (await session.execute(statement)).all()
    return [ClientSession(*row) for row in rows]


async def record_notified_by(
    session: AsyncSession, session_ids: Sequence[uuid.UUID], notified_by: NotifiedBy, client_ids: Sequence[str]
) -> None:
    """Record how applications are notified of the end of the sessions."""
    mine = (SessionClient.session_id.in_(session_ids)) & (SessionClient.client_id.in_(client_ids))
    await session.execute(update(SessionClient).where(mine).values(notified_by=notified_by))


async def lock_client_sessions(session: AsyncSession, *which: ColumnElement[bool]) -> list[uuid.UUID]:
    """Lock the uses of sessions by applications that match the conditions, in the order of their keys; return the
    sessions."""
    order = (SessionClient.session_id, SessionClient.client_id)
    return await lock_rows(session, select(SessionClient.session_id).where(*which).order_by(*order))


async def get(session: AsyncSession, session_id: uuid.UUID) -> tuple[SsoSession, User] | None:
    """Return a session, active or ended, and its user."""
    statement = select(SsoSession, User).join(User, User.id == SsoSession.user_id).where(SsoSession.id == session_id)
    row = (await session.execute(statement)).first()
    return (row[0], row[1]) if row else None


async def ended(session: AsyncSession, filter_: SessionFilter, limit: int) -> list[tuple[SsoSession, User]]:
    """Return ended sessions with their users, the last ended first."""
    statement = (
        filtered(select(SsoSession, User).join(User, User.id == SsoSession.user_id), filter_)
        .where(SsoSession.ended_at.is_not(None))
        .order_by(SsoSession.ended_at.desc(), SsoSession.id)
        .limit(limit)
    )
    return [(row[0], row[1]) for row in (await session.execute(statement)).all()]


async def end(session: AsyncSession, session_ids: Sequence[uuid.UUID], reason: str, now: datetime) -> list[uuid.UUID]:
    """End the sessions that have not ended and return them. Exactly one caller gets each."""
    mine = await lock(session, *where_not_ended(session_ids))
    if mine:
        values = {"ended_at": now, "end_reason": reason}
        await session.execute(update(SsoSession).where(SsoSession.id.in_(mine)).values(values))
        if reason != EndReason.EXPIRED:  # what is over by itself is found again by itself
            await note_ends(session, "session", mine, now, reason=reason)
    return mine


def where_not_ended(session_ids: Sequence[uuid.UUID]) -> tuple[ColumnElement[bool], ...]:
    """Return the conditions for those of the sessions that have not ended."""
    return SsoSession.id.in_(session_ids), SsoSession.ended_at.is_(None)


async def lock_matching(session: AsyncSession, filter_: SessionFilter) -> None:
    """Lock every matching session that has not ended, before the sessions are ended in several batches."""
    matching = filtered(select(SsoSession.id), filter_).where(SsoSession.ended_at.is_(None))
    await lock_rows(session, matching.order_by(SsoSession.id))


async def lock(session: AsyncSession, *which: ColumnElement[bool]) -> list[uuid.UUID]:
    """Lock the sessions that match the conditions, in the order of their ids, and return their ids."""
    return await lock_rows(session, select(SsoSession.id).where(*which).order_by(SsoSession.id))


async def is_active(session: AsyncSession, session_id: uuid.UUID, now: datetime, idle_since: datetime) -> bool:
    """Tell whether a session is active and its user enabled. Lock the user first, so that a transaction that ends all
    sessions of the user has finished, or waits."""
    row = await fetch(session, _IS_ACTIVE, {"session_id": session_id, "now": now, "idle_since": idle_since})
    return row.first() is not None


async def lock_active(session: AsyncSession, session_id: uuid.UUID, now: datetime, idle_since: datetime) -> bool:
    """Lock an active session of an enabled user, so that it cannot end before the transaction; tell whether the session
    is active. Grants within a session are stored only while the session is locked."""
    row = await fetch(session, _LOCK_ACTIVE, {"session_id": session_id, "now": now, "idle_since": idle_since})
    return row.first() is not None


@dataclass(frozen=True, slots=True)
class SessionFilter:
    """Which sessions: each field that is set narrows. ``begun_by``: started at or before; ``but``: not this session;
    ``network``: from an IP address, or from a network if the text ends with a dot or colon; ``system``: text in the
    user agent; ``unused_since``: not used after."""

    session_id: uuid.UUID | None = None
    user_id: uuid.UUID | None = None
    client_id: str | None = None
    begun_by: datetime | None = None
    but: uuid.UUID | None = None
    network: str | None = None
    system: str | None = None
    unused_since: datetime | None = None


async def active(
    session: AsyncSession, filter_: SessionFilter, now: datetime, idle_since: datetime, limit: int
) -> list[tuple[SsoSession, User]]:
    """Return active sessions with their users, newest first."""
    statement = (
        filtered(select(SsoSession, User).join(User, User.id == SsoSession.user_id), filter_)
        .where(ACTIVE)
        .order_by(SsoSession.id.desc())
        .limit(limit)
    )
    rows = await session.execute(statement, {"now": now, "idle_since": idle_since})
    return [(row[0], row[1]) for row in rows.all()]


Status = Literal["active", "ended", "all"]


async def page_of(
    session: AsyncSession,
    filter_: SessionFilter,
    status: Status,
    now: datetime,
    idle_since: datetime,
    before: uuid.UUID | None,
    limit: int,
) -> list[tuple[SsoSession, User]]:
    """Return sessions older than ``before`` with their users, newest first."""
    statement = filtered(select(SsoSession, User).join(User, User.id == SsoSession.user_id), filter_)
    if status == "active":
        statement = statement.where(ACTIVE).params(now=now, idle_since=idle_since)
    elif status == "ended":
        statement = statement.where(SsoSession.ended_at.is_not(None))
    if before is not None:
        statement = statement.where(SsoSession.id < before)
    rows = await session.execute(statement.order_by(SsoSession.id.desc()).limit(limit))
    return [(row[0], row[1]) for row in rows.all()]


async def not_ended(session: AsyncSession, filter_: SessionFilter, limit: int) -> list[uuid.UUID]:
    """Return sessions that have not ended; expired sessions too, because their applications are not notified yet."""
    statement = filtered(select(SsoSession.id), filter_).where(SsoSession.ended_at.is_(None)).limit(limit)
    return list((await session.execute(statement)).scalars())


async def count_active(session: AsyncSession, now: datetime, idle_since: datetime, limit: int | None = None) -> int:
    """Return the number of active sessions, counted up to ``limit``."""
    counted = select(SsoSession.id).where(ACTIVE).limit(limit).subquery()
    statement = select(func.count()).select_from(counted)
    return int((await session.execute(statement, {"now": now, "idle_since": idle_since})).scalar_one())


async def count_not_ended(session: AsyncSession, filter_: SessionFilter) -> int:
    """Return the number of sessions that have not ended."""
    statement = filtered(select(func.count(SsoSession.id)), filter_).where(SsoSession.ended_at.is_(None))
    return int((await session.execute(statement)).scalar_one())


async def count_roughly_active(session: AsyncSession, now: datetime, idle_since: datetime) -> int:
    """Return the number of active sessions; PostgreSQL estimates a large number. The estimate is of the sessions that
    have not ended: a job ends those that have expired every five minutes."""
    exact = select(SsoSession.id).where(ACTIVE).order_by(SsoSession.expires_at).params(now=now, idle_since=idle_since)
    return await count_roughly(session, exact, select(SsoSession.id).where(SsoSession.ended_at.is_(None)))


async def expired(
    session: AsyncSession, now: datetime, idle_since: datetime, limit: int, but: Collection[uuid.UUID] = ()
) -> list[uuid.UUID]:
    """Return sessions that have expired, or were not used for too long, and have not ended yet. Two statements, because
    each has an index. ``but``: without these."""
    open_ = select(SsoSession.id).where(SsoSession.ended_at.is_(None))
    if but:
        open_ = open_.where(SsoSession.id.not_in(list(but)))
    expired = open_.where(SsoSession.expires_at <= now).order_by(SsoSession.expires_at)
    unused = open_.where(SsoSession.remembered_until.is_(None), SsoSession.last_seen_at <= idle_since)
    ids: dict[uuid.UUID, None] = {}
    for statement in (expired, unused.order_by(SsoSession.last_seen_at)):
        if len(ids) < limit:
            ids.update(dict.fromkeys((await session.execute(statement.limit(limit))).scalars()))
    return list(ids)[:limit]


async def open_client_sessions(
    session: AsyncSession, client_id: str, begun_by: datetime, limit: int
) -> list[uuid.UUID]:
    """Return sessions that have not ended and that an application has used since ``begun_by`` or before."""
    statement = (
        select(SessionClient.session_id)
        .join(SsoSession, SsoSession.id == SessionClient.session_id)
        .where(SessionClient.client_id == client_id, SessionClient.ended_at.is_(None), SsoSession.ended_at.is_(None))
        .where(SessionClient.first_used_at <= begun_by)
        .limit(limit)
    )
    return list((await session.execute(statement)).scalars())


async def count_open_client_sessions(session: AsyncSession, client_id: str) -> int:
    """Return the number of sessions that have not ended and that an application uses."""
    statement = (
        select(func.count())
        .select_from(SessionClient)
        .join(SsoSession, SsoSession.id == SessionClient.session_id)
        .where(SessionClient.client_id == client_id, SessionClient.ended_at.is_(None), SsoSession.ended_at.is_(None))
    )
    return int((await session.execute(statement)).scalar_one())


async def count_client_sessions_up_to(session: AsyncSession, client_id: str, limit: int) -> int:
    """Return the number of sessions that have not ended and that an application uses, counted up to ``limit``."""
    some = (
        select(SessionClient.session_id)
        .join(SsoSession, SsoSession.id == SessionClient.session_id)
        .where(SessionClient.client_id == client_id, SessionClient.ended_at.is_(None), SsoSession.ended_at.is_(None))
        .limit(limit)
    )
    return int((await session.execute(select(func.count()).select_from(some.subquery()))).scalar_one())


async def end_client_sessions(
    session: AsyncSession, session_ids: Sequence[uuid.UUID], client_id: str, now: datetime, reason: str
) -> list[uuid.UUID]:
    """End the use of these sessions by an application and return the sessions whose use had not ended."""
    its = SessionClient.client_id == client_id
    mine = await lock_client_sessions(
        session, SessionClient.session_id.in_(session_ids), its, SessionClient.ended_at.is_(None)
    )
    if mine:
        ended = update(SessionClient).where(SessionClient.session_id.in_(mine), its).values(ended_at=now)
        await session.execute(ended)
        await note_ends(session, "client_session", mine, now, client_id=client_id, reason=reason)
    return mine


async def is_used_since(session: AsyncSession, session_id: uuid.UUID, client_id: str, moment: datetime) -> bool:
    """Tell whether an application has used a session after ``moment``, and the use has not ended."""
    used = select(SessionClient.session_id).where(
        SessionClient.session_id == session_id,
        SessionClient.client_id == client_id,
        SessionClient.last_used_at > moment,
        SessionClient.ended_at.is_(None),
    )
    return (await session.execute(used)).first() is not None


async def delete_ended(session: AsyncSession, before: datetime, limit: int) -> int:
    """Delete sessions that ended before ``before``, at most ``limit``; return the number."""
    return await delete_batch(session, SsoSession, SsoSession.ended_at, limit, SsoSession.ended_at < before)


async def delete_client_sessions(session: AsyncSession, client_id: str, limit: int) -> int:
    """Delete the uses of sessions by an application, at most ``limit``; return the number."""
    its = SessionClient.client_id == client_id
    return await delete_batch(session, SessionClient, SessionClient.client_id, limit, its)


async def clients_of_user(session: AsyncSession, user_id: uuid.UUID) -> set[str]:
    """Return every application that used a stored session of a user."""
    statement = (
        select(SessionClient.client_id)
        .join(SsoSession, SsoSession.id == SessionClient.session_id)
        .where(SsoSession.user_id == user_id)
        .distinct()
    )
    return set((await session.execute(statement)).scalars())


async def used_clients(session: AsyncSession, session_id: uuid.UUID) -> list[str]:
    """Return the applications of one session, in the order of their first use."""
    statement = (
        select(SessionClient.client_id)
        .where(SessionClient.session_id == session_id)
        .order_by(SessionClient.first_used_at)
    )
    return list((await session.execute(statement)).scalars())


def filtered(statement: _Statement, filter_: SessionFilter) -> _Statement:
    """Return ``statement`` narrowed to the sessions of a filter."""
    if filter_.session_id is not None:
        statement = statement.where(SsoSession.id == filter_.session_id)
    if filter_.user_id is not None:
        statement = statement.where(SsoSession.user_id == filter_.user_id)
    if filter_.client_id is not None:
        client_sessions_of = select(SessionClient.session_id).where(SessionClient.client_id == filter_.client_id)
        statement = statement.where(SsoSession.id.in_(client_sessions_of))
    if filter_.begun_by is not None:
        statement = statement.where(SsoSession.created_at <= filter_.begun_by)
    if filter_.but is not None:
        statement = statement.where(SsoSession.id != filter_.but)
    if filter_.network is not None:
        whole = filter_.network.endswith((".", ":"))
        here = SsoSession.address.startswith(filter_.network, autoescape=True) if whole else None
        statement = statement.where(here if here is not None else SsoSession.address == filter_.network)
    if filter_.system is not None:
        statement = statement.where(SsoSession.user_agent.contains(filter_.system, autoescape=True))
    if filter_.unused_since is not None:
        statement = statement.where(SsoSession.last_seen_at <= filter_.unused_since)
    return statement
