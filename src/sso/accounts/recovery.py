"""Recovering an account: by a code to a contact of the user, and a second factor where one is set up. With one factor
only after a delay, in which the owner is told and can stop it. Nobody learns here who has an account.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal, NotRequired, TypedDict, cast
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from sso import clock
from sso.accounts.attempts import reserve_attempt
from sso.accounts.contact_changes import tell_everywhere
from sso.accounts.credentials import recover
from sso.accounts.flows import Continuation, FlowEnded, FlowRefused, Problem
from sso.accounts.power import still_recovers
from sso.accounts.services import AccountChanges, AccountServices
from sso.accounts.sign_in.devices import known_device
from sso.clients.registry import Registry
from sso.identity.authn import factors, pending_flows, recovery_requests
from sso.identity.authn.authenticated import Authenticated, by_password, with_factor
from sso.identity.authn.factors import PasskeyRefused, Passkeys
from sso.identity.authn.models import Recovery
from sso.identity.authn.pending_flows import RunningFlow
from sso.identity.authn.second_factor_policy import STRONG, Method
from sso.identity.notifications import link_token, notify, send_code
from sso.identity.test_users import MARK
from sso.identity.users import store as users
from sso.identity.users.identifiers import contacts_first, counted_as, meanings, receives_codes
from sso.identity.users.models import Identifier, User
from sso.platform.actor import Actor
from sso.platform.audit import record
from sso.platform.db import Database
from sso.platform.security.encryption import SecretBox
from sso.platform.security.message_limits import NoMessagesLeft
from sso.platform.security.rate_limits import Purpose, Reservation, TooManyFailures
from sso.platform.visitor import Visitor
from sso.settings import Settings

FLOW_SECONDS = 3600
MAX_ATTEMPTS = 5
MAX_IDENTIFIER_CHARS = 254
NO_USER = UUID(int=0)

Stage = Literal["code", "second", "password"]


class RecoveryData(TypedDict):
    """What a pending recovery holds. The destination is stored beside it.

    ``typed`` is the identifier; ``kind``, ``to`` and ``contact_id`` are of the contact that the code goes to, empty
    where there is none. ``drop``: the second factors are lost, and are removed in the end. ``factor``: the second
    factor that was used. ``remembered``: the channel that the user has chosen for the contact before.
    """

    stage: Stage
    drop: bool
    locale: str
    typed: NotRequired[str]
    kind: NotRequired[str]
    to: NotRequired[str]
    contact_id: NotRequired[str]
    contact_verified: NotRequired[bool]
    helpdesk: NotRequired[bool]
    factor: NotRequired[Method]
    client_id: NotRequired[str]
    remembered: NotRequired[str]


@dataclass(frozen=True, slots=True)
class Delayed:
    """The recovery waits until ``ready_at``. ``client_id``: the application where it began."""

    ready_at: datetime
    client_id: str | None


def data_of(flow: RunningFlow) -> RecoveryData:
    """Return what a pending recovery holds."""
    return cast(RecoveryData, flow.data)


async def begin_recovery(services: AccountServices, visitor: Visitor, typed: str, onward: Continuation) -> RunningFlow:
    """Begin a recovery and send the code.

    Args:
        services: the database, encryption, passwords and limits.
        visitor: who recovers an account.
        typed: the identifier.
        onward: where the user wants to go.

    Raises:
        TooManyFailures: when too many were begun from this IP address.
    """
    await services.new_flows.take(visitor.ip_address)
    async with services.db.read() as session:
        user, contact = await _find(session, services.changes.nik_key, services.settings, typed)
    user_id = user.id if user is not None and contact is not None else None
    data: RecoveryData = {
        "stage": "code",
        "typed": typed[:MAX_IDENTIFIER_CHARS],
        "drop": False,
        "kind": contact.kind if contact else "",
        "to": contact.value if contact else "",
        "contact_id": str(contact.id) if contact else "",
        "remembered": (contact.channel if contact else None) or "",
        "locale": visitor.locale,
    }
    allowed = None
    with suppress(TooManyFailures):
        allowed = await _may_send(services, visitor, data, user_id)
    async with services.db.write() as session:
        flow = await _begin_flow(session, services.box, visitor, data, onward, user_id)
        if allowed is not None:
            await _send(session, services.changes, flow, allowed=allowed)
        record(
            session,
            "recovery.begun",
            subject=str(user.id) if user else None,
            outcome="success" if contact else "failure",
            address=visitor.stored_ip_address,
            request_id=visitor.request_id,
        )
    return flow


async def _begin_flow(
    session: AsyncSession,
    box: SecretBox,
    visitor: Visitor,
    data: RecoveryData,
    onward: Continuation,
    user_id: UUID | None,
) -> RunningFlow:
    return await pending_flows.begin(
        session,
        box,
        "recover",
        visitor.browser_id,
        {**data, **onward.stored},
        user_id=user_id,
        seconds=FLOW_SECONDS,
        end=onward.token_end,
    )


async def recall_recovery(services: AccountServices, visitor: Visitor, token: str) -> RunningFlow | None:
    """Return a pending recovery of this browser; None: it has ended, or there is none."""
    async with services.db.read() as session:
        return await pending_flows.recall(session, services.box, "recover", token, visitor.browser_id)


async def resend_recovery_code(
    services: AccountServices, visitor: Visitor, flow: RunningFlow, channel: str = ""
) -> None:
    """Send another code; over a channel (``sms``, ``whatsapp``) where the user has chosen one.

    Raises:
        FlowRefused: when none may be sent now.
    """
    try:
        allowed = await _may_send(services, visitor, data_of(flow), flow.user_id)
    except TooManyFailures as error:
        raise FlowRefused(Problem.NOT_SENT, error.retry_after) from None
    async with services.db.write() as session:
        sent = await _send(session, services.changes, flow, allowed=allowed, channel=channel)
    if not sent:
        raise FlowRefused(Problem.NOT_SENT, pending_flows.RESEND_SECONDS)


async def check_recovery_code(
    services: AccountServices, visitor: Visitor, flow: RunningFlow, typed: str
) -> RunningFlow | Delayed:
    """Check the code that was sent, or that the helpdesk made.

    Args:
        services: the database, encryption, passwords and limits.
        visitor: who recovers an account.
        flow: the recovery, at the stage ``code``.
        typed: the code.

    Returns:
        The recovery at its next stage, or that it waits.

    Raises:
        FlowRefused: when the code is wrong, or cannot be tried now.
    """
    async with services.db.write() as session:
        counted = await pending_flows.count_attempt(session, flow)
    if not counted:
        raise FlowRefused(Problem.TOO_MANY_CODES, pending_flows.RESEND_SECONDS)
    identifier = data_of(flow)["typed"]
    counted_name = counted_as(identifier, meanings(identifier), services.changes.nik_key)
    try:
        attempt = await services.attempts.reserve(Purpose.RECOVERY_MESSAGE, counted_name, visitor.ip_address)
    except TooManyFailures as error:
        raise FlowRefused(Problem.TOO_MANY_TRIES, error.retry_after, error.minutes) from None
    if len(typed.replace("-", "").replace(" ", "")) == recovery_requests.CODE_CHARS:
        return await _check_helpdesk_code(services, visitor, flow, typed, attempt)
    valid = services.settings.one_time_code_lifetime
    if not pending_flows.is_code(services.box, flow, typed, valid) or flow.user_id is None:
        raise FlowRefused(Problem.WRONG_CODE)
    await attempt.succeeded()
    async with services.db.write() as session:
        if not await _is_still_theirs(session, flow):
            raise FlowRefused(Problem.WRONG_CODE)
        await _contact_verified(session, flow, by_helpdesk=False)
        if data_of(flow)["stage"] == "password" and await _is_held(session, services.settings, flow):
            user = await session.get(User, flow.user_id)
            assert user is not None
            return await _delay(session, services.changes, visitor, flow, user)
        await pending_flows.keep(session, services.box, flow, anew=True, code_used=True)
    return flow


async def _check_helpdesk_code(
    services: AccountServices, visitor: Visitor, flow: RunningFlow, typed: str, attempt: Reservation
) -> RunningFlow | Delayed:
    """The code of the helpdesk replaces the factor that was lost. With a contact it is enough; alone the recovery
    waits, so that the helpdesk cannot take over an account."""
    data = data_of(flow)
    outcome: RunningFlow | Delayed = flow
    async with services.db.write() as session:
        await pending_flows.lock(session, flow)
        user, _ = await _find(session, services.changes.nik_key, services.settings, data["typed"])
        code = await _helpdesk_code(session, services.changes.registry, typed, user.id if user else NO_USER)
        another = user is not None and flow.user_id not in (None, user.id)  # the identifier is another user's now
        if user is None or code is None or another or not await recovery_requests.take(session, code):
            raise FlowRefused(Problem.WRONG_CODE)
        data["helpdesk"] = True
        if data.get("contact_verified") and not await _is_held(session, services.settings, flow):
            await _contact_verified(session, flow, by_helpdesk=True)
            await pending_flows.keep(session, services.box, flow, code_used=True)
        else:
            outcome = await _delay(session, services.changes, visitor, flow, user)
    await attempt.succeeded()
    return outcome


async def check_second_factor(
    services: AccountServices, visitor: Visitor, flow: RunningFlow, typed: str, passkey: str
) -> RunningFlow:
    """Check the second factor of a recovery.

    Args:
        services: the database, encryption, passwords and limits.
        visitor: who recovers an account.
        flow: the recovery, at the stage ``second``.
        typed: a code of an app, a recovery code, or one of the helpdesk.
        passkey: what the browser answered with a passkey; empty: a code was typed.

    Raises:
        FlowEnded: when the recovery has ended.
        FlowRefused: when the factor is wrong, or cannot be tried now.
    """
    await _count_attempt(services.db, flow)
    assert flow.user_id is not None
    purpose = Purpose.PASSKEY_FACTOR if passkey else Purpose.TOTP
    try:
        attempt = await reserve_attempt(services, visitor, purpose, flow.user_id)
    except TooManyFailures as error:
        raise FlowRefused(Problem.TOO_MANY_TRIES, error.retry_after, error.minutes) from None
    if passkey and not await _is_passkey(services.db, services.passkeys, visitor, flow, passkey):
        raise FlowRefused(Problem.WRONG_FACTOR)
    async with services.db.write() as session:
        user = await _locked_user(session, flow)
        if passkey:
            data_of(flow)["factor"] = "passkey"
        elif not await _is_second_factor(session, services.changes, flow, user, typed):
            raise FlowRefused(Problem.WRONG_FACTOR)
        data_of(flow)["stage"] = "password"
        await pending_flows.keep(session, services.box, flow)
    await attempt.succeeded()
    return flow


async def delay_recovery(services: AccountServices, visitor: Visitor, flow: RunningFlow) -> Delayed:
    """Let a recovery wait whose second factor is lost.

    Raises:
        FlowEnded: when the recovery has ended.
    """
    await _count_attempt(services.db, flow)
    async with services.db.write() as session:
        user = await _locked_user(session, flow)
        return await _delay(session, services.changes, visitor, flow, user)


async def _count_attempt(db: Database, flow: RunningFlow) -> None:
    async with db.write() as session:
        counted = await pending_flows.count_attempt(session, flow, MAX_ATTEMPTS)
    if not counted:
        raise FlowEnded


async def _locked_user(session: AsyncSession, flow: RunningFlow) -> User:
    """Lock a recovery, and return its user."""
    if not await pending_flows.lock(session, flow):
        raise FlowEnded
    user = await session.get(User, flow.user_id)
    assert user is not None
    return user


async def choose_password(
    services: AccountServices, visitor: Visitor, flow: RunningFlow, password: str
) -> Authenticated:
    """Give the account a new password, and end everything that was open. The user is authenticated by the password that
    they chose, and by the second factor that they used; the code to a contact counts for nothing more, because it was
    what allowed them to choose the password.

    Raises:
        WeakPassword: when the password is too weak.
        Busy: when too many passwords are waiting.
        FlowEnded: when the recovery has ended.
    """
    data = data_of(flow)
    async with services.db.read() as session:
        user = await session.get(User, flow.user_id)
        identifiers = await users.identifiers_of(session, user.id) if user else []
        credentials = await users.credentials_of(session, user.id) if user else []
    if user is None or user.disabled_at is not None:
        raise FlowEnded
    second = not data["drop"] and any(credential.kind in STRONG for credential in credentials)
    personal_words = [user.name, *(identifier.value for identifier in identifiers)]
    await services.passwords.judge(password, personal_words, second_factor=second, source=visitor.network)
    hashed = await services.passwords.hash(password, source=visitor.network)
    actor = Actor(str(user.id), request_id=visitor.request_id)
    long = len(password) >= services.settings.password_min_length
    async with services.db.write() as session:
        locked = await users.lock_user(session, user.id)
        gone = data.get("contact_verified") and not await _is_still_theirs(session, flow)
        if locked is None or gone or not await pending_flows.finish(session, flow):
            raise FlowEnded
        await recover(
            session, services.changes, locked, hashed, actor=actor, long=long, drop_factors=bool(data["drop"])
        )
        await session.refresh(locked)  # its security version has changed
    await services.attempts.clear(str(user.id))
    authenticated = by_password(locked)
    return with_factor(authenticated, data["factor"]) if "factor" in data else authenticated


async def stop_recovery(services: AccountServices, visitor: Visitor, token: str) -> None:
    """Stop a recovery that waits; a link that stops none changes nothing.

    Args:
        services: the database, encryption, passwords and limits.
        visitor: who stops it.
        token: the value of the link.

    Raises:
        TooManyFailures: after too many wrong links.
    """
    attempt = await services.attempts.reserve(Purpose.LINK, "", visitor.ip_address)
    async with services.db.write() as session:
        waiting = await recovery_requests.find(session, "delayed", token)
        stopped = waiting is not None and await recovery_requests.take(session, waiting)
        if waiting is not None and stopped:
            user = await session.get(User, waiting.user_id)
            assert user is not None
            notify(session, services.changes, user, "recovery_stopped")
            address, request_id = visitor.stored_ip_address, visitor.request_id
            record(session, "recovery.stopped", subject=str(user.id), address=address, request_id=request_id)
    if stopped:
        await attempt.succeeded()


async def continue_recovery(
    services: AccountServices, visitor: Visitor, token: str, onward_of: Callable[[str], Continuation]
) -> RunningFlow:
    """Continue a recovery whose delay has passed: the link is used up, and a new password is chosen.

    Args:
        services: the database, encryption, passwords and limits.
        visitor: who continues it.
        token: the value of the link.
        onward_of: tells where the user of an application wants to go.

    Raises:
        FlowEnded: when there is no such recovery.
        TooManyFailures: after too many wrong links.
    """
    attempt = await services.attempts.reserve(Purpose.LINK, "", visitor.ip_address)
    async with services.db.write() as session:
        ready = await recovery_requests.find(session, "ready", token)
        if ready is None or not await recovery_requests.take(session, ready):
            raise FlowEnded
        data: RecoveryData = {"stage": "password", "drop": True, "locale": visitor.locale}
        onward = onward_of(ready.client_id or "")
        flow = await _begin_flow(session, services.box, visitor, data, onward, ready.user_id)
    await attempt.succeeded()
    return flow


async def _find(
    session: AsyncSession, nik_key: bytes, settings: Settings, typed: str
) -> tuple[User | None, Identifier | None]:
    """Return the user whose verified identifier was typed, and the contact to which the code goes: the one that was
    typed, or else the first. An identifier that is not verified finds nobody. A contact comes before a user name here:
    the owner of the telephone receives the code, whatever user name another user has."""
    lookups = [meaning.lookup(nik_key) for meaning in contacts_first(meanings(typed))]
    owners = await users.verified_owners(session, lookups, now=clock.now())
    if not owners:
        return None, None
    user, lookup = owners[0][0], owners[0][1].lookup
    if user.disabled_at is not None or user.preferences.get(MARK):
        return None, None
    able = [
        identifier
        for identifier in await users.identifiers_of(session, user.id)
        if identifier.verified_at is not None
        and receives_codes(identifier.kind, identifier.value)
        and settings.can_send(identifier.kind)
    ]
    if not able:
        return user, None
    return user, max(
        able, key=lambda identifier: (identifier.lookup == lookup, identifier.kind == "email", identifier.is_primary)
    )


async def _may_send(services: AccountServices, visitor: Visitor, data: RecoveryData, user_id: UUID | None) -> bool:
    """Count a code; tell whether it may be sent. What is counted visibly depends on what was typed, not on who has it.

    Raises:
        TooManyFailures: when there were too many.
    """
    device = await known_device(services.db, visitor, user_id)
    try:
        return await services.messages.allow(
            "recover",
            counted_as(data["typed"], meanings(data["typed"]), services.changes.nik_key),
            data["to"],
            data["kind"],
            visitor.ip_address,
            f"{user_id} {device}" if device else "",
            reserved=str(user_id) if device else "",
        )
    except NoMessagesLeft:  # the page tells nothing: only an account with a number comes here
        return False


async def _send(
    session: AsyncSession, services: AccountChanges, flow: RunningFlow, *, allowed: bool, channel: str = ""
) -> bool:
    """Send the code; where there is no account, nothing. Both take as long."""
    data = data_of(flow)
    really = allowed and flow.user_id is not None
    kind = data["kind"] or "email"
    return await send_code(
        session,
        services,
        flow,
        kind,
        data["to"],
        "code_recover",
        data["locale"],
        really=really,
        channel=channel,
        remembered=data.get("remembered"),
    )


async def _is_still_theirs(session: AsyncSession, flow: RunningFlow) -> bool:
    """Tell whether the contact that the code was sent to still is a verified contact of the user: one that was removed
    or changed since opens nothing."""
    data = data_of(flow)
    if not data.get("contact_id"):
        return False
    contact = await session.get(Identifier, UUID(data["contact_id"]))
    expected = (flow.user_id, data["kind"], data["to"])
    return (
        contact is not None
        and contact.verified_at is not None
        and (contact.user_id, contact.kind, contact.value) == expected
    )


async def _is_held(session: AsyncSession, settings: Settings, flow: RunningFlow) -> bool:
    """Tell whether the contact that was verified is one that somebody else added to the account, or marked as verified,
    within the delay of recoveries. Only a second factor of the user goes with it without waiting."""
    assert flow.user_id is not None
    data, since = data_of(flow), clock.now() - settings.recovery_delay
    known = await users.identifiers_of(session, flow.user_id)
    used = [identifier for identifier in known if (identifier.kind, identifier.value) == (data["kind"], data["to"])]
    return not used or any(identifier.asserted_at is not None and identifier.asserted_at > since for identifier in used)


async def _contact_verified(session: AsyncSession, flow: RunningFlow, *, by_helpdesk: bool) -> None:
    """Decide what is needed after the contact: a second factor where one is set up, unless the helpdesk vouches."""
    assert flow.user_id is not None
    data, kinds = data_of(flow), {credential.kind for credential in await users.credentials_of(session, flow.user_id)}
    data["contact_verified"] = True
    data["stage"] = "second" if kinds & STRONG and not by_helpdesk else "password"
    data["drop"] = by_helpdesk


async def _helpdesk_code(session: AsyncSession, registry: Registry, typed: str, user_id: UUID) -> Recovery | None:
    """Return the helpdesk's code that was typed, where its maker may still make one for this account."""
    code = await recovery_requests.find(session, "helpdesk", typed.replace(" ", ""), user_id)
    valid = code is not None and await still_recovers(session, registry, code.created_by, user_id)
    return code if valid else None


