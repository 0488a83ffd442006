"""Rules about people: making, importing, finding."""

from __future__ import annotations

import uuid
from collections import Counter
from collections.abc import Collection
from typing import Any

from sqlalchemy.ext.asyncio import AsyncSession

from sso import clock
from sso.errors import Refusal
from sso.identity.users import store
from sso.identity.users.identifiers import can_be_verified, masked, meanings, nik_lookup
from sso.identity.users.models import Credential, Identifier, User, UserRole
from sso.identity.users.schemas import NewUser, UserChange
from sso.platform.audit import record
from sso.platform.permissions import ROLES
from sso.platform.security.encryption import SecretBox
from sso.platform.security.instance_secrets import instance_secret
from sso.platform.security.numbers import read_uuid

ADMIN = "admin"
NIK = "nik"


class UserError(Refusal):
    """What was asked for cannot be done; each of ``mistakes`` says why."""

    def __init__(self, *mistakes: str) -> None:
        super().__init__("; ".join(mistakes))
        self._mistakes = list(mistakes)

    @property
    def mistakes(self) -> list[str]:
        """One line for each mistake."""
        return self._mistakes


async def create_users(
    session: AsyncSession, people: list[NewUser], *, actor: str = "cli", box: SecretBox | None = None
) -> list[User]:
    """Make people, all or none.

    Args:
        session: the transaction.
        people: who.
        actor: who makes them.
        box: seals the NIK of those who have one.

    Raises:
        UserError: naming every identifier that somebody has already.
    """
    key = await nik_key(session, box) if any(person.nik for person in people) else b""
    wanted = [_identifiers(person, key) for person in people]
    lookups = [lookup for one in wanted for _, lookup, _ in one]
    used = {lookup for lookup, times in Counter(lookups).items() if times > 1} | await store.taken(session, lookups)
    # Two unverified contacts that are the same open neither account; of an unverified NIK that is no matter.
    said = [lookup for one in wanted for kind, lookup, verified in one if kind != NIK and not verified]
    used |= await store.taken(session, said, unverified=True)
    if used:
        raise UserError(*(f"{_shown(lookup)} is already used" for lookup in sorted(used)))
    for kind, lookup, verified in (one for mine in wanted for one in mine):
        _check_verified(kind, lookup, verified)
    now = clock.now()
    made = []
    for person in people:
        user = User(name=person.name, locale=person.locale, created_at=now, updated_at=now)
        user.profile = person.profile.model_dump(exclude_none=True)
        session.add(user)
        made.append(user)
    await session.flush()
    for user, person, identifiers in zip(made, people, wanted, strict=True):
        for kind, lookup, verified in identifiers:
            one = Identifier(user_id=user.id, kind=kind, value=lookup, lookup=lookup, is_primary=True, created_at=now)
            one.verified_at = now if verified else None
            if kind == "nik" and person.nik:
                encrypt_nik(one, person.nik, key, _needed(box))
            session.add(one)
        for role in dict.fromkeys(person.roles):
            session.add(UserRole(user_id=user.id, role=role))
        if person.password_hash:
            session.add(_password(user.id, person.password_hash))
        record(session, "user.created", actor=actor, subject=str(user.id), data={"roles": list(person.roles)})
    return made


async def change_user(
    session: AsyncSession, user: User, change: UserChange, *, actor: str, request_id: str | None = None
) -> None:
    """Change what ``change`` names of a person.

    Raises:
        UserError: when somebody else has the identifier.
    """
    said, now = change.model_fields_set, clock.now()
    if "name" in said:
        user.name = change.name
    if "locale" in said:
        user.locale = change.locale
    if "profile" in said:
        user.profile = change.profile.model_dump(exclude_none=True)
    known = {one.kind: one for one in await store.identifiers_of(session, user.id) if one.is_primary}
    for field, kind in (("username", "username"), ("email", "email"), ("phone_number", "phone")):
        verified = kind == "username" or bool(getattr(change, f"{field}_verified"))
        if field in said:
            await _set_identifier(session, user, known.get(kind), kind, getattr(change, field), verified)
        elif f"{field}_verified" in said and kind in known:
            await _set_identifier(session, user, known[kind], kind, known[kind].lookup, verified)
    user.updated_at = now
    record(
        session,
        "user.changed",
        actor=actor,
        subject=str(user.id),
        request_id=request_id,
        data={"changed": sorted(said)},
    )


