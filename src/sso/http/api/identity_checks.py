"""What officers and the helpdesk do for a person: checking identity, a way back in, and deciding about imported
people."""

from __future__ import annotations

import uuid
from datetime import datetime
from typing import Annotated, Literal

from fastapi import APIRouter, Query
from pydantic import BaseModel, ConfigDict, Field
from starlette.requests import Request
from starlette.responses import Response

from sso.accounts.power import check_power_over
from sso.accounts.service import (
    check_identity,
    decide_proposal,
    lock_to_merge,
    merge_users,
    read_check,
    revoke_identity_check,
    start_recovery,
)
from sso.http.api.common import (
    PREFIX,
    CursorText,
    Limit,
    Page,
    caller_in,
    cut,
    needs,
    not_found,
    problems,
    read_id_cursor,
    refused,
    request_id_of,
    rights_of,
    site_of,
)
from sso.http.api.users import present_person
from sso.identity.users import merge_proposals as merging
from sso.identity.users import store
from sso.identity.users.codes import place_warning
from sso.identity.users.merge_proposals import ProposalState
from sso.identity.users.models import IdentityCheck, MergeProposal
from sso.identity.users.service import UserError
from sso.settings import whole_seconds

router = APIRouter(prefix=PREFIX, tags=["citizens"])

Document = Literal["ktp", "passport", "kk", "other"]


class CheckWanted(BaseModel):
    """What an officer saw. Of the number the end is kept; of a KTP it is the NIK, which becomes the person's."""

    model_config = ConfigDict(
        extra="forbid",
        str_strip_whitespace=True,
        json_schema_extra={
            "examples": [{"document": "ktp", "document_number": "3671014104900001", "place": "MPP Kota Tangerang"}]
        },
    )

    document: Document
    document_number: Annotated[str, Field(min_length=4, max_length=40)]
    place: Annotated[str, Field(min_length=1, max_length=200)]


class CheckShown(BaseModel):
    """That an officer compared a person with a document."""

    id: uuid.UUID
    document: Document
    document_end: str
    place: str
    officer: str
    checked_at: datetime
    revoked_at: datetime | None


class CheckMade(CheckShown):
    """A check that was recorded."""

    warnings: list[str] = Field(description="What is unusual in the NIK, such as a place that no table has.")


class RecoveryCode(BaseModel):
    """A code with which a person gets back in. It is not to be had again."""

    code: str
    expires_in: int = Field(description="How long it is valid, in seconds.")


class ProposalIdentifier(BaseModel):
    """What somebody signs in with, masked."""

    kind: str
    value: str
    verified: bool = Field(description="Whether the import vouches for it; what is not verified matches nobody.")


class ProposalShown(BaseModel):
    """Somebody who was to be imported and seems to be here already."""

    id: uuid.UUID
    user_id: uuid.UUID
    client_id: str | None
    local_user_id: str | None
    reasons: list[str] = Field(description="Which kinds of identifier are the same, verified on both sides.")
    status: ProposalState
    name: str
    identifiers: list[ProposalIdentifier]
    created_at: datetime
    decided_at: datetime | None
    decided_by: str | None


class LeftOut(BaseModel):
    """What of the row did not come along: somebody else has it, or there is one already. The value is masked."""

    kind: str
    value: str


class DecidedShown(ProposalShown):
    """A proposal with what came of the decision."""

    username: str | None = Field(description="The user name that applications see, where there is one.")
    other_usernames: list[str] = Field(description="User names that are given up: they sign in all the same.")
    left_out: list[LeftOut]
    local_user_ids: list[str] = Field(description="What the application is told, the first taken over first.")


class Decision(BaseModel):
    """``merged``: they are one. ``separate``: they are two. ``dropped``: the row is forgotten."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"decision": "merged"}]})

    decision: Literal["merged", "separate", "dropped"]


class MergeWanted(BaseModel):
    """Which account is merged into it."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"examples": [{"other_id": "01a212d5-bf21-73d5-9346-8f736cc3568b"}]}
    )

    other_id: uuid.UUID


@router.post(
    "/users/{user_id}/recovery",
    status_code=201,
    summary="Make a recovery code for a person",
    responses=problems(404, 409),
    **needs("users:recover"),
)
async def recovery(request: Request, user_id: uuid.UUID) -> RecoveryCode:
    """For somebody whose document was seen. With the code they also prove a contact, or wait; they are told."""
    site = site_of(request)
    async with site.provider.db.write() as session:
        found = await present_person(request, session, user_id)
        try:
            code = await start_recovery(
                session, site.provider, found, actor=caller_in(request).actor, request_id=request_id_of(request)
            )
        except UserError as error:
            raise refused(error) from None
    site.worker.nudge()
    return RecoveryCode(code=code, expires_in=whole_seconds(site.settings.helpdesk_code_lifetime))


