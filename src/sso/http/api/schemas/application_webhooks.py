"""Schemas of the API: webhooks of the team of an application."""

from __future__ import annotations

import uuid
from datetime import datetime
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from sso.http.api.schemas.base import ResponseModel

EventName = Annotated[str, Field(max_length=64, pattern=r"^[a-z_]+(\.[a-z_]+)+$")]


class ApplicationWebhook(ResponseModel):
    """An address of a team that receives events of its application."""

    id: uuid.UUID
    url: str
    events: list[str]
    enabled: bool
    disabled_reason: str | None = Field(description="`gone`: the server answered 410; `failing`: for 3 days.")
    failing_since: datetime | None
    created_at: datetime
    updated_at: datetime


class ApplicationWebhookCreate(BaseModel):
    """The address that receives events, and the types of events."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [
                {
                    "url": "https://antrean.tangerangkota.example/events",
                    "events": ["secret.expires_soon", "application.approved"],
                }
            ]
        },
    )

    url: Annotated[str, Field(max_length=1000)]
    events: Annotated[list[EventName], Field(min_length=1, max_length=50)] = Field(
        description="Types of events, such as `application.approved`. See the developer manual."
    )


class ApplicationWebhookWithSecret(ResponseModel):
    """A webhook with its secret (`whsec_` and the key in base64). The secret is shown once."""

    webhook: ApplicationWebhook
    secret: str


class ApplicationWebhookDelivery(ResponseModel):
    """An event that was sent to a webhook of a team, or is waiting."""

    id: uuid.UUID
    webhook_id: uuid.UUID
    type: str
    status: str
    attempts: int
    failure: str | None = Field(description="The status that the server answered with, or `no answer`.")
    created_at: datetime
    finished_at: datetime | None
