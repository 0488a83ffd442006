"""Writing responses."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from http import HTTPStatus
from typing import Literal

import orjson
from starlette.requests import Request
from starlette.responses import Response

from sso.http.common.state import request_id_of
from sso.oidc.requests import Answer

OPEN = {"Access-Control-Allow-Origin": "*"}

OPEN_PATHS = frozenset(
    {
        "/.well-known/openid-configuration",
        "/.well-known/oauth-authorization-server",
        "/jwks",
        "/token",
        "/userinfo",
        "/revoke",
        "/par",
        "/device_authorization",
    }
)
"""Where pages of applications may ask from a browser: the endpoints that answer a public client, as discovery announces
them (Fetch, CORS protocol). The shell adds the headers to every answer there, errors too."""


_JSON_PATHS = (
    "/token", "/userinfo", "/introspect", "/revoke", "/jwks", "/.well-known/", "/healthz", "/readyz", "/par",
    "/device_authorization", "/register", "/ssf/",
)  # fmt: skip
"""Endpoints for programs: they answer in JSON, errors too."""
PROBLEM_TYPE = "application/problem+json"

AnswerForm = Literal["problem", "json", "page"]


def answer_form(path: str) -> AnswerForm:
    """Return the form of an endpoint's errors: a problem (RFC 9457), JSON (RFC 6749 section 5.2), a page."""
    if path.startswith("/api/"):
        return "problem"
    return "json" if path.startswith(_JSON_PATHS) else "page"


class ReadyResponse(Response):
    """A response with a whole body and headers in the form in which they are sent, with names in small letters.
    ``Response`` works them out for each.

    Args:
        body: the body.
        status: the status.
        headers: all but ``Content-Length``.
    """

    def __init__(self, body: bytes, status: int, headers: Sequence[tuple[bytes, bytes]]) -> None:
        self.body, self.status_code, self.background = body, status, None
        self.raw_headers = [(b"content-length", b"%d" % len(body)), *headers]


_JSON = (b"content-type", b"application/json")


def response(answer: Answer) -> Response:
    """Return what the protocol answers as a response."""
    if not isinstance(answer.body, str):
        return ReadyResponse(orjson.dumps(answer.body), answer.status, [_JSON, *_encoded(tuple(answer.headers))])
    http_response = Response(answer.body.encode(), answer.status, media_type=dict(answer.headers).get("Content-Type"))
    http_response.raw_headers += _encoded(tuple(answer.headers))
    return http_response


@lru_cache(maxsize=100)
def _encoded(headers: tuple[tuple[str, str], ...]) -> list[tuple[bytes, bytes]]:
    """Return headers as they are sent, without ``Content-Type``. Most answers have the same ones."""
    named = [(name.lower(), value) for name, value in headers]
    return [(name.encode("latin-1"), value.encode("latin-1")) for name, value in named if name != "content-type"]


def json_response(status: int, body: object, headers: Mapping[str, str] | None = None) -> Response:
    """Return JSON that no cache stores."""
    return Response(orjson.dumps(body), status, {"Cache-Control": "no-store", **(headers or {})}, "application/json")


def json_error(status: int, error: str, text: str, headers: Mapping[str, str]) -> Response:
    """Return an error in the form of RFC 6749 section 5.2."""
    return json_response(status, {"error": error, "error_description": text}, headers)


def problem_response(
    request: Request,
    status: int,
    code: str,
    detail: str,
    mistakes: Sequence[tuple[str, str]] = (),
    headers: Mapping[str, str] | None = None,
) -> Response:
    """Return a problem of the API (RFC 9457).

    Args:
        request: the request that is answered.
        status: the HTTP status; the title is its name.
        code: the last part of the type.
        detail: what happened, and what to do.
        mistakes: (JSON pointer or name of a parameter, text) of each mistake.
        headers: further headers.
    """
    body: dict[str, object] = {
        "type": f"urn:sso:problem:{code}",
        "title": problem_title(status),
        "status": status,
        "detail": detail,
        "instance": f"urn:sso:request:{request_id_of(request)}",
    }
    if mistakes:
        body["errors"] = [{"pointer": pointer, "detail": text} for pointer, text in mistakes]
    return Response(orjson.dumps(body), status, {"Cache-Control": "no-store", **(headers or {})}, PROBLEM_TYPE)


def problem_title(status: int) -> str:
    """Return the title of problems with a status: the name of the status (RFC 9110 section 15) in sentence case."""
    named = {413: "Content too large", 422: "Unprocessable content"}  # Python's names are those of RFC 7231 and 4918
    return named.get(status) or HTTPStatus(status).phrase.capitalize()


def to_wait(response: Response, seconds: int) -> Response:
    """Say in a response after how many seconds to try again (RFC 9110 section 10.2.3); 0: it says nothing."""
    if seconds:
        response.headers["Retry-After"] = str(seconds)
    return response
