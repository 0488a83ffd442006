"""What an authorization request needs next, and doing it. ``oidc/authorize/decision.py`` decides."""

from __future__ import annotations

from dataclasses import replace

from sqlalchemy.ext.asyncio import AsyncSession

from sso import clock
from sso.accounts.sign_in.current_account import CurrentAccount, accounts_of_browser
from sso.accounts.sign_in.options import SignInOptions
from sso.accounts.sign_in.pending_request import PendingRequest, store_request
from sso.accounts.sign_in.results import (
    AccessRefused,
    AccountChooser,
    ConsentNeeded,
    IdentityCheckNeeded,
    NextStep,
    RegistrationNeeded,
    RequestAnswered,
    SignInNeeded,
)
from sso.accounts.sign_in.second_factor import Reason, begin_second_factor
from sso.accounts.sign_in.services import SignInServices
from sso.clients.access_policy import groups_in
from sso.clients.registry import Client
from sso.identity.authn.authenticated import Authenticated
from sso.identity.groups import tree
from sso.identity.groups.models import Group
from sso.identity.sessions import service as sessions
from sso.identity.users.models import User
from sso.logs import note
from sso.oidc.authorize import request as flow
from sso.oidc.authorize import stored as stored_requests
from sso.oidc.authorize.decision import (
    CheckIdentity,
    Consent,
    CreateAccount,
    Decision,
    FactorNeeded,
    Fail,
    NotAllowed,
    NotInvited,
    Respond,
    SelectAccount,
    SignIn,
)
from sso.oidc.authorize.response import AuthorizationResponse
from sso.oidc.authorize.signed_in import SignedIn
from sso.oidc.demands import Demand
from sso.platform.db import Database
from sso.platform.visitor import Visitor


async def continue_request(
    services: SignInServices, visitor: Visitor, pending: PendingRequest, current: CurrentAccount | None
) -> NextStep:
    """Do what a request needs next: answer the application, or return what the person must do first.

    Args:
        services: what is needed.
        visitor: the browser.
        pending: the request.
        current: the account that answers it; None: nobody is signed in.

    Raises:
        TooManyFailures: when there were too many requests or flows of this visitor's network.
        RedirectError: when the answer cannot be made.
    """
    provider = services.provider
    if current is not None and pending.request.wants_more:
        async with provider.db.read() as session:
            signed_in = await flow.with_standing(session, pending.request, current.signed_in)
        current = replace(current, signed_in=signed_in)
    decision = _decide(services, visitor, pending, current)
    if isinstance(decision, Fail):
        return await refuse_request(services, pending, decision)
    if isinstance(decision, Respond):
        assert current is not None
        return await _answer(services, visitor, pending, current.signed_in)
    if not pending.token:
        if current is None:
            await services.limits.waiting_requests.take(visitor.ip_address)
        pending = await store_request(services, visitor, pending)
    if isinstance(decision, CreateAccount):
        return RegistrationNeeded(pending)
    if isinstance(decision, SignIn):
        return SignInNeeded(pending, current if decision.again else None)
    assert current is not None
    if isinstance(decision, FactorNeeded):
        return await _ask_for_factor(services, visitor, pending, current, decision)
    return await _step_of_person(services, visitor, pending, current, decision)


def _decide(
    services: SignInServices, visitor: Visitor, pending: PendingRequest, current: CurrentAccount | None
) -> Decision:
    signed_in = current.signed_in if current is not None else None
    decision = flow.next_step(services.provider, pending.request, signed_in, pending.progress, visitor.ip_address)
    if not isinstance(decision, (Respond, Consent, NotAllowed)) or not must_choose(visitor, pending, current):
        return decision
    if "none" in pending.request.prompt:
        return Fail("account_selection_required", "The person must choose an account.")
    return SelectAccount()


def must_choose(visitor: Visitor, pending: PendingRequest, current: CurrentAccount | None) -> bool:
    """Tell whether the person must say which account is meant: the session of the present account has ended; or a
    sandbox is used at a browser with several accounts, of which one may be a test user's."""
    if "select_account" in pending.progress.done:
        return False
    if current is not None and current.must_choose:
        return True
    silent = "none" in pending.request.prompt
    return pending.request.client.sandbox and len(visitor.session_tokens) > 1 and not silent


async def allowed_groups(db: Database, client: Client) -> dict[str, Group]:
    """Return the units and groups whose members may use an application, by code: for the page of those who may not."""
    codes = groups_in(client.meta.allowed_roles)
    if not codes:
        return {}
    async with db.read() as session:
        return await tree.of_codes(session, codes)


