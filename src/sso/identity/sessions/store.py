"""Every SQL statement about sessions."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import Any, Literal

from sqlalchemy import bindparam, case, delete, exists, func, select, update
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Session

from sso.identity.sessions.models import SessionClient, SsoSession
from sso.identity.users.models import Credential, Identifier, User, UserRole
from sso.identity.users.store import Person
from sso.platform.db import INSERTS, lock_rows, table_of
from sso.platform.security.tokens import random_token

HowTold = Literal["back_channel", "front_channel", "shared_signals", "token_lifetime", "not_at_all"]
REACHED: frozenset[HowTold] = frozenset({"back_channel", "front_channel", "shared_signals"})
"""The ways in which an application is told that a session is over, and does not have to find out by itself."""


@dataclass(frozen=True, slots=True)
class ClientSession:
    """That an application took part in a session, the ``sid`` by which it knows the session, and how it learns of its
    end: None as long as it has not ended."""

    client_id: str
    sid: str
    session_id: uuid.UUID
    user_id: uuid.UUID
    told_by: HowTold | None
    first_used_at: datetime
    last_used_at: datetime
    ended_at: datetime | None


@dataclass(frozen=True, slots=True)
class LiveSession:
    """A session that is not over, as far as the protocol needs to know."""

    id: uuid.UUID
    user_id: uuid.UUID
    auth_time: datetime
    last_seen_at: datetime
    acr: str
    amr: list[str]


MAX_AT_ONCE = 100

# The statements of the frequent flows are built once: building one costs more than running it.
_sessions, _clients, _users = table_of(SsoSession), table_of(SessionClient), table_of(User)
_s, _c, _u = _sessions.c, _clients.c, _users.c

LIVE_SESSION = (_s.id, _s.user_id, _s.auth_time, _s.last_seen_at, _s.acr, _s.amr)
_REMEMBERED = _s.remembered_until.is_not(None)
ALIVE = (
    (_s.ended_at.is_(None))
    & (_s.expires_at > bindparam("now"))
    & ((_s.last_seen_at > bindparam("idle_since")) | _REMEMBERED)
)
"""The condition that a session is not over: not ended, not expired, and used after ``idle_since`` unless the device is
remembered: then ``expires_at`` moves on with each use."""


def _open_client_session(insert: Any) -> Any:
    alive = (
        select(
            _s.id, bindparam("client_id", type_=_c.client_id.type), bindparam("sid", type_=_c.sid.type),
            bindparam("now", type_=_c.first_used_at.type), bindparam("now", type_=_c.last_used_at.type),
        )
        .join(_users, _u.id == _s.user_id)
        .where(_s.id == bindparam("session_id"), ALIVE, _u.disabled_at.is_(None))
        .with_for_update(read=True, of=_sessions)
    )  # fmt: skip
    names = ["session_id", "client_id", "sid", "first_used_at", "last_used_at"]
    made = insert(_clients).from_select(names, alive)
    return made.on_conflict_do_update(
        index_elements=["session_id", "client_id"],
        set_={"last_used_at": made.excluded.last_used_at, "ended_at": None, "told_by": None},
    ).returning(_c.sid)


_LIVES = (
    select(_s.id)
    .join(_users, _u.id == _s.user_id)
    .where(_s.id == bindparam("session_id"), ALIVE, _u.disabled_at.is_(None))
)
_HOLD = _LIVES.with_for_update(read=True, of=_sessions)
_TAKE_PART = {name: _open_client_session(insert) for name, insert in INSERTS.items()}
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
def _insert(names: tuple[str, ...]) -> Any:
    """Return the statement that stores a session of a person whose account is as it was when they proved who they are:
    enabled, and with everything that opens it. The person is held, so that it stays so until the transaction ends."""
    columns = [bindparam(name, type_=_s[name].type).label(name) for name in names]
    same = (_u.id == bindparam("user_id")) & (_u.security_version == bindparam("security_version"))
    person = select(*columns).select_from(_users).where(same, _u.disabled_at.is_(None)).with_for_update(read=True)
    return _sessions.insert().from_select(list(names), person).returning(_COUNT)


@dataclass(frozen=True, slots=True)
class SigningIn:
    """Somebody who is about to prove who they are, and what decides what that takes.

    ``identifier_kind``, ``lookup`` and ``verified`` are of what was typed. ``known``: this browser is one of the
    person's; ``trusted``: they asked that it need no second step; ``seen_before``: they have signed in before, at any
    browser.
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
        """The password, if there is one."""
        return next((one for one in self.credentials if one.kind == "password"), None)

    @property
    def factors(self) -> frozenset[str]:
        """The kinds of credential that are set up."""
        return frozenset(one.kind for one in self.credentials)


