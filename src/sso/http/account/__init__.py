"""Pages of the signed-in person: home, applications, profile, security, sessions."""

from __future__ import annotations

from sso.http.account import applications, home, legal, profile, security, sessions

routers = (
    home.router,
    applications.router,
    profile.router,
    security.router,
    sessions.router,
    legal.router,
)
"""The routers of these pages, in the order in which their routes are tried."""
