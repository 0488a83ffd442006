"""What every resource of the API is made of: who calls, pages, entity tags, requests that are done once, problems."""

from __future__ import annotations

import base64
import binascii
import hashlib
import uuid
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any, Generic, Protocol, TypeVar

import orjson
from fastapi import Depends, Header, Query
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, Field
from sqlalchemy.ext.asyncio import AsyncSession
from starlette.requests import Request
from starlette.responses import Response

from sso import clock
from sso.accounts.power import TooPowerful
from sso.clients.mistakes import not_a_list, not_text
from sso.clients.privileges import PrivilegeError, PrivilegeRefused
from sso.errors import Refusal
from sso.oidc.provider import Provider
from sso.oidc.token.bearer import Caller, TokenRefused, caller_of
from sso.platform.outbox import Worker
from sso.platform.permissions import PERMISSIONS, AccessRefused, check_access, effective_permissions
from sso.platform.security.idempotency import KeyUsed, begin_once, finish_once
from sso.platform.security.ip_privacy import kept_address
from sso.platform.security.numbers import read_uuid
from sso.platform.security.text import check_line
from sso.settings import Settings, whole_seconds

PREFIX = "/api/v1"
PROBLEM_TYPE = "application/problem+json"
MAX_PAGE = 200
_REALM = 'Bearer realm="sso"'

Item = TypeVar("Item")
T = TypeVar("T")


class Site(Protocol):
    """What the API needs of the process; wired together by ``create_app``."""

    @property
    def settings(self) -> Settings: ...
    @property
    def provider(self) -> Provider: ...
    @property
    def worker(self) -> Worker: ...


def site_of(request: Request) -> Site:
    """Return the site that ``request`` came to."""
    site: Site = request.app.state.site
    return site


def request_id_of(request: Request) -> str:
    """Return the reference under which ``request`` is found in the log."""
    return str(request.scope["request_id"])


def kept_address_of(request: Request) -> str | None:
    """Return where ``request`` came from, in the form in which it is kept."""
    return kept_address(str(request.scope["client_address"]), site_of(request).settings.ip_address_privacy)


# Problems (RFC 9457)


class Mistake(BaseModel):
    """One thing that is wrong with a request."""

    pointer: str = Field(description="Where: a JSON pointer into the body, or the name of a parameter.")
    detail: str = Field(description="What is wrong, and what to do.")


class ProblemBody(BaseModel):
    """What went wrong (RFC 9457)."""

    type: str = Field(description="Which kind of problem: a name that stays the same.")
    title: str
    status: int
    detail: str = Field(description="What happened here, and what to do.")
    instance: str = Field(description="The reference of this request, for the log and for asking.")
    errors: list[Mistake] | None = None


@dataclass
class Problem(Exception):
    """A request that is answered with a problem. ``kind`` names it."""

    status: int
    kind: str
    title: str
    detail: str
    errors: list[Mistake] = field(default_factory=list)
    headers: dict[str, str] = field(default_factory=dict)


def not_found(what: str) -> Problem:
    """Return the problem that there is no such thing."""
    return Problem(404, "not_found", "There is no such thing", f"There is no {what} of this id.")


def refused(error: Refusal, status: int = 409) -> Problem:
    """Return the problem that a rule forbids it."""
    mistakes = [Mistake(pointer="", detail=one) for one in error.mistakes]
    return Problem(status, "refused", "It cannot be done", str(error), mistakes if len(mistakes) > 1 else [])


def problem_response(request: Request, problem: Problem) -> Response:
    """Return a problem as a response."""
    body = ProblemBody(
        type=f"urn:sso:problem:{problem.kind}",
        title=problem.title,
        status=problem.status,
        detail=problem.detail,
        instance=f"urn:sso:request:{request_id_of(request)}",
        errors=problem.errors or None,
    )
    headers = {"Cache-Control": "no-store", **problem.headers}
    return Response(orjson.dumps(body.model_dump(exclude_none=True)), problem.status, headers, PROBLEM_TYPE)


