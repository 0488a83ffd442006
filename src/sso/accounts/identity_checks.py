"""Identity checks: an officer compares a user with a document, and the NIK on it counts as verified."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy.ext.asyncio import AsyncSession

from sso import clock
from sso.accounts.contact_changes import contacts_notified
from sso.accounts.guards import refuse_test_user
from sso.accounts.services import NikServices
from sso.identity.notifications import notify
from sso.identity.users import store as users
from sso.identity.users.choices import DOCUMENTS
from sso.identity.users.identifiers import nik_lookup, normal_nik
from sso.identity.users.models import Identifier, IdentityCheck, User
from sso.identity.users.service import UserError, encrypt_nik, nik_key
from sso.platform.actor import Actor
from sso.platform.audit import record_by

MIN_NUMBER_CHARS, MAX_NUMBER_CHARS, MAX_PLACE_CHARS = 4, 40, 200
KEPT_NUMBER_CHARS = 4
"""How many characters of the end of a document's number are stored."""


@dataclass(frozen=True, slots=True)
class CheckedDocument:
    """The document that an officer saw: its kind, its number (of which the end is stored), the place of the check, and
    the NIK on it."""

    document: str
    document_number: str
    place: str
    nik: str | None = None


def read_check(document: str, number: str, place: str) -> CheckedDocument:
    """Return the document that an officer saw, validated; the number of a KTP is the NIK.

    Raises:
        UserError: naming every mistake.
    """
    mistakes, nik = [], None
    if document not in DOCUMENTS:
        mistakes.append(f"document must be one of {', '.join(DOCUMENTS)}")
    if not MIN_NUMBER_CHARS <= len(number.strip()) <= MAX_NUMBER_CHARS:
        mistakes.append("document_number must have 4 to 40 characters")
    if not 1 <= len(place.strip()) <= MAX_PLACE_CHARS:
        mistakes.append("place must have 1 to 200 characters")
    if document == "ktp":
        try:
            nik = normal_nik(number)
        except ValueError as error:
            mistakes.append(f"document_number: {error}")
    if mistakes:
        raise UserError(*mistakes)
    return CheckedDocument(document, nik or number.strip(), place.strip(), nik)


async def check_identity(
    session: AsyncSession, services: NikServices, user: User, check: CheckedDocument, *, actor: Actor
) -> IdentityCheck:
    """Record that an officer compared a user with a document; its NIK becomes a verified identifier of the user.

    Raises:
        UserError: when the NIK is verified for another user, or the user has another verified NIK.
    """
    refuse_test_user(user)
    assert actor.name is not None, "an identity check names the officer"
    now, key = clock.now(), services.nik_key or await nik_key(session, services.box)
    await users.lock_user(session, user.id)
    if check.nik:
        async with contacts_notified(session, services, user):
            await _verify_nik(session, services, user, check.nik, key, now)
    checked = IdentityCheck(
        user_id=user.id,
        officer=actor.name,
        document=check.document,
        document_end=check.document_number[-KEPT_NUMBER_CHARS:],
        place=check.place,
        checked_at=now,
    )
    session.add(checked)
    user.identity_checked_at = user.updated_at = now
    record_by(
        session,
        actor,
        "user.identity_checked",
        subject=str(user.id),
        data={"document": check.document, "place": check.place},
    )
    notify(session, services, user, "identity_checked", place=check.place)
    await session.flush()
    return checked


async def _verify_nik(
    session: AsyncSession, services: NikServices, user: User, digits: str, key: bytes, now: datetime
) -> None:
    """Let a NIK be a verified identifier of a user, in place of any that is not verified."""
    lookup = nik_lookup(digits, key)
    owner = await users.verified_owner(session, lookup)
    if owner is not None and owner != user.id:
        raise UserError("another account has this NIK, and it is verified")
    known = [identifier for identifier in await users.identifiers_of(session, user.id) if identifier.kind == "nik"]
    for identifier in known:
        if identifier.lookup != lookup:
            if identifier.verified_at is not None:
                raise UserError("the user has another NIK that was verified before")
            await session.delete(identifier)
    present = next((identifier for identifier in known if identifier.lookup == lookup), None)
    if present is None:
        present = Identifier(user_id=user.id, kind="nik", is_primary=True, created_at=clock.now(), value="", lookup="")
        encrypt_nik(present, digits, key, services.box)
        session.add(present)
    present.verified_at = present.verified_at or now


async def revoke_identity_check(session: AsyncSession, services: NikServices, user: User, *, actor: Actor) -> bool:
    """Revoke the identity checks of a user; tell whether there was one. A NIK that was verified by the check alone, and
    not by an import before it, is not verified any more: its owner can verify it.
    """
    await users.lock_user(session, user.id)
    now, checks = clock.now(), [check for check in await users.checks_of(session, user.id) if check.revoked_at is None]
    cards = [check.checked_at for check in checks if check.document == "ktp"]
    if cards:
        async with contacts_notified(session, services, user):
            for identifier in await users.identifiers_of(session, user.id):
                verified_at = identifier.verified_at
                if identifier.kind == "nik" and verified_at is not None and verified_at >= min(cards):
                    identifier.verified_at = None
    for check in checks:
        check.revoked_at = now
    user.identity_checked_at, user.updated_at = None, now
    if checks:
        record_by(session, actor, "user.identity_check_revoked", subject=str(user.id))
    return bool(checks)
