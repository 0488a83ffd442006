"""Starting the session of a person who is authenticated, and answering the application in the same transaction where
nothing else is needed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from sso.accounts.attributes import lacking
from sso.accounts.languages import page_language, territory_name
from sso.accounts.sign_in.current_account import MAX_ACCOUNTS, Account, CurrentAccount, accounts_of_browser
from sso.accounts.sign_in.devices import place_of
from sso.accounts.sign_in.next_step import answer_request, continue_request
from sso.accounts.sign_in.options import SignInOptions
from sso.accounts.sign_in.pending_request import PendingRequest
from sso.accounts.sign_in.results import AuthenticationExpired, NextStep, RequestAnswered, SessionStarted, SignInResult
from sso.accounts.sign_in.second_factor import DELETION, begin_second_factor
from sso.accounts.sign_in.services import SignInServices
from sso.identity.authn.authenticated import Authenticated
from sso.identity.notifications import not_me_token, notify
from sso.identity.sessions import service as sessions
from sso.identity.sessions import store as sessions_store
from sso.identity.sessions.devices import device_of
from sso.identity.sessions.reasons import EndReason
from sso.identity.sessions.service import AuthenticationOutdated, Place, Started
from sso.identity.test_users import MARK
from sso.identity.users.models import User
from sso.identity.users.store import Person
from sso.logout.end_sessions import end_sessions
from sso.oidc.authorize import request as flow
from sso.oidc.authorize.decision import Respond
from sso.oidc.authorize.signed_in import SignedIn
from sso.platform.security.tokens import random_token
from sso.platform.visitor import Visitor


@dataclass(frozen=True, slots=True)
class BrowserAccounts:
    """What becomes of the accounts of a browser when one signs in.

    Args:
        own: the account of the same user, whose session is renewed.
        replaced: the account of another user, whose session ends.
        surplus: accounts that are too many for one browser, whose sessions end.
        remaining: the other accounts, which stay.
    """

    own: Account | None
    replaced: Sequence[Account]
    surplus: Sequence[Account]
    remaining: Sequence[Account]


def plan_accounts(
    accounts: Sequence[Account], before: SignedIn | None, user_id: UUID, *, adding: bool
) -> BrowserAccounts:
    """Return what becomes of the accounts of a browser at which a user signs in.

    Args:
        accounts: those that are signed in, the present one first.
        before: the account that answered the request so far. It is replaced, unless the user adds an account.
        user_id: who signs in.
        adding: the user adds an account.
    """
    own = next((account for account in accounts if account.person.id == user_id), None)
    replaced = [
        account
        for account in accounts
        if before is not None and not adding and account != own and account.session.id == before.session.id
    ]
    others = [account for account in accounts if account != own and account not in replaced]
    return BrowserAccounts(own, replaced, others[MAX_ACCOUNTS - 1 :], others[: MAX_ACCOUNTS - 1])


async def start_session(
    services: SignInServices,
    visitor: Visitor,
    authenticated: Authenticated,
    options: SignInOptions,
    *,
    pending: PendingRequest | None,
    before: CurrentAccount | None,
    trust: bool = False,
    keeps_account: bool = False,
) -> SignInResult:
    """Start the session and, where nothing else is needed, answer the application in the same transaction.

    Args:
        services: what is needed.
        visitor: the browser.
        authenticated: the user, and how they were authenticated.
        options: what was chosen on the sign-in page.
        pending: the authorization request; None: no application asked.
        before: the account that answered the request so far.
        trust: the person asks that this browser need no second factor from now on.
        keeps_account: a person whose account was to be deleted has decided to keep it.

    Raises:
        TooManyFailures: when too many flows or requests were stored because of this visitor.
        RedirectError: when the application cannot be answered.
    """
    if authenticated.user.delete_at is not None and not keeps_account:
        begun = await begin_second_factor(services, visitor, authenticated, DELETION, authenticated.acr, options)
        if begun is not None:
            return begun
    if authenticated.user.preferences.get(MARK) and MARK not in authenticated.amr:  # however a test user got here
        authenticated = replace(authenticated, amr=[*authenticated.amr, MARK])
    device_id = visitor.device_id or random_token()
    place = place_of(services.provider.settings, services.provider.countries, visitor, device_id, trust=trust)
    try:
        started, current, answered = await _start(services, visitor, authenticated, options, pending, before, place)
    except AuthenticationOutdated:
        return AuthenticationExpired()
    next_step: NextStep | None = answered
    if started.lacks_attributes:
        pending = None
    if pending is not None and answered is None and not current.signed_in.user.locked:
        next_step = await continue_request(services, visitor, pending, current)
    return replace(started, device_id=device_id, next_step=next_step)


async def _start(
    services: SignInServices,
    visitor: Visitor,
    authenticated: Authenticated,
    options: SignInOptions,
    pending: PendingRequest | None,
    before: CurrentAccount | None,
    place: Place,
) -> tuple[SessionStarted, CurrentAccount, RequestAnswered | None]:
    """Start the session in one transaction.

    Raises:
        AuthenticationOutdated: when the account was disabled or its credentials were changed since the authentication.
    """
    provider, settings, user = services.provider, services.settings, authenticated.user
    remember = options.remember and bool(settings.remembered_session_lifetime)
    signed_in_before = before.signed_in if before is not None else None
    async with provider.db.write() as session:
        accounts = await _accounts_before(services, session, visitor, signed_in_before)
        plan = plan_accounts(accounts, signed_in_before, user.id, adding=options.add)
        if plan.own is not None and (plan.replaced or plan.surplus):
            ids = [account.session.id for account in (plan.own, *plan.replaced, *plan.surplus)]
            await sessions_store.lock_for_renewal(session, user.id, ids)
        started = await sessions.start(
            session,
            settings,
            authenticated,
            current=plan.own.session if plan.own else None,
            address=visitor.stored_ip_address,
            user_agent=visitor.user_agent,
            request_id=visitor.request_id,
            remember=remember,
            place=place,
        )
        provider.usage.count("sign_in", label=authenticated.acr)
        await _end_sessions(services, session, visitor, user.id, plan, started)
        if options.is_new:
            _notify_new_device(services, session, visitor, user, started.session.id)
        person = Person(user.id, user.name, user.locked_until, user.delete_at is not None)
        signed_in, answered = SignedIn(started.session, person, frozenset()), None
        lacks = not person.locked and MARK not in authenticated.amr and await _lacks_attributes(session, services, user)
        if pending is not None and not person.locked and not lacks:
            signed_in, answered = await _answer_at_once(services, session, visitor, pending, signed_in)
    tokens = [started.token, *(account.token for account in plan.remaining)]
    result = SessionStarted(
        person, started.session.id, tokens, remember, "", options.destination, lacks_attributes=lacks
    )
    return result, CurrentAccount(signed_in, started.token), answered


async def _lacks_attributes(session: AsyncSession, services: SignInServices, user: User) -> bool:
    return bool(await lacking(session, services.provider.registry.city, user.id))


async def _answer_at_once(
    services: SignInServices, session: AsyncSession, visitor: Visitor, pending: PendingRequest, signed_in: SignedIn
) -> tuple[SignedIn, RequestAnswered | None]:
    """Answer the application where nothing else is needed."""
    signed_in = await flow.with_consent(session, pending.request.client, signed_in)
    signed_in = await flow.with_standing(session, pending.request, signed_in)
    decision = flow.next_step(services.provider, pending.request, signed_in, pending.progress, visitor.ip_address)
    if isinstance(decision, Respond):
        return signed_in, await answer_request(services, session, visitor, pending, signed_in)
    return signed_in, None


async def _accounts_before(
    services: SignInServices, session: AsyncSession, visitor: Visitor, before: SignedIn | None
) -> Sequence[Account]:
    """Return the accounts that were signed in at this browser. No statement where they are known already."""
    if len(visitor.session_tokens) > 1:
        return await accounts_of_browser(services.provider.idle, session, visitor)
    return [Account(visitor.session_token, before.session, before.user)] if before is not None else []


async def _end_sessions(
    services: SignInServices,
    session: AsyncSession,
    visitor: Visitor,
    user_id: UUID,
    plan: BrowserAccounts,
    started: Started,
) -> None:
    """End the session of the account that was replaced, and those that are too many: in this browser, or of this
    user."""
    replaced = [account.session.id for account in plan.replaced]
    surplus = [*(account.session.id for account in plan.surplus), *started.surplus]
    if replaced and surplus:
        await sessions_store.lock(session, *sessions_store.where_not_ended([*replaced, *surplus]))
    for session_ids, reason in ((replaced, EndReason.OTHER_PERSON), (surplus, EndReason.TOO_MANY)):
        if session_ids:
            await end_sessions(session, services.provider, session_ids, reason, actor=visitor.as_actor(user_id))


def _notify_new_device(
    services: SignInServices, session: AsyncSession, visitor: Visitor, user: User, session_id: UUID
) -> None:
    """Notify a user of a sign-in at a new browser, with a link to say that it was not them."""
    provider = services.provider
    country = provider.countries.of(visitor.ip_address) or ""
    device = device_of(visitor.user_agent).text or "?"
    language = page_language(user.locale, services.settings.default_locale)
    place = territory_name(language, country) if country else ""
    token = not_me_token(provider, session_id)
    notify(session, provider, user, "new_device", device=device, place=place, token=token)
    services.worker.nudge()
