"""Writing responses."""

from __future__ import annotations

import orjson
from starlette.responses import Response

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


def response(answer: Answer) -> Response:
    """Return what the protocol answers as a response."""
    if isinstance(answer.body, str):
        content, media_type = answer.body.encode(), dict(answer.headers).get("Content-Type")
    else:
        content, media_type = orjson.dumps(answer.body), "application/json"
    made = Response(content, answer.status, media_type=media_type)
    for name, value in answer.headers:
        if name.lower() != "content-type":
            made.headers.append(name, value)
    return made


def json_error(status: int, error: str, text: str, headers: dict[str, str]) -> Response:
    """Return an error in the form of RFC 6749 section 5.2."""
    body = {"error": error, "error_description": text}
    return Response(orjson.dumps(body), status, {"Cache-Control": "no-store", **headers}, "application/json")


def to_wait(made: Response, seconds: int) -> Response:
    """Say in a response after how many seconds to try again (RFC 9110 section 10.2.3)."""
    made.headers["Retry-After"] = str(seconds)
    return made
