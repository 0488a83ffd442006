"""Signing in with an identifier and a password."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from uuid import UUID

from sso import clock
from sso.accounts.sign_in.current_account import CurrentAccount
from sso.accounts.sign_in.options import SignInOptions
from sso.accounts.sign_in.pending_request import PendingRequest
from sso.accounts.sign_in.results import (
    FlowExpired,
    FlowStarted,
    ServerBusy,
    SignInResult,
    TooManyAttempts,
    WrongCredentials,
)
from sso.accounts.sign_in.second_factor import UNVERIFIED, begin_second_factor
from sso.accounts.sign_in.services import SignInServices
from sso.accounts.sign_in.start import start_session
from sso.identity.authn.assurance import ACR_PASSWORD
from sso.identity.authn.authenticated import Authenticated, by_password, is_password
from sso.identity.authn.passwords import Busy
from sso.identity.authn.second_factor_policy import Reason, Situation, factor_due
from sso.identity.sessions import store as sessions
from sso.identity.sessions.store import SigningIn
from sso.identity.test_users import MARK
from sso.identity.users import store as users
from sso.identity.users.identifiers import can_be_verified, counted_as, meanings, receives_codes
from sso.identity.users.models import Credential
from sso.oidc.authorize import request as flow
from sso.platform.audit import record
from sso.platform.security.rate_limits import Purpose, Reservation, TooManyFailures
from sso.platform.security.tokens import token_hash
from sso.platform.visitor import Visitor
from sso.settings import Settings

MAX_MEANINGS = 2
"""How many accounts one text can mean: one by the user name, and one by what else the text is."""
SETTLED = timedelta(days=1)
"""How old a password must be for its right use to be no guess at another account."""


class WrongPassword(Exception):
    """The identifier, the password or both are wrong, or the account is disabled: one answer for all of them.

    ``user_ids`` are the accounts that were tried. ``several``: what was typed can mean several things, whether or not
    anybody has one of them.
    """

    def __init__(self, user_ids: Sequence[UUID] = (), *, several: bool = False) -> None:
        super().__init__("wrong identifier or password")
        self.user_ids = list(user_ids)
        self.several = several


@dataclass(frozen=True, slots=True)
class PasswordAccepted:
    """A password was right.

    Args:
        authenticated: the user, and what the password proves.
        second_factor: why a second factor is needed, and the level that it must reach; None: the password is enough.
        is_new: this browser is new to a user who has signed in before.
        contact: the unverified contact that was typed: it must be verified after the second factor, and is none.
    """

    authenticated: Authenticated
    second_factor: tuple[Reason, str] | None
    is_new: bool
    contact: str = ""


@dataclass(slots=True)
class _Candidate:
    """One account that the identifier can mean, or nobody's, with the place that was taken for it."""

    account: SigningIn | None
    attempt: Reservation
    stronger_hash: str | None = None

    @property
    def credential(self) -> Credential | None:
        """The password to compare with."""
        return self.account.password if self.account is not None else None


async def sign_in_with_password(
    services: SignInServices,
    visitor: Visitor,
    identifier: str,
    password: str,
    options: SignInOptions,
    *,
    pending: PendingRequest | None,
    before: CurrentAccount | None,
) -> SignInResult:
    """Check an identifier and a password; begin the second factor that is due, or start the session and continue with
    the authorization request.

    Args:
        services: what is needed.
        visitor: the browser.
        identifier: what was typed.
        password: the password.
        options: what was chosen on the sign-in page.
        pending: the authorization request; None: no application asked.
        before: the account that is signed in at this browser.

    Raises:
        TooManyFailures: when too many flows or requests were stored because of this visitor.
        RedirectError: when the application cannot be answered.
    """
    usage = services.provider.usage
    level = flow.needed_level(pending.request) if pending is not None else ACR_PASSWORD
    try:
        accepted = await authenticate_password(services, visitor, identifier, password, level)
    except WrongPassword as error:
        usage.count("sign_in_failed", label="password")
        await _record_failure(services, visitor, pending, error)
        return WrongCredentials(error.several)
    except TooManyFailures as error:
        usage.count("sign_in_failed", label="too_many")
        return TooManyAttempts(error.retry_after, error.minutes)
    except Busy as error:
        return ServerBusy(error.retry_after)
    options = replace(options, is_new=accepted.is_new)
    begun = await _begin_due(services, visitor, accepted, options)
    if begun is not None:
        return begun
    return await start_session(services, visitor, accepted.authenticated, options, pending=pending, before=before)


async def authenticate_password(
    services: SignInServices, visitor: Visitor, identifier: str, password: str, level: str = ACR_PASSWORD
) -> PasswordAccepted:
    """Check an identifier and a password. One statement; no transaction is open while the hash is computed.

    What was typed can mean several accounts: the user name of one is the telephone number or the NIK of another. The
    password is compared with each, and must be right for exactly one (docs/decisions/0041).

    Args:
        services: what is needed.
        visitor: the browser.
        identifier: what was typed.
        password: the password.
        level: the level that the application needs.

    Raises:
        WrongPassword: whatever is wrong.
        TooManyFailures: after too many of them.
        Busy: when too many passwords are waiting.
    """
    provider, settings, now = services.provider, services.settings, clock.now()
    possible = meanings(identifier)
    lookups = [meaning.lookup(provider.nik_key) for meaning in possible]
    country = provider.countries.of(visitor.ip_address)
    people = await _people(services, visitor, lookups, country, now)
    counted_name = counted_as(identifier, possible, provider.nik_key)
    candidates = await _reserve(services, visitor, people, counted_name)
    minimum = min(len(lookups), MAX_MEANINGS)
    right = await _verify(services, visitor, candidates, password, minimum=minimum)
    if len(right) != 1:
        tried = [candidate.account.user.id for candidate in candidates if candidate.account is not None]
        raise WrongPassword(tried, several=len(lookups) > 1)
    account = await _settle(services, candidates, right[0], now)
    due = factor_due(
        situation_of(account, country), level, settings.second_factor_roles, settings.risk_based_second_factor
    )
    unverified = not account.verified and account.identifier_kind in ("email", "phone")
    is_new = account.seen_before and not account.known
    return PasswordAccepted(by_password(account.user), due, is_new, account.lookup if unverified else "")


