"""Creating, changing and finding users."""

from __future__ import annotations

import uuid
from collections import Counter
from collections.abc import Collection, Sequence
from typing import TypedDict

from sqlalchemy.ext.asyncio import AsyncSession

from sso import clock
from sso.errors import Refusal
from sso.identity.users import store
from sso.identity.users.identifiers import NormalIdentifier, can_be_verified, masked, meanings, nik_lookup
from sso.identity.users.models import Credential, Identifier, User, UserRole
from sso.identity.users.schemas import NewUser, UserChange
from sso.platform.actor import CLI, Actor
from sso.platform.audit import record, record_by
from sso.platform.permissions import ROLES
from sso.platform.security.encryption import SecretBox
from sso.platform.security.instance_secrets import instance_secret
from sso.platform.security.numbers import read_uuid

ADMIN = "admin"
NIK = "nik"


class UserError(Refusal):
    """The request cannot be executed; each of ``mistakes`` gives a reason."""

    status = 409

    def __init__(self, *mistakes: str) -> None:
        super().__init__("; ".join(mistakes))
        self._mistakes = list(mistakes)

    @property
    def mistakes(self) -> list[str]:
        """One line for each mistake."""
        return self._mistakes


async def check_free(session: AsyncSession, people: list[NewUser], box: SecretBox | None = None) -> None:
    """Check that :func:`create_users` can create users now.

    Raises:
        UserError: with every identifier that another user has.
    """
    await _free_identifiers(session, people, box)


async def _free_identifiers(
    session: AsyncSession, people: list[NewUser], box: SecretBox | None
) -> tuple[bytes, list[list[tuple[str, str, bool]]]]:
    """Return the key of NIKs, and the identifiers of each new user.

    Raises:
        UserError: with every identifier that another user has.
    """
    key = await nik_key(session, box) if any(person.nik for person in people) else b""
    identifiers_of_each = [_identifiers(person, key) for person in people]
    identifiers = [identifier for group in identifiers_of_each for identifier in group]
    lookups = [lookup for _, lookup, _ in identifiers]
    used = {lookup for lookup, times in Counter(lookups).items() if times > 1} | await store.taken(session, lookups)
    # Two users with the same unverified contact could both not sign in with it. An unverified NIK may be the same.
    unverified = [lookup for kind, lookup, verified in identifiers if kind != NIK and not verified]
    used |= await store.taken(session, unverified, unverified=True)
    if used:
        raise UserError(*(f"{_lookup_text(lookup)} is already used" for lookup in sorted(used)))
    for kind, lookup, verified in identifiers:
        _check_verified(kind, lookup, verified)
    return key, identifiers_of_each


async def create_users(
    session: AsyncSession, people: list[NewUser], *, actor: str = "cli", box: SecretBox | None = None
) -> list[User]:
    """Create users, all or none.

    Args:
        session: the transaction.
        people: the new users.
        actor: for the audit log.
        box: encrypts NIKs.

    Raises:
        UserError: with every identifier that another user has.
    """
    key, identifiers_of_each = await _free_identifiers(session, people, box)
    now = clock.now()
    users = []
    for person in people:
        user = User(name=person.name, locale=person.locale, created_at=now, updated_at=now)
        user.profile = person.profile.model_dump(exclude_none=True)
        session.add(user)
        users.append(user)
    await session.flush()
    for user, person, own in zip(users, people, identifiers_of_each, strict=True):
        _add_identifiers(session, user, person, own, key, box)
        for role in dict.fromkeys(person.roles):
            session.add(UserRole(user_id=user.id, role=role))
        if person.password_hash:
            session.add(_password(user.id, person.password_hash))
        record(session, "user.created", actor=actor, subject=str(user.id), data={"roles": list(person.roles)})
    return users


def _add_identifiers(
    session: AsyncSession,
    user: User,
    person: NewUser,
    identifiers: list[tuple[str, str, bool]],
    key: bytes,
    box: SecretBox | None,
) -> None:
    now = user.created_at
    for kind, lookup, verified in identifiers:
        row = Identifier(user_id=user.id, kind=kind, value=lookup, lookup=lookup, is_primary=True, created_at=now)
        row.verified_at = now if verified else None
        if kind == "nik" and person.nik:
            encrypt_nik(row, person.nik, key, _needed(box))
        session.add(row)


