"""REST API v1 for administration, at /api/v1: sessions, users, applications, grants, deliveries, webhooks, audit log.

A route reads the request, calls a use case, and returns a model. Its permission stands where it is declared.
"""

from __future__ import annotations

from sso.http.api import openapi
from sso.http.api.resources import RESOURCES

routers = (*RESOURCES, openapi.router)
"""The routers of the API, its description included."""
