"""Schemas of the API: grants."""

from __future__ import annotations

import uuid
from datetime import datetime

from pydantic import Field

from sso.http.api.paging import Page
from sso.http.api.schemas.base import ResponseModel


class Grant(ResponseModel):
    """An authorization of an application by a user, with all its tokens."""

    id: uuid.UUID
    client_id: str
    user_id: uuid.UUID
    session_id: uuid.UUID | None
    scope: str
    offline: bool = Field(description="The grant outlives the session (`offline_access`).")
    signed_in_at: datetime
    acr: str
    created_at: datetime
    expires_at: datetime


class GrantPage(Page[Grant]):
    """A page of grants."""
