"""What happens to a person's account, with everything that follows for sessions, grants and applications."""

from __future__ import annotations

import uuid
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy.ext.asyncio import AsyncSession

from sso import clock
from sso.accounts.contact_changes import contacts_told
from sso.accounts.notifications import notify
from sso.identity.authn import pending_flows
from sso.identity.authn import recovery_requests as recovery
from sso.identity.sessions import store as sessions
from sso.identity.sessions.reasons import EndReason, Initiator
from sso.identity.sessions.store import SessionFilter
from sso.identity.users import merge_proposals as merging
from sso.identity.users import store as users
from sso.identity.users.identifiers import nik_lookup, normal_nik
from sso.identity.users.merge_proposals import Decided
from sso.identity.users.models import Identifier, IdentityCheck, MergeProposal, User
from sso.identity.users.schemas import UserChange
from sso.identity.users.service import UserError, change_user, encrypt_nik, keep_an_administrator, nik_key, set_roles
from sso.logout.end_sessions import end_matching, end_sessions
from sso.oidc.provider import Provider
from sso.oidc.store import store as tokens
from sso.platform.audit import record, redact
from sso.platform.security.replay import first_use
from sso.portal import teams
from sso.portal.applications import lock_application
from sso.ssf import events as signals
from sso.ssf.events import CredentialChange

NOT_ME_DAYS = 30
"""How long the link "this was not me" works."""


@dataclass(frozen=True, slots=True)
class CheckedDocument:
    """What an officer saw: which document, its number (of which the end is kept), where; and the NIK on it."""

    document: str
    document_number: str
    place: str
    nik: str | None = None


def is_locked(user: User) -> bool:
    """Tell whether an account is locked: somebody said that a sign-in was not theirs, and nobody recovered it yet."""
    return user.locked_until is not None and user.locked_until > clock.now()


def _keep_locked(user: User) -> None:
    if is_locked(user):
        raise UserError("the account is locked: the person recovers it, or an administrator ends the lock first")


def _keep_fictional(user: User) -> None:
    """Every team may sign in as a test person in its sandbox: what such an account got would be every team's."""
    if user.preferences.get("test"):
        raise UserError("a test person is nobody: the account cannot be changed, checked or recovered")


SECOND_FACTORS = ("totp", "recovery_code", "passkey")
"""The kinds of credentials that a reset takes away."""
OPENS = frozenset({"username", "email", "email_verified", "phone_number", "phone_number_verified"})
"""What of a person's record opens the account."""


async def change_person(
    session: AsyncSession,
    provider: Provider,
    user: User,
    change: UserChange,
    *,
    actor: str,
    request_id: str | None = None,
) -> None:
    """Change what ``change`` names of a person, and tell every contact of theirs of what opens the account.

    Raises:
        UserError: when somebody else has the identifier, or the account is locked.
    """
    _keep_fictional(user)
    if change.model_fields_set & OPENS:
        _keep_locked(user)
    async with contacts_told(session, provider, user):
        await change_user(session, user, change, actor=actor, request_id=request_id)


async def decide_proposal(
    session: AsyncSession,
    provider: Provider,
    proposal_id: uuid.UUID,
    decision: str,
    *,
    actor: str,
    request_id: str | None = None,
) -> Decided:
    """Decide about somebody who was imported and seems to be here already, and tell the person what was added to their
    account. Arguments and decisions as in :func:`sso.identity.users.merge_proposals.decide`.

    Raises:
        UserError: when it cannot be decided so, or the account is locked.
    """
    proposal = await session.get(MergeProposal, proposal_id)
    user = await users.lock_user(session, proposal.user_id) if proposal is not None else None
    if user is None:
        raise UserError("there is no such proposal, or it was decided before")
    _keep_fictional(user)
    if decision == "merged":
        _keep_locked(user)
    async with contacts_told(session, provider, user):
        return await merging.decide(session, provider.box, proposal_id, decision, actor=actor, request_id=request_id)