async def change_user(session: AsyncSession, user: User, change: UserChange, *, actor: Actor) -> None:
    """Change what ``change`` names of a person.

    Raises:
        UserError: when another user has the identifier.
    """
    changed, now = change.model_fields_set, clock.now()
    if "name" in changed:
        user.name = change.name
    if "locale" in changed:
        user.locale = change.locale
    if "profile" in changed:
        user.profile = change.profile.model_dump(exclude_none=True)
    identifiers = await store.identifiers_of(session, user.id)
    known = {identifier.kind: identifier for identifier in identifiers if identifier.is_primary}
    for field, kind in (("username", "username"), ("email", "email"), ("phone_number", "phone")):
        verified = kind == "username" or bool(getattr(change, f"{field}_verified"))
        if field in changed:
            await _set_identifier(session, user, known.get(kind), kind, getattr(change, field), verified)
        elif f"{field}_verified" in changed and kind in known:
            await _set_identifier(session, user, known[kind], kind, known[kind].lookup, verified)
    user.updated_at = now
    record_by(session, actor, "user.changed", subject=str(user.id), data={"changed": sorted(changed)})


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
    identifiers = await store.identifiers_of(session, user.id)
    own = next((identifier for identifier in identifiers if identifier.lookup == value), None)
    if present is not None and own is not None and kind == "username":
        present.is_primary = False  # one of several user names after a merge: both stay
    elif present is not None:
        await session.delete(present)
        await session.flush()
    if own is not None:
        own.is_primary = True
        _assert_verified(own, verified)
    elif value is not None:
        added = Identifier(user_id=user.id, kind=kind, value=value, lookup=value, is_primary=True, created_at=now)
        added.verified_at = added.asserted_at = now if verified else None
        session.add(added)
        await session.flush()


def _check_verified(kind: str, value: str, verified: bool) -> None:
    if value and verified and not can_be_verified(kind, value):
        raise UserError(f"{value} cannot be marked as verified: this is not a valid phone number")


def _assert_verified(present: Identifier, verified: bool) -> None:
    """Set the verification of an identifier on the assertion of an administrator or a program. An identifier that is
    verified already stays unchanged."""
    if not verified:
        present.verified_at = None
    elif present.verified_at is None:
        present.verified_at = present.asserted_at = clock.now()


async def set_roles(
    session: AsyncSession,
    user: User,
    roles: Collection[str],
    *,
    actor: Actor = CLI,
) -> None:
    """Replace the roles of a user.

    Raises:
        UserError: when a role does not exist, or no administrator would remain.
    """
    unknown = sorted(set(roles) - set(ROLES))
    if unknown:
        raise UserError(f"{unknown[0]!r} is not a role: {', '.join(ROLES)}")
    if roles and user.preferences.get("test"):
        raise UserError("a test user cannot have roles: every team can sign in as a test user")
    await store.lock_user(session, user.id)
    before = set(await store.roles_of(session, user.id))
    if ADMIN in before and ADMIN not in roles:
        await keep_an_administrator(session, user)
    await store.replace_roles(session, user.id, sorted(set(roles)))
    data = {"added": sorted(set(roles) - before), "removed": sorted(before - set(roles))}
    await store.mark_changed(session, user.id, clock.now())
    record_by(session, actor, "user.roles_changed", subject=str(user.id), data=data)


async def keep_an_administrator(session: AsyncSession, user: User) -> None:
    """Check that another user is an administrator. No other transaction can change that until this one ends.

    Raises:
        UserError: when this user is the only administrator.
    """
    if await store.lock_administrators(session, ADMIN) == {user.id}:
        raise UserError("this is the last administrator: make somebody else an administrator first")


async def nik_key(session: AsyncSession, box: SecretBox | None) -> bytes:
    """Return the key of the keyed hash of NIKs."""
    return await instance_secret(session, _needed(box), NIK)


def encrypt_nik(identifier: Identifier, digits: str, key: bytes, box: SecretBox) -> None:
    """Store a NIK in an identifier: masked for display, as a keyed hash for lookups, and encrypted."""
    identifier.value = masked("nik", digits)
    identifier.lookup = nik_lookup(digits, key)
    identifier.encrypted = box.encrypt(digits.encode(), NIK)


def open_nik(identifier: Identifier | store.KnownIdentifier, box: SecretBox) -> str | None:
    """Decrypt the NIK of an identifier; None where the identifier is no NIK."""
    return box.decrypt(identifier.encrypted, NIK).decode() if identifier.encrypted is not None else None


async def find(session: AsyncSession, text: str, box: SecretBox | None = None, *, unverified: bool = False) -> User:
    """Return the user with the user id or the verified identifier ``text``; by NIK only with ``box``.

    With ``unverified``, an identifier that no user has verified (except a NIK) finds the only user who claims it. Use
    that for display only, never to grant anything.

    Raises:
        UserError: when there is no such user, or there are several: the user name of one can be the phone number or
            the NIK of another.
    """
    users = await find_all(session, text, box, unverified=unverified)
    if not users:
        raise UserError(f"nobody has the verified identifier {text!r}")
    if len(users) > 1:
        ids = ", ".join(str(user.id) for user in users)
        raise UserError(f"{text!r} can mean several users: use the user ID: {ids}")
    return users[0]


