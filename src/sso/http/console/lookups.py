"""Forms in which somebody names a user: misses are counted for each actor, so that nobody tries identifiers in bulk."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from starlette.requests import Request

from sso.accounts.groups import GroupRefused
from sso.accounts.role_refusal_texts import NOT_FOUND
from sso.accounts.unit_members import NOT_FOUND as NO_MEMBER
from sso.accounts.unit_members import TOO_MANY_UNKNOWN
from sso.http.common.field_errors import FieldError
from sso.http.common.state import site_of
from sso.http.console.access import Here
from sso.http.console.roles import RoleFormRefused
from sso.platform.security.rate_limits import TooManyFailures


@asynccontextmanager
async def counted(request: Request, here: Here, typed: str, finds_all: str) -> AsyncIterator[None]:
    """Count one miss, unless what follows finds the user. Enter this outside any transaction.

    Args:
        request: the request.
        here: the user who names another one.
        typed: what they entered; empty: nobody.
        finds_all: the permission of those who find every user, and are not counted.

    Raises:
        RoleFormRefused: when there were too many misses.
    """
    if not typed or here.may(finds_all):
        yield
        return
    try:
        place = await site_of(request).limits.lookups.take(here.actor)
    except TooManyFailures:
        raise RoleFormRefused(FieldError("user", TOO_MANY_UNKNOWN), 429) from None
    missed = False
    try:
        yield
    except RoleFormRefused as error:
        missed = error.error.text == NOT_FOUND
        raise
    except GroupRefused as error:
        missed = error.text == NO_MEMBER
        raise
    finally:
        if not missed:
            await place.give_back()