async def disable_user(
    session: AsyncSession, provider: Provider, user: User, *, actor: str, request_id: str | None = None
) -> int:
    """Disable a person: every session is ended, everything granted is over, ``offline_access`` too.

    Returns:
        How many sessions were ended.

    Raises:
        UserError: when nobody would be an administrator any more.
    """
    await _end_proofs(session, user)
    await keep_an_administrator(session, user)
    now = clock.now()
    if user.disabled_at is None:
        await users.set_disabled(session, user.id, now, now)
        await signals.about_person(session, provider, user.id, signals.ACCOUNT_DISABLED, {})
        notify(session, provider, user, "account_disabled")
    return await _end_everything(session, provider, user, "user.disabled", EndReason.USER_DISABLED, actor, request_id)


async def enable_user(
    session: AsyncSession, provider: Provider, user: User, *, actor: str, request_id: str | None = None
) -> None:
    """Let a disabled person sign in again.

    Raises:
        UserError: when the person was deleted.
    """
    if user.deleted_at is not None:
        raise UserError("who was deleted cannot be enabled")
    await users.set_disabled(session, user.id, None, clock.now())
    await signals.about_person(session, provider, user.id, signals.ACCOUNT_ENABLED, {})
    record(session, "user.enabled", actor=actor, subject=str(user.id), request_id=request_id)


async def delete_user(
    session: AsyncSession, provider: Provider, user: User, *, actor: str, request_id: str | None = None
) -> int:
    """Delete a person: every session is ended, everything granted is over, and all that is known of them is erased.

    The id stays, for the audit log and for the proof that applications were told.

    Returns:
        How many sessions were ended.

    Raises:
        UserError: when nobody would be an administrator any more.
    """
    await _end_proofs(session, user)
    await keep_an_administrator(session, user)
    await _keep_owners(session, user)
    await signals.about_person(session, provider, user.id, signals.ACCOUNT_PURGED, {})
    await users.erase(session, user.id, clock.now())
    await recovery.delete_of_user(session, user.id)
    await sessions.delete_expired_places(session, user.id)
    await tokens.delete_consents(session, user_id=user.id)
    count = await _end_everything(session, provider, user, "user.deleted", EndReason.USER_DELETED, actor, request_id)
    await teams.leave_all(session, user.id)
    await session.flush()
    await redact(session, provider.box, str(user.id))
    return count


async def lock_to_merge(
    session: AsyncSession, kept_id: uuid.UUID, other_id: uuid.UUID
) -> tuple[User | None, User | None]:
    """Lock two people whose accounts become one, after the applications of their teams, in the order of locks."""
    mine = {*await teams.teams_with(session, kept_id), *await teams.teams_with(session, other_id)}
    for application_id in sorted(mine):
        await lock_application(session, application_id)
    locked = {one: await users.lock_user(session, one) for one in sorted({kept_id, other_id})}
    return locked[kept_id], locked[other_id]


async def merge_users(
    session: AsyncSession, provider: Provider, kept: User, other: User, *, actor: str, request_id: str | None = None
) -> list[str]:
    """Let two accounts of one person be one. What the other signs in with, the ids by which applications knew them, and
    their places in teams come along; contacts must be proven again, and no password, second step, role or permission of
    theirs does. The other is deleted: applications are told so, and know the person by ``kept`` from then on.

    Returns:
        The user names of the other, with which the person signs in besides the one of ``kept``.

    Raises:
        UserError: when they are the same, one was deleted or is nobody, or nobody would be an administrator any more.
    """
    if kept.id == other.id:
        raise UserError("it is the same account")
    if any(one.deleted_at is not None or one.preferences.get("test") for one in (kept, other)):
        raise UserError("one of them was deleted, or is a test person")
    for one in (kept, other):
        _keep_locked(one)
    await _end_proofs(session, other)
    await keep_an_administrator(session, other)
    async with contacts_told(session, provider, kept, other):
        await _move(session, provider, kept, other, actor, request_id)
    names = await users.identifiers_of(session, kept.id)
    return [one.value for one in names if one.kind == "username" and not one.is_primary]


