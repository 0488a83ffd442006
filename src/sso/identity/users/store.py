"""Every SQL statement about people."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import bindparam, delete, exists, func, select, text, update
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Session

from sso import clock
from sso.identity.users.models import (
    Agreement,
    Credential,
    Favourite,
    GroupAdministrator,
    Identifier,
    IdentityCheck,
    LocalAccount,
    MergeProposal,
    Picture,
    User,
    UserRole,
)
from sso.platform.db import lock_rows
from sso.platform.security.numbers import read_uuid

BATCH = 500

_PICTURE = select(Picture.id).where(Picture.user_id == User.id).scalar_subquery()
_WITH_IDENTIFIERS = (
    select(User, Identifier, LocalAccount.local_user_id, _PICTURE)
    .outerjoin(Identifier, Identifier.user_id == User.id)
    .outerjoin(LocalAccount, (LocalAccount.user_id == User.id) & (LocalAccount.client_id == bindparam("client_id")))
    .where(User.id == bindparam("user_id"))
    .order_by(Identifier.created_at, Identifier.id, LocalAccount.created_at, LocalAccount.local_user_id)
)


@dataclass(frozen=True, slots=True)
class Person:
    """A person, as far as pages and grants need to know. ``locked_until`` is when a lock of the account ends;
    ``leaving``: they asked to be deleted."""

    id: uuid.UUID
    name: str
    locked_until: datetime | None = None
    leaving: bool = False

    @property
    def locked(self) -> bool:
        """Whether the account is locked now: only help and signing out are left."""
        return self.locked_until is not None and self.locked_until > clock.now()


@dataclass(frozen=True, slots=True)
class Known:
    """A person with everything that claims are made of. ``local_user_ids``: as the application knew them before, the
    first that was taken over first; several where accounts of theirs were merged."""

    user: User
    identifiers: list[Identifier]
    local_user_ids: list[str]
    picture_id: str | None


async def proven_owner(session: AsyncSession, lookup: str) -> User | None:
    """Return the person of whom the identifier ``lookup`` is verified. What somebody only typed, or was imported
    unverified, finds nobody: it must never stand for a person where something is given, opened or merged."""
    found = await proven_owners(session, [lookup])
    return found[0][0] if found else None


async def proven_owners(session: AsyncSession, lookups: Sequence[str]) -> list[tuple[User, Identifier]]:
    """Return the people of whom one of these identifiers is verified, each with the first of them, in the order of
    ``lookups``."""
    statement = (
        select(User, Identifier)
        .join(Identifier, Identifier.user_id == User.id)
        .where(Identifier.lookup.in_(lookups), Identifier.verified_at.is_not(None))
    )
    rows = (await session.execute(statement)).all()
    found: dict[uuid.UUID, tuple[User, Identifier]] = {}
    for user, identifier in sorted(rows, key=lambda row: lookups.index(row[1].lookup)):
        found.setdefault(user.id, (user, identifier))
    return list(found.values())


async def find_user(session: AsyncSession, lookup: str) -> User | None:
    """Return the person with the identifier ``lookup``: who has proven it, or who alone says so. For looking only:
    whoever is given something is found by :func:`proven_owner`.

    Raises:
        LookupError: when several say so, and none has proven it.
    """
    found = await proven_owner(session, lookup)
    claimed = [found] if found is not None else await claimants(session, [lookup])
    if len(claimed) > 1:
        raise LookupError(lookup)
    return claimed[0] if claimed else None


async def claimants(session: AsyncSession, lookups: Sequence[str]) -> list[User]:
    """Return at most two people who say that one of these identifiers is theirs."""
    said = select(Identifier.user_id).where(Identifier.lookup.in_(lookups))
    return list((await session.execute(select(User).where(User.id.in_(said)).limit(2))).scalars())


async def taken(
    session: AsyncSession, lookups: Iterable[str], *, unverified: bool = False, but: uuid.UUID | None = None
) -> set[str]:
    """Return those of ``lookups`` that are somebody's.

    Args:
        session: for reading.
        lookups: normalised identifiers.
        unverified: count what somebody only says is theirs, too; otherwise what is verified, and user names.
        but: the person whose own do not count.
    """
    wanted = list(lookups)
    found: set[str] = set()
    for start in range(0, len(wanted), BATCH):
        statement = select(Identifier.lookup).where(Identifier.lookup.in_(wanted[start : start + BATCH]))
        if not unverified:
            statement = statement.where(Identifier.verified_at.is_not(None) | (Identifier.kind == "username"))
        if but is not None:
            statement = statement.where(Identifier.user_id != but)
        found.update((await session.execute(statement)).scalars())
    return found


async def identifiers_of(session: AsyncSession, user_id: uuid.UUID) -> list[Identifier]:
    """Return what a person signs in with, oldest first."""
    statement = select(Identifier).where(Identifier.user_id == user_id).order_by(Identifier.created_at, Identifier.id)
    return list((await session.execute(statement)).scalars())


def with_identifiers(session: Session, user_id: uuid.UUID, client_id: str) -> Known | None:
    """Return a person as an application may know them, in one statement; identifiers oldest first. For use in the
    bridge."""
    rows = session.execute(_WITH_IDENTIFIERS, {"user_id": user_id, "client_id": client_id}).all()
    if not rows:
        return None
    identifiers = list({row[1].id: row[1] for row in rows if row[1] is not None}.values())
    local_user_ids = list(dict.fromkeys(row[2] for row in rows if row[2] is not None))
    return Known(rows[0][0], identifiers, local_user_ids, rows[0][3])


async def roles_of(session: AsyncSession, user_id: uuid.UUID) -> list[str]:
    """Return a person's roles in the order of the alphabet."""
    statement = select(UserRole.role).where(UserRole.user_id == user_id).order_by(UserRole.role)
    return list((await session.execute(statement)).scalars())


