"""Signing a user in who has just recovered the account, and going on to the application."""

from __future__ import annotations

from dataclasses import replace

from sso.accounts.sign_in.current_account import CurrentAccount
from sso.accounts.sign_in.devices import is_new_device
from sso.accounts.sign_in.options import SignInOptions
from sso.accounts.sign_in.pending_request import PendingRequest
from sso.accounts.sign_in.results import SignInResult
from sso.accounts.sign_in.second_factor import begin_second_factor
from sso.accounts.sign_in.services import SignInServices
from sso.accounts.sign_in.start import start_session
from sso.identity.authn.assurance import ACR_PASSWORD, as_good_as
from sso.identity.authn.authenticated import Authenticated
from sso.identity.authn.second_factor_policy import Situation, factor_due
from sso.identity.users import store as users
from sso.oidc.authorize import request as flow
from sso.platform.visitor import Visitor


async def sign_in_after_recovery(
    services: SignInServices,
    visitor: Visitor,
    authenticated: Authenticated,
    options: SignInOptions,
    *,
    pending: PendingRequest | None,
    before: CurrentAccount | None,
) -> SignInResult:
    """Begin the second factor that the account, a role or the application needs; otherwise start the session and
    continue with the authorization request.

    A browser that is new to the user is no reason for a code here: the recovery has just verified a contact.

    Args:
        services: what is needed.
        visitor: the browser.
        authenticated: the user, and how the recovery authenticated them.
        options: where the user wants to go.
        pending: the authorization request; None: no application asked, or its request has expired.
        before: the account that is signed in at this browser.

    Raises:
        TooManyFailures: when too many flows or requests were stored because of this visitor.
        RedirectError: when the application cannot be answered.
    """
    provider, settings = services.provider, services.settings
    async with provider.db.read() as session:
        roles = await users.roles_of(session, authenticated.user.id)
        credentials = await users.credentials_of(session, authenticated.user.id)
    level = flow.needed_level(pending.request) if pending is not None else ACR_PASSWORD
    situation = Situation(frozenset(credential.kind for credential in credentials), frozenset(roles))
    due = factor_due(situation, level, settings.second_factor_roles, "none")
    options = replace(options, is_new=await is_new_device(provider.db, visitor, authenticated.user))
    if due is not None and authenticated.acr not in as_good_as(due[1]):
        begun = await begin_second_factor(services, visitor, authenticated, *due, options)
        if begun is not None:
            return begun
    return await start_session(services, visitor, authenticated, options, pending=pending, before=before)