async def _set_identifier(
    session: AsyncSession, user: User, present: Identifier | None, kind: str, value: str | None, verified: bool
) -> None:
    now = clock.now()
    same = present is not None and present.lookup == value
    _check_verified(kind, value or "", verified)
    if value is not None and await store.taken(session, [value], unverified=not same, but=user.id):
        raise UserError(f"{value} is already used")
    if present is not None and same:
        _assert_verified(present, verified)
        return
    own = next((one for one in await store.identifiers_of(session, user.id) if one.lookup == value), None)
    if present is not None and own is not None and kind == "username":
        present.is_primary = False  # one of several user names, from a merge: both stay
    elif present is not None:
        await session.delete(present)
        await session.flush()
    if own is not None:
        own.is_primary = True
        _assert_verified(own, verified)
    elif value is not None:
        made = Identifier(user_id=user.id, kind=kind, value=value, lookup=value, is_primary=True, created_at=now)
        made.verified_at = made.asserted_at = now if verified else None
        session.add(made)
        await session.flush()


def _check_verified(kind: str, value: str, verified: bool) -> None:
    if value and verified and not can_be_verified(kind, value):
        raise UserError(f"{value} cannot count as verified: no numbering plan has this telephone number")


def _assert_verified(present: Identifier, verified: bool) -> None:
    """Let an identifier be verified, or not, because somebody else says so. What was verified already stays as it
    was: it is no new assertion."""
    if not verified:
        present.verified_at = None
    elif present.verified_at is None:
        present.verified_at = present.asserted_at = clock.now()


async def set_roles(
    session: AsyncSession, user: User, roles: Collection[str], *, actor: str = "cli", request_id: str | None = None
) -> None:
    """Give a person these roles in place of any others.

    Raises:
        UserError: when there is no such role, or nobody would be an administrator any more.
    """
    unknown = sorted(set(roles) - set(ROLES))
    if unknown:
        raise UserError(f"{unknown[0]!r} is not a role: {', '.join(ROLES)}")
    if roles and user.preferences.get("test"):
        raise UserError("a test person has no roles: every team may sign in as one")
    await store.lock_user(session, user.id)
    before = set(await store.roles_of(session, user.id))
    if ADMIN in before and ADMIN not in roles:
        await keep_an_administrator(session, user)
    await store.replace_roles(session, user.id, sorted(set(roles)))
    data = {"added": sorted(set(roles) - before), "removed": sorted(before - set(roles))}
    await store.mark_changed(session, user.id, clock.now())
    record(session, "user.roles_changed", actor=actor, subject=str(user.id), request_id=request_id, data=data)


async def keep_an_administrator(session: AsyncSession, user: User) -> None:
    """Make sure that somebody else is an administrator; nobody can change that until the transaction ends.

    Raises:
        UserError: when this person is the only one.
    """
    if await store.lock_administrators(session, ADMIN) == {user.id}:
        raise UserError("this is the last administrator: make somebody else an administrator first")


async def nik_key(session: AsyncSession, box: SecretBox | None) -> bytes:
    """Return the key under which NIKs are found."""
    return await instance_secret(session, _needed(box), NIK)


def encrypt_nik(identifier: Identifier, digits: str, key: bytes, box: SecretBox) -> None:
    """Let an identifier hold a NIK: masked to be seen, a keyed hash to be found, the number itself encrypted."""
    identifier.value = masked("nik", digits)
    identifier.lookup = nik_lookup(digits, key)
    identifier.encrypted = box.encrypt(digits.encode(), NIK)


