"""Identifiers of the own account: e-mail addresses, telephone numbers, user names and the NIK."""

from __future__ import annotations

import uuid
from collections.abc import Collection, Sequence
from typing import Literal

from sqlalchemy.ext.asyncio import AsyncSession

from sso import clock
from sso.accounts.contact_changes import contacts_notified
from sso.accounts.flows import FlowRefused, Problem
from sso.accounts.services import NikServices
from sso.identity.notifications import MessageServices
from sso.identity.users import store as users
from sso.identity.users.identifiers import (
    NormalIdentifier,
    can_be_verified,
    may_be_chosen,
    normalise_contact,
    receives_codes,
)
from sso.identity.users.models import Identifier, User
from sso.identity.users.service import UserError, encrypt_nik
from sso.platform.actor import Actor
from sso.platform.audit import record, record_by
from sso.platform.security.message_limits import is_served

MAX_CONTACTS = 10
REACHABLE = ("email", "phone")


def read_contact(kinds: Collection[str], typed: str, prefixes: Sequence[str] = ()) -> NormalIdentifier:
    """Return the contact that was typed.

    Args:
        kinds: the kinds of contact that are accepted.
        typed: an e-mail address or a telephone number.
        prefixes: the prefixes of telephone numbers that receive messages (``SSO_PHONE_PREFIXES``); empty: all.

    Raises:
        FlowRefused: when it is no contact of these kinds, or receives no code.
    """
    try:
        contact = normalise_contact(typed)
    except ValueError:
        raise FlowRefused(Problem.NOT_A_CONTACT) from None
    if contact.kind not in kinds or not contact.provable:
        raise FlowRefused(Problem.NOT_A_CONTACT)
    if not receives_codes(contact.kind, contact.value):
        raise FlowRefused(Problem.NO_SMS)
    if contact.kind == "phone" and prefixes and not is_served(prefixes, contact.value):
        raise FlowRefused(Problem.PREFIX_NOT_SERVED)
    return contact


async def contacts_of(session: AsyncSession, user_id: uuid.UUID) -> list[Identifier]:
    """Return the identifiers of a user, by kind, the primary one of each kind first."""
    known = await users.identifiers_of(session, user_id)
    return sorted(known, key=lambda identifier: (identifier.kind, not identifier.is_primary))


def can_receive_code(identifier: Identifier) -> bool:
    """Tell whether a code can be sent to an identifier, and verifies it."""
    return receives_codes(identifier.kind, identifier.value) and can_be_verified(identifier.kind, identifier.value)


async def verify_contact(session: AsyncSession, services: MessageServices, user: User, contact: Identifier) -> bool:
    """Record that a user has verified a contact; tell whether it is the user's now. Where another user has verified the
    same address or number meanwhile, it stays that user's.

    Args:
        session: the transaction.
        services: settings and encryption.
        user: the user.
        contact: the contact to which the code was sent.
    """
    present = await session.get(Identifier, contact.id, with_for_update=True)
    if present is None or (present.user_id, present.lookup) != (user.id, contact.lookup):
        return False
    owner = await users.verified_owner(session, present.lookup)
    if owner is not None:
        return owner == user.id
    async with contacts_notified(session, services, user):
        present.verified_at, present.asserted_at = clock.now(), None
        record(session, "contact.verified", actor=str(user.id), subject=str(user.id), data={"kind": present.kind})
    return True


async def add_contact(
    session: AsyncSession, services: MessageServices, user: User, kind: str, value: str, *, actor: Actor
) -> bool:
    """Add a contact that a user has just verified; tell whether it is the user's now: not where another user has it."""
    async with contacts_notified(session, services, user):
        return await _add_contact(session, user, kind, value, actor)


async def _add_contact(session: AsyncSession, user: User, kind: str, value: str, actor: Actor) -> bool:
    owner = await users.verified_owner(session, value)
    if owner is not None:
        return owner == user.id
    now, known = clock.now(), await users.identifiers_of(session, user.id)
    present = next((identifier for identifier in known if identifier.lookup == value), None)
    if present is None:
        first = not any(identifier.kind == kind for identifier in known)
        present = Identifier(user_id=user.id, kind=kind, value=value, lookup=value, is_primary=first, created_at=now)
        session.add(present)
    present.verified_at, present.asserted_at = now, None
    _contact_changed(session, user, "contact.added", kind, actor)
    return True


async def remove_contact(
    session: AsyncSession, services: MessageServices, user: User, contact: Identifier, *, actor: Actor
) -> None:
    """Remove a contact; the next one of its kind becomes the primary one.

    Raises:
        UserError: when it is the last way to reach the user.
    """
    known = await users.identifiers_of(session, user.id)
    left = [
        identifier
        for identifier in known
        if identifier.id != contact.id and identifier.kind in REACHABLE and identifier.verified_at
    ]
    if contact.kind != "username" and contact.verified_at is not None and not left:
        raise UserError("last_contact")
    async with contacts_notified(session, services, user):
        await session.delete(contact)
        following = next(
            (identifier for identifier in known if identifier.kind == contact.kind and identifier.id != contact.id),
            None,
        )
        if contact.is_primary and following is not None:
            following.is_primary = True
    _contact_changed(session, user, "contact.removed", contact.kind, actor)


