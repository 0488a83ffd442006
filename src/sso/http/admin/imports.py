"""The page of administrators about imported users and merge proposals."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Annotated
from urllib.parse import urlencode

from fastapi import Depends
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from sso.accounts.merging import decide_proposal
from sso.accounts.power import check_power_over
from sso.accounts.refusal_texts import refusal_text
from sso.http.admin.csv_download import (
    MAX_ROWS,
    PART,
    Downloads,
    DownloadSent,
    Row,
    csv_response,
    download_of,
)
from sso.http.common.forms import read_id
from sso.http.common.i18n import N_, translations
from sso.http.common.labels import KIND_TEXTS
from sso.http.common.late_routes import new_router
from sso.http.common.pages import failure, locale_of
from sso.http.common.services import AccountActor, Box, Db
from sso.http.common.typed_forms import Choice, ChoiceField, FormModel, Sent
from sso.http.console.access import ADMIN, Here, Needs, OwnForm, admin_page, token_for
from sso.http.console.texts import CANNOT
from sso.identity.users import merge_proposals as merging
from sso.identity.users.models import ImportRun, MergeProposal
from sso.identity.users.service import UserError
from sso.identity.users.store import names_of
from sso.platform.actor import Actor
from sso.platform.db import Database
from sso.platform.security.encryption import SecretBox

router = new_router()
IMPORTS = ADMIN + "/imports"
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
COLUMNS = (
    "id", "state", "name", "application", "local_user_id", "identifiers", "user_id", "same", "created", "decided",
    "decided_by",
)  # fmt: skip
FILE_COLUMNS = (
    "started", "finished", "application", "rows", "created", "updated", "unchanged", "possible_duplicates", "rejected",
)  # fmt: skip
Merges = Annotated[Here, Depends(Needs("users:merge"))]
Exports = Annotated[Here, Depends(Downloads("users:merge"))]
ExportsFiles = Annotated[Here, Depends(Downloads("users:merge", personal=False))]


class DecisionForm(FormModel):
    """The decision about a proposal, and its id."""

    choice: ChoiceField = Choice()


Decision = Annotated[Sent[DecisionForm], Depends(OwnForm(DecisionForm, "imports"))]


def _state(request: Request) -> str:
    state = request.query_params.get("state", "open")
    return state if state in PROPOSALS else "open"


@router.get(IMPORTS)
async def imports_page(request: Request, here: Merges, db: Db, box: Box) -> Response:
    """List imports, and imported users who probably have an account already."""
    return await _imports_page(request, here, db, box)


async def _imports_page(
    request: Request, here: Here, db: Database, box: SecretBox, problem: str = "", status: int = 200, **values: str
) -> Response:
    query, state = request.query_params, _state(request)
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
        rows=[
            (merging.proposal_view(box, proposal), names.get(str(proposal.user_id), ""))
            for proposal in proposals[:PAGE]
        ],
        state=state,
        states=PROPOSALS,
        decisions=DECISIONS,
        reason_texts=REASON_TEXTS,
        merged=merged,
        following=f"{IMPORTS}?{urlencode(following)}" if following else "",
        problem=problem,
        values=values,
        download=download_of(request, here, IMPORTS, {"state": state}),
        download_files=download_of(request, here, IMPORTS, {}, personal=False, part="download-files"),
        csrf_token=token_for(request, "imports"),
    )


@router.post(IMPORTS + "/download")
async def download(request: Request, here: Exports, sent: DownloadSent, db: Db, box: Box) -> Response:
    """Download the rows of a state that may belong to an existing user. Contacts are masked, as on the page."""
    state = _state(request)
    rows = _csv_rows(db, box, state)
    return await csv_response(request, db, here, "imports", COLUMNS, rows, ("state",), sent)


async def _csv_rows(db: Database, box: SecretBox, state: str) -> AsyncIterator[Sequence[Row]]:
    after = None
    while True:
        async with db.read() as session:
            page = await merging.page_of_proposals(session, state, after, PART)
        yield [_csv_row(merging.proposal_view(box, proposal)) for proposal in page]
        if len(page) < PART:
            return
        after = page[-1].id


def _csv_row(proposal: merging.ProposalView) -> Row:
    identifiers = [identifier["value"] for identifier in proposal["identifiers"]]
    values = (proposal["id"], proposal["status"], proposal["name"], proposal["client_id"], proposal["local_user_id"])
    decision = (proposal["created_at"], proposal["decided_at"], proposal["decided_by"])
    return (*values, identifiers, proposal["user_id"], proposal["reasons"], *decision)


@router.post(IMPORTS + "/download-files")
async def download_files(request: Request, here: ExportsFiles, sent: DownloadSent, db: Db) -> Response:
    """Download the list of imported files, the newest first."""
    async with db.read() as session:
        runs = await merging.import_runs(session, MAX_ROWS + 1)
    return await csv_response(request, db, here, "imported_files", FILE_COLUMNS, _file_rows(runs), (), sent)


async def _file_rows(runs: Sequence[ImportRun]) -> AsyncIterator[Sequence[Row]]:
    yield [
        (
            run.started_at, run.finished_at, run.client_id, run.rows_done, run.made, run.updated, run.unchanged,
            run.proposed, run.rejected,
        )
        for run in runs
    ]  # fmt: skip


@router.post(IMPORTS)
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
    return RedirectResponse(f"{IMPORTS}?{urlencode({'decided': chosen})}", 303)