async def names_of(session: AsyncSession, actors: Sequence[str]) -> dict[str, str]:
    """Return the names of people by the ids with which the audit log names them; others are left out."""
    ids = []
    for one in set(actors):
        try:
            ids.append(read_uuid(one))
        except ValueError:
            continue
    if not ids:
        return {}
    return {
        str(row[0]): row[1] for row in (await session.execute(select(User.id, User.name).where(User.id.in_(ids)))).all()
    }


async def page_of_names(session: AsyncSession, words: str, before: uuid.UUID | None, limit: int) -> list[User]:
    """Return people in whose names every one of ``words`` begins a part, those that came last first, from before
    ``before`` on; without words everybody. On PostgreSQL an index finds them."""
    statement = select(User).where(User.deleted_at.is_(None))
    parts = ["".join(char for char in part if char.isalnum()) for part in words.split()][:5]
    parts = [part for part in parts if part]
    if parts and session.get_bind().dialect.name == "postgresql":
        asked = " & ".join(f"{part}:*" for part in parts)
        vector = func.to_tsvector(text("'simple'"), User.name)
        statement = statement.where(vector.op("@@")(func.to_tsquery(text("'simple'"), asked)))
    elif parts:
        spaced = " " + func.lower(User.name)
        statement = statement.where(*(spaced.contains(f" {part.lower()}", autoescape=True) for part in parts))
    elif words:
        return []
    if before is not None:
        statement = statement.where(User.id < before)
    return list((await session.execute(statement.order_by(User.id.desc()).limit(limit))).scalars())


async def move_identity(session: AsyncSession, giver: uuid.UUID, taker: uuid.UUID, now: datetime) -> int:
    """Let what somebody signs in with, and the ids by which applications knew them, be somebody else's; contacts and
    the NIK are to be verified again. A user name comes after the one that is there. The giver's credentials and
    identity checks are deleted. Return how many identifiers were moved."""
    theirs = await identifiers_of(session, taker)
    known, kinds, moved = {one.lookup for one in theirs}, {one.kind for one in theirs}, 0
    for one in await identifiers_of(session, giver):
        if one.lookup in known or (one.kind == "nik" and one.kind in kinds):
            continue
        one.user_id, one.is_primary, moved = taker, one.kind not in kinds, moved + 1
        if one.kind in ("email", "phone", "nik"):
            one.verified_at = None
        kinds.add(one.kind)
    await session.flush()
    for table in (Credential, IdentityCheck):  # before local accounts: the order of locks
        await session.execute(delete(table).where(table.user_id == giver))
    await session.execute(update(LocalAccount).where(LocalAccount.user_id == giver).values(user_id=taker))
    await mark_changed(session, taker, now)
    return moved


