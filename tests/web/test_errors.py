"""The answers to refusals: their form, status, code and headers."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from starlette.requests import Request

from sso.accounts.power import TooPowerful
from sso.clients.privileges import PrivilegeError, PrivilegeRefused
from sso.clients.secrets import ClientError
from sso.errors import Refusal
from sso.http.api.problems import Problem, ProblemError, not_found
from sso.http.common.errors import InvalidRequest, refusal_response
from sso.http.common.pages import FAILURES
from sso.http.common.request_checks import Refused
from sso.http.common.responses import answer_form, problem_title
from sso.identity.authn.queue import Busy
from sso.identity.users.service import UserError
from sso.oidc.token.bearer import TokenRefused
from sso.platform.db import DatabaseUnavailable
from sso.platform.outbox.webhooks import WebhookError
from sso.platform.security.rate_limits import TooManyFailures
from sso.ssf.streams import StreamRefused


def request(path: str) -> Request:
    """Return a request for ``path``."""
    scope: dict[str, Any] = {"type": "http", "method": "GET", "path": path, "headers": [], "query_string": b""}
    return Request({**scope, "server": ("x", 443), "scheme": "https", "root_path": "", "request_id": "0f6a"})


@pytest.mark.parametrize(
    ("path", "form"),
    [
        ("/api/v1/users", "problem"),
        ("/token", "json"),
        ("/ssf/stream", "json"),
        ("/register/abc", "json"),
        ("/readyz", "json"),
        ("/login", "page"),
        ("/admin/people", "page"),
    ],
)
def test_the_endpoint_decides_the_form_of_an_error(path: str, form: str) -> None:
    assert answer_form(path) == form


@pytest.mark.parametrize(
    ("status", "title"),
    [
        (403, "Forbidden"),
        (404, "Not found"),
        (409, "Conflict"),
        (413, "Content too large"),
        (422, "Unprocessable content"),
    ],
)
def test_the_title_of_a_problem_is_the_name_of_its_status(status: int, title: str) -> None:
    assert problem_title(status) == title


PROBLEMS: list[tuple[Refusal, int, str, dict[str, str]]] = [
    (UserError("the name is taken"), 409, "refused", {}),
    (ClientError("it is suspended"), 409, "refused", {}),
    (WebhookError("url: must begin with https://", 422), 422, "refused", {}),
    (TooPowerful("users:roles"), 403, "no_permission", {}),
    (PrivilegeRefused("more than you have"), 403, "more_than_yours", {}),
    (PrivilegeError("a sandbox has none"), 409, "refused", {}),
    (not_found("user"), 404, "not_found", {}),
    (Problem(428, "precondition_required", "Send If-Match."), 428, "precondition_required", {}),
    (InvalidRequest([("/name", "is required")]), 422, "invalid_request", {}),
    (TokenRefused(401, "", "Send an access token."), 401, "no_token", {"www-authenticate": 'Bearer realm="sso"'}),
    (
        TokenRefused(401, "invalid_token", "It has ended."),
        401,
        "invalid_token",
        {"www-authenticate": 'Bearer realm="sso", error="invalid_token", error_description="It has ended."'},
    ),
    (TooManyFailures(59.5), 429, "too_many", {"retry-after": "60"}),
    (Busy(), 503, "unavailable", {"retry-after": "5"}),
    (DatabaseUnavailable("no route to host"), 503, "unavailable", {"retry-after": "5"}),
    (
        Refused(415, "unreadable", "", {"Accept-Encoding": "identity"}),
        415,
        "unreadable",
        {"accept-encoding": "identity"},
    ),
]


@pytest.mark.parametrize("case", PROBLEMS, ids=lambda case: f"{type(case[0]).__name__}-{case[2]}")
def test_a_refusal_is_a_problem_of_the_api(case: tuple[Refusal, int, str, dict[str, str]]) -> None:
    refusal, status, code, headers = case
    answer = refusal_response(request("/api/v1/users"), refusal)
    body = json.loads(bytes(answer.body))
    assert (answer.status_code, body["status"], body["title"]) == (status, status, problem_title(status))
    assert body["type"] == f"urn:sso:problem:{code}"
    assert body["instance"] == "urn:sso:request:0f6a"
    assert answer.media_type == "application/problem+json"
    assert answer.headers["cache-control"] == "no-store"
    assert {name: answer.headers.get(name) for name in headers} == headers


def test_a_problem_names_every_mistake_where_there_are_several() -> None:
    answer = refusal_response(request("/api/v1/users"), UserError("the name is taken", "the number is taken"))
    assert json.loads(bytes(answer.body))["errors"] == [
        {"pointer": "", "detail": "the name is taken"},
        {"pointer": "", "detail": "the number is taken"},
    ]
    problem = Problem(422, "invalid_request", "cursor: wrong", [ProblemError(pointer="cursor", detail="wrong")])
    assert json.loads(bytes(refusal_response(request("/api/v1/users"), problem).body))["errors"] == [
        {"pointer": "cursor", "detail": "wrong"}
    ]


@pytest.mark.parametrize(
    ("refusal", "error", "headers"),
    [
        (StreamRefused(409, "There is a stream."), "invalid_request", {}),
        (StreamRefused(429, "Too soon."), "invalid_request", {"retry-after"}),
        (TokenRefused(403, "insufficient_scope", "It needs ssf.manage."), "insufficient_scope", {"www-authenticate"}),
        (TokenRefused(401, "", "Send an access token."), "invalid_request", {"www-authenticate"}),
        (TooManyFailures(1), "temporarily_unavailable", {"retry-after"}),
        (Refused(400, "bad_text", "A header must not have control characters."), "invalid_request", {}),
    ],
)
def test_a_refusal_is_an_oauth_error_for_programs(refusal: Refusal, error: str, headers: set[str]) -> None:
    answer = refusal_response(request("/ssf/stream"), refusal)
    body = json.loads(bytes(answer.body))
    assert (answer.status_code, body["error"], answer.media_type) == (refusal.status, error, "application/json")
    assert body["error_description"]
    assert set(headers) <= set(answer.headers)


def subclasses(kind: type[Refusal]) -> Iterator[type[Refusal]]:
    """Yield every kind of refusal."""
    for subclass in kind.__subclasses__():
        yield subclass
        yield from subclasses(subclass)


def test_a_page_of_a_refusal_has_a_text() -> None:
    for kind in subclasses(Refusal):
        if kind.page:
            assert kind.page in FAILURES, kind
