"""The page of administrators about imported users and merge proposals."""

from __future__ import annotations

from typing import Annotated
from urllib.parse import urlencode

from fastapi import Depends
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from sso.accounts.merging import decide_proposal
from sso.accounts.power import check_power_over
from sso.http.admin.refusal_texts import refusal_text
from sso.http.common.forms import read_id
from sso.http.common.i18n import N_, translations
from sso.http.common.labels import KIND_TEXTS
from sso.http.common.late_routes import new_router
from sso.http.common.pages import failure, locale_of
from sso.http.common.services import AccountActor, Box, Db
from sso.http.common.typed_forms import Choice, ChoiceField, FormModel, Sent
from sso.http.console.access import ADMIN, Here, Needs, OwnForm, admin_page, token_for
from sso.identity.users import merge_proposals as merging
from sso.identity.users.models import MergeProposal
from sso.identity.users.service import UserError
from sso.identity.users.store import names_of
from sso.platform.actor import Actor
from sso.platform.db import Database
from sso.platform.security.encryption import SecretBox

router = new_router()
PAGE = 50
TOP = 10
DECISIONS = {
    "merged": N_("Merge into this account"),
    "separate": N_("Create a separate account"),
    "dropped": N_("Discard the row"),
}
PROPOSALS = {
    "open": N_("undecided"),
    "merged": N_("merged"),
    "separate": N_("separate account"),
    "dropped": N_("discarded"),
}
REASON_TEXTS = {**KIND_TEXTS, "name": N_("Name")}
CANNOT = N_("The action was not carried out. %(detail)s")
Merges = Annotated[Here, Depends(Needs("users:merge"))]


class DecisionForm(FormModel):
    """The decision about a proposal, and its id."""

    choice: ChoiceField = Choice()


Decision = Annotated[Sent[DecisionForm], Depends(OwnForm(DecisionForm, "imports"))]


@router.get(ADMIN + "/imports")
async def imports_page(request: Request, here: Merges, db: Db, box: Box) -> Response:
    """List imports, and imported users who probably have an account already."""
    return await _imports_page(request, here, db, box)


async def _imports_page(
    request: Request, here: Here, db: Database, box: SecretBox, problem: str = "", status: int = 200, **values: str
) -> Response:
    query = request.query_params
    state = query.get("state", "open") if query.get("state", "open") in PROPOSALS else "open"
    after = read_id(query.get("after", ""))
    async with db.read() as session:
        proposals = await merging.page_of_proposals(session, state, after, PAGE + 1)
        runs = await merging.import_runs(session, TOP)
        decided = read_id(query.get("decided", ""))
        merged = await merging.merged(session, decided) if decided is not None else None
        names = await names_of(session, [str(proposal.user_id) for proposal in proposals])
    following = {"state": state, "after": str(proposals[PAGE - 1].id)} if len(proposals) > PAGE else {}
    return admin_page(
        request,
        here,
        "imports",
        "admin_imports.html",
        status,
        runs=runs,
        rows=[(merging.shown(box, proposal), names.get(str(proposal.user_id), "")) for proposal in proposals[:PAGE]],
        state=state,
        states=PROPOSALS,
        decisions=DECISIONS,
        reason_texts=REASON_TEXTS,
        merged=merged,
        following=f"{ADMIN}/imports?{urlencode(following)}" if following else "",
        problem=problem,
        values=values,
        csrf_token=token_for(request, "imports"),
    )


@router.post(ADMIN + "/imports")
async def decide(request: Request, here: Merges, sent: Decision, accounts: AccountActor) -> Response:
    """Decide a merge proposal."""
    decision, target = sent.form.choice
    chosen = read_id(target)
    if chosen is None or decision not in DECISIONS:
        return failure(request, "not_found", 404)
    try:
        async with accounts.db.write() as session:
            proposal = await session.get(MergeProposal, chosen)
            if proposal is not None:
                await check_power_over(session, accounts.registry, [proposal.user_id], here.rights)
            actor = Actor(here.actor, request_id=here.request_id)
            await decide_proposal(session, accounts, chosen, decision, actor=actor)
    except UserError as error:
        detail = refusal_text(str(error), translations(locale_of(request)).gettext)
        return await _imports_page(request, here, accounts.db, accounts.box, CANNOT, 409, detail=detail)
    return RedirectResponse(f"{ADMIN}/imports?{urlencode({'decided': chosen})}", 303)