async def count_people(session: AsyncSession) -> int:
    """Return how many people there are, without those who were deleted."""
    statement = select(func.count()).select_from(User).where(User.deleted_at.is_(None))
    return int((await session.execute(statement)).scalar_one())


async def count_factors(session: AsyncSession) -> dict[str, int]:
    """Return how many people have each way to sign in."""
    statement = select(Credential.kind, func.count(func.distinct(Credential.user_id))).group_by(Credential.kind)
    return {row[0]: int(row[1]) for row in (await session.execute(statement)).all()}


async def groups_of(session: AsyncSession, user_id: uuid.UUID) -> list[str]:
    """Return the groups of applications that somebody looks after, in the order of the alphabet."""
    mine = select(GroupAdministrator.group).where(GroupAdministrator.user_id == user_id)
    return list((await session.execute(mine.order_by(GroupAdministrator.group))).scalars())


async def replace_groups(session: AsyncSession, user_id: uuid.UUID, groups: Iterable[str]) -> None:
    """Let somebody look after these groups of applications and no others."""
    await session.execute(delete(GroupAdministrator).where(GroupAdministrator.user_id == user_id))
    session.add_all([GroupAdministrator(user_id=user_id, group=group) for group in groups])
    await session.flush()


async def roles_of_many(session: AsyncSession, user_ids: Sequence[uuid.UUID]) -> dict[uuid.UUID, list[str]]:
    """Return the roles of people."""
    statement = select(UserRole.user_id, UserRole.role).where(UserRole.user_id.in_(user_ids)).order_by(UserRole.role)
    found: dict[uuid.UUID, list[str]] = {user_id: [] for user_id in user_ids}
    for user_id, role in (await session.execute(statement)).all():
        found[user_id].append(role)
    return found


async def identifiers_of_many(
    session: AsyncSession, user_ids: Sequence[uuid.UUID]
) -> dict[uuid.UUID, list[Identifier]]:
    """Return what people sign in with, oldest first."""
    statement = (
        select(Identifier).where(Identifier.user_id.in_(user_ids)).order_by(Identifier.created_at, Identifier.id)
    )
    found: dict[uuid.UUID, list[Identifier]] = {user_id: [] for user_id in user_ids}
    for one in (await session.execute(statement)).scalars():
        found[one.user_id].append(one)
    return found


async def replace_roles(session: AsyncSession, user_id: uuid.UUID, roles: Iterable[str]) -> None:
    """Give a person these roles and no others."""
    await session.execute(delete(UserRole).where(UserRole.user_id == user_id))
    session.add_all([UserRole(user_id=user_id, role=role) for role in roles])
    await session.flush()


async def lock_administrators(session: AsyncSession, role: str) -> set[uuid.UUID]:
    """Return every enabled person with a role, after whoever changes that at the same time.

    Locking comes first, looking second: what another transaction did meanwhile is seen only by a new statement.
    """
    await lock_rows(session, select(UserRole.user_id).where(UserRole.role == role).order_by(UserRole.user_id))
    enabled = select(User.id).join(UserRole, UserRole.user_id == User.id)
    statement = enabled.where(UserRole.role == role, User.disabled_at.is_(None))
    return set((await session.execute(statement)).scalars())


async def mark_changed(session: AsyncSession, user_id: uuid.UUID, now: datetime) -> None:
    """Record that something about a person changed."""
    await session.execute(update(User).where(User.id == user_id).values(updated_at=now))


