"""Every resource of the API, in the order in which the documentation lists them."""

from __future__ import annotations

from sso.http.api import (
    applications,
    audit,
    clients,
    deliveries,
    grants,
    sessions,
    users,
    webhooks,
)
from sso.http.api import (
    identity_checks as citizens,
)
from sso.http.api import (
    openapi as about,
)

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