async def _move(
    session: AsyncSession, provider: Provider, kept: User, other: User, actor: str, request_id: str | None
) -> None:
    """Let everything of ``other`` that comes along be ``kept``'s, and delete ``other``."""
    for application_id, role in (await teams.teams_with(session, other.id)).items():
        wanted: teams.Role = "owner" if role == "owner" else "member"
        if await teams.role_of(session, application_id, kept.id) != "owner":
            await teams.add_member(session, application_id, kept.id, wanted, actor=actor)
    moved = await users.move_identity(session, other.id, kept.id, clock.now())
    await session.flush()
    about = {"kept": str(kept.id), "identifiers": moved}
    record(session, "user.merged", actor=actor, subject=str(other.id), request_id=request_id, data=about)
    notify(session, provider, kept, "merged")
    await delete_user(session, provider, other, actor=actor, request_id=request_id)


async def give_roles(
    session: AsyncSession,
    provider: Provider,
    user: User,
    roles: Collection[str],
    *,
    groups: Collection[str] | None = None,
    actor: str,
    request_id: str | None = None,
) -> int:
    """Give a person these roles in place of any others. Where one of them is the first that needs a second factor,
    whatever was opened without one ends: sessions, grants, trusted browsers, and sign-ins that are under way.

    Args:
        session: the transaction.
        provider: the provider.
        user: the person, locked.
        roles: the roles.
        groups: the groups of applications that the person administers; None: they stay as they are.
        actor: who decides.
        request_id: the reference for log and audit.

    Returns:
        How many sessions were ended.

    Raises:
        UserError: when there is no such role, or nobody would be an administrator any more.
    """
    before, must = set(await users.roles_of(session, user.id)), set(provider.settings.second_factor_roles)
    ends = bool(set(roles) & must) and not before & must
    if ends:
        await _end_proofs(session, user)
    if groups is None or set(roles) != before:
        await set_roles(session, user, roles, actor=actor, request_id=request_id)
    if groups is not None and sorted(groups) != await users.groups_of(session, user.id):
        await users.replace_groups(session, user.id, sorted(groups))
        about = {"groups": sorted(groups)}
        record(session, "user.groups_changed", actor=actor, subject=str(user.id), request_id=request_id, data=about)
    if not ends:
        return 0
    await session.flush()
    await sessions.distrust(session, user.id)
    mine = SessionFilter(user_id=user.id)
    await sessions.lock_matching(session, mine)
    await tokens.revoke_grants_of_user(session, user.id, clock.now())
    return await end_matching(session, provider, mine, EndReason.ADMINISTRATOR, actor=actor, request_id=request_id)


async def plan_deletion(
    session: AsyncSession, provider: Provider, user: User, *, actor: str, request_id: str | None = None
) -> int:
    """Let a person be deleted when the time to come back is over; until then they are signed out everywhere.

    Returns:
        How many sessions were ended.

    Raises:
        UserError: when nobody would be an administrator any more.
    """
    await _end_proofs(session, user)
    await keep_an_administrator(session, user)
    await _keep_owners(session, user)
    user.delete_at = clock.now() + provider.settings.deletion_grace_period
    notify(session, provider, user, "deletion_planned", until=user.delete_at.isoformat())
    await session.flush()
    return await _end_everything(
        session, provider, user, "user.deletion_planned", EndReason.DELETION_PLANNED, actor, request_id
    )


class OnlyOwner(UserError):
    """Applications have no other owner than this person: ``applications`` names them."""

    def __init__(self, applications: list[str]) -> None:
        self.applications = ", ".join(applications)
        super().__init__(f"nobody else owns {self.applications}: make somebody else an owner first")


async def _keep_owners(session: AsyncSession, user: User) -> None:
    alone = await teams.owned_alone(session, user.id)
    if alone:
        raise OnlyOwner(alone)


async def cancel_deletion(
    session: AsyncSession, provider: Provider, user: User, *, actor: str, request_id: str | None = None
) -> None:
    """Keep the account of somebody who had asked to be deleted."""
    user.delete_at = None
    notify(session, provider, user, "deletion_cancelled")
    record(session, "user.deletion_cancelled", actor=actor, subject=str(user.id), request_id=request_id)


async def delete_due(session: AsyncSession, provider: Provider, limit: int) -> int:
    """Delete people whose time to come back is over; return how many."""
    due = await users.due_for_deletion(session, clock.now(), limit)
    for user_id in due:
        user = await users.lock_user(session, user_id)
        if user is not None and user.delete_at is not None:
            try:
                await delete_user(session, provider, user, actor="system")
            except UserError:  # the last administrator stays, and who alone owns an application
                user.delete_at = None
    return len(due)