def on_problem(request: Request, error: Exception) -> Response:
    """Answer a request that cannot be done."""
    assert isinstance(error, Problem)
    return problem_response(request, error)


def on_privilege_refused(request: Request, error: Exception) -> Response:
    """Answer an act that would yield more than the caller has."""
    assert isinstance(error, PrivilegeRefused)
    if isinstance(error, PrivilegeError):
        return problem_response(request, Problem(409, "refused", "It cannot be done", str(error)))
    return problem_response(request, Problem(403, "more_than_yours", "Not allowed", str(error)))


def on_invalid(request: Request, error: Exception) -> Response:
    """Answer a request that is not of the form that it must have."""
    assert isinstance(error, RequestValidationError)
    mistakes = [_mistake(one) for one in error.errors()]
    detail = f"{mistakes[0].pointer}: {mistakes[0].detail}" if mistakes else "The request cannot be read."
    return problem_response(
        request, Problem(422, "invalid_request", "The request is not of the right form", detail, mistakes)
    )


def on_conflict(request: Request, error: Exception) -> Response:
    """Answer what somebody else did at the very same moment: the database lets only one have it."""
    if not request.url.path.startswith(PREFIX):
        raise error
    text = "Somebody made the same at the same moment: look what is there now."
    return problem_response(request, Problem(409, "conflict", "It is there already", text))


def _mistake(problem: Any) -> Mistake:
    where, *path = [str(part) for part in problem["loc"]]
    pointer = "/" + "/".join(path) if where == "body" else ".".join(path) or where
    text = str(problem["msg"]).removeprefix("Value error, ")
    if where == "body" and problem["type"] == "string_type":
        text = not_text(problem.get("input"))
    elif where == "body" and problem["type"] == "list_type":
        text = not_a_list(problem.get("input"))
    return Mistake(pointer=pointer, detail=text)


# Who calls


def needs(permission: str) -> dict[str, Any]:
    """Return what a route is made with that needs a permission: the check, and what the documentation says of it."""

    async def check(request: Request) -> None:
        request.state.caller = await _caller(request)
        require(request, permission)

    found = PERMISSIONS[permission]
    return {
        "dependencies": [Depends(check)],
        "openapi_extra": {"security": [{"sso": [found.scope]}], "x-permission": permission},
    }


def needs_nothing() -> dict[str, Any]:
    """Return the same for a route that needs no permission, only a token that is good here."""

    async def check(request: Request) -> None:
        request.state.caller = await _caller(request)

    return {"dependencies": [Depends(check)], "openapi_extra": {"security": [{"sso": []}], "x-permission": ""}}


def require(request: Request, permission: str) -> None:
    """Check that who calls may do something.

    Raises:
        Problem: when not.
    """
    caller, max_age = caller_in(request), site_of(request).settings.reauthentication_age
    try:
        check_access(
            permission,
            roles=caller.roles,
            scopes=caller.scopes,
            signed_in=caller.signed_in,
            since=clock.now() - max_age,
        )
    except AccessRefused as error:
        raise _access_problem(error, whole_seconds(max_age)) from None


def rights_of(request: Request) -> frozenset[str]:
    """Return what who calls may do: the permissions of the roles, limited to the scopes of the token."""
    caller = caller_in(request)
    return effective_permissions(caller.roles, caller.scopes)


def on_too_powerful(request: Request, error: Exception) -> Response:
    """Answer an act on an account that may do more than who calls. It names one permission that is missing."""
    assert isinstance(error, TooPowerful)
    text = str(error)
    return problem_response(request, Problem(403, "no_permission", "Not allowed", f"{text[:1].upper()}{text[1:]}."))


def caller_in(request: Request) -> Caller:
    """Return who calls."""
    caller: Caller = request.state.caller
    return caller