async def find_all(
    session: AsyncSession, text: str, box: SecretBox | None = None, *, unverified: bool = False
) -> list[User]:
    """Return all users that ``text`` can mean, as in :func:`find`: the user with this id, or the users with this
    verified identifier, in the order of its meanings.

    Raises:
        UserError: when no user has verified the identifier and several claim it.
    """
    try:
        user = await session.get(User, read_uuid(text))
    except ValueError:
        return await _by_identifier(session, text, box, unverified=unverified)
    return [user] if user is not None else []


class DescribedIdentifier(TypedDict):
    """An identifier, as administrators see it."""

    kind: str
    value: str
    verified: bool
    primary: bool


class DescribedUser(TypedDict):
    """A user, as administrators see them. Times are in ISO 8601."""

    id: str
    name: str
    identifiers: list[DescribedIdentifier]
    roles: list[str]
    locale: str | None
    created_at: str
    disabled_at: str | None


async def describe(session: AsyncSession, user: User) -> DescribedUser:
    """Return what administrators see of a user."""
    identifiers = await store.identifiers_of(session, user.id)
    return {
        "id": str(user.id),
        "name": user.name,
        "identifiers": [
            {"kind": row.kind, "value": row.value, "verified": row.verified_at is not None, "primary": row.is_primary}
            for row in identifiers
        ],
        "roles": await store.roles_of(session, user.id),
        "locale": user.locale,
        "created_at": user.created_at.isoformat(),
        "disabled_at": user.disabled_at.isoformat() if user.disabled_at else None,
    }


async def find_each(session: AsyncSession, texts: Collection[str], box: SecretBox) -> dict[str, list[User]]:
    """Return all users that each of many texts can mean, as in :func:`find_all`: a few statements for 500 texts."""
    users: dict[str, list[User]] = {}
    ordered = sorted(set(texts))
    for start in range(0, len(ordered), 500):
        users |= await _find_part(session, ordered[start : start + 500], box)
    return users


async def _find_part(session: AsyncSession, texts: Sequence[str], box: SecretBox) -> dict[str, list[User]]:
    ids: dict[str, uuid.UUID] = {}
    possible: dict[str, tuple[NormalIdentifier, ...]] = {}
    for text in texts:
        try:
            ids[text] = read_uuid(text)
        except ValueError:
            possible[text] = meanings(text)
    with_nik = any(meaning.kind == NIK for each in possible.values() for meaning in each)
    key = await nik_key(session, box) if with_nik else b""
    lookups = {text: [meaning.lookup(key) for meaning in each] for text, each in possible.items()}
    owners = await store.owners_of_each(session, {lookup for each in lookups.values() for lookup in each})
    by_id = await store.users_with_ids(session, list(ids.values()))
    named = {text: [by_id[user_id]] if user_id in by_id else [] for text, user_id in ids.items()}
    return named | {
        text: list({owners[lookup].id: owners[lookup] for lookup in each if lookup in owners}.values())
        for text, each in lookups.items()
    }


async def _by_identifier(session: AsyncSession, text: str, box: SecretBox | None, *, unverified: bool) -> list[User]:
    possible = [meaning for meaning in meanings(text) if meaning.kind != NIK or box is not None]
    key = await nik_key(session, box) if any(meaning.kind == NIK for meaning in possible) else b""
    owners = await store.verified_owners(session, [meaning.lookup(key) for meaning in possible])
    if owners or not unverified:
        return [user for user, _ in owners]
    # An unverified NIK never identifies a user.
    claimed = await store.claimants(session, [meaning.lookup(key) for meaning in possible if meaning.kind != NIK])
    if len(claimed) > 1:
        raise UserError("several users have this identifier, and none has verified it: use the user ID")
    return claimed


def _identifiers(person: NewUser, key: bytes = b"") -> list[tuple[str, str, bool]]:
    identifiers = [("username", person.username, True)] if person.username else []
    if person.email:
        identifiers.append(("email", person.email, person.email_verified))
    if person.phone_number:
        identifiers.append(("phone", person.phone_number, person.phone_number_verified))
    if person.nik:
        identifiers.append((NIK, nik_lookup(person.nik, key), person.nik_verified))
    return identifiers


def _lookup_text(lookup: str) -> str:
    return "the NIK" if lookup.startswith("nik:") else lookup


def _needed(box: SecretBox | None) -> SecretBox:
    assert box is not None, "a NIK needs the secret box"
    return box


def _password(user_id: uuid.UUID, hashed: str) -> Credential:
    now = clock.now()
    return Credential(user_id=user_id, kind="password", secret=hashed, created_at=now, updated_at=now)
