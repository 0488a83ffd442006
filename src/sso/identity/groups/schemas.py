"""The forms of units, groups and memberships, as use cases take them."""

from __future__ import annotations

import uuid
from datetime import datetime
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from sso.identity.groups.rules import check_code
from sso.platform.security.numbers import checked_moment
from sso.platform.security.text import Line

MAX_NAME_CHARS = 200
MAX_REASON_CHARS = 500
Kind = Literal["unit", "group"]
Source = Literal["manual", "import", "upstream", "scim"]
Name = Annotated[Line, Field(min_length=1, max_length=MAX_NAME_CHARS, pattern=r"^[^<>]+$")]
Code = Annotated[str, Field(max_length=64, examples=["DINKES"]), AfterValidator(check_code)]
Moment = Annotated[datetime, AfterValidator(checked_moment)]
Position = Annotated[Line, Field(min_length=1, max_length=200, pattern=r"^[^<>]+$")]
Reason = Annotated[Line, Field(min_length=1, max_length=MAX_REASON_CHARS)]


class NewGroup(BaseModel):
    """A unit or group that is created. A group has no parent."""

    model_config = ConfigDict(extra="forbid", str_strip_whitespace=True)

    kind: Kind = "unit"
    code: Code
    name_id: Name
    name_en: Name | None = None
    parent_id: uuid.UUID | None = None
    valid_from: Moment | None = None
    valid_until: Moment | None = None


class GroupChange(BaseModel):
    """The members of a unit or group that shall change; members that are left out stay."""

    model_config = ConfigDict(extra="forbid", str_strip_whitespace=True)

    code: Code | None = None
    name_id: Name | None = None
    name_en: Name | None = None
    valid_from: Moment | None = None


class NewMember(BaseModel):
    """What a form says of a new membership, besides the user and the days."""

    model_config = ConfigDict(extra="forbid", str_strip_whitespace=True)

    position: Position | None = None
