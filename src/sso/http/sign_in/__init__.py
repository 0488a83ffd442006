"""Pages of signing in: sign-in, second factor, consent, sign-up, recovery, devices, signing out."""

from __future__ import annotations

from sso.accounts.sign_in.current_account import AccountLocked
from sso.accounts.sign_in.pending_request import RequestExpired
from sso.errors import Refusal
from sso.http.common.errors import ErrorPage
from sso.http.sign_in import (
    account_chooser,
    account_selection,
    authorize,
    consent,
    device,
    login,
    logout,
    more_data,
    recovery,
    recovery_codes,
    recovery_links,
    second_factor,
    second_way,
    sign_up,
    user_invitation,
)

routers = (
    authorize.router,
    login.router,
    account_selection.router,
    consent.router,
    second_factor.router,
    sign_up.router,
    second_way.router,
    more_data.router,
    recovery_codes.router,
    user_invitation.router,
    recovery.router,
    recovery_links.router,
    logout.router,
    device.router,
)
"""The routers of these pages, in the order in which their routes are tried."""

error_pages: dict[type[Refusal], ErrorPage] = {
    AccountLocked: account_chooser.on_account_locked,
    RequestExpired: authorize.on_request_expired,
}
"""The refusals of use cases that lead to a page of their own."""
