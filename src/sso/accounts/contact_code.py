"""Adding a contact to the own account: a code is sent to the contact, and verifies it. Whether another user has the
contact is not told: then the code never comes."""

from __future__ import annotations

from contextlib import suppress
from typing import TypedDict, cast

from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession

from sso.accounts.attempts import reserve_attempt
from sso.accounts.contacts import MAX_CONTACTS, add_contact, read_contact
from sso.accounts.flows import FlowEnded, FlowRefused, Problem, sending_refused
from sso.accounts.own_account import OwnSession, lock_own_account
from sso.accounts.services import AccountServices
from sso.identity.authn import pending_flows
from sso.identity.authn.pending_flows import RunningFlow
from sso.identity.notifications import send_code
from sso.identity.users import store as users
from sso.platform.actor import Actor
from sso.platform.security.rate_limits import Purpose, TooManyFailures
from sso.platform.visitor import Visitor

FLOW_SECONDS = 1800


class ContactData(TypedDict):
    """What the pending flow of a new contact holds."""

    kind: str
    value: str


def data_of(flow: RunningFlow) -> ContactData:
    """Return what the pending flow of a new contact holds."""
    return cast(ContactData, flow.data)


async def begin_contact(services: AccountServices, visitor: Visitor, own: OwnSession, typed: str) -> RunningFlow:
    """Send a code to a new contact.

    Raises:
        FlowRefused: when it is no contact, the user has too many, or no message can be sent.
    """
    contact = read_contact(services.settings.contact_kinds, typed, services.settings.phone_prefixes)
    async with services.db.read() as session:
        known = await users.identifiers_of(session, own.user_id)
    if len(known) >= MAX_CONTACTS:
        raise FlowRefused(Problem.TOO_MANY_CONTACTS)
    data: ContactData = {"kind": contact.kind, "value": contact.value}
    allowed = None
    with sending_refused(), suppress(TooManyFailures):
        allowed = await _may_send(services, visitor, own, data)
    async with services.db.write() as session:
        flow = await pending_flows.begin(
            session,
            services.box,
            "contact",
            visitor.browser_id,
            dict(data),
            user_id=own.user_id,
            seconds=FLOW_SECONDS,
        )
        if allowed is not None:
            await _send(services, visitor, session, flow, allowed=allowed)
    return flow


async def recall_contact(
    services: AccountServices, visitor: Visitor, own: OwnSession, token: str
) -> RunningFlow | None:
    """Return the pending flow of a new contact of this user and browser; None: it has ended, or there is none."""
    async with services.db.read() as session:
        flow = await pending_flows.recall(session, services.box, "contact", token, visitor.browser_id)
    return flow if flow is not None and flow.user_id == own.user_id and "value" in flow.data else None


async def resend_contact_code(
    services: AccountServices, visitor: Visitor, own: OwnSession, flow: RunningFlow, channel: str = ""
) -> None:
    """Send another code; over a channel (``sms``, ``whatsapp``) where the user has chosen one.

    Raises:
        FlowRefused: when none may be sent now.
    """
    with sending_refused():
        allowed = await _may_send(services, visitor, own, data_of(flow))
    async with services.db.write() as session:
        sent = await _send(services, visitor, session, flow, allowed=allowed, channel=channel)
    if not sent:
        raise FlowRefused(Problem.NOT_SENT, pending_flows.RESEND_SECONDS)


async def check_contact_code(
    services: AccountServices, visitor: Visitor, own: OwnSession, flow: RunningFlow, typed: str, actor: Actor
) -> bool:
    """Check the code, and add the contact.

    Args:
        services: the database, encryption, passwords and limits.
        visitor: the browser of the user.
        own: the session in which the user adds the contact.
        flow: the pending flow.
        typed: the code.
        actor: the user.

    Returns:
        Whether the contact is the user's now; not where another user has it.

    Raises:
        FlowRefused: when the code is wrong, or cannot be tried now.
        FlowEnded: when the flow has ended.
        SessionEnded: when the session is not active any more.
    """
    async with services.db.write() as session:
        counted = await pending_flows.count_attempt(session, flow)
    if not counted:
        raise FlowRefused(Problem.TOO_MANY_CODES, pending_flows.RESEND_SECONDS)
    try:
        attempt = await reserve_attempt(services, visitor, Purpose.CONTACT_CODE, own.user_id)
    except TooManyFailures as error:
        raise FlowRefused(Problem.TOO_MANY_TRIES, error.retry_after, error.minutes) from None
    valid = services.settings.one_time_code_lifetime
    if not pending_flows.is_code(services.box, flow, typed, valid):
        raise FlowRefused(Problem.WRONG_CODE)
    await attempt.succeeded()
    try:
        async with services.db.write() as session:
            user = await lock_own_account(session, own)
            if not await pending_flows.finish(session, flow):
                raise FlowEnded
            data = data_of(flow)
            added = await add_contact(session, services.changes, user, data["kind"], data["value"], actor=actor)
            if added and flow.channel:
                await users.remember_channel(session, user.id, data["value"], flow.channel)
            return added
    except IntegrityError:
        return False


async def _may_send(services: AccountServices, visitor: Visitor, own: OwnSession, data: ContactData) -> bool:
    """Count a code that a signed-in user asks for; tell whether it may be sent. The contact is not verified: its SMS
    are not of the part that is reserved for users who have authenticated.

    Raises:
        TooManyFailures: when there were too many.
        TooManyNumbers: when the user has tried too many numbers today.
        NoMessagesLeft: when the daily SMS are used up.
    """
    user_id, contact = str(own.user_id), data["value"]
    await services.contact_codes.take(user_id)
    if data["kind"] == "phone":
        await services.messages.allow_number(user_id, contact)
    return await services.messages.allow("contact", contact, contact, data["kind"], visitor.ip_address, user_id)


async def _send(
    services: AccountServices,
    visitor: Visitor,
    session: AsyncSession,
    flow: RunningFlow,
    *,
    allowed: bool,
    channel: str = "",
) -> bool:
    data = data_of(flow)
    owner = await users.verified_owner(session, data["value"])
    really = allowed and (owner is None or owner == flow.user_id)
    return await send_code(
        session,
        services.changes,
        flow,
        data["kind"],
        data["value"],
        "code_contact",
        visitor.locale,
        really=really,
        channel=channel,
    )
