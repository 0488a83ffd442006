"""Answers to what cannot be done: one handler for every refusal, as a page, as JSON, or as a problem of the API.

A route or a use case raises a :class:`~sso.errors.Refusal`; nothing is registered for its class. Where a page of its
own is the answer, a route raises an :class:`Interruption`, which makes its own answer.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from typing import cast
from urllib.parse import quote

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from pydantic_core import ErrorDetails
from sqlalchemy.exc import IntegrityError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from sso.accounts.sign_in.current_account import AccountLocked, current_account
from sso.clients.validation_errors import not_a_list, not_text
from sso.errors import Refusal, validation_message
from sso.http.common.cookies import own_cookies
from sso.http.common.counting import count_page_error, count_redirect_error
from sso.http.common.forms import sent_fields
from sso.http.common.header import remember_user, remembered_user
from sso.http.common.pages import FAILURES, NO_FIELDS, failure, to_application
from sso.http.common.responses import answer_form, json_error, problem_response
from sso.http.common.state import site_of
from sso.http.common.visitor import visitor_of
from sso.identity.users.store import roles_of
from sso.oidc.authorize.authorization_request import PageError, RedirectError
from sso.oidc.authorize.request import error_answer
from sso.platform.db import DatabaseUnavailable

_SAFE_IN_URLS = "-._~:/?#[]@!$&'()*+,;=%"
"""The characters that stay as they are where a page shows a URL (RFC 3986 section 2)."""
SHOWS_USER = frozenset({400, 403, 404, 409, 410})
"""The statuses whose pages are worth a statement for the user in the header: not 429, which sheds load."""


class Interruption(Exception):
    """The route ends, and this makes the answer: a page of its own, or a redirect."""

    def respond(self, request: Request) -> Response:
        """Return the answer."""
        raise NotImplementedError


class Interrupted(Interruption):
    """The route is answered with ``response``: the way to the sign-in page and back, or a page that refuses."""

    def __init__(self, response: Response) -> None:
        super().__init__("answered otherwise")
        self.response = response

    def respond(self, _: Request) -> Response:
        """Return the response that was given."""
        return self.response


class InvalidRequest(Refusal):
    """The request does not have the form that the route takes.

    Args:
        mistakes: (JSON pointer or name of a parameter, text) of each mistake.
    """

    status = 422
    code = "invalid_request"

    def __init__(self, mistakes: list[tuple[str, str]]) -> None:
        first = mistakes[0] if mistakes else ("", "")
        super().__init__(f"{first[0]}: {first[1]}" if mistakes else "The request cannot be read.")
        self._mistakes = mistakes

    @property
    def located_mistakes(self) -> list[tuple[str, str]]:
        """(JSON pointer or name of a parameter, text) of each mistake."""
        return self._mistakes


class Conflict(Refusal):
    """Another request made the same thing at the same time; the database keeps only one."""

    status = 409
    code = "conflict"


ErrorPage = Callable[[Request, Exception], Response] | Callable[[Request, Exception], Awaitable[Response]]


def add_error_handler(app: FastAPI, pages: Mapping[type[Refusal], ErrorPage]) -> None:
    """Let an application answer every refusal in one way.

    Args:
        app: the application.
        pages: the refusals of use cases that lead to a page of their own, and what makes the page.
    """
    for kind in (Refusal, Interruption, HTTPException, RequestValidationError, IntegrityError):
        app.add_exception_handler(kind, on_error)
    for refusal, page in pages.items():
        app.add_exception_handler(refusal, page)


async def on_error(request: Request, error: Exception) -> Response:
    """Answer an error of a route.

    Raises:
        Exception: ``error`` itself, where the server is at fault or the request may be tried again: the middleware logs
            the one and does the other.
    """
    if isinstance(error, Interruption):
        return error.respond(request)
    if isinstance(error, HTTPException):
        if error.status_code == 404:
            await _read_user(request)
        return _http_error(request, error)
    refusal = _as_refusal(request, error)
    if refusal is None or not _is_answerable(request, refusal):
        raise error  # before the form is read: an outer handler has another request, whose body was consumed already
    fields = await sent_fields(request)
    if isinstance(error, RedirectError):
        count_redirect_error(error)
        return to_application(request, error_answer(site_of(request).settings, error), fields)
    if refusal.status in SHOWS_USER:
        await _read_user(request)
    if isinstance(error, PageError):
        return _page_error(request, error, fields)
    return refusal_response(request, refusal, fields)


def refusal_response(request: Request, refusal: Refusal, fields: Mapping[str, str] = NO_FIELDS) -> Response:
    """Return the answer to a request that is refused, in the form of the endpoint.

    Args:
        request: what is answered.
        refusal: why it is refused.
        fields: of the form that was sent.
    """
    form = answer_form(request.url.path)
    if form == "problem":
        detail = refusal.explanation or request.url.path
        mistakes = refusal.located_mistakes
        return problem_response(request, refusal.status, refusal.code, detail, mistakes, refusal.headers)
    if form == "json" and refusal.error:
        return json_error(refusal.status, refusal.error, refusal.explanation, refusal.headers)
    code, detail, values = refusal.page or refusal.code, refusal.explanation, refusal.values
    response = failure(request, code, refusal.status, detail, values=values, fields=fields)
    response.headers.update(refusal.headers)
    return response


def _is_answerable(request: Request, refusal: Refusal) -> bool:
    if refusal.status == 500 or isinstance(refusal, DatabaseUnavailable):
        return False
    return (
        answer_form(request.url.path) == "problem" or bool(refusal.error) or (refusal.page or refusal.code) in FAILURES
    )


def _as_refusal(request: Request, error: Exception) -> Refusal | None:
    """Return the refusal that an error of FastAPI or of the database means; None: it means none."""
    if isinstance(error, Refusal):
        return error
    if isinstance(error, RequestValidationError):
        return InvalidRequest([_mistake(problem) for problem in cast(Sequence[ErrorDetails], error.errors())])
    if answer_form(request.url.path) == "problem":
        return Conflict("Somebody made the same at the same moment: look what is there now.")
    return None


def _mistake(problem: ErrorDetails) -> tuple[str, str]:
    where, *path = [str(part) for part in problem["loc"]]
    if where != "body":
        return ".".join(path) or where, validation_message(problem)
    pointer = "/" + "/".join(path)
    if problem["type"] == "string_type":
        return pointer, not_text(problem.get("input"))
    if problem["type"] == "list_type":
        return pointer, not_a_list(problem.get("input"))
    return pointer, validation_message(problem)


def _page_error(request: Request, error: PageError, fields: Mapping[str, str]) -> Response:
    """Answer an authorization request that cannot be answered to its application."""
    provider = site_of(request).provider
    count_page_error(provider.usage, provider.registry, request.url.path, error)
    # What the link named is shown as a URL is written: a sentence in it does not read as one of ours.
    detail = error.detail if error.code == "bad_request_object" else quote(error.detail, safe=_SAFE_IN_URLS)
    client = provider.registry.enabled(error.client_id or error.named)
    signing_in = request.url.path != "/logout"
    return failure(request, error.code, 400, detail, client=client, signing_in=signing_in, fields=fields)


async def _read_user(request: Request) -> None:
    """Read the user for the header of an error page, where the request has read no session: only for a browser that has
    one and asks for a page, and never at the cost of the answer."""
    asks_for_page = request.method == "GET" and "text/html" in request.headers.get("accept", "")
    if not asks_for_page or answer_form(request.url.path) != "page" or remembered_user(request) is not None:
        return
    if not own_cookies(request).session_tokens:
        return
    provider = site_of(request).provider
    with suppress(AccountLocked, DatabaseUnavailable):
        async with provider.db.read() as session:
            current = await current_account(provider, session, visitor_of(request), None)
            who = current.signed_in if current is not None else None
            if who is not None:
                remember_user(request, who.user.name, await roles_of(session, who.user.id))


def _http_error(request: Request, error: HTTPException) -> Response:
    if error.status_code == 400 and error.__cause__ is not None:  # reading the body failed
        cause = error.__cause__
        return refusal_response(request, cause) if isinstance(cause, Refusal) else failure(request, "unreadable", 400)
    if error.status_code == 405:
        response = failure(request, "wrong_method", 405)
        response.headers["Allow"] = ", ".join(_methods_at(request)) or (error.headers or {}).get("Allow", "")
        return response
    return failure(request, "not_found", error.status_code)


def _methods_at(request: Request) -> list[str]:
    """Return the methods of a URL (RFC 9110 section 15.5.6): each is a route of its own."""
    path = request.url.path
    routes = [route for route in request.app.router.routes if isinstance(route, Route)]
    return sorted({method for route in routes if route.path_regex.match(path) for method in route.methods or ()})
