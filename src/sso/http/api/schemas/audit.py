"""Schemas of the API: audit."""

from __future__ import annotations

import uuid
from datetime import datetime
from typing import Literal

from pydantic import Field, JsonValue

from sso.http.api.paging import Page
from sso.http.api.schemas.base import ResponseModel


class AuditEvent(ResponseModel):
    """An event of the audit log."""

    id: uuid.UUID
    seq: int | None = Field(
        description="The place in the hash chain; null until the event is chained, seconds after it is recorded."
    )
    at: datetime
    type: str
    outcome: Literal["success", "failure"]
    actor: str | None
    subject: str | None
    client_id: str | None
    address: str | None = Field(description="The IP address in the form in which it is stored.")
    request_id: str | None
    data: dict[str, JsonValue]


class AuditEventPage(Page[AuditEvent]):
    """A page of audit events."""