async def _is_passkey(db: Database, passkeys: Passkeys, visitor: Visitor, flow: RunningFlow, answer: str) -> bool:
    """Tell whether the passkey is right. In a transaction of its own, because its challenge is used up before the flow
    is locked, by the order of locks."""
    try:
        async with db.write() as session:
            await passkeys.check(session, visitor.browser_id, answer, flow.user_id)
    except PasskeyRefused:
        return False
    return True


async def _is_second_factor(
    session: AsyncSession, services: AccountChanges, flow: RunningFlow, user: User, typed: str
) -> bool:
    """Tell whether a code of the app, of the helpdesk or a recovery code was typed; it is used up."""
    known = await users.credentials_of(session, user.id)
    app = next((credential for credential in known if credential.kind == "totp"), None)
    if app is not None and await factors.check_totp(session, services.box, app, typed):
        data_of(flow)["factor"] = "totp"
        return True
    held = await _is_held(session, services.settings, flow)
    helpdesk = await _helpdesk_code(session, services.registry, typed, user.id) if typed and not held else None
    if helpdesk is not None and await recovery_requests.take(session, helpdesk):
        data_of(flow)["drop"] = True
        return True
    if not await factors.use_recovery_code(session, user.id, typed):
        return False
    data_of(flow)["factor"] = "recovery_code"
    return True


async def _delay(
    session: AsyncSession, services: AccountChanges, visitor: Visitor, flow: RunningFlow, user: User
) -> Delayed:
    """Let the recovery wait, and tell the owner at every contact, who can stop it."""
    await pending_flows.finish(session, flow)
    token, wait = link_token(), services.settings.recovery_delay
    valid = timedelta(hours=recovery_requests.READY_HOURS)
    client_id = data_of(flow).get("client_id") or None
    waiting = await recovery_requests.add(
        session, user.id, "delayed", token, wait=wait, valid=valid, client_id=client_id
    )
    await tell_everywhere(session, services, user, "recovery_waits", ready=waiting.ready_at.isoformat(), token=token)
    address, request_id = visitor.stored_ip_address, visitor.request_id
    record(session, "recovery.delayed", subject=str(user.id), address=address, request_id=request_id)
    return Delayed(waiting.ready_at, client_id)