def open_nik(identifier: Identifier, box: SecretBox) -> str | None:
    """Return the NIK that an identifier holds."""
    return box.decrypt(identifier.encrypted, NIK).decode() if identifier.encrypted is not None else None


async def find(session: AsyncSession, text: str, box: SecretBox | None = None, *, unverified: bool = False) -> User:
    """Return the person of whom the identifier ``text`` is verified, or with the user id ``text``. By NIK only with the
    ``box``. An identifier that nobody has verified finds nobody; with ``unverified`` it finds the one person who says
    that it is theirs, except a NIK: to be shown, with what is verified and what is not, never to be given anything.

    Raises:
        UserError: when there is none, or it means several people: the user name of one can be the telephone number or
            the NIK of another.
    """
    found = await find_all(session, text, box, unverified=unverified)
    if not found:
        raise UserError(f"nobody has the verified identifier {text!r}")
    if len(found) > 1:
        ids = ", ".join(str(one.id) for one in found)
        raise UserError(f"{text!r} means several people: name one by the user id: {ids}")
    return found[0]


async def find_all(
    session: AsyncSession, text: str, box: SecretBox | None = None, *, unverified: bool = False
) -> list[User]:
    """Return everybody whom ``text`` can mean, as :func:`find` does: the user with that id, or those of whom it is a
    verified identifier, in the order in which it is looked up.

    Raises:
        UserError: when nobody has verified it, and several people say that it is theirs.
    """
    try:
        user = await session.get(User, read_uuid(text))
    except ValueError:
        return await _by_identifier(session, text, box, unverified=unverified)
    return [user] if user is not None else []


async def describe(session: AsyncSession, user: User) -> dict[str, Any]:
    """Return what administrators see of a person."""
    identifiers = await store.identifiers_of(session, user.id)
    return {
        "id": str(user.id),
        "name": user.name,
        "identifiers": [
            {"kind": one.kind, "value": one.value, "verified": one.verified_at is not None, "primary": one.is_primary}
            for one in identifiers
        ],
        "roles": await store.roles_of(session, user.id),
        "locale": user.locale,
        "created_at": user.created_at.isoformat(),
        "disabled_at": user.disabled_at.isoformat() if user.disabled_at else None,
    }


async def _by_identifier(session: AsyncSession, text: str, box: SecretBox | None, *, unverified: bool) -> list[User]:
    wanted = [one for one in meanings(text) if one.kind != NIK or box is not None]
    key = await nik_key(session, box) if any(one.kind == NIK for one in wanted) else b""
    found = await store.proven_owners(session, [one.lookup(key) for one in wanted])
    if found or not unverified:
        return [user for user, _ in found]
    # A NIK names somebody surely, or it names nobody.
    claimed = await store.claimants(session, [one.lookup(key) for one in wanted if one.kind != NIK])
    if len(claimed) > 1:
        raise UserError("several people say that this is theirs; name one by the user id")
    return claimed


def _identifiers(person: NewUser, key: bytes = b"") -> list[tuple[str, str, bool]]:
    found = [("username", person.username, True)] if person.username else []
    if person.email:
        found.append(("email", person.email, person.email_verified))
    if person.phone_number:
        found.append(("phone", person.phone_number, person.phone_number_verified))
    if person.nik:
        found.append((NIK, nik_lookup(person.nik, key), person.nik_verified))
    return found


def _shown(lookup: str) -> str:
    return "the NIK" if lookup.startswith("nik:") else lookup


def _needed(box: SecretBox | None) -> SecretBox:
    assert box is not None, "a NIK needs the secret box"
    return box


def _password(user_id: uuid.UUID, hashed: str) -> Credential:
    now = clock.now()
    return Credential(user_id=user_id, kind="password", secret=hashed, created_at=now, updated_at=now)