async def verify_contact(session: AsyncSession, provider: Provider, user: User, contact: Identifier) -> bool:
    """Record that a person has verified a contact of theirs; tell whether it is theirs now. Where
    somebody else has verified the same address or number meanwhile, it stays theirs.

    Args:
        session: the transaction.
        provider: the provider.
        user: the person.
        contact: the contact to which the code was sent.
    """
    present = await session.get(Identifier, contact.id, with_for_update=True)
    if present is None or (present.user_id, present.lookup) != (user.id, contact.lookup):
        return False
    owner = await users.verified_owner(session, present.lookup)
    if owner is not None:
        return owner == user.id
    async with contacts_told(session, provider, user):
        present.verified_at, present.asserted_at = clock.now(), None
        record(session, "contact.verified", actor=str(user.id), subject=str(user.id), data={"kind": present.kind})
    return True


async def add_contact(
    session: AsyncSession, provider: Provider, user: User, kind: str, value: str, *, request_id: str | None = None
) -> bool:
    """Add a contact that a person has just proven; tell whether it was: not where somebody else has it."""
    async with contacts_told(session, provider, user):
        return await _add_contact(session, user, kind, value, request_id)


async def _add_contact(session: AsyncSession, user: User, kind: str, value: str, request_id: str | None) -> bool:
    owner = await users.verified_owner(session, value)
    if owner is not None:
        return owner == user.id
    now, known = clock.now(), await users.identifiers_of(session, user.id)
    mine = next((one for one in known if one.lookup == value), None)
    if mine is None:
        first = not any(one.kind == kind for one in known)
        mine = Identifier(user_id=user.id, kind=kind, value=value, lookup=value, is_primary=first, created_at=now)
        session.add(mine)
    mine.verified_at, mine.asserted_at = now, None
    _contact_changed(session, user, "contact.added", kind, request_id)
    return True


async def remove_contact(
    session: AsyncSession, provider: Provider, user: User, contact: Identifier, *, request_id: str | None = None
) -> None:
    """Take a contact away; the next one of its kind comes first then.

    Raises:
        UserError: when it is the last way to reach the person.
    """
    known = await users.identifiers_of(session, user.id)
    left = [one for one in known if one.id != contact.id and one.kind in ("email", "phone") and one.verified_at]
    if contact.kind != "username" and contact.verified_at is not None and not left:
        raise UserError("last_contact")
    async with contacts_told(session, provider, user):
        await session.delete(contact)
        following = next((one for one in known if one.kind == contact.kind and one.id != contact.id), None)
        if contact.is_primary and following is not None:
            following.is_primary = True
    _contact_changed(session, user, "contact.removed", contact.kind, request_id)


def _contact_changed(session: AsyncSession, user: User, event: str, kind: str, request_id: str | None) -> None:
    user.updated_at = clock.now()
    who = str(user.id)
    record(session, event, actor=who, subject=who, request_id=request_id, data={"kind": kind})


async def recover(
    session: AsyncSession,
    provider: Provider,
    user: User,
    hashed: str,
    *,
    long: bool,
    drop_factors: bool,
    request_id: str | None = None,
) -> int:
    """Give a person who proved enough a new password, and end whatever was open.

    Args:
        session: the transaction.
        provider: the provider.
        user: the person.
        hashed: the hash of the new password.
        long: whether it is long enough to be the only proof.
        drop_factors: the second steps are lost, and go.
        request_id: the reference for log and audit.

    Returns:
        How many sessions were ended.
    """
    await _end_proofs(session, user)
    user.locked_until = None
    known = await users.credentials_of(session, user.id)
    changes = [signals.replaced(known, "password")]
    if drop_factors:
        await users.remove_credentials(session, user.id, SECOND_FACTORS)
        changes += signals.factor_changes(known, "revoke")
    await users.set_password_hash(session, user.id, hashed, clock.now(), long=long)
    await recovery.delete_of_user(session, user.id)
    return await _credentials_changed(
        session,
        provider,
        user,
        "user.recovered",
        EndReason.RECOVERED,
        "recovered",
        changes,
        actor=str(user.id),
        request_id=request_id,
    )