def _contact_changed(session: AsyncSession, user: User, event: str, kind: str, actor: Actor) -> None:
    user.updated_at = clock.now()
    record_by(session, actor, event, subject=str(user.id), data={"kind": kind})


async def change_contact(
    session: AsyncSession,
    services: MessageServices,
    user: User,
    choice: Literal["primary", "remove"],
    contact_id: str,
    actor: Actor,
) -> bool:
    """Make a contact of the own account the primary one, or remove it.

    Args:
        session: the transaction.
        services: settings and encryption.
        user: the user, locked.
        choice: what to do.
        contact_id: the id of the contact.
        actor: the user.

    Returns:
        Whether there is such a contact that may change.

    Raises:
        FlowRefused: when the contact must stay as it is.
    """
    known = await users.identifiers_of(session, user.id)
    chosen = next((identifier for identifier in known if str(identifier.id) == contact_id), None)
    if chosen is None or chosen.kind == "nip" or (chosen.kind == "username" and chosen.is_primary):
        return False
    if chosen.kind == "nik" and chosen.verified_at is not None:
        raise FlowRefused(Problem.NIK_CHECKED)
    if choice == "remove":
        try:
            await remove_contact(session, services, user, chosen, actor=actor)
        except UserError:
            raise FlowRefused(Problem.LAST_CONTACT) from None
    elif chosen.verified_at is not None:
        async with contacts_notified(session, services, user):
            for identifier in known:
                if identifier.kind == chosen.kind:
                    identifier.is_primary = identifier.id == chosen.id
        user.updated_at = clock.now()
    return True


async def set_username(
    session: AsyncSession, services: MessageServices, user: User, username: str, actor: Actor
) -> None:
    """Let a user sign in with this user name.

    Args:
        session: the transaction.
        services: settings and encryption.
        user: the user, locked.
        username: the user name, normalised.
        actor: the user.

    Raises:
        FlowRefused: when the name is reserved, or another user has it.
    """
    names = [identifier for identifier in await users.identifiers_of(session, user.id) if identifier.kind == "username"]
    if not may_be_chosen(username) and username not in [name.value for name in names]:
        raise FlowRefused(Problem.INVALID_USERNAME)
    owner = await users.verified_owner(session, username)
    if owner is not None and owner != user.id:
        raise FlowRefused(Problem.TAKEN)
    now = clock.now()
    async with contacts_notified(session, services, user):
        _make_primary_name(session, user, names, username)
    await users.mark_changed(session, user.id, now)
    _identifier_changed(session, user, "username", actor)


def _make_primary_name(session: AsyncSession, user: User, names: list[Identifier], username: str) -> None:
    """Make a user name the primary one: one that the user has already, from a merge, or else in place of the present
    primary one."""
    primary = next((name for name in names if name.is_primary), names[0] if names else None)
    chosen = next((name for name in names if name.value == username), primary)
    if chosen is None:
        chosen = Identifier(user_id=user.id, kind="username", is_primary=True, created_at=clock.now())
        session.add(chosen)
    for name in names:
        name.is_primary = name is chosen
    chosen.value = chosen.lookup = username
    chosen.verified_at = chosen.verified_at or clock.now()


async def set_nik(session: AsyncSession, services: NikServices, user: User, nik: str, actor: Actor) -> None:
    """Store a NIK that a user claims. The user cannot sign in with it until an officer checks a document.

    Args:
        session: the transaction.
        services: settings and encryption.
        user: the user, locked.
        nik: the NIK, normalised.
        actor: the user.

    Raises:
        FlowRefused: when the NIK of the user was checked.
    """
    known = [identifier for identifier in await users.identifiers_of(session, user.id) if identifier.kind == "nik"]
    if any(identifier.verified_at is not None for identifier in known):
        raise FlowRefused(Problem.NIK_CHECKED)
    async with contacts_notified(session, services, user):
        for identifier in known:
            await session.delete(identifier)
        await session.flush()
        claimed = Identifier(user_id=user.id, kind="nik", is_primary=True, created_at=clock.now())
        encrypt_nik(claimed, nik, services.nik_key, services.box)
        session.add(claimed)
    _identifier_changed(session, user, "nik", actor)


def _identifier_changed(session: AsyncSession, user: User, kind: str, actor: Actor) -> None:
    data = {"changed": [kind]}
    record_by(session, actor, "user.changed", subject=str(user.id), data=data)