def _seen(*conditions: Any) -> Any:
    return exists().where(SsoSession.user_id == User.id, *conditions)


_SIGNING_IN = (
    select(
        User,
        Identifier.kind,
        Identifier.verified_at,
        Credential,
        select(func.aggregate_strings(UserRole.role, " ")).where(UserRole.user_id == User.id).scalar_subquery(),
        _seen(SsoSession.device_hash == bindparam("device_hash", type_=SsoSession.device_hash.type)),
        _seen(
            SsoSession.device_hash == bindparam("device_hash", type_=SsoSession.device_hash.type),
            SsoSession.trusted_until > bindparam("now", type_=SsoSession.created_at.type),
        ),
        _seen(),
        _seen(SsoSession.country == bindparam("country", type_=SsoSession.country.type)),
        Identifier.lookup,
    )
    .join(Identifier, Identifier.user_id == User.id)
    .outerjoin(Credential, Credential.user_id == User.id)
    .where(Identifier.lookup.in_(bindparam("lookups", expanding=True)))
)


async def signing_in(
    session: AsyncSession, lookups: Sequence[str], device_hash: bytes | None, country: str | None, now: datetime
) -> list[SigningIn]:
    """Return everybody whom what was typed can mean, in the order of ``lookups``: who has proven one of these
    identifiers (a user name is its holder's), or else who alone says so. One statement."""
    values = {"lookups": list(lookups), "device_hash": device_hash, "country": country, "now": now}
    rows: Any = (await session.execute(_SIGNING_IN, values)).all()
    verified = [row for row in rows if row[2] is not None or row[1] == "username"]
    people: dict[uuid.UUID, list[Any]] = {}
    for row in sorted(verified or rows, key=lambda one: lookups.index(one[9])):
        people.setdefault(row[0].id, []).append(row)
    if not verified and len(people) > 1:
        return []
    return [_signing_in(mine) for mine in people.values()]


def _signing_in(rows: list[Any]) -> SigningIn:
    first = rows[0]
    credentials = {row[3].id: row[3] for row in rows if row[3] is not None}
    roles, seen = frozenset((first[4] or "").split()), map(bool, first[5:9])
    return SigningIn(first[0], first[1], first[9], first[2] is not None, list(credentials.values()), roles, *seen)


async def is_known(session: AsyncSession, user_id: uuid.UUID, device_hash: bytes) -> tuple[bool, bool]:
    """Tell whether a browser is one of a person's, and whether they have signed in before at all."""
    here = _seen(SsoSession.device_hash == device_hash)
    row = (await session.execute(select(here, _seen()).select_from(User).where(User.id == user_id))).first()
    return (bool(row[0]), bool(row[1])) if row else (False, False)


async def trusted_devices(session: AsyncSession, user_id: uuid.UUID, now: datetime) -> list[SsoSession]:
    """Return the newest session of each browser that a person trusts."""
    mine = select(SsoSession).where(SsoSession.user_id == user_id, SsoSession.trusted_until > now)
    found: dict[bytes | None, SsoSession] = {}
    for one in (await session.execute(mine.order_by(SsoSession.last_seen_at))).scalars():
        found[one.device_hash] = one
    return list(found.values())


async def distrust(session: AsyncSession, user_id: uuid.UUID) -> None:
    """Let no browser of a person be trusted any more."""
    mine = await lock(session, SsoSession.user_id == user_id, SsoSession.trusted_until.is_not(None))
    await session.execute(update(SsoSession).where(SsoSession.id.in_(mine)).values(trusted_until=None))


async def delete_expired_places(session: AsyncSession, user_id: uuid.UUID) -> None:
    """Forget where a person was signed in, and with what."""
    nothing = {"address": None, "user_agent": None, "device_hash": None, "country": None, "trusted_until": None}
    await lock(session, SsoSession.user_id == user_id)
    await session.execute(update(SsoSession).where(SsoSession.user_id == user_id).values(nothing))