def by(request: Request) -> dict[str, Any]:
    """Return who asks, for log and audit: as the arguments ``actor`` and ``request_id``."""
    return {"actor": caller_in(request).actor, "request_id": request_id_of(request)}


def acts(request: Request) -> dict[str, Any]:
    """Return who acts and what they may do with applications: as the arguments ``actor`` and ``authority``."""
    caller = caller_in(request)
    return {"actor": caller.actor, "authority": caller.authority}


async def _caller(request: Request) -> Caller:
    provider = site_of(request).provider
    try:
        return await caller_of(provider, request.headers.get("authorization", ""), provider.url(PREFIX))
    except TokenRefused as error:
        said = f', error="{error.error}", error_description="{error}"' if error.error else ""
        challenge = {"WWW-Authenticate": _REALM + said}
        raise Problem(error.status, error.error or "no_token", "Not allowed", str(error), headers=challenge) from None


def _access_problem(error: AccessRefused, seconds: int) -> Problem:
    scope = error.wanted.scope
    if error.code == "sign_in_again":
        text = f"This needs somebody who signed in within {seconds} seconds: ask for max_age={seconds}."
        code = "insufficient_user_authentication"
        said = f'{_REALM}, error="{code}", error_description="{text}", max_age="{seconds}"'
        return Problem(401, code, "Sign in again", text, headers={"WWW-Authenticate": said})
    if error.code == "insufficient_scope":
        text = f"The access token needs the scope {scope}."
        said = f'{_REALM}, error="insufficient_scope", error_description="{text}", scope="{scope}"'
        return Problem(403, "insufficient_scope", "Not allowed", text, headers={"WWW-Authenticate": said})
    return Problem(
        403, "no_permission", "Not allowed", f"No role of this person has the permission {error.wanted.name}."
    )


# Pages


class Page(BaseModel, Generic[Item]):
    """Some of many. ``next_cursor`` gets the following ones, where there are more."""

    items: list[Item]
    next_cursor: str | None = None


Limit = Annotated[int, Query(ge=1, le=MAX_PAGE, description="How many at most.")]
CursorText = Annotated[str | None, Query(max_length=400, description="`next_cursor` of the page before.")]


def read_cursor(text: str | None) -> str | None:
    """Return the key that a cursor holds.

    Raises:
        Problem: when it is none of ours.
    """
    if text is None:
        return None
    try:
        return check_line(base64.b64decode(text, altchars=b"-_", validate=True).decode())
    except (binascii.Error, UnicodeDecodeError, ValueError):
        raise _bad_cursor() from None


def read_id_cursor(text: str | None) -> uuid.UUID | None:
    """Return the id that a cursor holds.

    Raises:
        Problem: when it is none of ours.
    """
    key = read_cursor(text)
    try:
        return read_uuid(key) if key is not None else None
    except ValueError:
        raise _bad_cursor() from None


def cut(rows: Sequence[T], limit: int, key: Callable[[T], object]) -> tuple[list[T], str | None]:
    """Return at most ``limit`` of rows, of which one more was read, and the cursor of the rest."""
    kept = list(rows[:limit])
    if len(rows) <= limit:
        return kept, None
    return kept, base64.urlsafe_b64encode(str(key(kept[-1])).encode()).decode()


def _bad_cursor() -> Problem:
    mistake = Mistake(pointer="cursor", detail="Use next_cursor of the page before, as it is.")
    return Problem(422, "invalid_request", "The request is not of the right form", mistake.detail, [mistake])


# Entity tags (RFC 9110 sections 8.8.3 and 13.1.1)

IfMatch = Annotated[
    str | None, Header(description="The ETag of what is changed, so that nobody else's change is lost.", max_length=200)
]


def etag_of(shown: BaseModel) -> str:
    """Return the tag of what is shown."""
    return f'"{hashlib.sha256(shown.model_dump_json().encode()).hexdigest()[:24]}"'