async def not_me(
    session: AsyncSession, provider: Provider, session_id: uuid.UUID, *, address: str | None, request_id: str | None
) -> User | None:
    """Somebody says that a sign-in was not theirs: lock the account. Every session of the account ends, everything
    granted is over, ``offline_access`` too, no browser is trusted any more, and recoveries that wait are stopped: who
    signed in may have more than one of them. Only help is left until the lock ends or the account is recovered.

    A link locks once: who reads an old mail cannot lock the account over and over.

    Returns:
        Who; None where the session is unknown, too long ago, or its link was used up.
    """
    found = await sessions.get(session, session_id)
    if found is None or found[0].created_at < clock.now() - timedelta(days=NOT_ME_DAYS) or found[1].deleted_at:
        return None
    user = await users.lock_user(session, found[1].id)
    if user is None:
        return None
    over = found[0].created_at + timedelta(days=NOT_ME_DAYS)
    if not await session.run_sync(lambda sync: first_use(sync, "not-me", session_id.hex, over)):
        return user if is_locked(user) else None
    until = clock.now() + provider.settings.account_lock_duration
    about: dict[str, Any] = {"actor": str(user.id), "address": address, "request_id": request_id}
    await _end_proofs(session, user)
    user.locked_until = until
    await session.flush()
    mine = SessionFilter(user_id=user.id)
    await recovery.delete_of_user(session, user.id)
    await sessions.lock_matching(session, mine)
    await sessions.forget_device(session, session_id)
    await sessions.distrust(session, user.id)
    await tokens.revoke_grants_of_user(session, user.id, clock.now())
    await end_matching(session, provider, mine, EndReason.NOT_ME, actor=str(user.id), request_id=request_id)
    record(session, "user.locked", subject=str(user.id), **about)
    notify(session, provider, user, "locked", until=until.isoformat())
    return user


async def check_identity(
    session: AsyncSession,
    provider: Provider,
    user: User,
    check: CheckedDocument,
    *,
    actor: str,
    request_id: str | None = None,
) -> IdentityCheck:
    """Record that an officer compared a person with a document; its NIK becomes the person's, proven.

    Raises:
        UserError: when somebody else has proven that this NIK is theirs, or the person's own is another.
    """
    _keep_fictional(user)
    now, key = clock.now(), provider.nik_key or await nik_key(session, provider.box)
    await users.lock_user(session, user.id)
    if check.nik:
        async with contacts_told(session, provider, user):
            await _prove_nik(session, provider, user, check.nik, key, now)
    made = IdentityCheck(
        user_id=user.id,
        officer=actor,
        document=check.document,
        document_end=check.document_number[-4:],
        place=check.place,
        checked_at=now,
    )
    session.add(made)
    user.identity_checked_at = now
    user.updated_at = now
    data = {"document": check.document, "place": check.place}
    record(session, "user.identity_checked", actor=actor, subject=str(user.id), request_id=request_id, data=data)
    notify(session, provider, user, "identity_checked", place=check.place)
    await session.flush()
    return made


DOCUMENTS = ("ktp", "passport", "kk", "other")


def read_check(document: str, number: str, place: str) -> CheckedDocument:
    """Return what an officer saw, checked; the number of a KTP is the NIK.

    Raises:
        UserError: naming every mistake.
    """
    mistakes, nik = [], None
    if document not in DOCUMENTS:
        mistakes.append(f"document must be one of {', '.join(DOCUMENTS)}")
    if not 4 <= len(number.strip()) <= 40:
        mistakes.append("document_number must have 4 to 40 characters")
    if not 1 <= len(place.strip()) <= 200:
        mistakes.append("place must have 1 to 200 characters")
    if document == "ktp":
        try:
            nik = normal_nik(number)
        except ValueError as error:
            mistakes.append(f"document_number: {error}")
    if mistakes:
        raise UserError(*mistakes)
    return CheckedDocument(document, nik or number.strip(), place.strip(), nik)


