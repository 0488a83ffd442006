"""Schemas of the API: invitations of users."""

from __future__ import annotations

import uuid
from datetime import datetime
from typing import Annotated

from pydantic import ConfigDict, Field

from sso.accounts.user_invitations import InvitedUser
from sso.http.api.paging import Page
from sso.http.api.schemas.base import ResponseModel


class UserInvitation(ResponseModel):
    """An invitation that waits. The link that was sent is not shown."""

    id: uuid.UUID
    name: str
    email: str
    username: str | None
    roles: list[str]
    locale: str | None
    created_by: str = Field(description="The user ID or the client_id of the inviter.")
    created_at: datetime
    sent_at: datetime
    times_sent: int
    expires_at: datetime


class UserInvitationCreate(InvitedUser):
    """Who is invited, and the reason for the audit log."""

    model_config = ConfigDict(
        extra="forbid",
        str_strip_whitespace=True,
        json_schema_extra={"examples": [{"name": "Siti Rahmawati", "email": "siti@kota.example", "locale": "id"}]},
    )

    reason: Annotated[str, Field(max_length=500, pattern=r"^[^\x00-\x1f\x7f]*$")] = ""


class UserInvitationPage(Page[UserInvitation]):
    """A page of invitations."""
