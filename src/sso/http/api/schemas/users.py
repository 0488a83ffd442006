"""Schemas of the API: users."""

from __future__ import annotations

import uuid
from datetime import datetime
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, JsonValue

from sso.http.api.paging import Page
from sso.http.api.schemas.base import ResponseModel
from sso.identity.users.identifiers import Kind as IdentifierKind
from sso.identity.users.schemas import NewUser, Profile, UserChange
from sso.platform.permissions import RoleName


class Identifier(ResponseModel):
    """An identifier that the user signs in with."""

    kind: IdentifierKind = Field(description="The value of a NIK is masked.")
    value: str
    verified: bool
    primary: bool = Field(description="The one of several that applications receive.")


class User(ResponseModel):
    """A user."""

    id: uuid.UUID
    name: str
    status: Literal["active", "disabled", "deleted"]
    identifiers: list[Identifier]
    roles: list[str]
    locale: str | None
    profile: dict[str, JsonValue]
    created_at: datetime
    updated_at: datetime
    disabled_at: datetime | None


class UserCreate(NewUser):
    """A new user. Without a password the user cannot sign in until one is set."""

    model_config = ConfigDict(
        extra="forbid",
        str_strip_whitespace=True,
        json_schema_extra={"examples": [{"username": "siti", "name": "Siti Rahmawati", "email": "siti@warga.example"}]},
    )

    profile: Profile = Field(default_factory=Profile)


class UserWithWarnings(User):
    """A user who was created or changed."""

    warnings: list[str] = Field(
        description="Unusual values, such as a code that no table has. They are stored all the same."
    )


class UserUpdate(UserChange):
    """The members of a user to change; members that are left out stay. null removes an e-mail address or a phone
    number."""


class RolesUpdate(BaseModel):
    """All roles of the user from now on."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"roles": ["citizen", "helpdesk"]}]})

    roles: Annotated[list[RoleName], Field(max_length=10)]


class UserEnded(ResponseModel):
    """A user who was disabled or deleted."""

    user: User
    sessions_ended: int


class UserPage(Page[User]):
    """A page of users."""
