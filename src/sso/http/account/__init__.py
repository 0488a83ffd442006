"""Pages of the signed-in user: home, applications, profile, contacts, security, sessions, data."""

from __future__ import annotations

from sso.accounts.own_account import SessionEnded
from sso.errors import Refusal
from sso.http.account import (
    access,
    activity,
    applications,
    authenticator_app,
    connected_applications,
    contact_code,
    contacts,
    data,
    deletion,
    help_pages,
    home,
    legal,
    notifications,
    overview,
    profile,
    roles_and_groups,
    security,
    sessions,
)
from sso.http.common.errors import ErrorPage

routers = (
    home.router,
    applications.router,
    overview.router,
    profile.router,
    contacts.router,
    contact_code.router,
    security.router,
    authenticator_app.router,
    sessions.router,
    connected_applications.router,
    roles_and_groups.router,
    activity.router,
    notifications.router,
    data.router,
    deletion.router,
    legal.router,
    help_pages.router,
)
"""The routers of these pages, in the order in which their routes are tried."""
error_pages: dict[type[Refusal], ErrorPage] = {SessionEnded: access.on_session_ended}
"""The refusals of use cases that lead to a page of their own."""
