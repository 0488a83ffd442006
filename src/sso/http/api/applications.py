"""Applications that teams look after: the same that the developers' portal does, for programs.

Somebody does with an application what their place in its team allows; whoever may change every application, people
and programs with ``clients:write``, does it with each.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy.ext.asyncio import AsyncSession
from starlette.requests import Request
from starlette.responses import Response

from sso.clients import store as clients
from sso.clients.models import Application, RelyingPartyCheck
from sso.clients.privileges import check_hold
from sso.clients.secrets import ClientError, add_secret, revoke_secret, valid_secrets
from sso.clients.validation_errors import scope_warnings
from sso.http.api.common import (
    PREFIX,
    CursorText,
    IdempotencyKeyHeader,
    Limit,
    Made,
    Mistake,
    Page,
    Problem,
    actor_of,
    by,
    caller_in,
    cut,
    needs,
    not_found,
    once,
    problems,
    read_cursor,
    refused,
    shown_response,
    site_of,
)
from sso.identity.users.models import User
from sso.platform.metrics.store import mistakes_of
from sso.portal import applications as apps
from sso.portal import teams
from sso.portal.applications import Kind, State, Unfinished, Wanted, sandbox_id
from sso.portal.approval import approve_application, check_sector_of, submit_application
from sso.portal.rp_check.results import Outcome, passed, passes_now
from sso.portal.rp_check.runner import begin_check, start
from sso.portal.rp_check.store import last_check
from sso.portal.sandbox import own_redirect_uri

router = APIRouter(prefix=PREFIX, tags=["applications"])

ApplicationId = Annotated[str, Field(min_length=1, max_length=60, pattern=r"^[a-z0-9]([a-z0-9-]*[a-z0-9])?$")]
_EXAMPLE: dict[str, Any] = {
    "application_id": "antrean",
    "kind": "web",
    "document": {
        "client_name": "Antrean Puskesmas",
        "group": "E-Kesehatan",
        "contacts": ["tim@antrean.example"],
        "redirect_uris": ["https://antrean.example/callback"],
        "scope": "openid profile",
        "claim_reasons": {"name": "Nama di karcis antrean."},
    },
    "sandbox": {"redirect_uris": ["http://localhost:3000/callback"]},
}


class ApplicationShown(BaseModel):
    """An application that a team looks after."""

    application_id: str = Field(description="Its client_id in production.")
    sandbox_client_id: str
    state: State
    kind: Kind
    kept_by: str = Field(description="Who looks after its configuration: `team`, or the name of a catalogue file.")
    document: dict[str, Any] = Field(description="The metadata that its team wants; see docs/clients.md.")
    sandbox: dict[str, Any] = Field(description="What differs in the sandbox.")
    granted: dict[str, Any] = Field(description="What administrators decided.")
    changes: dict[str, tuple[Any, Any]] = Field(description="What would change in production: before, and after.")
    missing: dict[str, str] = Field(description="What production still needs, by the name of the field.")
    warnings: list[str] = Field(
        description="What can be registered and is probably not meant, such as a misspelt scope."
    )
    checked: bool = Field(description="Whether it passed the relying-party check as it is now.")
    revision: int
    created_at: datetime
    updated_at: datetime
    submitted_at: datetime | None
    approved_at: datetime | None


class ApplicationBrief(BaseModel):
    """An application in a list."""

    application_id: str
    name: str
    state: State
    kind: Kind
    group: str | None
    updated_at: datetime


class ApplicationWanted(BaseModel):
    """An application to be begun."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [_EXAMPLE]})

    application_id: ApplicationId
    kind: Kind
    document: dict[str, Any] = Field(default_factory=dict)
    sandbox: dict[str, Any] = Field(default_factory=dict)
    draft: bool = Field(False, description="Keep it as a draft: no sandbox yet.")
    owner_id: uuid.UUID | None = Field(None, description="Who owns it; who calls, where a person does.")


