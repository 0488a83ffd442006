"""Inviting people who have no account yet. An administrator names an e-mail address; whoever opens the link that is
sent there chooses a password or a passkey, and the account is created then.

Nothing is opened by an invitation that its maker could not open: the roles are checked when the invitation is made, and
again when it is accepted, because the roles of its maker may have changed.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection
from dataclasses import dataclass, field
from datetime import timedelta
from typing import cast
from uuid import UUID

from pydantic import BaseModel, ConfigDict, field_validator
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession

from sso import clock
from sso.accounts.flows import FlowEnded, FlowRefused, Problem
from sso.accounts.guards import is_locked
from sso.accounts.power import check_power, invited_power
from sso.accounts.services import AccountActions, AccountServices
from sso.accounts.sign_up import NewAccount, add_first_credential
from sso.clients.registry import Registry
from sso.identity.authn.factors import PasskeyRefused
from sso.identity.notifications import link_token, send
from sso.identity.users import store as users
from sso.identity.users import user_invitations as invitations
from sso.identity.users.identifiers import normalise_as
from sso.identity.users.models import Agreement, Identifier, User, UserInvitation, UserRole
from sso.identity.users.schemas import FullName, LanguageTag, Role
from sso.identity.users.service import UserError
from sso.platform.actor import Actor
from sso.platform.audit import record_by
from sso.platform.permissions import effective_permissions, lacking, permissions_of, power_of
from sso.platform.security.rate_limits import Purpose
from sso.platform.visitor import Visitor
from sso.settings import whole_seconds

MAX_WAITING = 5000
"""How many invitations may wait at a time."""
MAX_TIMES_SENT = 10
RESEND = timedelta(minutes=1)
"""How long after an invitation was sent it can be sent again."""
INVITES = "users:write"
GIVES_ROLES = "users:roles"


class InvitedUser(BaseModel):
    """Who is invited."""

    model_config = ConfigDict(extra="forbid", str_strip_whitespace=True)

    name: FullName
    email: str
    username: str | None = None
    roles: list[Role] = ["citizen"]
    locale: LanguageTag | None = None

    @field_validator("name")
    @classmethod
    def _is_no_formula(cls, value: str) -> str:
        if value[:1] in "=+-@":
            raise ValueError("must not begin with =, +, - or @")
        return " ".join(value.split())

    @field_validator("email")
    @classmethod
    def _is_an_address(cls, value: str) -> str:
        return normalise_as("email", value).value

    @field_validator("username")
    @classmethod
    def _is_a_user_name(cls, value: str | None) -> str | None:
        return normalise_as("username", value).value if value else None

    @property
    def lookups(self) -> list[str]:
        """The identifiers that the account will have."""
        return [self.email, *([self.username] if self.username else [])]


@dataclass(frozen=True, slots=True)
class Used:
    """Identifiers that cannot be used: of accounts, and of invitations that wait."""

    taken: Collection[str] = field(default_factory=frozenset)
    invited: Collection[str] = field(default_factory=frozenset)


async def used_of(session: AsyncSession, people: Collection[InvitedUser]) -> Used:
    """Return which identifiers of some people are used. Two statements."""
    lookups = [lookup for person in people for lookup in person.lookups]
    if not lookups:
        return Used()
    return Used(await users.taken(session, lookups, unverified=True), await invitations.invited(session, lookups))


def check_unused(person: InvitedUser, used: Used) -> None:
    """Check that somebody can be invited.

    Raises:
        UserError: naming the identifier that is used.
    """
    for lookup in person.lookups:
        if lookup in used.taken:
            raise UserError(f"{lookup} is already used")
        if lookup in used.invited:
            raise UserError(f"{lookup} is already invited")


async def check_invited(
    session: AsyncSession, registry: Registry, person: InvitedUser, rights: Collection[str]
) -> None:
    """Check that whoever invites holds everything that the account would yield.

    Raises:
        TooPowerful: when they do not.
    """
    if set(person.roles) - {"citizen"}:
        check_power(rights, {GIVES_ROLES})
    check_power(rights, power_of(person.roles, ()))
    check_power(rights, await invited_power(session, registry, person.lookups))


async def invite_user(
    services: AccountActions, person: InvitedUser, *, actor: Actor, rights: Collection[str], reason: str = ""
) -> UserInvitation:
    """Invite somebody, in a transaction of its own: see :func:`invite_in`."""
    async with services.db.write() as session:
        return await invite_in(session, services, person, actor=actor, rights=rights, reason=reason)


async def invite_in(
    session: AsyncSession,
    services: AccountActions,
    person: InvitedUser,
    *,
    actor: Actor,
    rights: Collection[str],
    reason: str = "",
) -> UserInvitation:
    """Invite somebody: the link is sent by mail.

    Args:
        session: the transaction.
        services: how users are told.
        person: who is invited.
        actor: who invites.
        rights: the permissions of whoever invites.
        reason: the reason, for the audit log.

    Raises:
        TooPowerful: when the account would have permissions that whoever invites lacks.
        UserError: when the identifiers are used, or mail is not set up.
    """
    if not services.settings.can_send("email"):
        raise UserError("invitations need a mail server: set SSO_SMTP_URL")
    now, token = clock.now(), link_token()
    await check_invited(session, services.registry, person, rights)
    check_unused(person, await used_of(session, [person]))
    if await invitations.count(session) >= MAX_WAITING:
        raise UserError(f"{MAX_WAITING} invitations wait already: withdraw some first")
    invitation = UserInvitation(
        token_hash=_hash(token),
        email=person.email,
        name=person.name,
        username=person.username,
        roles=list(dict.fromkeys(person.roles)),
        locale=person.locale,
        created_by=str(actor.name),
        created_at=now,
        sent_at=now,
        times_sent=1,
        expires_at=now + services.settings.user_invitation_lifetime,
    )
    await _add(session, invitation)
    _send(session, services, invitation, token)
    _record(session, "user.invited", invitation, actor, {"roles": invitation.roles, "note": reason})
    return invitation


async def _add(session: AsyncSession, invitation: UserInvitation) -> None:
    """Add an invitation.

    Raises:
        UserError: when somebody has invited the address a moment ago.
    """
    email = invitation.email
    invitations.add(session, invitation)
    try:
        await session.flush()
    except IntegrityError:
        raise UserError(f"{email} is already invited") from None


async def send_again(
    services: AccountActions, invitation_id: UUID, *, actor: Actor, rights: Collection[str]
) -> UserInvitation | None:
    """Send an invitation again, with a new link: the earlier one is not valid any more. None: there is none.

    Raises:
        TooPowerful: when the account would have permissions that whoever sends it lacks.
        UserError: when the invitation was sent a moment ago, or too often.
    """
    now, token = clock.now(), link_token()
    async with services.db.write() as session:
        invitation = await invitations.get(session, invitation_id)
        if invitation is None:
            return None
        await check_invited(session, services.registry, _invited(invitation), rights)
        if now < invitation.sent_at + RESEND:
            raise UserError("the invitation was sent a moment ago: wait a minute")
        if invitation.times_sent >= MAX_TIMES_SENT:
            raise UserError(f"the invitation was sent {MAX_TIMES_SENT} times: withdraw it and invite again")
        invitation.token_hash, invitation.sent_at = _hash(token), now
        invitation.times_sent += 1
        invitation.expires_at = now + services.settings.user_invitation_lifetime
        invitation.created_by = str(actor.name)
        _send(session, services, invitation, token)
        _record(session, "user.invitation_sent_again", invitation, actor, {})
    return invitation


async def withdraw(
    services: AccountActions, invitation_id: UUID, *, actor: Actor, rights: Collection[str]
) -> UserInvitation | None:
    """Withdraw an invitation: its link opens nothing any more. None: there is none.

    Raises:
        TooPowerful: when the account would have permissions that whoever withdraws it lacks.
    """
    async with services.db.write() as session:
        invitation = await invitations.get(session, invitation_id)
        if invitation is None:
            return None
        await check_invited(session, services.registry, _invited(invitation), rights)
        await invitations.remove(session, invitation_id)
        _record(session, "user.invitation_withdrawn", invitation, actor, {})
    return invitation


async def open_invitation(services: AccountServices, visitor: Visitor, token: str) -> UserInvitation:
    """Return the invitation of a link.

    Raises:
        FlowEnded: when there is none: it was accepted, withdrawn, or has expired.
        TooManyFailures: after too many wrong links.
    """
    attempt = await services.attempts.reserve(Purpose.LINK, "", visitor.ip_address)
    async with services.db.read() as session:
        invitation = await invitations.by_token(session, _hash(token), clock.now())
    if invitation is None:
        raise FlowEnded
    await attempt.succeeded()
    return invitation


async def accept_invitation(
    services: AccountServices,
    visitor: Visitor,
    token: str,
    name: str,
    *,
    password_hash: str | None = None,
    passkey: str = "",
) -> NewAccount:
    """Create the account of an invitation; the user is authenticated by what they set up.

    Args:
        services: the database, passkeys and messages.
        visitor: the browser.
        token: the value of the link.
        name: the name of the user.
        password_hash: the hash of the password; None: a passkey was made.
        passkey: what the browser answered that made a passkey.

    Raises:
        FlowEnded: when there is no such invitation, or its maker may not give its roles any more.
        FlowRefused: when the passkey is not right, or an identifier was registered meanwhile.
    """
    try:
        async with services.db.write() as session:
            invitation = await invitations.by_token(session, _hash(token), clock.now())
            if invitation is None or not await _still_gives(session, services.changes.registry, invitation):
                raise FlowEnded
            if not await invitations.take(session, _hash(token)):
                raise FlowEnded
            user = await _new_user(session, services, visitor, invitation, name)
            account = await add_first_credential(session, services, visitor, user, password_hash, passkey)
    except PasskeyRefused:
        raise FlowRefused(Problem.PASSKEY_FAILED) from None
    except IntegrityError:
        raise FlowRefused(Problem.TAKEN) from None
    services.usage.count("account_made")
    return account


async def _new_user(
    session: AsyncSession, services: AccountServices, visitor: Visitor, invitation: UserInvitation, name: str
) -> User:
    """Create the account, with the id of the invitation: its events are of the same subject."""
    now, user_id = clock.now(), invitation.id
    user = User(
        id=user_id, name=name, locale=invitation.locale or visitor.locale, profile={}, created_at=now, updated_at=now
    )
    session.add(user)
    await session.flush()
    if invitation.username and await users.taken(session, [invitation.username], unverified=True):
        raise FlowRefused(Problem.TAKEN)
    for kind, value in (("email", invitation.email), ("username", invitation.username)):
        if value is not None:
            identifier = Identifier(
                user_id=user_id, kind=kind, value=value, lookup=value, is_primary=True, created_at=now
            )
            identifier.verified_at = now
            session.add(identifier)
    for role in invitation.roles:
        session.add(UserRole(user_id=user_id, role=role))
    terms = services.settings.terms_version
    for document in ("terms", "privacy"):
        session.add(Agreement(user_id=user_id, document=document, version=terms, agreed_at=now))
    record_by(
        session,
        visitor.as_actor(user_id),
        "user.invitation_accepted",
        subject=str(user_id),
        address=visitor.stored_ip_address,
        data={"roles": invitation.roles, "with": "email", "terms": terms},
    )
    await session.flush()
    return user


async def _still_gives(session: AsyncSession, registry: Registry, invitation: UserInvitation) -> bool:
    """Tell whether the maker of an invitation may still make it."""
    try:
        maker = await session.get(User, UUID(invitation.created_by))
    except ValueError:
        client = registry.enabled(invitation.created_by)
        rights = effective_permissions(None, client.scopes_alone if client is not None else ())
    else:
        active = maker is not None and maker.disabled_at is None and not is_locked(maker)
        rights = permissions_of(await users.roles_of(session, maker.id)) if maker and active else frozenset()
    person = _invited(invitation)
    needed = power_of(person.roles, ()) | {INVITES} | ({GIVES_ROLES} if set(person.roles) - {"citizen"} else set())
    return not lacking(rights, needed | await invited_power(session, registry, person.lookups))


def _invited(invitation: UserInvitation) -> InvitedUser:
    return InvitedUser.model_construct(
        name=invitation.name,
        email=invitation.email,
        username=invitation.username,
        roles=cast(list[Role], list(invitation.roles)),
        locale=invitation.locale,
    )


def _send(session: AsyncSession, services: AccountActions, invitation: UserInvitation, token: str) -> None:
    seconds = whole_seconds(services.settings.user_invitation_lifetime)
    until = invitation.expires_at.isoformat()
    send(
        session,
        services,
        "email",
        invitation.email,
        "user_invitation",
        invitation.locale,
        seconds=seconds,
        token=token,
        until=until,
    )


def _record(
    session: AsyncSession, event: str, invitation: UserInvitation, actor: Actor, data: dict[str, object]
) -> None:
    record_by(session, actor, event, subject=str(invitation.id), data=data)


def _hash(token: str) -> bytes:
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()