async def erase(session: AsyncSession, user_id: uuid.UUID, now: datetime) -> None:
    """Delete everything that is known of a person but the id."""
    everything = (
        Identifier, Credential, UserRole, IdentityCheck, LocalAccount, MergeProposal, Picture, Favourite, Agreement,
        GroupAdministrator,
    )  # fmt: skip
    for table in everything:
        await session.execute(delete(table).where(table.user_id == user_id))
    nothing: dict[str, Any] = {"name": "", "profile": {}, "locale": None, "preferences": {}}
    nothing |= {"delete_at": None, "locked_until": None, "identity_checked_at": None}
    gone = update(User).where(User.id == user_id).values(disabled_at=now, deleted_at=now, updated_at=now, **nothing)
    await session.execute(gone)


async def lock_user(session: AsyncSession, user_id: uuid.UUID) -> User | None:
    """Return a person as they are now, whom nobody else changes until the transaction ends."""
    statement = select(User).where(User.id == user_id).with_for_update(key_share=True)
    return (await session.execute(statement.execution_options(populate_existing=True))).scalar_one_or_none()


async def end_proofs(session: AsyncSession, user_id: uuid.UUID) -> None:
    """Lock a person's row, and let no sign-in go on that began before: what opens the account is being changed."""
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
    """Return at most ``limit`` people in the order in which they came, after ``after``; those with a role, or who are
    ``active``, ``disabled`` or ``deleted``."""
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
    """Disable a person, or enable again."""
    await session.execute(update(User).where(User.id == user_id).values(disabled_at=at, updated_at=now))


async def set_password_hash(
    session: AsyncSession, user_id: uuid.UUID, hashed: str, now: datetime, *, long: bool = True
) -> None:
    """Give a person the password of which ``hashed`` is the hash, in place of any other. ``long``: it is long enough to
    be the only proof."""
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
    """Return what proves who a person is, oldest first."""
    statement = select(Credential).where(Credential.user_id == user_id).order_by(Credential.created_at, Credential.id)
    return list((await session.execute(statement)).scalars())


async def each_credential(session: AsyncSession, kind: str) -> AsyncIterator[Credential]:
    """Yield every credential of a kind, some at a time; what is changed of them is kept."""
    last = uuid.UUID(int=0)
    while True:
        some = select(Credential).where(Credential.kind == kind, Credential.id > last).order_by(Credential.id)
        found = list((await session.execute(some.limit(BATCH))).scalars())
        for one in found:
            yield one
        if len(found) < BATCH:
            return
        last = found[-1].id
        await session.flush()
        session.expunge_all()


async def each_nik(session: AsyncSession) -> AsyncIterator[Identifier]:
    """Yield every NIK, some at a time; what is changed of them is kept."""
    last = uuid.UUID(int=0)
    while True:
        some = select(Identifier).where(Identifier.encrypted.is_not(None), Identifier.id > last).order_by(Identifier.id)
        found = list((await session.execute(some.limit(BATCH))).scalars())
        for one in found:
            yield one
        if len(found) < BATCH:
            return
        last = found[-1].id
        await session.flush()
        session.expunge_all()


async def find_passkey(session: AsyncSession, external_id: bytes) -> tuple[User, Credential, list[str]] | None:
    """Return whose passkey has a credential id, with the roles. One statement."""
    roles = select(func.aggregate_strings(UserRole.role, " ")).where(UserRole.user_id == User.id).scalar_subquery()
    statement = (
        select(User, Credential, roles)
        .join(Credential, Credential.user_id == User.id)
        .where(Credential.external_id == external_id)
    )
    row = (await session.execute(statement)).first()
    return (row[0], row[1], (row[2] or "").split()) if row else None


async def used(
    session: AsyncSession, credential_id: uuid.UUID, data: dict[str, Any], now: datetime, *, since: str = ""
) -> bool:
    """Record that a credential was used. ``since``: only where its data are still what they were; tell whether so."""
    statement = update(Credential).where(Credential.id == credential_id)
    if since:
        statement = statement.where(Credential.data["state"].as_string() == since)
    made = await session.execute(statement.values(data=data, last_used_at=now).returning(Credential.id))
    return made.first() is not None


