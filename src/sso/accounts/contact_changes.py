"""Telling users of every change of their identifiers, whoever made it.

Every change of an identifier goes through :func:`contacts_notified`. It compares the identifiers before and after, and
writes to every contact that was verified before the change, and to the new ones: an attacker who takes an account over
with another contact cannot keep the old contacts from being told.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

from sqlalchemy.ext.asyncio import AsyncSession

from sso import clock
from sso.identity.employees import store as employees
from sso.identity.notifications import DAY_SECONDS, MessageServices, send
from sso.identity.users import store as users
from sso.identity.users.identifiers import masked, receives_codes
from sso.identity.users.models import Identifier, User

REACHED_BY = ("email", "phone")
NOTICES = ("contact_added", "contact_removed", "contact_verified", "contact_unverified", "contact_primary")
"""What is told of an address or number; each is a message in ``http/common/mail_texts.py``."""
NAME_CHANGED = "sign_in_name_changed"
"""What is told of a user name or a NIK."""


@dataclass(frozen=True, slots=True)
class Known:
    """An identifier as it was at one moment."""

    kind: str
    value: str
    lookup: str
    verified: bool
    primary: bool


def changes(before: Sequence[Known], after: Sequence[Known]) -> dict[str, list[Known]]:
    """Return the identifiers that changed, by the notice that tells of the change."""
    had, has = {known.lookup: known for known in before}, {known.lookup: known for known in after}
    changed: dict[str, list[Known]] = {}

    def note(notice: str, identifier: Known) -> None:
        changed.setdefault(notice if identifier.kind in REACHED_BY else NAME_CHANGED, []).append(identifier)

    for lookup, present in has.items():
        past = had.get(lookup)
        if past is None:
            note("contact_added", present)
            continue
        if past.verified != present.verified:
            note("contact_verified" if present.verified else "contact_unverified", present)
        if present.primary and not past.primary and present.kind in REACHED_BY:
            note("contact_primary", present)
    replaced = {identifier.kind for identifier in changed.get(NAME_CHANGED, [])}
    for lookup, past in had.items():
        if lookup not in has and (past.kind in REACHED_BY or past.kind not in replaced):
            note("contact_removed", past)
    return changed


def receivers(before: Sequence[Known], after: Sequence[Known]) -> list[tuple[str, str]]:
    """Return who is told, as kind and value: every contact that was verified before, then those that are now."""
    contacts = (known for known in [*before, *after] if known.verified and known.kind in REACHED_BY)
    return list(dict.fromkeys((contact.kind, contact.value) for contact in contacts))


@asynccontextmanager
async def contacts_notified(session: AsyncSession, services: MessageServices, *accounts: User) -> AsyncIterator[None]:
    """Tell users of whatever the body changes about their identifiers, in the same transaction.

    Args:
        session: the transaction.
        services: settings and encryption.
        accounts: the users whose identifiers may change.
    """
    before = {user.id: (user.locale, await _known(session, user)) for user in accounts}
    yield
    await session.flush()
    for user in accounts:
        await _end_kept_nip(session, user)
        locale, past = before[user.id]
        present = await _known(session, user)
        changed = changes(past, present)
        for kind, value in receivers(past, present) if changed else ():
            if services.settings.can_send(kind) and receives_codes(kind, value):
                for notice, identifiers in changed.items():
                    what = ", ".join(masked(identifier.kind, identifier.value) for identifier in identifiers)
                    send(session, services, kind, value, notice, locale, what=what)


def has_other_sign_in_name(identifiers: Sequence[Identifier]) -> bool:
    """Tell whether a user can sign in with something else than a NIP: a user name, or what is verified."""
    return any(
        identifier.kind == "username" or (identifier.kind != "nip" and identifier.verified_at is not None)
        for identifier in identifiers
    )


async def _end_kept_nip(session: AsyncSession, user: User) -> None:
    """Let a NIP sign in no more that was kept after the employment, because there was nothing else to sign in with."""
    own = await users.identifiers_of(session, user.id)
    open_ended = any(identifier.kind == "nip" and identifier.valid_until is None for identifier in own)
    if open_ended and has_other_sign_in_name(own) and await employees.open_of_user(session, user.id) is None:
        await employees.set_nip_times(session, user.id, None, clock.now())


async def tell_everywhere(
    session: AsyncSession, services: MessageServices, user: User, notice: str, **values: str
) -> None:
    """Send a message to every verified contact of a user, not to the primary one alone.

    Args:
        session: the transaction.
        services: settings and encryption.
        user: the user.
        about: the message; one of ``NOTICES`` in ``http/common/mail_texts.py``.
        values: what the message names.
    """
    known = await _known(session, user)
    for kind, value in receivers(known, ()):
        if services.settings.can_send(kind) and receives_codes(kind, value):
            send(session, services, kind, value, notice, user.locale, seconds=DAY_SECONDS, **values)


async def _known(session: AsyncSession, user: User) -> list[Known]:
    return [
        Known(
            identifier.kind,
            identifier.value,
            identifier.lookup,
            identifier.verified_at is not None,
            identifier.is_primary,
        )
        for identifier in await users.identifiers_of(session, user.id)
    ]