class ApplicationChange(BaseModel):
    """What is wanted in place of what was."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [{"document": _EXAMPLE["document"], "sandbox": _EXAMPLE["sandbox"], "revision": 1}]
        },
    )

    document: dict[str, Any]
    sandbox: dict[str, Any] = Field(default_factory=dict)
    revision: int = Field(ge=0, le=2**31 - 1, description="Of what you saw, so that nobody else's change is lost.")


class NewApplication(BaseModel):
    """An application that was begun, with the secret of its sandbox, which is not shown again."""

    application: ApplicationShown
    client_secret: str | None


class Act(BaseModel):
    """What to do with it: each as the page of that name does."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"examples": [{"act": "submit", "text": "We begin in May."}]}
    )

    act: Literal["submit", "withdraw", "open_sandbox", "comment"]
    text: Annotated[str, Field(max_length=2000)] = ""
    accept_new_subjects: Annotated[str, Field(max_length=100)] = Field(
        "", description="To submit: the application_id, where the team accepts that every `sub` of its users changes."
    )


class Review(BaseModel):
    """What an administrator decides."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={"examples": [{"decision": "approve", "revision": 3, "granted": {"first_party": True}}]},
    )

    decision: Literal["approve", "send_back"]
    text: Annotated[str, Field(max_length=2000)] = ""
    revision: int = Field(ge=0, le=2**31 - 1, description="Of what was looked at: it is decided about this alone.")
    granted: dict[str, Any] = Field(default_factory=dict, description="Of what only administrators decide.")
    accept_new_subjects: Annotated[str, Field(max_length=100)] = Field(
        "", description="To approve: the application_id, where it is accepted that every `sub` of its users changes."
    )


class Acted(BaseModel):
    """The application afterwards; the secret of its sandbox where that was opened now."""

    application: ApplicationShown
    client_secret: str | None = None


class MemberShown(BaseModel):
    """Somebody in a team."""

    user_id: uuid.UUID
    role: Literal["owner", "member"]
    since: datetime


class MemberWanted(BaseModel):
    """A place in a team."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"role": "member"}]})

    role: Literal["owner", "member"]


class TeamSecretShown(BaseModel):
    """A secret, without what is secret of it."""

    id: uuid.UUID
    client_id: str
    hint: str | None = Field(description="Its last four signs.")
    created_at: datetime
    expires_at: datetime | None
    last_used_at: datetime | None


class TeamSecretWanted(BaseModel):
    """A secret beside the one that there is."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"examples": [{"environment": "sandbox", "valid_days": 365}]}
    )

    environment: Literal["sandbox", "production"]
    valid_days: Annotated[int, Field(ge=1, le=3650)] | None = Field(365, description="null: until it is revoked.")


class TeamSecret(BaseModel):
    """A secret, which is not shown again."""

    client_id: str
    client_secret: str


class MistakeShown(BaseModel):
    """A mistake that an application made lately."""

    client_id: str
    code: str
    sent: dict[str, Any]
    count: int
    first_at: datetime
    last_at: datetime


class CheckAsked(BaseModel):
    """What is looked at."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"examples": [{"page": "https://uji.antrean.example/"}]}
    )

    page: Annotated[str, Field(max_length=2000)] = Field(
        "", description="A page of the sandbox that shows who is signed in; where a sign-in begins, where it is empty."
    )


class CheckFinding(BaseModel):
    """What became of one case. ``refused`` is right for each but ``honest``, for which ``passed`` is."""

    case: str
    outcome: Outcome
    detail: str


class CheckShown(BaseModel):
    """A relying-party check."""

    status: Literal["running", "done"]
    passed: bool
    revision: int = Field(description="Of the application when it was checked.")
    findings: list[CheckFinding]
    created_at: datetime
    finished_at: datetime | None


