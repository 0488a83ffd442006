"""Schemas of the API: applications."""

from __future__ import annotations

import uuid
from datetime import datetime
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, JsonValue

from sso.http.api.paging import Page
from sso.http.api.schemas.base import ResponseModel
from sso.portal.applications import Kind, State
from sso.portal.rp_check.results import Outcome

ApplicationId = Annotated[str, Field(min_length=1, max_length=60, pattern=r"^[a-z0-9]([a-z0-9-]*[a-z0-9])?$")]


_EXAMPLE: dict[str, JsonValue] = {
    "application_id": "antrean",
    "kind": "web",
    "document": {
        "client_name": "Antrean Puskesmas",
        "group": "E-Kesehatan",
        "contacts": ["tim@antrean.example"],
        "redirect_uris": ["https://antrean.example/callback"],
        "scope": "openid profile",
        "claim_reasons": {"name": "Nama di karcis antrean."},
    },
    "sandbox": {"redirect_uris": ["http://localhost:3000/callback"]},
}


class Application(ResponseModel):
    """An application that a team manages."""

    application_id: str = Field(description="The client_id in production.")
    sandbox_client_id: str
    state: State
    kind: Kind
    kept_by: str = Field(description="Where the application is managed: `team`, or the name of a catalogue file.")
    document: dict[str, JsonValue] = Field(description="What the team requests; see docs/reference/clients.md.")
    sandbox: dict[str, JsonValue] = Field(description="The metadata that differs in the sandbox.")
    granted: dict[str, JsonValue] = Field(description="The metadata that administrators decided.")
    changes: dict[str, tuple[JsonValue, JsonValue]] = Field(
        description="The changes that an approval brings to production: before and after."
    )
    missing: dict[str, str] = Field(description="The fields that production still needs, each with the reason.")
    warnings: list[str] = Field(description="Valid values that are probably mistakes, such as a misspelt scope.")
    checked: bool = Field(description="Whether this revision passed the relying-party check.")
    revision: int
    created_at: datetime
    updated_at: datetime
    submitted_at: datetime | None
    approved_at: datetime | None


class ApplicationSummary(ResponseModel):
    """An application in a list."""

    application_id: str
    name: str
    state: State
    kind: Kind
    group: str | None
    updated_at: datetime


class ApplicationCreate(BaseModel):
    """A new application."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [_EXAMPLE]})

    application_id: ApplicationId
    kind: Kind
    document: dict[str, JsonValue] = Field(default_factory=dict)
    sandbox: dict[str, JsonValue] = Field(default_factory=dict)
    draft: bool = Field(False, description="true: create a draft without a sandbox.")
    owner_id: uuid.UUID | None = Field(None, description="The owner; default: the user who calls.")


class ApplicationUpdate(BaseModel):
    """The metadata that replaces the requested metadata."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [{"document": _EXAMPLE["document"], "sandbox": _EXAMPLE["sandbox"], "revision": 1}]
        },
    )

    document: dict[str, JsonValue]
    sandbox: dict[str, JsonValue] = Field(default_factory=dict)
    revision: int = Field(
        ge=0, le=2**31 - 1, description="The revision that you read, so that no other change is lost."
    )


class ApplicationWithSecret(ResponseModel):
    """A new application with the secret of its sandbox. The secret is shown once."""

    application: Application
    client_secret: str | None


class ApplicationActionRequest(BaseModel):
    """An action of the team on its application."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"examples": [{"act": "submit", "text": "We begin in May."}]}
    )

    act: Literal["submit", "withdraw", "open_sandbox", "comment"]
    text: Annotated[str, Field(max_length=2000)] = ""
    accept_new_subjects: Annotated[str, Field(max_length=100)] = Field(
        "", description="For submit: the application_id, to accept that the `sub` of every user changes."
    )


class ApplicationReview(BaseModel):
    """The decision of an administrator."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={"examples": [{"decision": "approve", "revision": 3, "granted": {"first_party": True}}]},
    )

    decision: Literal["approve", "send_back"]
    text: Annotated[str, Field(max_length=2000)] = ""
    revision: int = Field(
        ge=0, le=2**31 - 1, description="The revision that was reviewed; the decision is about this revision only."
    )
    granted: dict[str, JsonValue] = Field(
        default_factory=dict, description="The metadata that only administrators decide."
    )
    accept_new_subjects: Annotated[str, Field(max_length=100)] = Field(
        "", description="For approve: the application_id, to accept that the `sub` of every user changes."
    )


class ApplicationActionResult(ResponseModel):
    """The application after an action, with the secret of its sandbox if the action opened it."""

    application: Application
    client_secret: str | None = None


class TeamMember(ResponseModel):
    """A member of a team."""

    user_id: uuid.UUID
    role: Literal["owner", "member"]
    since: datetime


class TeamMemberUpdate(BaseModel):
    """The role of a member in a team."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"role": "member"}]})

    role: Literal["owner", "member"]


class ApplicationSecretSummary(ResponseModel):
    """A client secret without its value."""

    id: uuid.UUID
    client_id: str
    hint: str | None = Field(description="The last four characters.")
    created_at: datetime
    expires_at: datetime | None
    last_used_at: datetime | None


class ApplicationSecretCreate(BaseModel):
    """A second secret beside the present one."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"examples": [{"environment": "sandbox", "valid_days": 365}]}
    )

    environment: Literal["sandbox", "production"]
    valid_days: Annotated[int, Field(ge=1, le=3650)] | None = Field(365, description="null: valid until it is revoked.")


class ApplicationSecret(ResponseModel):
    """A client secret. It is shown once."""

    client_id: str
    client_secret: str


class ApplicationMistake(ResponseModel):
    """A recent request of an application that was refused."""

    client_id: str
    code: str
    sent: dict[str, JsonValue]
    count: int
    first_at: datetime
    last_at: datetime


class RelyingPartyCheckCreate(BaseModel):
    """The page that the relying-party check opens."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"examples": [{"page": "https://uji.antrean.example/"}]}
    )

    page: Annotated[str, Field(max_length=2000)] = Field(
        "", description="A page of the sandbox that shows the signed-in user; empty: the page where a sign-in begins."
    )


class RelyingPartyCheckFinding(ResponseModel):
    """The outcome of one case. ``passed`` is right for ``honest``, ``refused`` for all others."""

    case: str
    outcome: Outcome
    detail: str


class RelyingPartyCheck(ResponseModel):
    """A relying-party check."""

    status: Literal["running", "done"]
    passed: bool
    revision: int = Field(description="The revision that was checked.")
    findings: list[RelyingPartyCheckFinding]
    created_at: datetime
    finished_at: datetime | None


class ApplicationPage(Page[ApplicationSummary]):
    """A page of applications."""