def check_etag(if_match: str | None, shown: BaseModel, *, required: bool = True) -> None:
    """Check that what is changed is what the caller saw.

    Raises:
        Problem: when it is not, or the caller does not say what they saw.
    """
    if if_match is None:
        if required:
            text = "Send If-Match with the ETag of what you saw."
            raise Problem(428, "precondition_required", "Say what you saw", text)
        return
    tags = [one.strip() for one in if_match.split(",")]
    if "*" not in tags and etag_of(shown) not in tags:
        text = "It was changed since you saw it: read it again, and decide anew."
        raise Problem(412, "precondition_failed", "Somebody changed it", text)


def shown_response(shown: BaseModel, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    """Return something with its tag."""
    made = {"ETag": etag_of(shown), "Cache-Control": "no-store", **(headers or {})}
    return Response(shown.model_dump_json(by_alias=True), status, made, "application/json")


# Requests that are done once

IdempotencyKeyHeader = Annotated[
    str | None,
    Header(
        alias="Idempotency-Key",
        min_length=8,
        max_length=200,
        pattern=r"^[\x21-\x7e]+$",
        description="A value of your own: the same request with it, within a day, is not done a second time.",
    ),
]


@dataclass(frozen=True, slots=True)
class Made:
    """What a creation answers."""

    body: BaseModel
    location: str
    status: int = 201


Check = Callable[[AsyncSession], Awaitable[None]]
"""Whether a creation may be asked for now: by this caller, of what there is now."""


async def once(
    request: Request, key: str | None, check: Check, make: Callable[[AsyncSession], Awaitable[Made]]
) -> Response:
    """Carry out a creation in one transaction; with a key that came before, give the answer of that time, to a caller
    who may still ask for it.

    Args:
        request: what is answered; the key is bound to its application, person, method, address and body.
        key: the header ``Idempotency-Key``.
        check: everything that the route checks besides its permission. It runs each time, before an earlier answer is
            given too: that answer may hold a secret, and the caller may have lost the right to it meanwhile.
        make: carries it out.

    Raises:
        Problem: when the key came with another request, or the caller may not ask.
    """
    provider = site_of(request).provider
    if key is None:
        async with provider.db.write() as session:
            await check(session)
            return _created(_answer(await make(session)))
    caller = caller_in(request)
    name = f"{caller.client.client_id} {caller.actor} {key}"
    address = request.url.path + (f"?{request.url.query}" if request.url.query else "")
    asked = f"{request.method} {address} {hashlib.sha256(await request.body()).hexdigest()}"
    try:
        async with provider.db.write() as session:
            before = await begin_once(session, provider.box, name, asked)
            await check(session)
            if before is not None:
                return _created(before)
            answer = _answer(await make(session))
            await finish_once(session, provider.box, name, answer)
    except KeyUsed:
        text = "This Idempotency-Key came with another request: take another."
        raise Problem(422, "idempotency_key_reused", "The key was used", text) from None
    return _created(answer)


def _answer(made: Made) -> bytes:
    body = orjson.loads(made.body.model_dump_json(by_alias=True))
    return orjson.dumps({"status": made.status, "location": made.location, "body": body})


def _created(answer: bytes) -> Response:
    said = orjson.loads(answer)
    headers = {"Location": said["location"], "Cache-Control": "no-store"}
    return Response(orjson.dumps(said["body"]), said["status"], headers, "application/json")


def problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Return what the documentation says of the problems of a route."""
    said = {
        400: "The request cannot be read",
        401: "No access token that is good here, or the person must sign in again",
        403: "Not allowed",
        404: "There is no such thing",
        409: "It cannot be done",
        412: "Somebody changed it meanwhile",
        422: "The request is not of the right form",
        428: "If-Match is missing",
        503: "The database is away",
    }
    chosen = {400, 401, 403, 422, 503, *statuses}
    content = {PROBLEM_TYPE: {"schema": {"$ref": "#/components/schemas/ProblemBody"}}}
    return {status: {"description": said[status], "content": content} for status in sorted(chosen)}
