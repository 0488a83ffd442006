"""Schemas of the API: roles of applications, role assignments and access reviews."""

from __future__ import annotations

import uuid
from datetime import datetime
from typing import Annotated, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from sso.http.api.paging import Page
from sso.http.api.schemas.base import ResponseModel

Reason = Annotated[
    str, Field(min_length=1, max_length=500, pattern=r"^[^\x00-\x1f\x7f]*\S[^\x00-\x1f\x7f]*$", description="Why.")
]
RoleText = Annotated[str, Field(min_length=1, max_length=64, description="The name of the role, as tokens have it.")]


class ApplicationRole(ResponseModel):
    """A role that an application defines."""

    name: str
    title: str = Field(description="In Indonesian.")
    title_en: str | None = None
    description: str | None = None
    description_en: str | None = None
    units_give: Literal["no", "limited", "whole"] = Field(
        description="Whether administrators of units give the role: `limited` to one of their units, or `whole` too."
    )


class NewRoleAssignment(BaseModel):
    """A role that is given to a user or to a group."""

    model_config = ConfigDict(extra="forbid", str_strip_whitespace=True)

    role: RoleText
    user_id: uuid.UUID | None = None
    group_id: uuid.UUID | None = Field(None, description="A unit or group.")
    with_units_below: bool = Field(False, description="The members of the units below the unit have the role too.")
    unit_id: uuid.UUID | None = Field(None, description="The role is limited to this unit.")
    valid_from: AwareDatetime | None = None
    valid_until: AwareDatetime | None = None


class RoleAssignmentsCreate(BaseModel):
    """Roles of one application that are given, all of them or none."""

    model_config = ConfigDict(
        extra="forbid",
        str_strip_whitespace=True,
        json_schema_extra={
            "examples": [
                {
                    "client_id": "antrean",
                    "reason": "Surat tugas 800/123",
                    "assignments": [{"role": "operator", "user_id": "01980000-0000-7000-8000-000000000001"}],
                }
            ]
        },
    )

    client_id: Annotated[str, Field(min_length=1, max_length=100)]
    reason: Reason
    assignments: Annotated[list[NewRoleAssignment], Field(min_length=1, max_length=100)]


class RoleChange(BaseModel):
    """The reason of a change."""

    model_config = ConfigDict(extra="forbid", str_strip_whitespace=True)

    reason: Reason


class RoleAssignment(ResponseModel):
    """A role that a user, or every member of a group, has in an application."""

    id: uuid.UUID
    client_id: str
    role: str
    user_id: uuid.UUID | None
    user_name: str | None
    group_id: uuid.UUID | None
    group_code: str | None
    with_units_below: bool
    unit_id: uuid.UUID | None
    unit_code: str | None = Field(description="The unit that the role is limited to: tokens have `role@CODE`.")
    valid_from: datetime | None
    valid_until: datetime | None
    reason: str
    given_by: str
    created_at: datetime
    confirmed_at: datetime | None = Field(description="When an access review last confirmed it.")
    ended_by: str | None
    end_reason: str | None


class RoleAssignmentPage(Page[RoleAssignment]):
    """A page of role assignments."""


class RoleAssignmentList(ResponseModel):
    """Role assignments that were made together."""

    items: list[RoleAssignment]


class AccessReviewCreate(BaseModel):
    """An access review of an application that is started."""

    model_config = ConfigDict(extra="forbid", str_strip_whitespace=True)

    client_id: Annotated[str, Field(min_length=1, max_length=100)]
    ends_at: AwareDatetime = Field(description="The last moment to confirm.")
    reason: Reason


class AccessReview(ResponseModel):
    """A review of who has which role of an application."""

    id: uuid.UUID
    client_id: str
    status: Literal["running", "done", "cancelled"]
    reason: str
    started_by: str
    started_at: datetime
    ends_at: datetime
    finished_at: datetime | None
    unconfirmed: int | None = Field(
        description="How many assignments are not confirmed; of a finished review: were not confirmed."
    )
    ended_unconfirmed: bool = Field(description="What was not confirmed has ended.")
