"""The list of the page about roles: its filters, its place, and the addresses that keep both."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import dataclass, replace
from urllib.parse import urlencode

from sqlalchemy.ext.asyncio import AsyncSession

from sso.http.common.forms import read_id
from sso.identity.groups import tree
from sso.identity.groups.assignments import AssignmentFilter

NOBODY = uuid.UUID(int=0)
KEEPS_PLACE = frozenset({"end", "confirm"})
"""The forms after which the page shows the same part of the list."""


@dataclass(frozen=True, slots=True)
class RoleQuery:
    """Which part of the list a page shows.

    Args:
        words: parts of the name or code of who has the role.
        role: its name in tokens.
        unit: the code of a unit or group that it was given to, or is limited to.
        unconfirmed: only what the running review has yet to confirm.
        before: only what is older than this assignment.
        sandbox: that the page shows the sandbox although there is an application in production.
    """

    words: str = ""
    role: str = ""
    unit: str = ""
    unconfirmed: bool = False
    before: uuid.UUID | None = None
    sandbox: bool = False

    @property
    def filters(self) -> bool:
        """Whether something narrows the list."""
        return bool(self.words or self.role or self.unit or self.unconfirmed)

    def address(self, path: str, **more: str) -> str:
        """Return the address of this part of the list, with these parameters besides."""
        parameters = {
            "sandbox": "1" if self.sandbox else "",
            "q": self.words,
            "role": self.role,
            "unit": self.unit,
            "unconfirmed": "1" if self.unconfirmed else "",
            "before": str(self.before or ""),
            **more,
        }
        encoded = urlencode({name: value for name, value in parameters.items() if value})
        return f"{path}?{encoded}" if encoded else path

    def older(self, before: uuid.UUID) -> RoleQuery:
        """Return the part that follows this assignment."""
        return replace(self, before=before)

    def done(self, path: str, act: str) -> str:
        """Return the address of the page after a form."""
        part = self if act in KEEPS_PLACE else RoleQuery(sandbox=self.sandbox)
        return part.address(path, done=act)


def read_query(parameters: Mapping[str, str], *, sandbox: bool = False) -> RoleQuery:
    """Return which part of the list an address asks for."""
    return RoleQuery(
        parameters.get("q", "").strip()[:200],
        parameters.get("role", "")[:64],
        parameters.get("unit", "").strip()[:64],
        parameters.get("unconfirmed") == "1",
        read_id(parameters.get("before", "")),
        sandbox,
    )


async def filter_of(session: AsyncSession, client_id: str, query: RoleQuery) -> AssignmentFilter:
    """Return the filter of an application's list. The code of no unit finds nothing."""
    unit = await tree.of_code(session, query.unit) if query.unit else None
    return AssignmentFilter(
        client_id,
        role=query.role or None,
        unit_id=unit.id if unit is not None else NOBODY if query.unit else None,
        words=query.words,
        unconfirmed=query.unconfirmed,
    )
