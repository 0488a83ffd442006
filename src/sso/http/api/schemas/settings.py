"""Schemas of the API: settings and the checks of the installation."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from sso.http.api.paging import Page
from sso.http.api.schemas.base import ResponseModel
from sso.settings import Source

SettingName = Annotated[str, Field(max_length=64, pattern=r"^[a-z][a-z0-9_]*$")]


class Setting(ResponseModel):
    """A setting. Secrets are masked."""

    name: str = Field(description="Such as `service_name`.")
    variable: str = Field(description="Of the environment, such as `SSO_SERVICE_NAME`.")
    value: str = Field(description="In the form in which it is written in the environment.")
    source: Source = Field(description="Where the value comes from. The environment wins over the database.")
    default: str
    changeable: bool = Field(description="Whether the value in the database can be changed now.")
    description: str


class SettingPage(Page[Setting]):
    """A page of settings."""


class SettingsUpdate(BaseModel):
    """The settings to change, all or none, and why."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [{"values": {"service_name": "Satu Akun", "session_lifetime": None}, "reason": "New name"}]
        },
    )

    values: Annotated[dict[SettingName, Annotated[str, Field(max_length=50_000)] | None], Field(min_length=1)] = Field(
        max_length=50, description="The new value of each setting; null: delete the value from the database."
    )
    reason: Annotated[str, Field(min_length=1, max_length=500)]


class SettingChange(ResponseModel):
    """A change of a setting. Null: no value in the database."""

    id: int
    name: str
    at: datetime
    actor: str | None
    before: str | None
    after: str | None
    reason: str


class SettingChangePage(Page[SettingChange]):
    """A page of changes, the newest first."""


class Check(ResponseModel):
    """A check of the installation."""

    about: str = Field(description="The name of the check, such as `mail`.")
    state: Literal["good", "warning", "bad"]
    text: str
    page: str = Field(description="The page of the console that mends it; empty: there is none.")
    command: str = Field(description="The command that mends it; empty: there is none.")
    setting: str = Field(description="The line for the environment that mends it; empty: there is none.")


class CheckPage(Page[Check]):
    """A page of checks, the most urgent first."""
