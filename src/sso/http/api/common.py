"""What every resource of the API is made of: who calls, pages, entity tags, requests that are done once, problems."""

from __future__ import annotations

import base64
import binascii
import hashlib
import uuid
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Annotated, Any, Generic, Protocol, TypeVar

import orjson
from fastapi import Depends, Header, Query
from pydantic import BaseModel, Field
from sqlalchemy.ext.asyncio import AsyncSession
from starlette.requests import Request
from starlette.responses import Response

from sso import clock
from sso.errors import Refusal
from sso.http.common.responses import PROBLEM_TYPE, problem_title
from sso.oidc.provider import Provider
from sso.oidc.token.bearer import REALM, Caller, caller_of
from sso.platform.outbox import Worker
from sso.platform.permissions import PERMISSIONS, AccessRefused, check_access, effective_permissions
from sso.platform.security.idempotency import KeyUsed, begin_once, finish_once
from sso.platform.security.ip_privacy import kept_address
from sso.platform.security.numbers import read_uuid
from sso.platform.security.text import check_line
from sso.settings import Settings

PREFIX = "/api/v1"
MAX_PAGE = 200

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
    return kept_address(str(request.scope["client_address"]), site_of(request).settings.address_privacy)


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


class Problem(Refusal):
    """A request to the API that is refused.

    Args:
        status: the HTTP status.
        code: the last part of the problem type.
        detail: what happened, and what to do.
        errors: each mistake, where there are several or they have a place.
        headers: further headers of the answer.
    """

    def __init__(
        self,
        status: int,
        code: str,
        detail: str,
        errors: Sequence[Mistake] = (),
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(detail)
        self.status, self.code = status, code
        self._errors, self._headers = errors, headers or {}

    @property
    def located_mistakes(self) -> list[tuple[str, str]]:
        """(JSON pointer or name of a parameter, text) of each mistake."""
        return [(mistake.pointer, mistake.detail) for mistake in self._errors]

    @property
    def headers(self) -> Mapping[str, str]:
        """The headers of the answer that belong to this problem."""
        return self._headers


def not_found(what: str) -> Problem:
    """Return the problem that there is no such thing."""
    return Problem(404, "not_found", f"There is no {what} of this id.")


def refused(error: Refusal, status: int = 409) -> Problem:
    """Return the problem that a rule forbids it."""
    mistakes = [Mistake(pointer=pointer, detail=text) for pointer, text in error.located_mistakes]
    return Problem(status, "refused", str(error), mistakes)


# Who calls


async def _caller(request: Request) -> Caller:
    provider = site_of(request).provider
    return await caller_of(provider, request.headers.get("authorization", ""), provider.url(PREFIX))


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
    caller, seconds = caller_in(request), site_of(request).settings.step_up_seconds
    try:
        check_access(
            permission,
            roles=caller.roles,
            scopes=caller.scopes,
            signed_in=caller.signed_in,
            since=clock.now() - timedelta(seconds=seconds),
        )
    except AccessRefused as error:
        raise _access_problem(error, seconds) from None


def rights_of(request: Request) -> frozenset[str]:
    """Return what who calls may do: the permissions of the roles, limited to the scopes of the token."""
    caller = caller_in(request)
    return effective_permissions(caller.roles, caller.scopes)


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


def _access_problem(error: AccessRefused, seconds: int) -> Problem:
    scope = error.wanted.scope
    if error.code == "sign_in_again":
        text = f"This needs somebody who signed in within {seconds} seconds: ask for max_age={seconds}."
        code = "insufficient_user_authentication"
        challenge = f'{REALM}, error="{code}", error_description="{text}", max_age="{seconds}"'
        return Problem(401, code, text, headers={"WWW-Authenticate": challenge})
    if error.code == "insufficient_scope":
        text = f"The access token needs the scope {scope}."
        challenge = f'{REALM}, error="insufficient_scope", error_description="{text}", scope="{scope}"'
        return Problem(403, "insufficient_scope", text, headers={"WWW-Authenticate": challenge})
    return Problem(403, "no_permission", f"No role of this person has the permission {error.wanted.name}.")


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
    return Problem(422, "invalid_request", mistake.detail, [mistake])


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
            raise Problem(428, "precondition_required", text)
        return
    tags = [one.strip() for one in if_match.split(",")]
    if "*" not in tags and etag_of(shown) not in tags:
        text = "It was changed since you saw it: read it again, and decide anew."
        raise Problem(412, "precondition_failed", text)


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
        raise Problem(422, "idempotency_key_reused", text) from None
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
    chosen = {400, 401, 403, 422, 503, *statuses}
    content = {PROBLEM_TYPE: {"schema": {"$ref": "#/components/schemas/ProblemBody"}}}
    return {status: {"description": problem_title(status), "content": content} for status in sorted(chosen)}
