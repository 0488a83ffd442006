"""Roles that an application defines, the groups that it receives, and the claims that a token has of both."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from sso.identity.groups.rules import is_group_code
from sso.platform.security.text import check_line

BELOW = "/*"
"""The end of an entry that means a unit with all units below it: ``DINKES/*``."""
_ROLE = re.compile(r"[a-z][a-z0-9._-]{0,62}[a-z0-9]|[a-z]", re.ASCII)


def check_role_name(text: str) -> str:
    """Return the name of a role, as tokens have it.

    Raises:
        ValueError: when it is none.
    """
    if not _ROLE.fullmatch(text):
        raise ValueError(
            f"{text!r} must be 1 to 64 lowercase letters, digits, dots, underscores and hyphens, as operator"
        )
    return text


def check_interest(text: str) -> str:
    """Return an entry of the groups that an application receives: a code, or a code with ``/*``.

    Raises:
        ValueError: when it is none.
    """
    if not is_group_code(text.removesuffix(BELOW)):
        raise ValueError(f"{text!r} must be a code such as DINKES, or DINKES/* with the units below it")
    return text


def role_claims(held: Iterable[tuple[str, str | None]], defined: Collection[str]) -> list[str]:
    """Return the members of the claim ``roles``, in order.

    A role that is limited to a unit is named ``role@CODE`` and never alone: an application that knows nothing of units
    does not take it for the whole role.

    Args:
        held: roles with the code of the unit that each is limited to; None: it is not limited.
        defined: the roles that the application defines. Others count for nothing.
    """
    return sorted({role if code is None else f"{role}@{code}" for role, code in held if role in defined})


def group_claims(codes: Iterable[tuple[str, Collection[str]]], interest: Collection[str]) -> list[str]:
    """Return the members of the claim ``groups``, in order: the codes that the application receives.

    A member of a unit is a member of every unit above it. An entry ``CODE/*`` asks for the units below a unit too.

    Args:
        codes: each code that applies to the user, with the codes of the units above it.
        interest: the entries of the application: see :func:`check_interest`.
    """
    named = {entry for entry in interest if not entry.endswith(BELOW)}
    roots = {entry.removesuffix(BELOW) for entry in interest if entry.endswith(BELOW)}
    return sorted({code for code, above in codes if code in named or code in roots or not roots.isdisjoint(above)})


RoleKey = Annotated[str, AfterValidator(check_role_name)]
Interest = Annotated[str, AfterValidator(check_interest)]
_Title = Annotated[str, Field(min_length=1, max_length=100), AfterValidator(check_line)]
_Description = Annotated[str, Field(min_length=1, max_length=500), AfterValidator(check_line)]


UnitsGive = Literal["no", "limited", "whole"]
"""Whether administrators of units give a role: not at all, limited to one of their units, or without a limit too."""


class ApplicationRole(BaseModel):
    """A role that an application defines: its title and description in Indonesian and, with ``#en``, in English.

    ``units_give``: whether administrators of units give it to the people of their units.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True, str_strip_whitespace=True)

    title: _Title
    title_en: _Title | None = Field(None, alias="title#en")
    description: _Description | None = None
    description_en: _Description | None = Field(None, alias="description#en")
    units_give: UnitsGive = "no"

    def title_in(self, locale: str) -> str:
        """Return the title in the language of ``locale``."""
        return (self.title_en if locale == "en" else None) or self.title

    def description_in(self, locale: str) -> str:
        """Return the description in the language of ``locale``; empty: there is none."""
        return (self.description_en if locale == "en" else None) or self.description or ""
