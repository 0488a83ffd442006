"""Second factors: what was authenticated so far is stored in a pending flow, and a page asks for the rest."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Final, Literal, TypedDict, cast

from sqlalchemy.ext.asyncio import AsyncSession

from sso.accounts.sign_in.destination import Destination, page_end
from sso.accounts.sign_in.devices import known_device
from sso.accounts.sign_in.options import SignInOptions
from sso.accounts.sign_in.pending_request import PendingRequest, recall_request
from sso.accounts.sign_in.results import (
    ContactMustBeVerified,
    DeletionMustBeDecided,
    FlowExpired,
    FlowStarted,
    SecondFactorNeeded,
)
from sso.accounts.sign_in.services import SignInServices
from sso.identity.authn import factors, pending_flows
from sso.identity.authn.assurance import ACR_CODE, as_good_as
from sso.identity.authn.authenticated import Authenticated
from sso.identity.authn.pending_flows import RunningFlow
from sso.identity.authn.second_factor_policy import LEVEL_OF, Method, methods
from sso.identity.notifications import send_code
from sso.identity.users import store as users
from sso.identity.users.identifiers import receives_codes
from sso.identity.users.models import Credential, Identifier, User
from sso.platform.security.message_limits import NoMessagesLeft
from sso.platform.security.rate_limits import TooManyFailures
from sso.platform.visitor import Visitor
from sso.settings import Settings

FLOW_SECONDS = 1800
UNVERIFIED: Final = "unverified"
"""The reason of a flow that verifies the contact that was typed to sign in. The flow adds nothing to ``acr`` or
``amr``: a contact that nobody has verified is no second factor."""
DELETION: Final = "deletion"
"""The reason of a flow in which a person decides whether to keep an account that is to be deleted."""
CODES: Final = "codes"
"""The reason of a flow in which recovery codes are shown."""
Reason = Literal["asked", "wished", "own", "role", "risk", "unverified", "deletion", "codes"]


class SecondFactorData(TypedDict, total=False):
    """What a pending flow of a sign-in stores.

    ``acr``, ``amr`` and ``auth_time`` are what was authenticated; ``level`` is what must be reached; ``contact`` is the
    unverified contact that was typed; ``seed`` is that of an app to be set up; ``options`` are ``SignInOptions``;
    ``contact_used`` is there once a contact was used before the first app is set up; ``sent`` and ``sent_to`` say where
    a code was sent.
    """

    acr: str
    amr: list[str]
    auth_time: str | None
    reason: Reason
    level: str
    contact: str
    trust: bool
    seed: str
    options: dict[str, str | bool]
    contact_used: bool
    sent: str
    sent_to: list[str]


@dataclass(frozen=True, slots=True)
class AvailableFactors:
    """The second factors that a user has, and the methods that reach the level."""

    user: User
    credentials: Sequence[Credential]
    contacts: Sequence[Identifier]
    methods: Sequence[Method]

    def contact(self, kind: str) -> Identifier | None:
        """Return the contact to which a code is sent."""
        of_kind = [contact for contact in self.contacts if contact.kind == kind]
        return max(of_kind, key=lambda contact: contact.is_primary) if of_kind else None

    def received(self, data: SecondFactorData, kind: str) -> Identifier | None:
        """Return the contact to which the code of a flow was sent, where it still is a contact of this user and of this
        kind: a code for a contact that was removed or changed since is not accepted."""
        sent_to = data.get("sent_to")
        of_kind = (contact for contact in self.contacts if contact.kind == kind)
        return next((contact for contact in of_kind if [str(contact.id), contact.lookup] == sent_to), None)

    def credential(self, kind: str) -> Credential | None:
        return next((credential for credential in self.credentials if credential.kind == kind), None)


@dataclass(frozen=True, slots=True)
class SecondFactorFlow:
    """A pending flow of a sign-in: a second factor, the verification of a contact, or a decision about a deletion."""

    running: RunningFlow
    available: AvailableFactors
    pending: PendingRequest | None
    level: str
    method: Method | None

    @property
    def data(self) -> SecondFactorData:
        """What the flow stores."""
        return cast(SecondFactorData, self.running.data)

    @property
    def token(self) -> str:
        """The value that identifies the flow in URLs and forms."""
        return self.running.token

    @property
    def enrols(self) -> bool:
        """Whether an app is set up, because the user has no second factor."""
        return not self.available.methods

    @property
    def verifies(self) -> bool:
        """Whether the flow verifies the contact that was typed, and is no second factor."""
        return self.data["reason"] == UNVERIFIED

    @property
    def shows_codes(self) -> bool:
        """Whether everything is authenticated and recovery codes were shown: the person confirms that they kept
        them."""
        return self.data["reason"] == CODES

    @property
    def decides_deletion(self) -> bool:
        """Whether the person decides to keep an account that is to be deleted."""
        return self.data["reason"] == DELETION

    @property
    def may_trust(self) -> bool:
        """Whether the browser can be trusted afterwards: a second factor was due, and no application asked for it."""
        return self.data["reason"] in ("own", "role", "risk")

    @property
    def options(self) -> SignInOptions:
        """What was chosen on the sign-in page."""
        return SignInOptions(**self.data["options"])  # type: ignore[arg-type]

    @property
    def authenticated_so_far(self) -> Authenticated:
        """What was authenticated before this flow."""
        data = self.data
        auth_time = datetime.fromisoformat(data["auth_time"]) if data["auth_time"] else None
        return Authenticated(self.available.user, data["acr"], list(data["amr"]), auth_time)


async def available_factors(
    session: AsyncSession, settings: Settings, user_id: uuid.UUID, level: str, contact: str = ""
) -> AvailableFactors | None:
    """Return how a user can reach a level; None: the user is disabled or deleted.

    Args:
        session: for reading.
        settings: the settings.
        user_id: the user.
        level: what must be reached.
        contact: an unverified contact that must be verified: then a code sent there is the only method.
    """
    user = await session.get(User, user_id)
    if user is None or user.disabled_at is not None:
        return None
    known = await users.identifiers_of(session, user_id)
    able = [
        identifier
        for identifier in known
        if receives_codes(identifier.kind, identifier.value) and settings.can_send(identifier.kind)
    ]
    if contact:
        typed = [identifier for identifier in able if identifier.lookup == contact]
        return AvailableFactors(user, [], typed, [_method_of(identifier) for identifier in typed])
    credentials = await users.credentials_of(session, user_id)
    contacts = [identifier for identifier in able if identifier.verified_at is not None]
    kinds = {credential.kind for credential in credentials}
    by_level = methods(kinds, {identifier.kind for identifier in contacts}, level)
    return AvailableFactors(user, credentials, contacts, by_level)


def _method_of(identifier: Identifier) -> Method:
    return "email" if identifier.kind == "email" else "phone"


async def begin_second_factor(
    services: SignInServices,
    visitor: Visitor,
    authenticated: Authenticated,
    reason: Reason,
    level: str,
    options: SignInOptions,
    *,
    contact: str = "",
    trust: bool = False,
) -> FlowStarted | FlowExpired | None:
    """Begin a second factor, or the verification of a contact, and send a code where that is the method.

    Args:
        services: what is needed.
        visitor: the browser.
        authenticated: what was authenticated.
        reason: why the flow is needed.
        level: what must be reached.
        options: what was chosen on the sign-in page.
        contact: the unverified contact that was typed: verified by this flow where the reason is ``UNVERIFIED``, by
            another one after it otherwise.
        trust: the browser is trusted when everything that is due was done.

    Returns:
        What comes next; None where the second factor is voluntary or a precaution, and the user has none.

    Raises:
        TooManyFailures: when too many were begun.
    """
    provider, user = services.provider, authenticated.user
    async with provider.db.read() as session:
        unverified = contact if reason == UNVERIFIED else ""
        available = await available_factors(session, provider.settings, user.id, level, unverified)
    if available is None:
        return FlowExpired()
    if not available.methods and reason in ("risk", "wished"):
        return None
    if not available.methods and reason == UNVERIFIED:
        return FlowExpired()
    device = await known_device(provider.db, visitor, user.id)
    await services.limits.flows.take(f"{user.id} {device or visitor.network}")
    data = _new_data(authenticated, reason, level, options, contact, trust=trust)
    return _started(reason, await _store_flow(services, visitor, available, data, options))


async def _store_flow(
    services: SignInServices,
    visitor: Visitor,
    available: AvailableFactors,
    data: SecondFactorData,
    options: SignInOptions,
) -> str:
    """Store a flow, send a code where that is its method, and return the token of the flow."""
    provider, method, allowed = services.provider, _sent_first(available, data["reason"]), False
    with suppress(TooManyFailures, NoMessagesLeft):
        allowed = method != "" and await may_send_code(services, visitor, available, method)
    async with provider.db.write() as session:
        running = await pending_flows.begin(
            session,
            provider.box,
            "sign_in",
            visitor.browser_id,
            dict(data),
            user_id=available.user.id,
            seconds=FLOW_SECONDS,
            end=page_end(provider.box, provider.registry, Destination(i=options.i, then=options.then)),
        )
        if allowed:
            await send_second_factor_code(services, session, running, available, method)
    return running.token


def _sent_first(available: AvailableFactors, reason: Reason) -> str:
    """Return the method for which a code is sent at once; empty: no code is."""
    first = available.methods[0] if available.methods else ""
    return first if reason != DELETION and first in ("email", "phone") else ""


def _new_data(
    authenticated: Authenticated, reason: Reason, level: str, options: SignInOptions, contact: str, *, trust: bool
) -> SecondFactorData:
    return {
        "acr": authenticated.acr,
        "amr": authenticated.amr,
        "auth_time": authenticated.auth_time.isoformat() if authenticated.auth_time else None,
        "reason": reason,
        "level": level,
        "contact": contact,
        "trust": trust,
        "seed": factors.new_totp_seed(),
        "options": asdict(options),
    }


def _started(reason: Reason, token: str) -> FlowStarted:
    if reason == DELETION:
        return DeletionMustBeDecided(token)
    return ContactMustBeVerified(token) if reason == UNVERIFIED else SecondFactorNeeded(token)


async def may_send_code(services: SignInServices, visitor: Visitor, available: AvailableFactors, method: str) -> bool:
    """Count a code to a contact of a user who has passed the first factor; tell whether it may be sent.

    Raises:
        TooManyFailures: when there were too many.
        NoMessagesLeft: when the daily SMS are used up.
    """
    contact, user_id = available.contact(method), available.user.id
    if contact is None:
        return False
    device = await known_device(services.provider.db, visitor, user_id)
    own = f"{user_id} {device}" if device else ""
    reserved = str(user_id) if contact.verified_at is not None else ""
    return await services.limits.messages.allow(
        "sign_in", str(user_id), contact.lookup, method, visitor.ip_address, own, reserved
    )


async def send_second_factor_code(
    services: SignInServices,
    session: AsyncSession,
    running: RunningFlow,
    available: AvailableFactors,
    method: str,
    channel: str = "",
) -> bool:
    """Send a code that :func:`may_send_code` allows; tell whether it was sent.

    Args:
        services: what is needed.
        session: the transaction.
        running: the flow.
        available: the second factors of the user.
        method: ``email`` or ``phone``.
        channel: the channel that the user has just chosen.
    """
    contact = available.contact(method)
    if contact is None:
        return False
    provider, locale = services.provider, available.user.locale
    about = "code_contact" if running.data["reason"] == UNVERIFIED else "code_sign_in"
    sent = await send_code(
        session,
        provider,
        running,
        method,
        contact.value,
        about,
        locale,
        channel=channel,
        remembered=contact.channel,
    )
    if sent:
        running.data["sent"] = method
        running.data["sent_to"] = [str(contact.id), contact.lookup]
        await pending_flows.keep(session, provider.box, running)
        services.worker.nudge()
    return sent


async def recall_second_factor(
    services: SignInServices, visitor: Visitor, token: str, method: str
) -> SecondFactorFlow | None:
    """Return a pending flow of this browser; None: it has expired, or the account cannot be used any more.

    Args:
        services: what is needed.
        visitor: the browser.
        token: the value that identifies the flow.
        method: the method that the person chose; another one where it cannot be used.

    Raises:
        RequestExpired: when the authorization request of the flow has expired.
    """
    provider = services.provider
    async with provider.db.read() as session:
        running = await pending_flows.recall(session, provider.box, "sign_in", token, visitor.browser_id)
        if running is None or running.user_id is None:
            return None
        available = await _available_in(session, provider.settings, running, running.user_id)
    if available is None:
        return None
    data = cast(SecondFactorData, running.data)
    i = str(data["options"]["i"])
    pending = (await recall_request(services, visitor, i))[0] if i else None
    first = next(iter(available.methods), None)
    usual = next((able for able in available.methods if able == data.get("sent")), first)
    chosen = next((able for able in available.methods if able == method), usual)
    return SecondFactorFlow(running, available, pending, data["level"], chosen)


async def _available_in(
    session: AsyncSession, settings: Settings, running: RunningFlow, user_id: uuid.UUID
) -> AvailableFactors | None:
    data = cast(SecondFactorData, running.data)
    verifies = data["reason"] == UNVERIFIED
    contact = data["contact"] if verifies else ""
    available = await available_factors(session, settings, user_id, data["level"], contact)
    if available is None or (verifies and not available.methods):
        return None
    if not available.methods and not data.get("contact_used"):
        # Before a user sets up a first app, they show that a contact is theirs, where there is one.
        by_code = await available_factors(session, settings, user_id, ACR_CODE)
        return by_code if by_code is not None and by_code.methods else available
    return available


def reaches(method: Method, level: str) -> bool:
    """Tell whether a second factor is enough for a level."""
    return LEVEL_OF[method] in as_good_as(level)