async def _people(
    services: SignInServices, visitor: Visitor, lookups: Sequence[str], country: str | None, now: datetime
) -> list[SigningIn]:
    """Return the accounts that an identifier can mean. One statement, none where it means nothing."""
    if not lookups:
        return []
    device_hash = token_hash(visitor.device_id) if visitor.device_id else None
    async with services.provider.db.read() as session:
        return (await sessions.signing_in(session, lookups, device_hash, country, now))[:MAX_MEANINGS]


async def _reserve(
    services: SignInServices, visitor: Visitor, people: Sequence[SigningIn], counted_name: str
) -> list[_Candidate]:
    """Take a place at every account that the identifier can mean. An account counts whichever of its identifiers was
    typed; an identifier of nobody counts in the same way. An account without a free place is not tried, which keeps
    nobody from another one: who guesses at one account does not shut out the other.

    Raises:
        TooManyFailures: when no account has a place.
    """
    candidates: list[_Candidate] = []
    refused, with_source = None, True
    everybody: Sequence[SigningIn | None] = people or [None]
    for account in everybody:
        key = str(account.user.id) if account is not None else f"nobody {counted_name}"
        own = visitor.device_id if account is not None and account.known else ""
        try:
            attempt = await services.limits.attempts.reserve(
                Purpose.PASSWORD, key, visitor.ip_address, own, with_source=with_source
            )
        except TooManyFailures as error:
            refused = error
            continue
        with_source = with_source and bool(own)
        candidates.append(_Candidate(account, attempt))
    if refused is not None and not candidates:
        raise refused
    return candidates


async def _verify(
    services: SignInServices, visitor: Visitor, candidates: Sequence[_Candidate], password: str, *, minimum: int
) -> list[_Candidate]:
    """Return the candidates for which the password is right. When it is wrong, ``minimum`` hashes are computed, which
    depends only on what was typed, so that time does not tell how many accounts it means.

    Raises:
        Busy: when too many passwords are waiting. What was tried stays counted.
    """
    passwords, source = services.passwords, visitor.network
    right: list[_Candidate] = []
    for number, candidate in enumerate(candidates):
        account = candidate.account
        user = account.user if account is not None and _may_be_used(account, services.settings) else None
        user = user if user is None or not user.preferences.get(MARK) else None
        try:
            is_right, candidate.stronger_hash = await is_password(
                passwords, user, candidate.credential, password, source=source
            )
        except Busy:
            for left in candidates[number:]:
                await left.attempt.give_back()
            raise
        if is_right:
            right.append(candidate)
    if not right:
        for _ in range(minimum - len(candidates)):
            await is_password(passwords, None, None, password, source=source)
    return right


async def _settle(
    services: SignInServices, candidates: Sequence[_Candidate], chosen: _Candidate, now: datetime
) -> SigningIn:
    """Give places back after a right password, and store a stronger hash where the present one is outdated."""
    account, credential = chosen.account, chosen.credential
    assert account is not None
    assert credential is not None
    await chosen.attempt.succeeded()
    if credential.updated_at < now - SETTLED:
        for candidate in candidates:
            if candidate is not chosen:
                await candidate.attempt.give_back()
    if chosen.stronger_hash:
        async with services.provider.db.write() as session:
            await users.upgrade_password_hash(session, credential.id, chosen.stronger_hash, now)
    return account


def situation_of(account: SigningIn, country: str | None) -> Situation:
    """Return what is known of a sign-in."""
    return Situation(
        factors=account.factors,
        roles=account.roles,
        trusted=account.trusted,
        known=account.known,
        seen_before=account.seen_before,
        country_known=None if country is None else account.country_known,
    )


def _may_be_used(account: SigningIn, settings: Settings) -> bool:
    """Tell whether an identifier opens an account: a user name, and whatever else is verified; or a contact that can be
    verified on the way."""
    if account.verified or account.identifier_kind == "username":
        return True
    kind, value = account.identifier_kind, account.lookup
    return settings.can_send(kind) and receives_codes(kind, value) and can_be_verified(kind, value)


async def _begin_due(
    services: SignInServices, visitor: Visitor, accepted: PasswordAccepted, options: SignInOptions
) -> FlowStarted | FlowExpired | None:
    """Begin what is due after a right password: the second factor first; verifying the contact that was typed comes
    after it, and never in its place."""
    authenticated, contact = accepted.authenticated, accepted.contact
    if accepted.second_factor is not None:
        reason, level = accepted.second_factor
        begun = await begin_second_factor(services, visitor, authenticated, reason, level, options, contact=contact)
        if begun is not None:
            return begun
    if not contact:
        return None
    return await begin_second_factor(
        services, visitor, authenticated, UNVERIFIED, authenticated.acr, options, contact=contact
    )


async def _record_failure(
    services: SignInServices, visitor: Visitor, pending: PendingRequest | None, error: WrongPassword
) -> None:
    tried: Sequence[UUID | None] = error.user_ids or [None]
    async with services.provider.db.write() as session:
        for user_id in tried:
            record(
                session,
                "sign_in.failed",
                outcome="failure",
                subject=str(user_id) if user_id else None,
                client_id=pending.request.client.client_id if pending is not None else None,
                address=visitor.stored_ip_address,
                request_id=visitor.request_id,
            )