async def forget_device(session: AsyncSession, session_id: uuid.UUID) -> None:
    """Let the browser of a session not be one of the person's any more: whoever used it was somebody else."""
    found = await session.get(SsoSession, session_id)
    if found is not None and found.device_hash is not None:
        same = (SsoSession.user_id == found.user_id) & (SsoSession.device_hash == found.device_hash)
        await lock(session, same)
        await session.execute(update(SsoSession).where(same).values(device_hash=None, trusted_until=None))


async def client_sessions_of_user(session: AsyncSession, user_id: uuid.UUID, client_id: str) -> list[uuid.UUID]:
    """Return the sessions of a person in which an application takes part."""
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


async def all_of_user(session: AsyncSession, user_id: uuid.UUID) -> list[SsoSession]:
    """Return every session of a person that is still known, the newest first."""
    mine = select(SsoSession).where(SsoSession.user_id == user_id).order_by(SsoSession.id.desc())
    return list((await session.execute(mine)).scalars())


async def last_used_clients(session: AsyncSession, user_id: uuid.UUID) -> dict[str, datetime]:
    """Return the applications that a person used in sessions that are kept, and when last."""
    statement = (
        select(SessionClient.client_id, func.max(SessionClient.last_used_at))
        .join(SsoSession, SsoSession.id == SessionClient.session_id)
        .where(SsoSession.user_id == user_id)
        .group_by(SessionClient.client_id)
    )
    return {row[0]: row[1] for row in (await session.execute(statement)).all()}


async def touch(session: AsyncSession, session_id: uuid.UUID, now: datetime, later: datetime) -> None:
    """Record that a session was used; of a remembered device it lives until ``later`` then."""
    await session.execute(_TOUCH, {"session_id": session_id, "now": now, "later": later})


async def insert(session: AsyncSession, values: dict[str, Any], security_version: int = 0) -> int | None:
    """Store a session that starts and return about how many the person has that have not ended; None: it may not start,
    because the person was disabled, or what opens the account was changed, since ``security_version``. As it stands,
    that of an account of which nothing was ever changed. One statement."""
    made = await session.execute(_insert(tuple(values)), {**values, "security_version": security_version})
    count = made.scalar_one_or_none()
    return None if count is None else int(count) + 1


async def lock_for_renewal(session: AsyncSession, user_id: uuid.UUID, session_ids: Sequence[uuid.UUID]) -> None:
    """Lock a person and sessions, of which one is renewed and others end in the same transaction."""
    await session.execute(select(_u.id).where(_u.id == user_id).with_for_update(read=True))
    await lock(session, SsoSession.id.in_(session_ids))


async def surplus(session: AsyncSession, user_id: uuid.UUID, limit: int) -> list[uuid.UUID]:
    """Return the sessions of a person that are too many: those that were used longest ago, a hundred at the most."""
    mine = select(_s.id).where(_s.user_id == user_id, _s.ended_at.is_(None))
    mine = mine.order_by(_s.last_seen_at.desc(), _s.id.desc()).offset(limit).limit(MAX_AT_ONCE)
    return list((await session.execute(mine)).scalars())


async def of_browser(
    session: AsyncSession, token_hashes: Sequence[bytes], now: datetime, idle_since: datetime
) -> dict[bytes, tuple[LiveSession, Person]]:
    """Return the living sessions with these cookies and their people, by the cookie's hash. One statement."""
    statement = (
        select(_s.token_hash, *LIVE_SESSION, _u.name, _u.locked_until, _u.delete_at.is_not(None))
        .join(_users, _u.id == _s.user_id)
        .where(_s.token_hash.in_(token_hashes), ALIVE, _u.disabled_at.is_(None))
    )
    rows: Any = (await session.execute(statement, {"now": now, "idle_since": idle_since})).all()
    return {row[0]: (LiveSession(*row[1:7]), Person(row[2], row[7], row[8], bool(row[9]))) for row in rows}


async def renew(
    session: AsyncSession, session_id: uuid.UUID, now: datetime, idle_since: datetime, values: dict[str, Any]
) -> bool:
    """Give a living session of the same person a new cookie and a new proof; tell whether it was alive."""
    statement = update(_sessions).where(_s.id == session_id, ALIVE).values(values).returning(_s.id)
    return (await session.execute(statement, {"now": now, "idle_since": idle_since})).first() is not None


