"""Every SQL statement about users."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import cache
from typing import TypeVar

from sqlalchemy import ColumnElement, bindparam, delete, exists, func, select, text, update
from sqlalchemy.ext.asyncio import AsyncSession

from sso import clock
from sso.identity.attributes.store import values_of_row
from sso.identity.attributes.values import split
from sso.identity.users.models import (
    CREDENTIAL_KINDS,
    Agreement,
    Credential,
    Favourite,
    GroupAdministrator,
    Identifier,
    IdentityCheck,
    LocalAccount,
    MergeProposal,
    Picture,
    SavedSearch,
    User,
    UserRole,
)
from sso.platform.db import (
    Executor,
    count_roughly,
    delete_batch,
    each_of,
    fetch,
    fetch_object,
    fetch_objects,
    lock_rows,
    make_object,
    one_of,
    table_of,
    valid_at,
)
from sso.platform.db.sql_types import ResultRow, SelectStatement
from sso.platform.security.numbers import read_uuid

BATCH = 500

_users, _identifiers, _locals, _pictures = map(table_of, (User, Identifier, LocalAccount, Picture))
_u, _i, _l, _p = _users.c, _identifiers.c, _locals.c, _pictures.c
WITH_IDENTIFIERS = (
    select(
        _u.name, _u.locale, _u.profile, _u.updated_at, _u.identity_checked_at,
        select(_p.id).where(_p.user_id == _u.id).scalar_subquery(), _l.local_user_id,
        _i.id, _i.kind, _i.value, _i.is_primary, _i.verified_at, _i.encrypted,
    )
    .select_from(
        _users.outerjoin(_identifiers, _i.user_id == _u.id)
        .outerjoin(_locals, (_l.user_id == _u.id) & (_l.client_id == bindparam("client_id")))
    )
    .where(_u.id == bindparam("user_id"))
    .order_by(_i.created_at, _i.id, _l.created_at, _l.local_user_id)
)  # fmt: skip
WITH_ATTRIBUTES = WITH_IDENTIFIERS.add_columns(values_of_row(_u.id))

_credentials, _roles = table_of(Credential), table_of(UserRole).c
_IDENTIFIERS_OF = select(_identifiers).where(_i.user_id == bindparam("user_id")).order_by(_i.created_at, _i.id)
_CREDENTIALS_OF = (
    select(_credentials)
    .where(_credentials.c.user_id == bindparam("user_id"))
    .order_by(_credentials.c.created_at, _credentials.c.id)
)
_ROLES_OF = select(_roles.role).where(_roles.user_id == bindparam("user_id")).order_by(_roles.role)
_LOCK_USER = select(_users).where(_u.id == bindparam("user_id")).with_for_update(key_share=True)

GIVEN = ("username", "nip")
"""Kinds of identifiers that have one holder also without verification: administrators and imports give them."""
KNOWN_COLUMNS = 13
"""How many columns ``WITH_IDENTIFIERS`` has."""

Row = TypeVar("Row", Credential, Identifier)


@dataclass(frozen=True, slots=True)
class Person:
    """The columns of a user that pages and grants need. ``locked_until``: the end of a lock of the account;
    ``leaving``: the user asked for the deletion of the account."""

    id: uuid.UUID
    name: str
    locked_until: datetime | None = None
    leaving: bool = False

    @property
    def locked(self) -> bool:
        """Whether the account is locked now: only recovery and sign-out are possible."""
        return self.locked_until is not None and self.locked_until > clock.now()


@dataclass(frozen=True, slots=True)
class KnownIdentifier:
    """The columns of an identifier that claims need."""

    id: uuid.UUID
    kind: str
    value: str
    is_primary: bool
    verified_at: datetime | None
    encrypted: bytes | None


@dataclass(frozen=True, slots=True)
class Known:
    """A user with everything that claims need. ``local_user_ids``: the ids that the application used before the import,
    the first imported first; several if accounts of the user were merged. ``employment``: the claims of the scope
    ``employee``, ``attributes``: stored values by their names; each where it was read."""

    name: str
    locale: str | None
    profile: dict[str, object]
    updated_at: datetime
    identity_checked_at: datetime | None
    picture_id: str | None
    identifiers: list[KnownIdentifier]
    local_user_ids: list[str]
    employment: Mapping[str, object] = field(default_factory=dict)
    attributes: Mapping[str, str] = field(default_factory=dict)


async def verified_user(session: AsyncSession, lookup: str) -> User | None:
    """Return the user with the verified identifier ``lookup``. An unverified identifier finds no user, because it must
    never identify a user where access is granted or accounts are merged."""
    owners = await verified_owners(session, [lookup])
    return owners[0][0] if owners else None


_USER_COLUMNS = len(_u)
_LOOKUP = _USER_COLUMNS + _i.keys().index("lookup")


@cache
def _find_verified_owners(number: int, valid: bool) -> SelectStatement:
    statement = (
        select(*_u, *_i)
        .join(_identifiers, _i.user_id == _u.id)
        .where(one_of(_i.lookup, "lookup", number), _i.verified_at.is_not(None))
    )
    return statement.where(valid_at(_i, bindparam("now"))) if valid else statement


async def verified_owners(
    session: AsyncSession, lookups: Sequence[str], *, now: datetime | None = None
) -> list[tuple[User, Identifier]]:
    """Return the users with one of these verified identifiers, each with the first of them, in the order of
    ``lookups``. With ``now``, only identifiers that are valid then: not the NIP of somebody who left."""
    values: dict[str, object] = each_of("lookup", lookups)
    if now is not None:
        values["now"] = now
    rows = await fetch(session, _find_verified_owners(len(lookups), now is not None), values)
    owners: dict[uuid.UUID, tuple[User, Identifier]] = {}
    for row in sorted(rows, key=lambda row: lookups.index(row[_LOOKUP])):
        user = make_object(session, User, row[:_USER_COLUMNS])
        owners.setdefault(user.id, (user, make_object(session, Identifier, row[_USER_COLUMNS:])))
    return list(owners.values())


async def owners_of_each(session: AsyncSession, lookups: Collection[str]) -> dict[str, User]:
    """Return the user of each of these verified identifiers. An identifier that nobody has verified is left out."""
    statement = (
        select(Identifier.lookup, User)
        .join(User, Identifier.user_id == User.id)
        .where(Identifier.lookup.in_(lookups), Identifier.verified_at.is_not(None))
    )
    return {row[0]: row[1] for row in (await session.execute(statement)).all()}


async def users_with_ids(session: AsyncSession, user_ids: Collection[uuid.UUID]) -> dict[uuid.UUID, User]:
    """Return users by their ids."""
    users = await session.execute(select(User).where(User.id.in_(user_ids)))
    return {user.id: user for user in users.scalars()}


async def lock_users(session: AsyncSession, user_ids: Collection[uuid.UUID]) -> None:
    """Lock users, in the order of their ids, until the transaction ends."""
    ordered = sorted(set(user_ids))
    for start in range(0, len(ordered), 500):
        some = User.id.in_(ordered[start : start + 500])
        await lock_rows(session, select(User.id).where(some).order_by(User.id))


async def find_user(session: AsyncSession, lookup: str) -> User | None:
    """Return the user with the identifier ``lookup``: who has verified it, or the only user who claims it. For display
    only; use :func:`verified_user` to grant anything.

    Raises:
        LookupError: when several users claim the identifier and none has verified it.
    """
    owner = await verified_user(session, lookup)
    claimed = [owner] if owner is not None else await claimants(session, [lookup])
    if len(claimed) > 1:
        raise LookupError(lookup)
    return claimed[0] if claimed else None


async def claimants(session: AsyncSession, lookups: Sequence[str]) -> list[User]:
    """Return at most two users who claim one of these identifiers."""
    user_ids = select(Identifier.user_id).where(Identifier.lookup.in_(lookups))
    return list((await session.execute(select(User).where(User.id.in_(user_ids)).limit(2))).scalars())


async def taken(
    session: AsyncSession, lookups: Iterable[str], *, unverified: bool = False, but: uuid.UUID | None = None
) -> set[str]:
    """Return those of ``lookups`` that a user has.

    Args:
        session: for reading.
        lookups: normalised identifiers.
        unverified: count unverified identifiers too; otherwise verified identifiers, user names and NIPs.
        but: a user whose identifiers do not count.
    """
    ordered = list(lookups)
    used: set[str] = set()
    for start in range(0, len(ordered), BATCH):
        statement = select(Identifier.lookup).where(Identifier.lookup.in_(ordered[start : start + BATCH]))
        if not unverified:
            statement = statement.where(Identifier.verified_at.is_not(None) | Identifier.kind.in_(GIVEN))
        if but is not None:
            statement = statement.where(Identifier.user_id != but)
        used.update((await session.execute(statement)).scalars())
    return used


async def remember_channel(session: AsyncSession, user_id: uuid.UUID, lookup: str, channel: str) -> None:
    """Store the channel (``sms``, ``whatsapp``) that a user has chosen for a telephone number."""
    mine = (Identifier.user_id == user_id) & (Identifier.lookup == lookup) & (Identifier.kind == "phone")
    await session.execute(update(Identifier).where(mine).values(channel=channel))


async def identifiers_of(session: AsyncSession, user_id: uuid.UUID) -> list[Identifier]:
    """Return the identifiers of a user, oldest first."""
    return await fetch_objects(session, Identifier, _IDENTIFIERS_OF, {"user_id": user_id})


def with_identifiers(
    session: Executor, user_id: uuid.UUID, client_id: str, *, attributes: bool = False
) -> Known | None:
    """Return a user with identifiers, oldest first, and the ids of an application; with ``attributes`` the values of
    attributes too. One statement; for the bridge."""
    statement = WITH_ATTRIBUTES if attributes else WITH_IDENTIFIERS
    rows: Sequence[ResultRow] = session.execute(statement, {"user_id": user_id, "client_id": client_id}).all()
    return known_from(rows, attributes=attributes)


def known_from(rows: Sequence[ResultRow], *, attributes: bool = False) -> Known | None:
    """Return a user from the rows of ``WITH_IDENTIFIERS``, or with ``attributes`` of ``WITH_ATTRIBUTES``; further
    columns of a row are not read."""
    if not rows:
        return None
    identifiers = {row[7]: KnownIdentifier(*row[7:KNOWN_COLUMNS]) for row in rows if row[7] is not None}
    local_user_ids = list(dict.fromkeys(row[6] for row in rows if row[6] is not None))
    name, locale, profile, updated_at, checked_at, picture_id = rows[0][:6]
    people = list(identifiers.values())
    values = split(rows[0][KNOWN_COLUMNS]) if attributes else {}
    basic = (name, locale, profile, updated_at, checked_at, picture_id)
    return Known(*basic, people, local_user_ids, attributes=values)


async def roles_of(session: AsyncSession, user_id: uuid.UUID) -> list[str]:
    """Return the roles of a user in alphabetical order."""
    return [row[0] for row in await fetch(session, _ROLES_OF, {"user_id": user_id})]


async def names_of(session: AsyncSession, actors: Sequence[str]) -> dict[str, str]:
    """Return the names of users by their ids in the audit log; other actors are left out."""
    ids = []
    for actor in set(actors):
        try:
            ids.append(read_uuid(actor))
        except ValueError:
            continue
    if not ids:
        return {}
    return {
        str(row[0]): row[1] for row in (await session.execute(select(User.id, User.name).where(User.id.in_(ids)))).all()
    }


def name_condition(session: AsyncSession, words: str) -> list[ColumnElement[bool]] | None:
    """Return the conditions that the name of a user has, for each of ``words``, a part that begins with it. Without
    words there are none. PostgreSQL uses an index. None: the words have no letter and no digit, and name nobody."""
    parts = ["".join(char for char in part if char.isalnum()) for part in words.split()][:5]
    parts = [part for part in parts if part]
    if not parts:
        return None if words else []
    if session.get_bind().dialect.name == "postgresql":
        query = " & ".join(f"{part}:*" for part in parts)
        vector = func.to_tsvector(text("'simple'"), User.name)
        return [vector.op("@@")(func.to_tsquery(text("'simple'"), query))]
    spaced = " " + func.lower(User.name)
    return [spaced.contains(f" {part.lower()}", autoescape=True) for part in parts]


async def page_of_names(
    session: AsyncSession,
    words: str,
    before: uuid.UUID | None,
    limit: int,
    *,
    role: str | None = None,
    status: str | None = None,
) -> list[User]:
    """Return users whose name has, for each of ``words``, a part that begins with it; the newest first, older than
    ``before``. Without words, all users. PostgreSQL uses an index. ``role``: with this role; ``status``: ``active`` or
    ``disabled``."""
    statement = select(User).where(User.deleted_at.is_(None))
    if role is not None:
        statement = statement.where(exists().where(UserRole.user_id == User.id, UserRole.role == role))
    if status is not None:
        statement = statement.where(User.disabled_at.is_(None) if status == "active" else User.disabled_at.is_not(None))
    named = name_condition(session, words)
    if named is None:
        return []
    statement = statement.where(*named)
    if before is not None:
        statement = statement.where(User.id < before)
    return list((await session.execute(statement.order_by(User.id.desc()).limit(limit))).scalars())


async def move_identity(session: AsyncSession, giver: uuid.UUID, taker: uuid.UUID, now: datetime) -> int:
    """Move the identifiers and the ids in applications from one user (``giver``) to another (``taker``).

    Contacts and the NIK become unverified. A user name is added after the existing one. Credentials and identity checks
    of the giver are deleted. Return the number of moved identifiers.
    """
    theirs = await identifiers_of(session, taker)
    known, kinds, moved = {row.lookup for row in theirs}, {row.kind for row in theirs}, 0
    for identifier in await identifiers_of(session, giver):
        kind = identifier.kind
        if identifier.lookup in known or (kind == "nik" and kind in kinds):
            continue
        identifier.user_id, identifier.is_primary, moved = taker, kind not in kinds, moved + 1
        if kind in ("email", "phone", "nik", "nip"):
            identifier.verified_at = None
        kinds.add(kind)
    await session.flush()
    for table in (Credential, IdentityCheck):  # before local accounts: the order of locks
        await session.execute(delete(table).where(table.user_id == giver))
    await session.execute(update(LocalAccount).where(LocalAccount.user_id == giver).values(user_id=taker))
    await mark_changed(session, taker, now)
    return moved


async def count_people(session: AsyncSession) -> int:
    """Return the number of users, without deleted users; PostgreSQL estimates a large number."""
    people = select(User.id).where(User.deleted_at.is_(None))
    return await count_roughly(session, people.order_by(User.id), people)


async def count_factors(session: AsyncSession) -> dict[str, int]:
    """Return the number of users with each kind of credential; PostgreSQL estimates a large number."""
    counts = {}
    for kind in CREDENTIAL_KINDS:
        owners = select(Credential.user_id).where(Credential.kind == kind).distinct()
        if count := await count_roughly(session, owners.order_by(Credential.user_id), owners):
            counts[kind] = count
    return counts


async def groups_of(session: AsyncSession, user_id: uuid.UUID) -> list[str]:
    """Return the groups of applications that a user manages, in alphabetical order."""
    mine = select(GroupAdministrator.group).where(GroupAdministrator.user_id == user_id)
    return list((await session.execute(mine.order_by(GroupAdministrator.group))).scalars())


async def replace_groups(session: AsyncSession, user_id: uuid.UUID, groups: Iterable[str]) -> None:
    """Replace the groups of applications that a user manages."""
    await session.execute(delete(GroupAdministrator).where(GroupAdministrator.user_id == user_id))
    session.add_all([GroupAdministrator(user_id=user_id, group=group) for group in groups])
    await session.flush()


async def roles_of_many(session: AsyncSession, user_ids: Sequence[uuid.UUID]) -> dict[uuid.UUID, list[str]]:
    """Return the roles of several users."""
    statement = select(UserRole.user_id, UserRole.role).where(UserRole.user_id.in_(user_ids)).order_by(UserRole.role)
    roles: dict[uuid.UUID, list[str]] = {user_id: [] for user_id in user_ids}
    for user_id, role in (await session.execute(statement)).all():
        roles[user_id].append(role)
    return roles


async def identifiers_of_many(
    session: AsyncSession, user_ids: Sequence[uuid.UUID]
) -> dict[uuid.UUID, list[Identifier]]:
    """Return the identifiers of several users, oldest first."""
    statement = (
        select(Identifier).where(Identifier.user_id.in_(user_ids)).order_by(Identifier.created_at, Identifier.id)
    )
    identifiers: dict[uuid.UUID, list[Identifier]] = {user_id: [] for user_id in user_ids}
    for identifier in (await session.execute(statement)).scalars():
        identifiers[identifier.user_id].append(identifier)
    return identifiers


async def replace_roles(session: AsyncSession, user_id: uuid.UUID, roles: Iterable[str]) -> None:
    """Give a user exactly these roles, and flush; every other role of the user is deleted."""
    await session.execute(delete(UserRole).where(UserRole.user_id == user_id))
    session.add_all([UserRole(user_id=user_id, role=role) for role in roles])
    await session.flush()


async def lock_administrators(session: AsyncSession, role: str) -> set[uuid.UUID]:
    """Return every enabled user with a role, after locking the role against concurrent changes.

    The query follows the lock, because only a new statement sees what another transaction committed meanwhile.
    """
    await lock_rows(session, select(UserRole.user_id).where(UserRole.role == role).order_by(UserRole.user_id))
    enabled = select(User.id).join(UserRole, UserRole.user_id == User.id)
    statement = enabled.where(UserRole.role == role, User.disabled_at.is_(None))
    return set((await session.execute(statement)).scalars())


async def mark_changed(session: AsyncSession, user_id: uuid.UUID, now: datetime) -> None:
    """Record that a user changed."""
    await session.execute(update(User).where(User.id == user_id).values(updated_at=now))


async def erase(session: AsyncSession, user_id: uuid.UUID, now: datetime) -> None:
    """Delete everything that is stored of a user except the id."""
    everything = (
        Identifier, Credential, UserRole, IdentityCheck, LocalAccount, MergeProposal, Picture, Favourite, Agreement,
        GroupAdministrator, SavedSearch,
    )  # fmt: skip
    for table in everything:
        await session.execute(delete(table).where(table.user_id == user_id))
    nothing: dict[str, object] = {"name": "", "profile": {}, "locale": None, "preferences": {}}
    nothing |= {"delete_at": None, "locked_until": None, "identity_checked_at": None}
    cleared = update(User).where(User.id == user_id).values(disabled_at=now, deleted_at=now, updated_at=now, **nothing)
    await session.execute(cleared)


async def lock_user(session: AsyncSession, user_id: uuid.UUID) -> User | None:
    """Lock a user until the transaction ends, and return the current row."""
    return await fetch_object(session, User, _LOCK_USER, {"user_id": user_id}, renew=True)


async def invalidate_sign_ins(session: AsyncSession, user_id: uuid.UUID) -> None:
    """Lock a user and invalidate every sign-in that is in progress, because the credentials change."""
    await lock_user(session, user_id)
    await session.execute(update(User).where(User.id == user_id).values(security_version=User.security_version + 1))


async def page_of_users(
    session: AsyncSession,
    after: uuid.UUID | None,
    limit: int,
    *,
    role: str | None = None,
    status: str | None = None,
) -> list[User]:
    """Return users in the order of their creation, after ``after``; with a role, or with the status ``active``,
    ``disabled`` or ``deleted``."""
    statement = select(User).order_by(User.id).limit(limit)
    if role is not None:
        statement = statement.where(User.id.in_(select(UserRole.user_id).where(UserRole.role == role)))
    if status == "active":
        statement = statement.where(User.disabled_at.is_(None))
    elif status == "disabled":
        statement = statement.where(User.disabled_at.is_not(None), User.deleted_at.is_(None))
    elif status == "deleted":
        statement = statement.where(User.deleted_at.is_not(None))
    else:
        statement = statement.where(User.deleted_at.is_(None))
    if after is not None:
        statement = statement.where(User.id > after)
    return list((await session.execute(statement)).scalars())


async def set_disabled(session: AsyncSession, user_id: uuid.UUID, at: datetime | None, now: datetime) -> None:
    """Disable a user, or (``at`` is None) enable the user again."""
    await session.execute(update(User).where(User.id == user_id).values(disabled_at=at, updated_at=now))


async def set_password_hash(
    session: AsyncSession, user_id: uuid.UUID, hashed: str, now: datetime, *, long: bool = True
) -> None:
    """Replace the password of a user. ``long``: the password is long enough to be the only factor."""
    await session.execute(delete(Credential).where(Credential.user_id == user_id, Credential.kind == "password"))
    session.add(
        Credential(user_id=user_id, kind="password", secret=hashed, created_at=now, updated_at=now, data={"long": long})
    )


async def upgrade_password_hash(session: AsyncSession, credential_id: uuid.UUID, hashed: str, now: datetime) -> None:
    """Replace a hash by a stronger one of the same password."""
    await session.execute(
        update(Credential).where(Credential.id == credential_id).values(secret=hashed, updated_at=now)
    )


async def credentials_of(session: AsyncSession, user_id: uuid.UUID) -> list[Credential]:
    """Return the credentials of a user, oldest first."""
    return await fetch_objects(session, Credential, _CREDENTIALS_OF, {"user_id": user_id})


async def each_credential(session: AsyncSession, kind: str) -> AsyncIterator[Credential]:
    """Yield every credential of a kind, in batches; changes of the rows are stored."""
    async for credential in _each(session, Credential, Credential.kind == kind):
        yield credential


async def each_nik(session: AsyncSession) -> AsyncIterator[Identifier]:
    """Yield every NIK, in batches; changes of the rows are stored."""
    async for identifier in _each(session, Identifier, Identifier.encrypted.is_not(None)):
        yield identifier


async def _each(session: AsyncSession, model: type[Row], condition: ColumnElement[bool]) -> AsyncIterator[Row]:
    last = uuid.UUID(int=0)
    while True:
        statement = select(model).where(condition, model.id > last).order_by(model.id).limit(BATCH)
        batch = list((await session.execute(statement)).scalars())
        for row in batch:
            yield row
        if len(batch) < BATCH:
            return
        last = batch[-1].id
        await session.flush()
        session.expunge_all()


async def find_passkey(session: AsyncSession, external_id: bytes) -> tuple[User, Credential, list[str]] | None:
    """Return the user and the passkey with a credential id, and the roles. One statement."""
    roles = select(func.aggregate_strings(UserRole.role, " ")).where(UserRole.user_id == User.id).scalar_subquery()
    statement = (
        select(User, Credential, roles)
        .join(Credential, Credential.user_id == User.id)
        .where(Credential.external_id == external_id)
    )
    row = (await session.execute(statement)).first()
    return (row[0], row[1], (row[2] or "").split()) if row else None


async def used(
    session: AsyncSession, credential_id: uuid.UUID, data: dict[str, object], now: datetime, *, since: str = ""
) -> bool:
    """Record the use of a credential. ``since``: only if its state is unchanged; tell whether it was."""
    statement = update(Credential).where(Credential.id == credential_id)
    if since:
        statement = statement.where(Credential.data["state"].as_string() == since)
    updated = await session.execute(statement.values(data=data, last_used_at=now).returning(Credential.id))
    return updated.first() is not None


async def take_credential(session: AsyncSession, user_id: uuid.UUID, kind: str, secret: str) -> bool:
    """Delete a credential for one use; tell whether it existed. Of concurrent callers exactly one gets True."""
    mine = delete(Credential).where(Credential.user_id == user_id, Credential.kind == kind, Credential.secret == secret)
    return (await session.execute(mine.returning(Credential.id))).first() is not None


async def remove_credentials(
    session: AsyncSession, user_id: uuid.UUID, kinds: Iterable[str], only: uuid.UUID | None = None
) -> int:
    """Delete the credentials of a user of some kinds, or one of them; return the number."""
    mine = delete(Credential).where(Credential.user_id == user_id, Credential.kind.in_(list(kinds)))
    if only is not None:
        mine = mine.where(Credential.id == only)
    return len((await session.execute(mine.returning(Credential.id))).all())


async def identity_of(session: AsyncSession, user_id: uuid.UUID) -> tuple[bool, bool]:
    """Tell whether a contact of a user is verified, and whether a document was checked. One statement."""
    reached = exists().where(
        Identifier.user_id == User.id, Identifier.kind.in_(("email", "phone")), Identifier.verified_at.is_not(None)
    )
    statement = select(reached, User.identity_checked_at.is_not(None)).where(User.id == user_id)
    row = (await session.execute(statement)).first()
    return (bool(row[0]), bool(row[1])) if row else (False, False)


async def verified_owner(session: AsyncSession, lookup: str) -> uuid.UUID | None:
    """Return the user who has verified an identifier."""
    statement = select(Identifier.user_id).where(Identifier.lookup == lookup, Identifier.verified_at.is_not(None))
    return (await session.execute(statement)).scalar_one_or_none()


async def local_accounts_of(session: AsyncSession, user_id: uuid.UUID) -> list[LocalAccount]:
    """Return the ids that applications used for a user before the import; for each application the first imported
    first."""
    order = (LocalAccount.client_id, LocalAccount.created_at, LocalAccount.local_user_id)
    mine = select(LocalAccount).where(LocalAccount.user_id == user_id).order_by(*order)
    return list((await session.execute(mine)).scalars())


async def checks_of(session: AsyncSession, user_id: uuid.UUID) -> list[IdentityCheck]:
    """Return the identity checks of a user, the newest first."""
    mine = select(IdentityCheck).where(IdentityCheck.user_id == user_id).order_by(IdentityCheck.id.desc())
    return list((await session.execute(mine)).scalars())


async def favourites_of(session: AsyncSession, user_id: uuid.UUID) -> set[str]:
    """Return the favourite applications of a user."""
    return set((await session.execute(select(Favourite.client_id).where(Favourite.user_id == user_id))).scalars())


async def set_favourite(session: AsyncSession, user_id: uuid.UUID, client_id: str, favourite: bool) -> None:
    """Add an application to the favourites of a user, or remove it."""
    await session.execute(delete(Favourite).where(Favourite.user_id == user_id, Favourite.client_id == client_id))
    if favourite:
        session.add(Favourite(user_id=user_id, client_id=client_id))


async def agreements_of(session: AsyncSession, user_id: uuid.UUID) -> list[Agreement]:
    """Return the agreements of a user to the terms."""
    mine = select(Agreement).where(Agreement.user_id == user_id).order_by(Agreement.agreed_at)
    return list((await session.execute(mine)).scalars())


async def picture_of(session: AsyncSession, user_id: uuid.UUID) -> Picture | None:
    return await session.get(Picture, user_id)


async def picture_with_id(session: AsyncSession, picture_id: str) -> bytes | None:
    """Return the picture with an id, which its URL contains."""
    return (await session.execute(select(Picture.image).where(Picture.id == picture_id))).scalar_one_or_none()


async def due_for_deletion(session: AsyncSession, now: datetime, limit: int) -> list[uuid.UUID]:
    """Return users whose requested deletion is due."""
    statement = select(User.id).where(User.delete_at <= now, User.deleted_at.is_(None)).limit(limit)
    return list((await session.execute(statement)).scalars())


async def delete_local_accounts(session: AsyncSession, client_id: str, limit: int) -> int:
    """Delete the ids that an application used for its users, at most ``limit``; return how many."""
    its = LocalAccount.client_id == client_id
    return await delete_batch(session, LocalAccount, LocalAccount.local_user_id, limit, its)


async def delete_favourites(session: AsyncSession, client_id: str, limit: int) -> int:
    """Delete an application from the favourites of users, at most ``limit``; return how many."""
    return await delete_batch(session, Favourite, Favourite.client_id, limit, Favourite.client_id == client_id)
