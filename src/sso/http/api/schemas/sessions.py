"""Schemas of the API: sessions."""

from __future__ import annotations

import uuid
from datetime import datetime
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from sso.http.api.paging import Page
from sso.http.api.schemas.base import ResponseModel
from sso.identity.sessions.reasons import EndReason
from sso.identity.sessions.store import NotifiedBy
from sso.logout.delivery_report import State

Note = Annotated[
    str, Field(max_length=200, pattern=r"^[^\x00-\x1f\x7f]*$", description="The reason, for the audit log.")
]


class UserSummary(ResponseModel):
    """A user: id and name."""

    id: uuid.UUID
    name: str


class Device(ResponseModel):
    """The device, as the browser describes it."""

    browser: str
    system: str
    model: str


Reason = Annotated[str, Field(json_schema_extra={"enum": [str(reason) for reason in EndReason]})]
"""Why a session ended. A newer release may add reasons."""


class ClientSession(ResponseModel):
    """A client session: the part of a session that belongs to one application."""

    client_id: str
    name: str
    sid: str = Field(description="The session ID that the application received (`sid`).")
    first_used_at: datetime
    last_used_at: datetime
    ended_at: datetime | None = Field(
        description="Set when the client session ended before the session: the application was suspended or removed."
    )


class Session(ResponseModel):
    """A session: a user who is signed in with a browser."""

    id: uuid.UUID
    person: UserSummary
    status: Literal["active", "ended"]
    started_at: datetime
    signed_in_at: datetime = Field(description="When the user last authenticated (`auth_time`).")
    last_used_at: datetime
    expires_at: datetime
    remembered: bool
    acr: str
    amr: list[str]
    address: str | None = Field(description="The IP address in the form in which it is stored.")
    device: Device
    applications: list[ClientSession]
    ended_at: datetime | None
    end_reason: Reason | None


class ClientNotification(ResponseModel):
    """The notification of one application in a delivery report."""

    client_id: str
    name: str
    how: NotifiedBy
    state: State
    notified_at: datetime | None
    confirmed_at: datetime | None
    attempts: int
    failure: str | None


class DeliveryReport(ResponseModel):
    """The delivery report of an ended session: which applications were notified, and which confirmed."""

    session_id: uuid.UUID
    person: UserSummary
    ended_at: datetime
    reason: Reason
    open: int = Field(description="The number of applications that are not notified yet.")
    seconds_to_last_confirmation: float | None = Field(
        description=(
            "The seconds from the end to the last confirmation; null until every application that "
            "can confirm has confirmed."
        )
    )
    applications: list[ClientNotification]


class SessionEndRequest(BaseModel):
    """The reason for ending a session."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"note": "The phone was stolen."}]})

    note: Note = ""


class SessionEndingCreate(BaseModel):
    """The sessions to end: exactly one of the four members."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"examples": [{"client_id": "e-puskesmas", "note": "A leak of its keys."}]}
    )

    user_id: uuid.UUID | None = None
    client_id: Annotated[str, Field(max_length=100)] | None = None
    network: (
        Annotated[str, Field(max_length=45, description="An IP address, or a network in CIDR notation.")] | None
    ) = None
    everything: Literal[True] | None = None
    note: Note = ""

    @model_validator(mode="after")
    def _names_one_target(self) -> Self:
        if sum(member is not None for member in (self.user_id, self.client_id, self.network, self.everything)) != 1:
            raise ValueError("name exactly one of user_id, client_id, network and everything")
        return self


class SessionEnding(ResponseModel):
    """A bulk revocation: many sessions that end in the background."""

    id: uuid.UUID
    what: Literal["sessions", "client_sessions"] = Field(
        description="`client_sessions`: only the client sessions of the application."
    )
    status: Literal["running", "stopped", "done"]
    user_id: uuid.UUID | None
    client_id: str | None
    network: str | None
    reason: Reason
    actor: str
    total: int
    ended: int
    created_at: datetime
    finished_at: datetime | None


class SessionPage(Page[Session]):
    """A page of sessions."""


class SessionEndingPage(Page[SessionEnding]):
    """A page of bulk revocations of sessions."""
