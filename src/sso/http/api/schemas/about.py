"""Schemas of the API: about."""

from __future__ import annotations

import uuid

from sso.http.api.schemas.base import ResponseModel


class Caller(ResponseModel):
    """The caller: the application, the user if there is one, and their permissions."""

    client_id: str
    user_id: uuid.UUID | None
    scopes: list[str]
    roles: list[str]
    permissions: list[str]


class Permission(ResponseModel):
    """A permission, the scope that it needs, and the roles that have it."""

    name: str
    scope: str
    meaning: str
    dangerous: bool
    roles: list[str]