@router.get("/applications", summary="List applications of teams", responses=problems(), **needs("clients:read"))
async def list_applications(
    request: Request,
    state: Annotated[State | None, Query()] = None,
    limit: Limit = 50,
    cursor: CursorText = None,
) -> Page[ApplicationBrief]:
    async with site_of(request).provider.db.read() as session:
        states = (state,) if state else ()
        found = await apps.page_of_applications(
            session, states=states, after=read_cursor(cursor) or "", limit=limit + 1
        )
    rows, following = cut(found, limit, lambda one: one.application_id)
    items = [ApplicationBrief.model_validate(one, from_attributes=True) for one in rows]
    return Page(items=items, next_cursor=following)


@router.post(
    "/applications",
    status_code=201,
    summary="Begin an application",
    response_model=NewApplication,
    responses=problems(404, 409),
    **needs("applications:create"),
)
async def begin(request: Request, wanted: ApplicationWanted, key: IdempotencyKeyHeader = None) -> Response:
    """With its sandbox at once, or as a draft. Who calls is its owner; a program names one."""
    provider, caller = site_of(request).provider, caller_in(request)
    owner = caller.user_id or wanted.owner_id
    if owner is None or (caller.user_id is not None and wanted.owner_id not in (None, caller.user_id)):
        mistake = Mistake(pointer="/owner_id", detail="Name who owns it; somebody who calls owns it themselves.")
        raise Problem(422, "invalid_request", "It needs an owner", mistake.detail, [mistake])

    async def check(session: AsyncSession) -> None:
        if await session.get(User, owner) is None:
            raise not_found("person")
        found = await session.get(Application, wanted.application_id)
        if found is not None and not _everything(request):  # an earlier answer is for those who own it still
            role = await teams.role_of(session, found.application_id, caller.user_id) if caller.user_id else None
            if role != "owner":
                raise refused(ClientError("the application id is already used"))

    async def make(session: AsyncSession) -> Made:
        secret = None
        with _explained():
            asked = Wanted(wanted.kind, wanted.document, wanted.sandbox)
            made = await apps.create_application(session, wanted.application_id, asked, actor=actor_of(request))
            await teams.add_member(
                session,
                made.application_id,
                owner,
                "owner",
                actor=actor_of(request),
                authority=caller_in(request).authority,
            )
            if not wanted.draft:
                uri = own_redirect_uri(provider.settings)
                secret = await apps.open_sandbox(session, provider.box, made, own_uri=uri, actor=actor_of(request))
        shown = await _shown(request, session, made)
        location = f"{PREFIX}/applications/{wanted.application_id}"
        return Made(NewApplication(application=shown, client_secret=secret), location)

    made = await once(request, key, check, make)
    await provider.refresh()
    return made


@router.get(
    "/applications/{application_id}",
    summary="Show an application of a team",
    response_model=ApplicationShown,
    responses=problems(404),
    **needs("applications:create"),
)
async def get_application(request: Request, application_id: str) -> Response:
    async with site_of(request).provider.db.read() as session:
        found = await _theirs(request, session, application_id)
        return shown_response(await _shown(request, session, found))


@router.put(
    "/applications/{application_id}",
    summary="Change what is wanted of an application",
    response_model=ApplicationShown,
    responses=problems(404, 409),
    **needs("applications:create"),
)
async def put_application(request: Request, application_id: str, wanted: ApplicationChange) -> Response:
    """The sandbox follows at once; production when it is submitted and approved."""
    provider = site_of(request).provider
    async with provider.db.write() as session:
        found = await _theirs(request, session, application_id)
        kind: Any = found.kind
        with _explained():
            await apps.change_application(
                session,
                found,
                Wanted(kind, wanted.document, wanted.sandbox),
                revision=wanted.revision,
                own_uri=own_redirect_uri(provider.settings),
                actor=actor_of(request),
            )
        shown = await _shown(request, session, found)
    await provider.refresh()
    return shown_response(shown)


