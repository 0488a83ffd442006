"""Pages of developers: applications of teams."""

from __future__ import annotations

from sso.http.developer import (
    applications,
    diagnosis,
    docs,
    overview,
    playground,
    quick_start,
    request_log,
    roles,
    rp_check,
    sample,
    secrets,
    settings,
    team,
    webhooks,
)

routers = (
    applications.router,
    overview.router,
    settings.router,
    team.router,
    roles.router,
    secrets.router,
    webhooks.router,
    diagnosis.router,
    quick_start.router,
    docs.router,
    sample.router,
    request_log.router,
    playground.router,
    rp_check.router,
)
"""The routers of these pages, in the order in which their routes are tried."""