@router.get(
    "/users/{user_id}/identity-checks",
    summary="List the checks of a person's documents",
    responses=problems(404),
    **needs("users:read"),
)
async def list_checks(request: Request, user_id: uuid.UUID) -> list[CheckShown]:
    """The newest first."""
    async with site_of(request).provider.db.read() as session:
        return [_check(one) for one in await store.checks_of(session, user_id)]


@router.post(
    "/users/{user_id}/identity-checks",
    status_code=201,
    summary="Record that a person's document was checked",
    responses=problems(404, 409),
    **needs("users:check_identity"),
)
async def check(request: Request, user_id: uuid.UUID, wanted: CheckWanted) -> CheckMade:
    """The person's identity is counter-verified from then on; nobody checks their own."""
    site, actor = site_of(request), caller_in(request).actor
    async with site.provider.db.write() as session:
        found = await present_person(request, session, user_id)
        try:
            if actor == str(user_id):
                raise UserError("nobody checks their own identity")
            seen = read_check(wanted.document, wanted.document_number, wanted.place)
            made = await check_identity(
                session, site.provider, found, seen, actor=actor, request_id=request_id_of(request)
            )
        except UserError as error:
            raise refused(error) from None
        warning = place_warning(seen.nik) if seen.nik else ""
        shown = CheckMade(**_check(made).model_dump(), warnings=[warning] if warning else [])
    site.worker.nudge()
    return shown


@router.delete(
    "/users/{user_id}/identity-checks",
    status_code=204,
    summary="Take back that a person's document was checked",
    responses=problems(404),
    **needs("users:check_identity"),
)
async def uncheck(request: Request, user_id: uuid.UUID) -> Response:
    """A NIK that the check alone proved is not verified any more."""
    provider = site_of(request).provider
    async with provider.db.write() as session:
        found = await present_person(request, session, user_id)
        actor, reference = caller_in(request).actor, request_id_of(request)
        await revoke_identity_check(session, provider, found, actor=actor, request_id=reference)
    return Response(status_code=204)


@router.post(
    "/users/{user_id}/merge",
    summary="Merge another account into this one",
    status_code=204,
    responses=problems(404, 409),
    **needs("users:merge"),
)
async def merge(request: Request, user_id: uuid.UUID, wanted: MergeWanted) -> Response:
    """The other is deleted; what it signs in with comes along, to be proven again."""
    site, actor = site_of(request), caller_in(request).actor
    async with site.provider.db.write() as session:
        await lock_to_merge(session, user_id, wanted.other_id)
        kept, other = (
            await present_person(request, session, user_id),
            await present_person(request, session, wanted.other_id),
        )
        try:
            await merge_users(session, site.provider, kept, other, actor=actor, request_id=request_id_of(request))
        except UserError as error:
            raise refused(error) from None
    site.worker.nudge()
    return Response(status_code=204)


@router.get("/merge-proposals", summary="List merge proposals", responses=problems(), **needs("users:read"))
async def list_proposals(
    request: Request,
    status: Annotated[ProposalState, Query()] = "open",
    limit: Limit = 50,
    cursor: CursorText = None,
) -> Page[ProposalShown]:
    """In the order in which they came."""
    provider = site_of(request).provider
    async with provider.db.read() as session:
        found = await merging.page_of_proposals(session, status, read_id_cursor(cursor), limit + 1)
    rows, following = cut(found, limit, lambda one: one.id)
    shown = [ProposalShown.model_validate(merging.shown(provider.box, one)) for one in rows]
    return Page(items=shown, next_cursor=following)


@router.post(
    "/merge-proposals/{proposal_id}/decision",
    summary="Decide about a merge proposal",
    responses=problems(404, 409),
    **needs("users:merge"),
)
async def decide(request: Request, proposal_id: uuid.UUID, wanted: Decision) -> DecidedShown:
    """Once for each. Every contact of the person is told of what is added to their account."""
    provider, actor = site_of(request).provider, caller_in(request).actor
    async with provider.db.write() as session:
        found = await session.get(MergeProposal, proposal_id)
        if found is None:
            raise not_found("proposal")
        await check_power_over(session, provider, [found.user_id], rights_of(request))
        try:
            made = await decide_proposal(
                session, provider, proposal_id, wanted.decision, actor=actor, request_id=request_id_of(request)
            )
        except UserError as error:
            raise refused(error) from None
        shown = DecidedShown.model_validate({**merging.shown(provider.box, made.proposal), **made.said()})
    site_of(request).worker.nudge()
    return shown


def _check(one: IdentityCheck) -> CheckShown:
    names = ("id", "document", "document_end", "place", "officer", "checked_at", "revoked_at")
    return CheckShown.model_validate({name: getattr(one, name) for name in names})
