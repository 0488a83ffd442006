"""The protocol endpoints over HTTP."""

from __future__ import annotations

from sso.http.protocol import check_session, endpoints, health, registration, ssf, well_known

routers = (
    endpoints.router,
    check_session.router,
    registration.router,
    ssf.router,
    health.router,
    well_known.router,
)
"""The routers of these endpoints, in the order in which their routes are tried."""
