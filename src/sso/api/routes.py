"""Every resource of the API, in the order in which the documentation lists them."""

from __future__ import annotations

from sso.api import about, applications, audit, citizens, clients, deliveries, grants, sessions, users, webhooks

routers = (
    sessions.router,
    users.router,
    citizens.router,
    clients.router,
    applications.router,
    grants.router,
    deliveries.router,
    webhooks.router,
    audit.router,
    about.router,
)
