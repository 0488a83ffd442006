"""Schemas of the API: deliveries."""

from __future__ import annotations

import uuid
from datetime import datetime

from pydantic import Field

from sso.http.api.paging import Page
from sso.http.api.schemas.base import ResponseModel
from sso.platform.outbox.models import DeliveryKind, DeliveryStatus


class Delivery(ResponseModel):
    """A message to an application, a server or a user. The content is not shown: it may be personal data."""

    id: uuid.UUID
    kind: DeliveryKind
    status: DeliveryStatus = Field(
        description="`held`: the delivery waits until it is fetched, or until a paused stream resumes. `skipped`: it "
        "has no receiver: no contact is known, or the receiver does not want it."
    )
    client_id: str | None
    session_id: uuid.UUID | None
    receiver: str | None
    attempts: int
    created_at: datetime
    first_attempt_at: datetime | None
    next_attempt_at: datetime | None
    finished_at: datetime | None
    last_error: str | None


class DeliveryPage(Page[Delivery]):
    """A page of deliveries."""
