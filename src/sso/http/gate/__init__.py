"""The endpoints of the forward authentication gate."""

from __future__ import annotations

from sso.http.gate import checks, own_paths

routers = (checks.router, own_paths.router)
"""The routers of these endpoints, in the order in which their routes are tried."""