async def _step_of_person(
    services: SignInServices,
    visitor: Visitor,
    pending: PendingRequest,
    current: CurrentAccount,
    decision: Decision,
) -> NextStep:
    """Return the step that a person must do who is signed in."""
    if isinstance(decision, NotAllowed):
        groups = (
            await allowed_groups(services.provider.db, pending.request.client) if decision.why is Demand.ROLE else {}
        )
        return AccessRefused(pending, current, decision.why, groups)
    if isinstance(decision, NotInvited):
        return AccessRefused(pending, current, Demand.INVITATION)
    if isinstance(decision, CheckIdentity):
        return IdentityCheckNeeded(pending, current, decision.level)
    if isinstance(decision, SelectAccount):
        async with services.provider.db.read() as session:
            accounts = await accounts_of_browser(services.provider.idle, session, visitor)
        others = [account for account in accounts if account.session.id != current.signed_in.session.id]
        return AccountChooser(pending, current, others)
    assert isinstance(decision, Consent)
    return ConsentNeeded(pending, current, decision.scopes - current.signed_in.consented)


async def _ask_for_factor(
    services: SignInServices,
    visitor: Visitor,
    pending: PendingRequest,
    current: CurrentAccount,
    decision: FactorNeeded,
) -> NextStep:
    """Ask a person who is signed in for the second factor alone; continue without it where it is voluntary and the
    person has none."""
    live = current.signed_in.session
    async with services.provider.db.read() as session:
        user = await session.get(User, current.signed_in.user.id)
    assert user is not None
    authenticated = Authenticated(user, live.acr, live.amr, live.auth_time)
    reason: Reason = "wished" if decision.wished else "asked"
    options = SignInOptions(i=pending.token)
    begun = await begin_second_factor(services, visitor, authenticated, reason, decision.level, options)
    if begun is not None:
        return begun
    return await continue_request(services, visitor, pending.with_done("step_up"), current)


async def _answer(
    services: SignInServices, visitor: Visitor, pending: PendingRequest, signed_in: SignedIn
) -> RequestAnswered:
    """Answer the application in a transaction: where nothing else is written, on the prepared path."""
    provider = services.provider
    if pending.token or _is_use_due(services, signed_in):
        async with provider.db.write() as session:
            return await answer_request(services, session, visitor, pending, signed_in)
    request, address = pending.request, visitor.ip_address
    answer = await provider.db.run_write(
        lambda work: flow.answer(work, request, signed_in, address), single=flow.is_single(request)
    )
    return _answered(services, pending, signed_in, answer)


async def answer_request(
    services: SignInServices, session: AsyncSession, visitor: Visitor, pending: PendingRequest, signed_in: SignedIn
) -> RequestAnswered:
    """Answer the application, within the transaction of ``session``.

    Raises:
        RedirectError: when the session ended this very moment, or there is no key to encrypt with.
    """
    if _is_use_due(services, signed_in):
        await sessions.touch(session, services.settings, signed_in.session.id, clock.now())
    answer = await flow.respond(session, pending.request, signed_in, visitor.ip_address)
    if pending.waiting is not None:
        await stored_requests.end_request(session, pending.token, pending.waiting)
    return _answered(services, pending, signed_in, answer)


def _is_use_due(services: SignInServices, signed_in: SignedIn) -> bool:
    """Tell whether the use of the session is to be recorded: it was last recorded some time ago."""
    return clock.now() - signed_in.session.last_seen_at >= services.settings.session_last_seen_interval


def _answered(
    services: SignInServices, pending: PendingRequest, signed_in: SignedIn, answer: AuthorizationResponse
) -> RequestAnswered:
    """Count an answer, and return it."""
    usage, client = services.provider.usage, pending.request.client
    note("client_id", client.client_id)
    note("endpoint", pending.request.protocol.path)
    usage.count("authorize", client.client_id)
    if pending.request.redirect_uri in client.meta.redirect_uris:
        usage.count("returned", client.client_id, pending.request.redirect_uri)
    return RequestAnswered(answer, signed_in.session.id)


async def refuse_request(services: SignInServices, pending: PendingRequest, refusal: Fail) -> RequestAnswered:
    """Tell the application that it cannot have what it asked for."""
    note("client_id", pending.request.client.client_id)
    note("endpoint", pending.request.protocol.path)
    note("outcome", refusal.error)
    if pending.waiting is not None:
        async with services.provider.db.write() as session:
            await stored_requests.end_request(session, pending.token, pending.waiting)
    return RequestAnswered(flow.error_answer(services.provider.settings, (pending.request, refusal)))