@router.post(
    "/applications/{application_id}/acts",
    summary="Submit an application, take that back, open its sandbox, or say something",
    response_model=Acted,
    responses=problems(404, 409),
    **needs("applications:create"),
)
async def act(request: Request, application_id: str, wanted: Act) -> Response:
    provider, secret = site_of(request).provider, None
    async with provider.db.write() as session:
        found = await _theirs(request, session, application_id)
        with _explained():
            if wanted.act == "submit":
                accepted = wanted.accept_new_subjects
                await submit_application(
                    session, provider.settings, found, wanted.text, accepted=accepted, actor=actor_of(request)
                )
            elif wanted.act == "withdraw":
                await apps.withdraw(session, found, actor=actor_of(request))
            elif wanted.act == "open_sandbox":
                uri = own_redirect_uri(provider.settings)
                secret = await apps.open_sandbox(session, provider.box, found, own_uri=uri, actor=actor_of(request))
            else:
                await apps.comment(session, found, wanted.text, actor=actor_of(request))
        shown = await _shown(request, session, found)
    await provider.refresh()
    return shown_response(Acted(application=shown, client_secret=secret))


@router.post(
    "/applications/{application_id}/review",
    summary="Approve what was submitted, or send it back",
    response_model=ApplicationShown,
    responses=problems(404, 409),
    **needs("applications:review"),
)
async def review(request: Request, application_id: str, wanted: Review) -> Response:
    provider = site_of(request).provider
    if wanted.decision == "approve":
        with _explained():
            await check_sector_of(
                provider.db,
                provider.outbound,
                application_id,
                wanted.revision,
                allow_http_loopback=provider.settings.loopback,
            )
    async with provider.db.write() as session:
        found = await apps.lock_application(session, application_id)
        if found is None:
            raise not_found("application")
        with _explained():
            if wanted.decision == "approve":
                await approve_application(
                    session,
                    provider.settings,
                    found,
                    wanted.text,
                    wanted.granted,
                    revision=wanted.revision,
                    authority=caller_in(request).authority,
                    accepted=wanted.accept_new_subjects,
                    actor=actor_of(request),
                )
            elif wanted.revision != found.revision:
                raise apps.Stale("somebody else changed it meanwhile")
            else:
                await apps.send_back(session, found, wanted.text, actor=actor_of(request))
        shown = await _shown(request, session, found)
    await provider.refresh()
    return shown_response(shown)


@router.get(
    "/applications/{application_id}/team",
    summary="List a team",
    responses=problems(404),
    **needs("applications:create"),
)
async def list_team(request: Request, application_id: str) -> list[MemberShown]:
    async with site_of(request).provider.db.read() as session:
        await _theirs(request, session, application_id)
        found = await teams.team_of(session, application_id)
    return [MemberShown.model_validate(one, from_attributes=True) for one in found]


@router.put(
    "/applications/{application_id}/team/{user_id}",
    summary="Put somebody into a team, or give them another place",
    responses=problems(404, 409),
    **needs("applications:create"),
)
async def put_member(
    request: Request, application_id: str, user_id: uuid.UUID, wanted: MemberWanted
) -> list[MemberShown]:
    """Only who may change every application puts somebody in who was not invited; an owner changes places."""
    async with site_of(request).provider.db.write() as session:
        await _theirs(request, session, application_id, owner=True)
        if await session.get(User, user_id) is None:
            raise not_found("person")
        known = await teams.role_of(session, application_id, user_id)
        if known is None and not _everything(request):
            raise Problem(
                403, "not_invited", "Not allowed", "Invite the person in the portal: they join by themselves."
            )
        with _explained():
            await teams.add_member(
                session,
                application_id,
                user_id,
                wanted.role,
                actor=actor_of(request),
                authority=caller_in(request).authority,
            )
        found = await teams.team_of(session, application_id)
        return [MemberShown.model_validate(one, from_attributes=True) for one in found]