async def start_recovery(
    session: AsyncSession, provider: Provider, user: User, *, actor: str, request_id: str | None = None
) -> str:
    """Make a code for a person who lost their proofs, and tell them; return it: it is not to be had again.

    It stands for one proof. With a contact that is proven it opens the account; alone it waits, so that the
    helpdesk can
    take no account over.

    Raises:
        UserError: when the person is disabled or deleted.
    """
    if user.disabled_at is not None:
        raise UserError("the person is disabled")
    _keep_fictional(user)
    code = recovery.new_helpdesk_code()
    valid = provider.settings.helpdesk_code_lifetime
    await recovery.add(session, user.id, "helpdesk", code, wait=timedelta(0), valid=valid, created_by=actor)
    notify(session, provider, user, "helpdesk_recovery")
    record(session, "recovery.helpdesk_code_made", actor=actor, subject=str(user.id), request_id=request_id)
    return code


async def _prove_nik(
    session: AsyncSession, provider: Provider, user: User, digits: str, key: bytes, now: datetime
) -> None:
    owner = await users.verified_owner(session, nik_lookup(digits, key))
    if owner is not None and owner != user.id:
        raise UserError("somebody else has proven that this NIK is theirs")
    known = [one for one in await users.identifiers_of(session, user.id) if one.kind == "nik"]
    for one in known:
        if one.lookup != nik_lookup(digits, key):
            if one.verified_at is not None:
                raise UserError("the person has another NIK, which was checked before")
            await session.delete(one)
    mine = next((one for one in known if one.lookup == nik_lookup(digits, key)), None)
    if mine is None:
        mine = Identifier(user_id=user.id, kind="nik", is_primary=True, created_at=clock.now(), value="", lookup="")
        encrypt_nik(mine, digits, key, provider.box)
        session.add(mine)
    mine.verified_at = mine.verified_at or now


async def revoke_identity_check(
    session: AsyncSession, provider: Provider, user: User, *, actor: str, request_id: str | None = None
) -> bool:
    """Take back that a person's document was checked; tell whether it had been. A NIK that was proven by the check
    alone, and not by an import before it, is not verified any more: its right owner can prove it."""
    await users.lock_user(session, user.id)
    now, held = clock.now(), [one for one in await users.checks_of(session, user.id) if one.revoked_at is None]
    cards = [one.checked_at for one in held if one.document == "ktp"]
    if cards:
        async with contacts_told(session, provider, user):
            for known in await users.identifiers_of(session, user.id):
                if known.kind == "nik" and known.verified_at is not None and known.verified_at >= min(cards):
                    known.verified_at = None
    for one in held:
        one.revoked_at = now
    user.identity_checked_at, user.updated_at = None, now
    if held:
        record(session, "user.identity_check_revoked", actor=actor, subject=str(user.id), request_id=request_id)
    return bool(held)


async def change_password(
    session: AsyncSession,
    provider: Provider,
    user: User,
    hashed: str,
    *,
    actor: str,
    long: bool = True,
    keep: uuid.UUID | None = None,
) -> int:
    """Give a person another password, of which ``hashed`` is the hash, and end whatever the old one opened.

    Args:
        session: the transaction.
        provider: the provider.
        user: the person.
        hashed: the hash.
        actor: who asks.
        long: whether the password is long enough to be the only proof.
        keep: the session in which the person does it, which stays.

    Returns:
        How many sessions were ended.
    """
    await _end_proofs(session, user)
    known = await users.credentials_of(session, user.id)
    await users.set_password_hash(session, user.id, hashed, clock.now(), long=long)
    await recovery.delete_of_user(session, user.id)
    return await _credentials_changed(
        session,
        provider,
        user,
        "user.password_changed",
        EndReason.PASSWORD_CHANGED,
        "password_changed",
        [signals.replaced(known, "password")],
        actor=actor,
        keep=keep,
    )


