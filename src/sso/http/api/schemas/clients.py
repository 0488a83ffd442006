"""Schemas of the API: clients."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, JsonValue

from sso.http.api.paging import Page
from sso.http.api.schemas.base import ResponseModel

ClientId = Annotated[str, Field(min_length=2, max_length=100, pattern=r"^[A-Za-z0-9][A-Za-z0-9._~-]*$")]


_EXAMPLE: dict[str, JsonValue] = {
    "client_id": "e-antrean",
    "metadata": {
        "type": "web",
        "client_name": "e-Antrean",
        "group": "E-Kesehatan",
        "first_party": True,
        "redirect_uris": ["https://antrean.tangerangkota.example/callback"],
        "backchannel_logout_uri": "https://antrean.tangerangkota.example/logout",
    },
}


class Client(ResponseModel):
    """A registered client."""

    client_id: str
    status: Literal["active", "suspended"]
    catalogue: str = Field(description="Where the client is managed: `api`, or the name of a catalogue file.")
    name: str
    group: str | None
    relaxed: list[str] = Field(description="The strict rules that do not apply to the client.")
    warnings: list[str] = Field(description="Valid values that are probably mistakes, such as a misspelt scope.")
    metadata: dict[str, JsonValue] = Field(description="The registered metadata; see docs/reference/clients.md.")
    created_at: datetime
    updated_at: datetime


class ClientCreate(BaseModel):
    """A new client."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [_EXAMPLE]})

    client_id: ClientId
    metadata: dict[str, JsonValue] = Field(description="See docs/reference/clients.md.")


class ClientUpdate(BaseModel):
    """The metadata that replaces the registered metadata."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"metadata": _EXAMPLE["metadata"]}]})

    metadata: dict[str, JsonValue] = Field(description="See docs/reference/clients.md.")
    accept_new_subjects: Annotated[str, Field(max_length=100)] = Field(
        "", description="The client_id, to accept that the `sub` of every user changes."
    )


class ClientWithSecret(ResponseModel):
    """A new client with its secret. The secret is shown once."""

    client: Client
    client_secret: str | None


class ClientSecretCreate(BaseModel):
    """How long earlier secrets stay valid."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"overlap_seconds": 86400}]})

    overlap_seconds: Annotated[int, Field(ge=0, le=90 * 86400)] = Field(
        0, description="How long earlier secrets stay valid, in seconds."
    )


class ClientSecret(ResponseModel):
    """A client secret. It is shown once."""

    client_id: str
    client_secret: str


class ClientSuspendRequest(BaseModel):
    """How a client is suspended."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"end_sessions": False}]})

    end_sessions: bool = Field(
        False,
        description=(
            "true: end every session that has a client session of this client, for all "
            "applications. false: end only its client sessions."
        ),
    )


class Privilege(ResponseModel):
    """An administration scope, or restricted data, that was granted to a client."""

    privilege: str = Field(description="The scope: of a permission, such as `sso:users:read`, or `nik`.")
    without_person: bool = Field(description="Whether it also applies to tokens without a user.")
    granted_by: str
    granted_at: datetime
    reason: str
    revoked_at: datetime | None = Field(description="null: it is active.")
    revoked_by: str | None
    revoked_reason: str | None


class PrivilegeCreate(BaseModel):
    """A privilege to grant."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={"examples": [{"privilege": "sso:users:read", "reason": "The helpdesk looks people up."}]},
    )

    privilege: Annotated[str, Field(min_length=1, max_length=60, pattern=r"^[a-z_:]+$")]
    reason: Annotated[str, Field(min_length=1, max_length=500, pattern=r"^[^\x00-\x1f\x7f]+$")]
    without_person: bool = Field(
        False, description="Whether it also applies to tokens without a user, such as those of `client_credentials`."
    )


class PrivilegeRevokeRequest(BaseModel):
    """The reason for revoking a privilege."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"reason": "The project is over."}]})

    reason: Annotated[str, Field(min_length=1, max_length=500, pattern=r"^[^\x00-\x1f\x7f]+$")]


class ClientPage(Page[Client]):
    """A page of clients."""
