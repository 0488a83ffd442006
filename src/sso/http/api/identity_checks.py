"""What officers and the helpdesk do for a person: checking identity, a way back in, and deciding about imported
people."""

from __future__ import annotations

import uuid
from typing import Annotated

from fastapi import Query
from starlette.responses import Response

from sso.accounts.helpdesk import start_recovery
from sso.accounts.identity_checks import check_identity, read_check, revoke_identity_check
from sso.accounts.merging import decide_proposal, lock_to_merge, merge_users
from sso.accounts.power import check_power_over
from sso.http.api.access import PREFIX, Access, needs
from sso.http.api.paging import CursorText, Limit, cut, read_id_cursor
from sso.http.api.problems import not_found, problems
from sso.http.api.schemas import identity_checks as schemas
from sso.http.api.users import present_person
from sso.http.common.late_routes import new_router
from sso.http.common.services import AccountActor, Box, CurrentSettings, Db, Outbox
from sso.identity.users import merge_proposals as merging
from sso.identity.users import store
from sso.identity.users.codes import place_warning
from sso.identity.users.merge_proposals import ProposalState
from sso.identity.users.models import IdentityCheck, MergeProposal
from sso.identity.users.service import UserError
from sso.settings import whole_seconds

router = new_router(prefix=PREFIX, tags=["citizens"])


@router.post(
    "/users/{user_id}/recovery",
    status_code=201,
    summary="Create a recovery code for a user",
    responses=problems(404, 409),
    **needs("users:recover"),
)
async def recovery(
    user_id: uuid.UUID,
    access: Access,
    db: Db,
    settings: CurrentSettings,
    accounts: AccountActor,
    outbox: Outbox,
) -> schemas.RecoveryCode:
    """For a user whose document was checked. The user also verifies a contact, or waits, and is notified."""
    async with db.write() as session:
        user = await present_person(access, accounts.registry, session, user_id)
        code = await start_recovery(session, accounts, user, actor=access.actor)
    outbox.nudge()
    return schemas.RecoveryCode(code=code, expires_in=whole_seconds(settings.helpdesk_code_lifetime))


@router.get(
    "/users/{user_id}/identity-checks",
    summary="List the identity checks of a user",
    responses=problems(404),
    **needs("users:read"),
)
async def list_checks(user_id: uuid.UUID, db: Db) -> list[schemas.IdentityCheck]:
    """The newest first."""
    async with db.read() as session:
        return [_check(check) for check in await store.checks_of(session, user_id)]


@router.post(
    "/users/{user_id}/identity-checks",
    status_code=201,
    summary="Record an identity check",
    responses=problems(404, 409),
    **needs("users:check_identity"),
)
async def check(
    user_id: uuid.UUID,
    body: schemas.IdentityCheckCreate,
    access: Access,
    db: Db,
    accounts: AccountActor,
    outbox: Outbox,
) -> schemas.IdentityCheckWithWarnings:
    """From then on the identity of the user is verified at a counter. Users cannot check their own identity."""
    async with db.write() as session:
        user = await present_person(access, accounts.registry, session, user_id)
        if access.caller.actor == str(user_id):
            raise UserError("you cannot verify your own identity")
        seen = read_check(body.document, body.document_number, body.place)
        recorded = await check_identity(session, accounts, user, seen, actor=access.actor)
        warning = place_warning(seen.nik) if seen.nik else ""
        representation = schemas.IdentityCheckWithWarnings(
            **_check(recorded).model_dump(), warnings=[warning] if warning else []
        )
    outbox.nudge()
    return representation


@router.delete(
    "/users/{user_id}/identity-checks",
    status_code=204,
    summary="Revoke an identity check",
    responses=problems(404),
    **needs("users:check_identity"),
)
async def uncheck(user_id: uuid.UUID, access: Access, db: Db, accounts: AccountActor) -> Response:
    """A NIK that only this check verified is no longer verified."""
    async with db.write() as session:
        user = await present_person(access, accounts.registry, session, user_id)
        await revoke_identity_check(session, accounts, user, actor=access.actor)
    return Response(status_code=204)


@router.post(
    "/users/{user_id}/merge",
    summary="Merge another account into this one",
    status_code=204,
    responses=problems(404, 409),
    **needs("users:merge"),
)
async def merge(
    user_id: uuid.UUID,
    body: schemas.UserMergeRequest,
    access: Access,
    db: Db,
    accounts: AccountActor,
    outbox: Outbox,
) -> Response:
    """The other account is deleted. Its identifiers are added to this account and must be verified again."""
    async with db.write() as session:
        await lock_to_merge(session, user_id, body.other_id)
        remaining, other = (
            await present_person(access, accounts.registry, session, user_id),
            await present_person(access, accounts.registry, session, body.other_id),
        )
        await merge_users(session, accounts, remaining, other, actor=access.actor)
    outbox.nudge()
    return Response(status_code=204)


@router.get("/merge-proposals", summary="List merge proposals", responses=problems(), **needs("users:read"))
async def list_proposals(
    db: Db,
    box: Box,
    status: Annotated[ProposalState, Query()] = "open",
    limit: Limit = 50,
    cursor: CursorText = None,
) -> schemas.MergeProposalPage:
    """The oldest first."""
    async with db.read() as session:
        proposals = await merging.page_of_proposals(session, status, read_id_cursor(cursor), limit + 1)
    rows, following = cut(proposals, limit, lambda proposal: proposal.id)
    items = [schemas.MergeProposal.model_validate(merging.proposal_view(box, proposal)) for proposal in rows]
    return schemas.MergeProposalPage(items=items, next_cursor=following)


@router.post(
    "/merge-proposals/{proposal_id}/decision",
    summary="Decide a merge proposal",
    responses=problems(404, 409),
    **needs("users:merge"),
)
async def decide(
    proposal_id: uuid.UUID,
    body: schemas.MergeDecision,
    access: Access,
    db: Db,
    box: Box,
    accounts: AccountActor,
    outbox: Outbox,
) -> schemas.MergeProposalResult:
    """A proposal is decided once. Every contact of the user is notified of what is added to the account."""
    async with db.write() as session:
        proposal = await session.get(MergeProposal, proposal_id)
        if proposal is None:
            raise not_found("proposal")
        await check_power_over(session, accounts.registry, [proposal.user_id], access.rights)
        decided = await decide_proposal(session, accounts, proposal_id, body.decision, actor=access.actor)
        representation = schemas.MergeProposalResult.model_validate(
            {**merging.proposal_view(box, decided.proposal), **decided.view()}
        )
    outbox.nudge()
    return representation


def _check(check: IdentityCheck) -> schemas.IdentityCheck:
    names = ("id", "document", "document_end", "place", "officer", "checked_at", "revoked_at")
    return schemas.IdentityCheck.model_validate({name: getattr(check, name) for name in names})