async def require_new_password(
    session: AsyncSession, provider: Provider, user: User, *, actor: str, request_id: str | None = None
) -> int:
    """Let a person's password be worth nothing any more, and end whatever it opened: they choose another one by
    recovering the account, with a code to a contact of theirs.

    Returns:
        How many sessions were ended.

    Raises:
        UserError: when nothing would be left with which they can get back in.
    """
    await _end_proofs(session, user)
    known = await users.identifiers_of(session, user.id)
    if not any(one.kind in ("email", "phone") and one.verified_at is not None for one in known):
        raise UserError("no e-mail address or telephone number of theirs is proven, so they could not get back in")
    passwords = [one for one in await users.credentials_of(session, user.id) if one.kind == "password"]
    await users.remove_credentials(session, user.id, ["password"])
    return await _credentials_changed(
        session,
        provider,
        user,
        "user.password_required",
        EndReason.PASSWORD_REQUIRED,
        "new_password_needed",
        signals.credential_changes(passwords, "revoke"),
        actor=actor,
        request_id=request_id,
    )


async def reset_factors(
    session: AsyncSession, provider: Provider, user: User, *, actor: str, request_id: str | None = None
) -> int:
    """Take every second step of a person away, passkeys too, because they are lost; end whatever they opened, and tell
    the person.

    Returns:
        How many sessions were ended.
    """
    await _end_proofs(session, user)
    known = await users.credentials_of(session, user.id)
    kinds = {one.kind for one in known}
    if "password" not in kinds and "passkey" in kinds:
        raise UserError("a passkey is their only way to sign in: make a recovery code instead")
    await users.remove_credentials(session, user.id, SECOND_FACTORS)
    return await _credentials_changed(
        session,
        provider,
        user,
        "user.factors_reset",
        EndReason.FACTORS_RESET,
        "factors_reset",
        signals.factor_changes(known, "revoke"),
        actor=actor,
        request_id=request_id,
    )


async def _credentials_changed(
    session: AsyncSession,
    provider: Provider,
    user: User,
    event: str,
    reason: EndReason,
    notice: str,
    changes: Sequence[CredentialChange],
    *,
    actor: str,
    request_id: str | None = None,
    keep: uuid.UUID | None = None,
) -> int:
    """End whatever credentials opened that were changed or taken away, and tell the person and the applications
    (CAEP section 3.3); return how many sessions were ended."""
    await sessions.distrust(session, user.id)
    by: Initiator = "user" if actor == str(user.id) else "admin"
    await signals.credentials_changed(session, provider, user.id, changes, by)
    notify(session, provider, user, notice)
    return await _end_everything(session, provider, user, event, reason, actor, request_id, keep)


async def end_session_of_person(
    session: AsyncSession,
    provider: Provider,
    session_id: uuid.UUID,
    *,
    actor: str,
    address: str | None = None,
    request_id: str | None = None,
    note: str | None = None,
) -> bool:
    """End one session for an administrator, and tell its person; tell whether it was not over already.

    Args:
        session: the transaction.
        provider: the provider.
        session_id: the session.
        actor: who asks.
        address: the network address it came from, in the form in which it is kept.
        request_id: the reference for log and audit.
        note: why, in the words of who asks.
    """
    found = await sessions.get(session, session_id)
    if found is None or not await sessions.lock(session, *sessions.not_over([session_id])):
        return False
    about: dict[str, Any] = {"actor": actor, "address": address, "request_id": request_id, "note": note}
    await end_sessions(session, provider, [session_id], EndReason.ADMINISTRATOR, **about)
    notify(session, provider, found[1], "sessions_ended")
    return True


async def _end_proofs(session: AsyncSession, user: User) -> None:
    """Lock a person's row, and end every proof that is under way: sign-ins that wait for a second step, and those that
    are about to start a session."""
    await users.end_proofs(session, user.id)
    await pending_flows.end_those_of(session, user.id)


async def _end_everything(
    session: AsyncSession,
    provider: Provider,
    user: User,
    event: str,
    reason: EndReason,
    actor: str,
    request_id: str | None = None,
    keep: uuid.UUID | None = None,
) -> int:
    """End every grant of a person, ``offline_access`` too, and every session but ``keep``; return how many sessions."""
    record(session, event, actor=actor, subject=str(user.id), request_id=request_id)
    wanted = SessionFilter(user_id=user.id, but=keep)
    await sessions.lock_matching(session, wanted)
    await tokens.revoke_grants_of_user(session, user.id, clock.now(), but=keep)
    return await end_matching(session, provider, wanted, reason, actor=actor, request_id=request_id)
