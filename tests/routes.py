"""Every route of the application, those of areas that are imported at their first request too."""

from __future__ import annotations

from sso.app import every_router

ROUTERS = every_router()
