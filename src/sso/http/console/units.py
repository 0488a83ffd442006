"""Who may see and change which units on the pages of administrators."""

from __future__ import annotations

from starlette.requests import Request

from sso.accounts.services import AccountServices
from sso.http.common.errors import Interrupted
from sso.http.common.forms import read_id
from sso.http.common.pages import failure
from sso.http.common.services import Accounts
from sso.http.console.access import Here, Needs, here_of, to_sign_in_again
from sso.identity.groups.tree import is_within


class Units(Needs):
    """That somebody has a permission for every unit, or looks after a unit. Where the address names a unit
    (``group_id``), who only looks after units finds theirs and those below, and no other."""

    async def __call__(self, request: Request, services: Accounts) -> Here:
        here = await here_of(request, services)
        if not self.allows(here.permissions):
            if not here.units:
                raise Interrupted(failure(request, "no_permission", 403, header=here.visit.header(request)))
            if "group_id" in request.path_params:
                await self._check_unit(request, services, here)
        if request.method != "GET" and not here.recent:
            raise Interrupted(to_sign_in_again(request))
        return here

    async def _check_unit(self, request: Request, services: AccountServices, here: Here) -> None:
        group_id = read_id(request.path_params["group_id"])
        async with services.db.read() as session:
            if group_id is None or not await is_within(session, group_id, here.units):
                raise Interrupted(failure(request, "not_found", 404, header=here.visit.header(request)))