def open_client_session(
    session: Session, session_id: uuid.UUID, client_id: str, now: datetime, idle_since: datetime
) -> str | None:
    """Record that an application takes part in a session and return its ``sid``; None where the session is over.

    The session is held until the transaction ends, so that it cannot end meanwhile without this application.
    """
    values = {"session_id": session_id, "client_id": client_id, "sid": random_token(), "now": now}
    statement = _TAKE_PART[session.get_bind().dialect.name]
    return session.execute(statement, {**values, "idle_since": idle_since}).scalar_one_or_none()


async def participants(session: AsyncSession, session_ids: Sequence[uuid.UUID]) -> list[ClientSession]:
    """Return every application that took part in one of the sessions."""
    statement = (
        select(
            SessionClient.client_id,
            SessionClient.sid,
            SessionClient.session_id,
            SsoSession.user_id,
            SessionClient.told_by,
            SessionClient.first_used_at,
            SessionClient.last_used_at,
            SessionClient.ended_at,
        )
        .join(SsoSession, SsoSession.id == SessionClient.session_id)
        .where(SessionClient.session_id.in_(session_ids))
        .order_by(SessionClient.first_used_at)
    )
    rows: Any = (await session.execute(statement)).all()
    return [ClientSession(*row) for row in rows]


async def remember_how_told(
    session: AsyncSession, session_ids: Sequence[uuid.UUID], how: HowTold, client_ids: Sequence[str]
) -> None:
    """Write down how applications learn that the sessions are over."""
    mine = (SessionClient.session_id.in_(session_ids)) & (SessionClient.client_id.in_(client_ids))
    await session.execute(update(SessionClient).where(mine).values(told_by=how))


async def lock_parts(session: AsyncSession, *which: Any) -> list[uuid.UUID]:
    """Lock the parts that applications take in sessions for which the conditions hold, in their order; return the
    sessions."""
    order = (SessionClient.session_id, SessionClient.client_id)
    return await lock_rows(session, select(SessionClient.session_id).where(*which).order_by(*order))


async def get(session: AsyncSession, session_id: uuid.UUID) -> tuple[SsoSession, User] | None:
    """Return a session, living or over, and its person."""
    statement = select(SsoSession, User).join(User, User.id == SsoSession.user_id).where(SsoSession.id == session_id)
    row = (await session.execute(statement)).first()
    return (row[0], row[1]) if row else None


async def over(session: AsyncSession, wanted: SessionFilter, limit: int) -> list[tuple[SsoSession, User]]:
    """Return sessions that were ended with their people, those that ended last first."""
    statement = (
        filtered(select(SsoSession, User).join(User, User.id == SsoSession.user_id), wanted)
        .where(SsoSession.ended_at.is_not(None))
        .order_by(SsoSession.ended_at.desc(), SsoSession.id)
        .limit(limit)
    )
    return [(row[0], row[1]) for row in (await session.execute(statement)).all()]


async def end(session: AsyncSession, session_ids: Sequence[uuid.UUID], reason: str, now: datetime) -> list[uuid.UUID]:
    """End those of the sessions that are not over and return them. Exactly one caller gets each."""
    mine = await lock(session, *not_over(session_ids))
    if mine:
        ended = update(SsoSession).where(SsoSession.id.in_(mine)).values(ended_at=now, end_reason=reason)
        await session.execute(ended)
    return mine


def not_over(session_ids: Sequence[uuid.UUID]) -> tuple[Any, ...]:
    """Return the conditions for those of the sessions that nobody has ended yet."""
    return SsoSession.id.in_(session_ids), SsoSession.ended_at.is_(None)


async def lock_matching(session: AsyncSession, wanted: SessionFilter) -> None:
    """Lock every session that matches and that nobody has ended yet: for what ends them in several batches."""
    matching = filtered(select(SsoSession.id), wanted).where(SsoSession.ended_at.is_(None))
    await lock_rows(session, matching.order_by(SsoSession.id))


