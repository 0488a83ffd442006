"""Schemas of the API: units, groups and memberships."""

from __future__ import annotations

import uuid
from datetime import datetime
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from sso.http.api.paging import Page
from sso.http.api.schemas.base import ResponseModel
from sso.identity.groups.schemas import GroupChange, Kind, Moment, NewGroup, Position, Reason

REASON = "Why. It is recorded in the audit log."


class GroupReference(ResponseModel):
    """A unit or group, by its name."""

    id: uuid.UUID
    code: str
    name_id: str
    name_en: str | None


class Group(ResponseModel):
    """A unit of the tree, or a group without a parent."""

    id: uuid.UUID
    kind: Kind
    code: str = Field(description="Its name in tokens.")
    name_id: str = Field(description="Its name in Indonesian.")
    name_en: str | None = Field(description="Its name in English.")
    parent_id: uuid.UUID | None
    valid_from: datetime | None
    valid_until: datetime | None = Field(description="From then on nobody counts as its member.")
    created_at: datetime
    updated_at: datetime


class GroupWithPath(Group):
    """A unit or group with the units above it."""

    path: list[GroupReference] = Field(description="The units above it, the top unit first.")
    units_below: int
    members: int = Field(description="Its own members now, without those of units below it.")


class ListedGroup(Group):
    """A unit or group of a list."""

    units_below: int
    members: int = Field(description="Its own members now, without those of units below it.")


class GroupPage(Page[ListedGroup]):
    """A page of units and groups."""


class _WithReason(BaseModel):
    model_config = ConfigDict(extra="forbid", str_strip_whitespace=True)

    reason: Reason = Field(description=REASON, examples=["Perda 7/2026"])


class GroupCreate(NewGroup):
    """A new unit or group."""

    model_config = ConfigDict(
        extra="forbid",
        str_strip_whitespace=True,
        json_schema_extra={
            "examples": [
                {
                    "code": "DINKES",
                    "name_id": "Dinas Kesehatan",
                    "name_en": "Health Office",
                    "reason": "Perda 7/2026",
                }
            ]
        },
    )

    reason: Reason = Field(description=REASON)


class GroupUpdate(GroupChange):
    """The members to change; members that are left out stay. A new code changes tokens."""

    model_config = ConfigDict(
        extra="forbid",
        str_strip_whitespace=True,
        json_schema_extra={"examples": [{"name_en": "City Health Office", "reason": "Perda 7/2026"}]},
    )

    reason: Reason = Field(description=REASON)


class GroupMove(_WithReason):
    """The new parent of a unit."""

    parent_id: uuid.UUID | None = Field(description="null: the unit stands at the top.")


class GroupClose(_WithReason):
    """The end of a unit or group."""

    valid_until: Moment | None = Field(None, description="null: now.")
    with_units_below: bool = Field(False, description="Close the units below it too.")


class GroupReopen(_WithReason):
    """The end of a unit or group is taken back."""


class UserReference(ResponseModel):
    """A user, by name."""

    id: uuid.UUID
    name: str


class Membership(ResponseModel):
    """That a user belongs to a unit or group."""

    id: uuid.UUID
    user: UserReference
    group: GroupReference
    position: str | None
    source: str = Field(description="manual, import, upstream or scim.")
    status: Literal["current", "planned", "ended"]
    valid_from: datetime | None
    valid_until: datetime | None
    created_at: datetime
    created_by: str | None


class MembershipPage(Page[Membership]):
    """A page of memberships."""


class MembershipCreate(_WithReason):
    """A new membership."""

    user_id: uuid.UUID
    position: Position | None = Field(None, examples=["Perawat"])
    valid_from: Moment | None = Field(None, description="null: now.")
    valid_until: Moment | None = None


class MembershipEnd(_WithReason):
    """The end of a membership."""

    valid_until: Moment | None = Field(None, description="null: now.")


class Administrator(ResponseModel):
    """A user who manages a unit."""

    user: UserReference
    group: GroupReference = Field(description="The unit itself, or the unit above it that the user manages.")
    since: datetime


class Administrators(ResponseModel):
    """All administrators of a unit."""

    items: list[Administrator]


class AdministratorsUpdate(_WithReason):
    """The users who manage the unit from now on, and no others."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"user_ids": ["01890a5d-ac96-774b-bcce-b302099a8057"], "reason": "SK Kepala Dinas 12/2026"}]
        }
    )

    user_ids: Annotated[list[uuid.UUID], Field(max_length=50)]
