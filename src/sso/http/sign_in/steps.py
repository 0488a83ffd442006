"""Beginning a second step: what a person has proven so far is kept, and a page asks for the rest."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any
from urllib.parse import urlencode

from sqlalchemy.ext.asyncio import AsyncSession
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from sso.accounts.notifications import send_code
from sso.http.common.cookies import browser_of, with_browser
from sso.http.common.onward import Onward, page_end
from sso.http.common.pages import failure
from sso.http.common.state import address_of, site_of, source_of
from sso.http.sign_in.proving import known_device
from sso.identity.authn import factors, pending_flows
from sso.identity.authn.assurance import as_good_as
from sso.identity.authn.authenticated import Authenticated
from sso.identity.authn.pending_flows import RunningFlow
from sso.identity.authn.second_factor_policy import LEVEL_OF, Method, methods
from sso.identity.users import store as users
from sso.identity.users.identifiers import receives_codes
from sso.identity.users.models import Credential, Identifier, User
from sso.oidc.provider import Provider
from sso.platform.security.rate_limits import TooManyFailures

STEP_SECONDS = 1800
UNVERIFIED = "unverified"
"""The reason of a pending flow that verifies the contact that was typed to sign in. It adds nothing to ``acr`` or
``amr``: a contact of which nobody has shown whose it is, is no second factor."""
HERE = "/login/second"


@dataclass(frozen=True, slots=True)
class Options:
    """What was chosen on the sign-in page, and where it leads: ``i`` names the waiting request."""

    i: str = ""
    remember: bool = False
    add: bool = False
    then: str = ""
    user_code: str = ""
    is_new: bool = False


@dataclass(frozen=True, slots=True)
class Means:
    """How somebody can take the second step."""

    user: User
    credentials: Sequence[Credential]
    contacts: Sequence[Identifier]
    methods: Sequence[Method]

    def contact(self, kind: str) -> Identifier | None:
        """Return the contact to which a code is sent."""
        mine = [one for one in self.contacts if one.kind == kind]
        return max(mine, key=lambda one: one.is_primary) if mine else None

    def received(self, running: RunningFlow, kind: str) -> Identifier | None:
        """Return the contact that the code of a pending flow was sent to, where it still is a contact of this person
        and of this kind: a code for a contact that was removed or changed since is worth nothing."""
        sent_to = running.data.get("sent_to")
        mine = (one for one in self.contacts if one.kind == kind and [str(one.id), one.lookup] == sent_to)
        return next(mine, None)

    def credential(self, kind: str) -> Credential | None:
        """Return a credential of a kind."""
        return next((one for one in self.credentials if one.kind == kind), None)


async def means_of(
    session: AsyncSession, provider: Provider, user_id: uuid.UUID, level: str, contact: str = ""
) -> Means | None:
    """Return how somebody can reach a level.

    Args:
        session: for reading.
        provider: the provider.
        user_id: who.
        level: what must be reached.
        contact: a contact that is not proven yet, and must be: then a code there is the only way.
    """
    user = await session.get(User, user_id)
    if user is None or user.disabled_at is not None:
        return None
    known = await users.identifiers_of(session, user_id)
    able = [one for one in known if receives_codes(one.kind, one.value) and provider.settings.can_send(one.kind)]
    if contact:
        mine = [one for one in able if one.lookup == contact]
        return Means(user, [], mine, [_kind(one) for one in mine])
    credentials = await users.credentials_of(session, user_id)
    contacts = [one for one in able if one.verified_at is not None]
    factors = {one.kind for one in credentials}
    return Means(user, credentials, contacts, methods(factors, {one.kind for one in contacts}, level))


def _kind(identifier: Identifier) -> Method:
    return "email" if identifier.kind == "email" else "phone"


async def begin_step(
    request: Request,
    proof: Authenticated,
    reason: str,
    level: str,
    options: Options,
    *,
    contact: str = "",
    trust: bool = False,
) -> Response | None:
    """Begin the second step, or the verification of a contact, and send a code where that is the way.

    Args:
        request: where the first step was done.
        proof: what was proven.
        reason: why it is needed.
        level: what must be reached.
        options: what was chosen.
        contact: the unverified contact that was typed: verified by this pending flow where the reason is
            ``UNVERIFIED``, by another one after it otherwise.
        trust: the browser is trusted when everything that is due was done.

    Returns:
        The way to its page; None where it was a precaution only, and there is no way to take it.

    Raises:
        TooManyFailures: when too many were begun.
    """
    site, provider = site_of(request), site_of(request).provider
    async with provider.db.read() as session:
        unverified = contact if reason == UNVERIFIED else ""
        means = await means_of(session, provider, proof.user.id, level, unverified)
    if means is not None and reason in ("risk", "wished") and not means.methods:
        return None
    if means is None or (reason == UNVERIFIED and not means.methods):
        return failure(request, "expired_interaction", 400)
    data: dict[str, Any] = {
        "acr": proof.acr,
        "amr": proof.amr,
        "auth_time": proof.auth_time.isoformat() if proof.auth_time else None,
        "reason": reason,
        "level": level,
        "contact": contact,
        "trust": trust,
        "seed": factors.new_totp_seed(),
        "options": asdict(options),
    }
    device = await known_device(request, proof.user.id)
    await site.flows.take(f"{proof.user.id} {device or source_of(request)}")
    kind, allowed = "", False
    if reason != "deletion" and means.methods and means.methods[0] in ("email", "phone"):
        kind = means.methods[0]
        with suppress(TooManyFailures):
            allowed = await may_send(request, means, kind)
    async with provider.db.write() as session:
        running = await pending_flows.begin(
            session,
            provider.box,
            "sign_in",
            browser_of(request),
            data,
            user_id=proof.user.id,
            seconds=STEP_SECONDS,
            end=page_end(provider, Onward(i=options.i, then=options.then)),
        )
        if allowed:
            await send_step_code(request, session, running, means, kind)
    return to_step(request, running)


def to_step(request: Request, running: RunningFlow) -> Response:
    """Return the way to the page of a second step."""
    made = RedirectResponse(f"{HERE}?{urlencode({'c': running.token})}", 303, {"Cache-Control": "no-store"})
    return with_browser(request, made)


async def may_send(request: Request, means: Means, kind: str) -> bool:
    """Count a code to a contact of the person, who has proven the first factor; tell whether it may be sent.

    Raises:
        TooManyFailures: when there were too many.
    """
    contact, user_id = means.contact(kind), means.user.id
    if contact is None:
        return False
    own = await known_device(request, user_id)
    return await site_of(request).codes.allow(
        "sign_in", str(user_id), contact.lookup, kind, address_of(request), f"{user_id} {own}" if own else ""
    )


async def send_step_code(
    request: Request, session: AsyncSession, running: RunningFlow, means: Means, kind: str
) -> bool:
    """Send a code that :func:`may_send` allows; tell whether it was sent."""
    site, contact = site_of(request), means.contact(kind)
    if contact is None:
        return False
    about = "code_contact" if running.data["reason"] == UNVERIFIED else "code_sign_in"
    sent = await send_code(session, site.provider, running, kind, contact.value, about, means.user.locale)
    if sent:
        running.data["sent"] = kind
        running.data["sent_to"] = [str(contact.id), contact.lookup]
        await pending_flows.keep(session, site.provider.box, running)
        site.worker.nudge()
    return sent


def proof_so_far(running: RunningFlow, user: User) -> Authenticated:
    """Return what was proven before the second step."""
    said = running.data
    auth_time = datetime.fromisoformat(said["auth_time"]) if said["auth_time"] else None
    return Authenticated(user, said["acr"], list(said["amr"]), auth_time)


def reaches(method: Method, level: str) -> bool:
    """Tell whether a second step is enough for a level."""
    return LEVEL_OF[method] in as_good_as(level)