async def lock(session: AsyncSession, *which: Any) -> list[uuid.UUID]:
    """Lock the sessions for which the conditions hold, in the order of their ids, and return their ids."""
    return await lock_rows(session, select(SsoSession.id).where(*which).order_by(SsoSession.id))


async def lives(session: AsyncSession, session_id: uuid.UUID, now: datetime, idle_since: datetime) -> bool:
    """Tell whether a session lives and its person is enabled. Lock the person before, so that what ends every session
    of theirs has happened, or waits."""
    row = await session.execute(_LIVES, {"session_id": session_id, "now": now, "idle_since": idle_since})
    return row.first() is not None


async def hold(session: AsyncSession, session_id: uuid.UUID, now: datetime, idle_since: datetime) -> bool:
    """Hold a living session of an enabled person, so that it cannot end until the transaction does; tell whether it
    lives. Something is granted within a session only while it is held."""
    row = await session.execute(_HOLD, {"session_id": session_id, "now": now, "idle_since": idle_since})
    return row.first() is not None


@dataclass(frozen=True, slots=True)
class SessionFilter:
    """Which sessions: each given field narrows. ``begun_by``: those that had begun by then; ``but``: not this one;
    ``network``: those from an address, or where it ends with a dot from a network; ``system``: where the browser says
    this of its system; ``unused_since``: those that were not used after that."""

    session_id: uuid.UUID | None = None
    user_id: uuid.UUID | None = None
    client_id: str | None = None
    begun_by: datetime | None = None
    but: uuid.UUID | None = None
    network: str | None = None
    system: str | None = None
    unused_since: datetime | None = None


async def active(
    session: AsyncSession, wanted: SessionFilter, now: datetime, idle_since: datetime, limit: int
) -> list[tuple[SsoSession, User]]:
    """Return living sessions with their people, newest first."""
    statement = (
        filtered(select(SsoSession, User).join(User, User.id == SsoSession.user_id), wanted)
        .where(ALIVE)
        .order_by(SsoSession.id.desc())
        .limit(limit)
    )
    rows = await session.execute(statement, {"now": now, "idle_since": idle_since})
    return [(row[0], row[1]) for row in rows.all()]


Status = Literal["living", "ended", "all"]


async def page_of(
    session: AsyncSession,
    wanted: SessionFilter,
    status: Status,
    now: datetime,
    idle_since: datetime,
    before: uuid.UUID | None,
    limit: int,
) -> list[tuple[SsoSession, User]]:
    """Return sessions with their people, those that began last first, from before ``before`` on."""
    statement = filtered(select(SsoSession, User).join(User, User.id == SsoSession.user_id), wanted)
    if status == "living":
        statement = statement.where(ALIVE).params(now=now, idle_since=idle_since)
    elif status == "ended":
        statement = statement.where(SsoSession.ended_at.is_not(None))
    if before is not None:
        statement = statement.where(SsoSession.id < before)
    rows = await session.execute(statement.order_by(SsoSession.id.desc()).limit(limit))
    return [(row[0], row[1]) for row in rows.all()]


async def not_ended(session: AsyncSession, wanted: SessionFilter, limit: int) -> list[uuid.UUID]:
    """Return sessions that nobody has ended yet, expired ones too: their applications have not been told."""
    statement = filtered(select(SsoSession.id), wanted).where(SsoSession.ended_at.is_(None)).limit(limit)
    return list((await session.execute(statement)).scalars())


async def count_active(session: AsyncSession, now: datetime, idle_since: datetime, maximum: int | None = None) -> int:
    """Return how many sessions are not over, counted no further than ``most``."""
    alive = select(SsoSession.id).where(ALIVE).limit(maximum).subquery()
    statement = select(func.count()).select_from(alive)
    return int((await session.execute(statement, {"now": now, "idle_since": idle_since})).scalar_one())


async def count_not_ended(session: AsyncSession, wanted: SessionFilter) -> int:
    """Return how many sessions nobody has ended yet."""
    statement = filtered(select(func.count(SsoSession.id)), wanted).where(SsoSession.ended_at.is_(None))
    return int((await session.execute(statement)).scalar_one())


async def expired(session: AsyncSession, now: datetime, idle_since: datetime, limit: int) -> list[uuid.UUID]:
    """Return sessions whose time is over and that are not ended yet."""
    unused = (SsoSession.last_seen_at <= idle_since) & SsoSession.remembered_until.is_(None)
    over = (SsoSession.expires_at <= now) | unused
    statement = select(SsoSession.id).where(SsoSession.ended_at.is_(None), over).limit(limit)
    return list((await session.execute(statement)).scalars())