async def take_credential(session: AsyncSession, user_id: uuid.UUID, kind: str, secret: str) -> bool:
    """Use up a credential that works once; tell whether it was there. Exactly one of many callers wins."""
    mine = delete(Credential).where(Credential.user_id == user_id, Credential.kind == kind, Credential.secret == secret)
    return (await session.execute(mine.returning(Credential.id))).first() is not None


async def remove_credentials(
    session: AsyncSession, user_id: uuid.UUID, kinds: Iterable[str], only: uuid.UUID | None = None
) -> int:
    """Delete a person's credentials of some kinds, or one of them; return how many."""
    mine = delete(Credential).where(Credential.user_id == user_id, Credential.kind.in_(list(kinds)))
    if only is not None:
        mine = mine.where(Credential.id == only)
    return len((await session.execute(mine.returning(Credential.id))).all())


async def identity_of(session: AsyncSession, user_id: uuid.UUID) -> tuple[bool, bool]:
    """Tell whether a contact of a person is verified, and whether a document was checked. One statement."""
    reached = exists().where(
        Identifier.user_id == User.id, Identifier.kind.in_(("email", "phone")), Identifier.verified_at.is_not(None)
    )
    statement = select(reached, User.identity_checked_at.is_not(None)).where(User.id == user_id)
    row = (await session.execute(statement)).first()
    return (bool(row[0]), bool(row[1])) if row else (False, False)


async def verified_owner(session: AsyncSession, lookup: str) -> uuid.UUID | None:
    """Return who has proven that an identifier is theirs."""
    statement = select(Identifier.user_id).where(Identifier.lookup == lookup, Identifier.verified_at.is_not(None))
    return (await session.execute(statement)).scalar_one_or_none()


async def local_accounts_of(session: AsyncSession, user_id: uuid.UUID) -> list[LocalAccount]:
    """Return the ids by which applications knew a person before; of each application the first that was taken over
    first."""
    order = (LocalAccount.client_id, LocalAccount.created_at, LocalAccount.local_user_id)
    mine = select(LocalAccount).where(LocalAccount.user_id == user_id).order_by(*order)
    return list((await session.execute(mine)).scalars())


async def checks_of(session: AsyncSession, user_id: uuid.UUID) -> list[IdentityCheck]:
    """Return the checks of a person's documents, the newest first."""
    mine = select(IdentityCheck).where(IdentityCheck.user_id == user_id).order_by(IdentityCheck.id.desc())
    return list((await session.execute(mine)).scalars())


async def favourites_of(session: AsyncSession, user_id: uuid.UUID) -> set[str]:
    """Return the applications that a person put in front."""
    return set((await session.execute(select(Favourite.client_id).where(Favourite.user_id == user_id))).scalars())


async def set_favourite(session: AsyncSession, user_id: uuid.UUID, client_id: str, wanted: bool) -> None:
    """Put an application in front, or no longer."""
    await session.execute(delete(Favourite).where(Favourite.user_id == user_id, Favourite.client_id == client_id))
    if wanted:
        session.add(Favourite(user_id=user_id, client_id=client_id))


async def agreements_of(session: AsyncSession, user_id: uuid.UUID) -> list[Agreement]:
    """Return what a person agreed to."""
    mine = select(Agreement).where(Agreement.user_id == user_id).order_by(Agreement.agreed_at)
    return list((await session.execute(mine)).scalars())


async def picture_of(session: AsyncSession, user_id: uuid.UUID) -> Picture | None:
    """Return a person's picture."""
    return await session.get(Picture, user_id)


async def picture_with_id(session: AsyncSession, picture_id: str) -> bytes | None:
    """Return the picture at an address."""
    return (await session.execute(select(Picture.image).where(Picture.id == picture_id))).scalar_one_or_none()


async def due_for_deletion(session: AsyncSession, now: datetime, limit: int) -> list[uuid.UUID]:
    """Return people who asked to be deleted, and whose time to come back is over."""
    statement = select(User.id).where(User.delete_at <= now, User.deleted_at.is_(None)).limit(limit)
    return list((await session.execute(statement)).scalars())
