"""The page of administrators about imported users and merge proposals."""

from __future__ import annotations

from typing import Annotated
from urllib.parse import urlencode

from fastapi import APIRouter, Depends
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from sso.accounts.merging import decide_proposal
from sso.accounts.power import check_power_over
from sso.http.common.forms import read_id
from sso.http.common.i18n import N_
from sso.http.common.pages import failure
from sso.http.common.state import request_id_of, site_of
from sso.http.console.access import ADMIN, Here, Needs, admin_page, own_form, token_for
from sso.identity.users import merge_proposals as merging
from sso.identity.users.models import MergeProposal
from sso.identity.users.service import UserError
from sso.identity.users.store import names_of
from sso.platform.actor import Actor

router = APIRouter()
PAGE = 50
TOP = 10
DECISIONS = {"merged": N_("They are one"), "separate": N_("They are two"), "dropped": N_("Forget the row")}
PROPOSALS = {"open": N_("waits"), "merged": N_("one"), "separate": N_("two"), "dropped": N_("forgotten")}
CANNOT = N_("That cannot be done: %(detail)s.")
Merges = Annotated[Here, Depends(Needs("users:merge"))]


@router.get(ADMIN + "/imports")
async def imports_page(request: Request, here: Merges) -> Response:
    """List imports, and imported users who probably have an account already."""
    return await _imports_page(request, here)


async def _imports_page(request: Request, here: Here, problem: str = "", status: int = 200, **values: str) -> Response:
    query, provider = request.query_params, site_of(request).provider
    state = query.get("state", "open") if query.get("state", "open") in PROPOSALS else "open"
    after = read_id(query.get("after", ""))
    async with provider.db.read() as session:
        found = await merging.page_of_proposals(session, state, after, PAGE + 1)
        runs = await merging.import_runs(session, TOP)
        decided = read_id(query.get("decided", ""))
        merged = await merging.merged(session, decided) if decided is not None else None
        names = await names_of(session, [str(one.user_id) for one in found])
    following = {"state": state, "after": str(found[PAGE - 1].id)} if len(found) > PAGE else {}
    return admin_page(
        request,
        here,
        "imports",
        "admin_imports.html",
        status,
        runs=runs,
        rows=[(merging.shown(provider.box, one), names.get(str(one.user_id), "")) for one in found[:PAGE]],
        state=state,
        states=PROPOSALS,
        decisions=DECISIONS,
        merged=merged,
        following=f"{ADMIN}/imports?{urlencode(following)}" if following else "",
        problem=problem,
        values=values,
        csrf_token=token_for(request, "imports"),
    )


@router.post(ADMIN + "/imports")
async def decide(request: Request, here: Merges) -> Response:
    """Decide a merge proposal."""
    fields, provider = await own_form(request, "imports"), site_of(request).provider
    decision, _, which = fields.get("choice", "").partition(" ")
    chosen = read_id(which)
    if chosen is None or decision not in DECISIONS:
        return failure(request, "not_found", 404)
    try:
        async with provider.db.write() as session:
            proposal = await session.get(MergeProposal, chosen)
            if proposal is not None:
                await check_power_over(session, provider.registry, [proposal.user_id], here.rights)
            actor = Actor(here.actor, request_id=request_id_of(request))
            await decide_proposal(session, provider, chosen, decision, actor=actor)
    except UserError as error:
        return await _imports_page(request, here, CANNOT, 409, detail=str(error))
    return RedirectResponse(f"{ADMIN}/imports?{urlencode({'decided': chosen})}", 303)
