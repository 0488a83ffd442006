"""Schemas of the API: webhooks."""

from __future__ import annotations

import uuid
from datetime import datetime
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from sso.http.api.paging import Page
from sso.http.api.schemas.base import ResponseModel

EventType = Annotated[str, Field(max_length=64, pattern=r"^(\*|[a-z_]+(\.[a-z_]+)+)$")]


class Webhook(ResponseModel):
    """A server that receives events."""

    id: uuid.UUID
    url: str
    events: list[str]
    description: str
    enabled: bool = Field(description="False after the server answered 410.")
    created_at: datetime
    updated_at: datetime


class WebhookCreate(BaseModel):
    """The server that receives events, and their types."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [
                {"url": "https://siem.tangerangkota.example/sso", "events": ["session.ended", "user.disabled"]}
            ]
        },
    )

    url: Annotated[str, Field(max_length=2000)]
    events: Annotated[list[EventType], Field(min_length=1, max_length=100)] = Field(
        description='Event types of the audit log, such as `session.ended`; `"*"`: all.'
    )
    description: Annotated[str, Field(max_length=200, pattern=r"^[^\x00-\x1f\x7f]*$")] = ""


class WebhookWithSecret(ResponseModel):
    """A webhook with its secret (`whsec_` and the key in base64). The secret is shown once."""

    webhook: Webhook
    secret: str


class WebhookPage(Page[Webhook]):
    """A page of webhooks."""