@router.delete(
    "/applications/{application_id}/team/{user_id}",
    status_code=204,
    summary="Take somebody out of a team",
    responses=problems(404, 409),
    **needs("applications:create"),
)
async def delete_member(request: Request, application_id: str, user_id: uuid.UUID) -> Response:
    """Never the last owner. Everybody may leave by themselves."""
    async with site_of(request).provider.db.write() as session:
        await _theirs(request, session, application_id, owner=caller_in(request).user_id != user_id)
        with _explained():
            await teams.remove_member(session, application_id, user_id, actor=actor_of(request))
    return Response(status_code=204)


@router.get(
    "/applications/{application_id}/secrets",
    summary="List the secrets of an application",
    responses=problems(404),
    **needs("applications:create"),
)
async def list_secrets(request: Request, application_id: str) -> list[TeamSecretShown]:
    async with site_of(request).provider.db.read() as session:
        await _theirs(request, session, application_id)
        found = [
            one
            for client_id in (sandbox_id(application_id), application_id)
            for one in await valid_secrets(session, client_id)
        ]
    return [TeamSecretShown.model_validate(one, from_attributes=True) for one in found]


@router.post(
    "/applications/{application_id}/secrets",
    status_code=201,
    summary="Make a secret beside the one that there is",
    response_model=TeamSecret,
    responses=problems(404, 409),
    **needs("applications:create"),
)
async def make_secret(
    request: Request, application_id: str, wanted: TeamSecretWanted, key: IdempotencyKeyHeader = None
) -> Response:
    """Two are valid at a time: revoke the old one when it is not used any more."""
    provider = site_of(request).provider
    client_id = sandbox_id(application_id) if wanted.environment == "sandbox" else application_id

    async def check(session: AsyncSession) -> None:
        await _theirs(request, session, application_id, owner=True)
        await check_hold(session, client_id, caller_in(request).authority)

    async def make(session: AsyncSession) -> Made:
        with _explained():
            secret = await add_secret(
                session,
                provider.box,
                client_id,
                valid_days=wanted.valid_days,
                authority=caller_in(request).authority,
                **by(request),
            )
        location = f"{PREFIX}/applications/{application_id}/secrets"
        return Made(TeamSecret(client_id=client_id, client_secret=secret), location)

    made = await once(request, key, check, make)
    await provider.refresh()
    return made


@router.delete(
    "/applications/{application_id}/secrets/{secret_id}",
    status_code=204,
    summary="Revoke a secret",
    responses=problems(404),
    **needs("applications:create"),
)
async def delete_secret(request: Request, application_id: str, secret_id: uuid.UUID) -> Response:
    provider, done = site_of(request).provider, False
    async with provider.db.write() as session:
        await _theirs(request, session, application_id, owner=True)
        for client_id in (sandbox_id(application_id), application_id):
            if any(one.id == secret_id for one in await clients.secrets_of(session, client_id)):
                who = by(request)
                await revoke_secret(session, client_id, secret_id, **who)
                done = True
    if not done:
        raise not_found("secret")
    await provider.refresh()
    return Response(status_code=204)


@router.get(
    "/applications/{application_id}/mistakes",
    summary="List the mistakes that an application made lately",
    responses=problems(404),
    **needs("applications:create"),
)
async def list_mistakes(request: Request, application_id: str) -> list[MistakeShown]:
    async with site_of(request).provider.db.read() as session:
        await _theirs(request, session, application_id)
        found = await mistakes_of(session, [application_id, sandbox_id(application_id)])
    return [MistakeShown.model_validate(one, from_attributes=True) for one in found]


