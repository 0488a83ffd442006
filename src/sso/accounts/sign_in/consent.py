"""Consent to an application, and the choice of an account for it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from sqlalchemy.ext.asyncio import AsyncSession

from sso.accounts.languages import page_language
from sso.accounts.sign_in.current_account import CurrentAccount, account_with, accounts_of_browser, check_lock
from sso.accounts.sign_in.next_step import answer_request, continue_request
from sso.accounts.sign_in.pending_request import PendingRequest, mark_done
from sso.accounts.sign_in.results import NextStep
from sso.accounts.sign_in.services import SignInServices
from sso.identity.notifications import notify
from sso.identity.sessions import store as sessions
from sso.identity.users.models import User
from sso.oidc.authorize import request as flow
from sso.oidc.authorize.decision import Respond
from sso.oidc.authorize.signed_in import SignedIn
from sso.platform.visitor import Visitor


async def give_consent(
    services: SignInServices, visitor: Visitor, pending: PendingRequest, current: CurrentAccount
) -> NextStep:
    """Record that the person allows what the application asks for, and continue: where nothing else is needed, in the
    same transaction."""
    provider, signed_in = services.provider, current.signed_in
    async with provider.db.write() as session:
        await sessions.lock(session, *sessions.where_not_ended([signed_in.session.id]))
        await flow.allow(session, pending.request, signed_in, visitor.stored_ip_address, visitor.request_id)
        await _notify(services, session, pending, signed_in)
        signed_in = replace(signed_in, consented=signed_in.consented | pending.request.permissions)
        signed_in = await flow.with_standing(session, pending.request, signed_in)
        progress = pending.with_done("consent").progress
        decision = flow.next_step(provider, pending.request, signed_in, progress, visitor.ip_address)
        if isinstance(decision, Respond):
            return await answer_request(services, session, visitor, pending, signed_in)
    pending = await mark_done(services, visitor, pending, "consent")
    return await continue_request(services, visitor, pending, replace(current, signed_in=signed_in))


async def _notify(
    services: SignInServices, session: AsyncSession, pending: PendingRequest, signed_in: SignedIn
) -> None:
    """Notify the person that an application may have more of their data now."""
    user = await session.get(User, signed_in.user.id)
    if user is None or pending.request.permissions <= signed_in.consented:
        return
    name = pending.request.client.name(page_language(user.locale, services.settings.default_locale))
    notify(session, services.provider, user, "application_connected", what=name)
    services.worker.nudge()


@dataclass(frozen=True, slots=True)
class AccountSelected:
    """An account was chosen. ``tokens`` are the cookie values of the accounts of this browser, in their new order."""

    next_step: NextStep
    tokens: Sequence[str]


async def select_account(
    services: SignInServices, visitor: Visitor, pending: PendingRequest, session_id: str
) -> AccountSelected | None:
    """Continue as another account of this browser; None: there is no account with this session.

    Raises:
        AccountLocked: when the account is locked.
    """
    provider = services.provider
    async with provider.db.read() as session:
        accounts = await accounts_of_browser(provider.idle, session, visitor)
        chosen = account_with(accounts, session_id)
        if chosen is None:
            return None
        check_lock(chosen.person)
        signed_in = SignedIn(chosen.session, chosen.person, frozenset())
        signed_in = await flow.with_consent(session, pending.request.client, signed_in)
    pending = await mark_done(services, visitor, pending, "select_account")
    next_step = await continue_request(services, visitor, pending, CurrentAccount(signed_in, chosen.token))
    others = [account.token for account in accounts if account is not chosen]
    return AccountSelected(next_step, [chosen.token, *others])
