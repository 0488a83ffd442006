"""Every resource of the API, in the order in which the documentation lists them."""

from __future__ import annotations

from sso.http.api import (
    about,
    application_team,
    application_webhooks,
    applications,
    attributes,
    audit,
    clients,
    deliveries,
    employees,
    grants,
    group_members,
    groups,
    identity_checks,
    role_assignments,
    sessions,
    settings,
    user_invitations,
    users,
    webhooks,
)

RESOURCES = (
    sessions.router,
    users.router,
    attributes.router,
    user_invitations.router,
    identity_checks.router,
    employees.router,
    groups.router,
    group_members.router,
    clients.router,
    applications.router,
    application_team.router,
    role_assignments.router,
    application_webhooks.router,
    grants.router,
    deliveries.router,
    webhooks.router,
    audit.router,
    settings.router,
    about.router,
)