@router.post(
    "/applications/{application_id}/check",
    status_code=202,
    summary="Begin the relying-party check",
    response_model=CheckShown,
    responses=problems(404, 409),
    **needs("applications:create"),
)
async def begin_rp_check(request: Request, application_id: str, wanted: CheckAsked) -> Response:
    """A provider that does not play by the rules signs in at the sandbox, a dozen times. Watch it at this address."""
    provider = site_of(request).provider
    await provider.look()  # the sandbox may have been changed a moment ago
    async with provider.db.write() as session:
        found = await _theirs(request, session, application_id)
        with _explained():
            made = await begin_check(session, provider, found, wanted.page, actor=actor_of(request))
        shown = _checked(made)
    start(provider, made)
    return shown_response(shown, 202)


@router.get(
    "/applications/{application_id}/check",
    summary="Show the last relying-party check",
    response_model=CheckShown,
    responses=problems(404),
    **needs("applications:create"),
)
async def get_rp_check(request: Request, application_id: str) -> Response:
    async with site_of(request).provider.db.read() as session:
        await _theirs(request, session, application_id)
        found = await last_check(session, application_id)
    if found is None:
        raise not_found("check")
    return shown_response(_checked(found))


def _checked(found: RelyingPartyCheck) -> CheckShown:
    findings = [CheckFinding.model_validate(one) for one in found.results.get("findings", [])]
    running = found.status == "running"
    return CheckShown(
        status="running" if running else "done",
        passed=passed(found),
        revision=found.revision,
        findings=findings,
        created_at=found.created_at,
        finished_at=found.finished_at,
    )


def _everything(request: Request) -> bool:
    """Tell whether who calls may do it with every application."""
    return "clients:write" in caller_in(request).authority.permissions


async def _theirs(request: Request, session: AsyncSession, application_id: str, *, owner: bool = False) -> Application:
    """Return an application that who calls looks after.

    Raises:
        Problem: when they do not: to others it is as if there were none.
    """
    found, caller = await apps.lock_application(session, application_id), caller_in(request)
    if found is None:
        raise not_found("application")
    if _everything(request):
        return found
    role = await teams.role_of(session, application_id, caller.user_id) if caller.user_id is not None else None
    if role is None:
        raise not_found("application")
    if owner and role != "owner":
        raise Problem(403, "not_an_owner", "Not allowed", "Only an owner of the application does this.")
    return found


@contextmanager
def _explained() -> Iterator[None]:
    """Answer what cannot be done with a problem."""
    try:
        yield
    except Unfinished as error:
        raise _unfinished(error) from None
    except ClientError as error:
        raise refused(error) from None


def _unfinished(error: Unfinished) -> Problem:
    mistakes = [Mistake(pointer=_pointer(name), detail=text) for name, text in error.problems.items()]
    title, first = "The application cannot be registered like this", mistakes[0]
    return Problem(422, "invalid_client_metadata", title, f"{first.pointer}: {first.detail}", mistakes)


def _pointer(name: str) -> str:
    if name in ("client_id", "kind"):
        return "/application_id" if name == "client_id" else "/kind"
    return f"/sandbox/{name.removeprefix('sandbox.')}" if name.startswith("sandbox.") else f"/document/{name}"


async def _shown(request: Request, session: AsyncSession, found: Application) -> ApplicationShown:
    provider = site_of(request).provider
    await session.flush()
    row = await clients.get_client(session, found.application_id)
    changes, missing = await apps.outlook(session, found, allow_http_loopback=provider.settings.loopback)
    names = (
        "application_id", "state", "kind", "document", "sandbox", "granted", "revision", "created_at", "updated_at",
        "submitted_at", "approved_at",
    )  # fmt: skip
    return ApplicationShown.model_validate(
        {
            **{name: getattr(found, name) for name in names},
            "sandbox_client_id": sandbox_id(found.application_id),
            "kept_by": apps.catalogue_of(row) or "team",
            "changes": changes,
            "missing": missing,
            "warnings": scope_warnings(str(found.document.get("scope") or "")),
            "checked": passes_now(await last_check(session, found.application_id), found),
        }
    )
