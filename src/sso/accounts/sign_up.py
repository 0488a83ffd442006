"""Sign-up: a contact, the code that verifies it, a name, and a password or passkey.

Nobody learns here who has an account: whatever contact is typed, the answer is that a code was sent. A contact that
belongs to an account receives a message that says so instead.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from types import MappingProxyType
from typing import NotRequired, TypedDict, cast
from uuid import UUID

from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession

from sso import clock
from sso.accounts.attributes import register_values
from sso.accounts.flows import Continuation, FlowEnded, FlowRefused, Problem, sending_refused
from sso.accounts.second_factors import first_codes
from sso.accounts.services import AccountServices
from sso.identity.authn import pending_flows
from sso.identity.authn.assurance import ACR_PASSKEY
from sso.identity.authn.authenticated import AMR_PASSKEY, Authenticated, by_password
from sso.identity.authn.factors import PasskeyRefused
from sso.identity.authn.pending_flows import RunningFlow
from sso.identity.notifications import notify, send, send_code
from sso.identity.users import store as users
from sso.identity.users.identifiers import NormalIdentifier
from sso.identity.users.models import Agreement, Identifier, User, UserRole
from sso.platform.audit import record_by
from sso.platform.db import new_id
from sso.platform.security.rate_limits import Purpose, TooManyFailures
from sso.platform.visitor import Visitor

FLOW_SECONDS = 3600
NO_VALUES: Mapping[str, object] = MappingProxyType({})


class SignUpData(TypedDict):
    """What a pending sign-up holds. The destination is stored beside it."""

    kind: str
    contact: str
    locale: str
    terms: str
    agreed_at: str
    user_id: str
    verified: NotRequired[bool]
    channel: NotRequired[str]


@dataclass(frozen=True, slots=True)
class NewAccount:
    """An account that was created: how its user is authenticated, and the recovery codes, which are shown once."""

    authenticated: Authenticated
    recovery_codes: Sequence[str] = ()


def data_of(flow: RunningFlow) -> SignUpData:
    """Return what a pending sign-up holds."""
    return cast(SignUpData, flow.data)


async def begin_sign_up(
    services: AccountServices, visitor: Visitor, contact: NormalIdentifier, onward: Continuation
) -> RunningFlow:
    """Begin a sign-up and send the code.

    Args:
        services: the database, encryption, passwords and limits.
        visitor: who signs up.
        contact: the contact, from :func:`~sso.accounts.contacts.read_contact`.
        onward: where the user wants to go.

    Raises:
        TooManyFailures: when too many were begun from this IP address.
        FlowRefused: when no message can be sent to any number now.
    """
    settings = services.settings
    await services.new_flows.take(visitor.ip_address)
    data: SignUpData = {
        "kind": contact.kind,
        "contact": contact.value,
        "locale": visitor.locale,
        "terms": settings.terms_version,
        "agreed_at": clock.now().isoformat(),
        "user_id": str(new_id()),
    }
    allowed = None
    with sending_refused(), suppress(TooManyFailures):
        allowed = await _may_send(services, visitor, data)
    async with services.db.write() as session:
        flow = await pending_flows.begin(
            session,
            services.box,
            "sign_up",
            visitor.browser_id,
            {**data, **onward.stored},
            seconds=FLOW_SECONDS,
            end=onward.token_end,
        )
        if allowed is not None:
            await _send(services, session, flow, onward, allowed=allowed)
    return flow


async def recall_sign_up(services: AccountServices, visitor: Visitor, token: str) -> RunningFlow | None:
    """Return a pending sign-up of this browser; None: it has ended, or there is none."""
    async with services.db.read() as session:
        return await pending_flows.recall(session, services.box, "sign_up", token, visitor.browser_id)


async def resend_sign_up_code(
    services: AccountServices, visitor: Visitor, flow: RunningFlow, onward: Continuation, channel: str = ""
) -> None:
    """Send another code; over a channel (``sms``, ``whatsapp``) where the user has chosen one.

    Raises:
        FlowRefused: when none may be sent now.
    """
    with sending_refused():
        allowed = await _may_send(services, visitor, data_of(flow))
    async with services.db.write() as session:
        sent = await _send(services, session, flow, onward, allowed=allowed, channel=channel)
    if not sent:
        raise FlowRefused(Problem.NOT_SENT, pending_flows.RESEND_SECONDS)


async def check_sign_up_code(services: AccountServices, visitor: Visitor, flow: RunningFlow, typed: str) -> None:
    """Check the code: the contact is verified, and the account can be created.

    Raises:
        FlowRefused: when the code is wrong, or cannot be tried now.
    """
    data = data_of(flow)
    async with services.db.write() as session:
        counted = await pending_flows.count_attempt(session, flow)
    if not counted:
        raise FlowRefused(Problem.TOO_MANY_CODES, pending_flows.RESEND_SECONDS)
    try:
        attempt = await services.attempts.reserve(Purpose.SIGN_UP_CODE, data["contact"], visitor.ip_address)
    except TooManyFailures as error:
        raise FlowRefused(Problem.TOO_MANY_TRIES, error.retry_after, error.minutes) from None
    valid = services.settings.one_time_code_lifetime
    async with services.db.read() as session:
        owner = await users.verified_owner(session, data["contact"])
    if not pending_flows.is_code(services.box, flow, typed, valid) or owner is not None:
        raise FlowRefused(Problem.WRONG_CODE)
    await attempt.succeeded()
    data["verified"] = True
    async with services.db.write() as session:
        await pending_flows.keep(session, services.box, flow, code_used=True)


async def hash_new_password(
    services: AccountServices, visitor: Visitor, flow: RunningFlow, name: str, password: str
) -> str:
    """Return the hash of the password that was chosen.

    Raises:
        WeakPassword: when it is too weak.
        Busy: when too many passwords are waiting.
    """
    personal_words = [name, data_of(flow)["contact"]]
    await services.passwords.judge(password, personal_words, source=visitor.network)
    return await services.passwords.hash(password, source=visitor.network)


async def create_account(
    services: AccountServices,
    visitor: Visitor,
    flow: RunningFlow,
    name: str,
    *,
    password_hash: str | None = None,
    passkey: str = "",
    attributes: Mapping[str, object] = NO_VALUES,
) -> NewAccount:
    """Create the account of a sign-up whose contact is verified; the user is authenticated by what they set up. With a
    passkey the account gets recovery codes.

    Args:
        services: the database, encryption, passwords and limits.
        visitor: who signs up.
        flow: the sign-up.
        name: the name of the user.
        password_hash: the hash of the password; None: a passkey was made.
        passkey: what the browser answered that made a passkey.
        attributes: the values that the city requires, as they were typed.

    Raises:
        FlowEnded: when the sign-up has ended.
        ValuesInvalid: when a required value is missing or cannot be stored.
        FlowRefused: when the passkey is not right, or the contact was registered meanwhile.
    """
    try:
        async with services.db.write() as session:
            if not await pending_flows.finish(session, flow):
                raise FlowEnded
            user = await _new_user(session, visitor, data_of(flow), name)
            services.usage.count("account_made")
            account = await add_first_credential(session, services, visitor, user, password_hash, passkey)
            await register_values(session, services.box, user.id, attributes, actor=visitor.as_actor(user.id))
    except PasskeyRefused:
        raise FlowRefused(Problem.PASSKEY_FAILED) from None
    except IntegrityError:
        raise FlowRefused(Problem.TAKEN) from None
    return account


async def add_first_credential(
    session: AsyncSession,
    services: AccountServices,
    visitor: Visitor,
    user: User,
    password_hash: str | None,
    passkey: str,
) -> NewAccount:
    """Add the credential with which a new account is created, and send the message of welcome. An account with a
    passkey gets recovery codes.

    Args:
        session: the transaction.
        services: what is needed.
        visitor: the browser.
        user: the new user.
        password_hash: the hash of the password; None: a passkey was made.
        passkey: what the browser answered that made a passkey.

    Raises:
        PasskeyRefused: when the passkey is not right.
    """
    codes: list[str] = []
    if password_hash is None:
        await services.passkeys.add(session, user.id, visitor.browser_id, passkey, "")
        codes, _ = await first_codes(session, [], user)
        authenticated = Authenticated(user, ACR_PASSKEY, list(AMR_PASSKEY))
    else:
        await users.set_password_hash(session, user.id, password_hash, clock.now())
        authenticated = by_password(user)
    notify(session, services.changes, user, "welcome")
    return NewAccount(authenticated, codes)


async def _new_user(session: AsyncSession, visitor: Visitor, data: SignUpData, name: str) -> User:
    now, kind, value = clock.now(), data["kind"], data["contact"]
    user = User(id=UUID(data["user_id"]), name=name, locale=data["locale"], profile={}, created_at=now, updated_at=now)
    session.add(user)
    await session.flush()
    contact = Identifier(user_id=user.id, kind=kind, value=value, lookup=value, is_primary=True, created_at=now)
    contact.verified_at, contact.channel = now, data.get("channel")
    session.add(contact)
    session.add(UserRole(user_id=user.id, role="citizen"))
    for document in ("terms", "privacy"):
        session.add(Agreement(user_id=user.id, document=document, version=data["terms"], agreed_at=now))
    record_by(
        session,
        visitor.as_actor(user.id),
        "user.registered",
        subject=str(user.id),
        address=visitor.stored_ip_address,
        data={"with": kind, "terms": data["terms"]},
    )
    await session.flush()
    return user


async def _may_send(services: AccountServices, visitor: Visitor, data: SignUpData) -> bool:
    """Count a code; tell whether anything may be sent.

    Raises:
        TooManyFailures: when there were too many.
    """
    contact = data["contact"]
    return await services.messages.allow("sign_up", contact, contact, data["kind"], visitor.ip_address)


async def _send(
    services: AccountServices,
    session: AsyncSession,
    flow: RunningFlow,
    onward: Continuation,
    *,
    allowed: bool,
    channel: str = "",
) -> bool:
    """Send the code; to a contact that has an account, a message that says so. Both take as long.

    Args:
        services: the database, encryption, passwords and limits.
        session: the transaction.
        flow: the sign-up.
        onward: where the user wants to go.
        allowed: whether anything may be sent; otherwise everything looks as if it was.
        channel: the channel that the user has just chosen.
    """
    data = data_of(flow)
    kind, to, locale = data["kind"], data["contact"], data["locale"]
    owner = await users.verified_owner(session, to)
    really = allowed and owner is None
    sent = await send_code(
        session, services.changes, flow, kind, to, "code_sign_up", locale, really=really, channel=channel
    )
    if sent and allowed and owner is not None:
        used = flow.channel
        send(session, services.changes, kind, to, "already_here", locale, channel=used, sign_in_at=onward.sign_in_at)
    return sent
