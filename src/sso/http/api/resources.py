"""Every resource of the API, in the order in which the documentation lists them."""

from __future__ import annotations

from sso.http.api import (
    about,
    application_team,
    application_webhooks,
    applications,
    audit,
    clients,
    deliveries,
    grants,
    identity_checks,
    sessions,
    settings,
    user_invitations,
    users,
    webhooks,
)

RESOURCES = (
    sessions.router,
    users.router,
    user_invitations.router,
    identity_checks.router,
    clients.router,
    applications.router,
    application_team.router,
    application_webhooks.router,
    grants.router,
    deliveries.router,
    webhooks.router,
    audit.router,
    settings.router,
    about.router,
)