async def open_client_sessions(
    session: AsyncSession, client_id: str, begun_by: datetime, limit: int
) -> list[uuid.UUID]:
    """Return sessions that are not over, in which the part of an application that began by then has not ended."""
    statement = (
        select(SessionClient.session_id)
        .join(SsoSession, SsoSession.id == SessionClient.session_id)
        .where(SessionClient.client_id == client_id, SessionClient.ended_at.is_(None), SsoSession.ended_at.is_(None))
        .where(SessionClient.first_used_at <= begun_by)
        .limit(limit)
    )
    return list((await session.execute(statement)).scalars())


async def count_open_client_sessions(session: AsyncSession, client_id: str) -> int:
    """Return how many sessions that are not over an application takes part in."""
    statement = (
        select(func.count())
        .select_from(SessionClient)
        .join(SsoSession, SsoSession.id == SessionClient.session_id)
        .where(SessionClient.client_id == client_id, SessionClient.ended_at.is_(None), SsoSession.ended_at.is_(None))
    )
    return int((await session.execute(statement)).scalar_one())


async def count_client_sessions_up_to(session: AsyncSession, client_id: str, maximum: int) -> int:
    """Return how many sessions that are not over an application takes part in, counted no further than ``most``."""
    some = (
        select(SessionClient.session_id)
        .join(SsoSession, SsoSession.id == SessionClient.session_id)
        .where(SessionClient.client_id == client_id, SessionClient.ended_at.is_(None), SsoSession.ended_at.is_(None))
        .limit(maximum)
    )
    return int((await session.execute(select(func.count()).select_from(some.subquery()))).scalar_one())


async def end_client_sessions(
    session: AsyncSession, session_ids: Sequence[uuid.UUID], client_id: str, now: datetime
) -> list[uuid.UUID]:
    """End the part of an application in those of the sessions where it has not ended and return them."""
    its = SessionClient.client_id == client_id
    mine = await lock_parts(session, SessionClient.session_id.in_(session_ids), its, SessionClient.ended_at.is_(None))
    if mine:
        ended = update(SessionClient).where(SessionClient.session_id.in_(mine), its).values(ended_at=now)
        await session.execute(ended)
    return mine


async def delete_ended(session: AsyncSession, before: datetime, limit: int) -> int:
    """Delete sessions that ended before a moment; return how many."""
    old = select(SsoSession.id).where(SsoSession.ended_at < before).order_by(SsoSession.id).limit(limit)
    old = old.with_for_update(skip_locked=True)
    gone = await session.execute(delete(SsoSession).where(SsoSession.id.in_(old)).returning(SsoSession.id))
    return len(gone.all())


async def clients_of_user(session: AsyncSession, user_id: uuid.UUID) -> set[str]:
    """Return every application that took part in a session of a person that is still known."""
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


def filtered(statement: Any, wanted: SessionFilter) -> Any:
    """Return a statement about sessions that is about those alone."""
    if wanted.session_id is not None:
        statement = statement.where(SsoSession.id == wanted.session_id)
    if wanted.user_id is not None:
        statement = statement.where(SsoSession.user_id == wanted.user_id)
    if wanted.client_id is not None:
        taking_part = select(SessionClient.session_id).where(SessionClient.client_id == wanted.client_id)
        statement = statement.where(SsoSession.id.in_(taking_part))
    if wanted.begun_by is not None:
        statement = statement.where(SsoSession.created_at <= wanted.begun_by)
    if wanted.but is not None:
        statement = statement.where(SsoSession.id != wanted.but)
    if wanted.network is not None:
        whole = wanted.network.endswith((".", ":"))
        here = SsoSession.address.startswith(wanted.network, autoescape=True) if whole else None
        statement = statement.where(here if here is not None else SsoSession.address == wanted.network)
    if wanted.system is not None:
        statement = statement.where(SsoSession.user_agent.contains(wanted.system, autoescape=True))
    if wanted.unused_since is not None:
        statement = statement.where(SsoSession.last_seen_at <= wanted.unused_since)
    return statement
