"""Schemas of the API: attributes of users."""

from __future__ import annotations

from pydantic import Field, JsonValue

from sso.http.api.schemas.base import ResponseModel


class UserAttributes(ResponseModel):
    """The attributes of a user that the caller may read."""

    attributes: dict[str, JsonValue] = Field(description="The values by the names of the attributes; `null`: no value.")
