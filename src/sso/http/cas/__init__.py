"""The CAS protocol over HTTP: the login page, the validation of tickets, signing out."""

from __future__ import annotations

from sso.http.cas import login, logout, validation

routers = (validation.router, login.router, logout.router)
"""The routers of these endpoints, in the order in which their routes are tried."""
