"""Telling people of every change of what they sign in with, whoever made it.

Every change of an identifier goes through :func:`contacts_told`. It compares what a person had before with what they
have afterwards, and writes to every contact that was verified before the change, and to the new ones: somebody who
takes an account over by another contact cannot keep the old contacts from being told.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

from sqlalchemy.ext.asyncio import AsyncSession

from sso.accounts.notifications import send
from sso.identity.users import store as users
from sso.identity.users.identifiers import masked, receives_codes
from sso.identity.users.models import User
from sso.oidc.provider import Provider

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
    """Return what changed, by the notice that tells of it."""
    had, has = {one.lookup: one for one in before}, {one.lookup: one for one in after}
    found: dict[str, list[Known]] = {}

    def note(name: str, one: Known) -> None:
        found.setdefault(name if one.kind in REACHED_BY else NAME_CHANGED, []).append(one)

    for lookup, one in has.items():
        past = had.get(lookup)
        if past is None:
            note("contact_added", one)
            continue
        if past.verified != one.verified:
            note("contact_verified" if one.verified else "contact_unverified", one)
        if one.primary and not past.primary and one.kind in REACHED_BY:
            note("contact_primary", one)
    replaced = {one.kind for one in found.get(NAME_CHANGED, [])}
    for lookup, past in had.items():
        if lookup not in has and (past.kind in REACHED_BY or past.kind not in replaced):
            note("contact_removed", past)
    return found


def receivers(before: Sequence[Known], after: Sequence[Known]) -> list[tuple[str, str]]:
    """Return who is told, as kind and value: every contact that was verified before, then those that are now."""
    every = [*before, *after]
    return list(dict.fromkeys((one.kind, one.value) for one in every if one.verified and one.kind in REACHED_BY))


@asynccontextmanager
async def contacts_told(session: AsyncSession, provider: Provider, *people: User) -> AsyncIterator[None]:
    """Tell these people of whatever the body changes about what they sign in with, in the same transaction.

    Args:
        session: the transaction.
        provider: the provider.
        people: whose identifiers may change.
    """
    before = {one.id: (one.locale, await _known(session, one)) for one in people}
    yield
    await session.flush()
    for one in people:
        locale, past = before[one.id]
        present = await _known(session, one)
        found = changes(past, present)
        for kind, value in receivers(past, present) if found else ():
            if provider.settings.can_send(kind) and receives_codes(kind, value):
                for notice, those in found.items():
                    what = ", ".join(masked(those_one.kind, those_one.value) for those_one in those)
                    send(session, provider, kind, value, notice, locale, what=what)


async def tell_everywhere(session: AsyncSession, provider: Provider, user: User, about: str, **values: str) -> None:
    """Send a message to every verified contact of a person, not to the main one alone.

    Args:
        session: the transaction.
        provider: the provider.
        user: the person.
        about: what about; one of ``NOTICES`` in ``http/common/mail_texts.py``.
        values: what it says besides.
    """
    known = await _known(session, user)
    for kind, value in receivers(known, ()):
        if provider.settings.can_send(kind) and receives_codes(kind, value):
            send(session, provider, kind, value, about, user.locale, seconds=86400, **values)


async def _known(session: AsyncSession, user: User) -> list[Known]:
    return [
        Known(one.kind, one.value, one.lookup, one.verified_at is not None, one.is_primary)
        for one in await users.identifiers_of(session, user.id)
    ]
