"""What is counted of the protocol's answers, and which mistakes of applications are kept for their teams."""

from __future__ import annotations

from typing import get_args

from starlette.types import Scope

from sso.clients.metadata.types import GrantType
from sso.clients.models import SANDBOX_END
from sso.clients.registry import Client, Registry
from sso.logs import note, noted
from sso.oidc.authorize.authorization_request import PageError, RedirectError
from sso.oidc.requests import Answer, ProtocolRequest
from sso.oidc.token.client_auth import client_named_by
from sso.platform.metrics import Usage
from sso.platform.metrics.request_log import OK
from sso.platform.security.ip_privacy import network_of

SHOWN = ("response_type", "response_mode", "redirect_uri", "scope", "prompt", "code_challenge_method", "grant_type")
"""What is kept of a request: nothing that is secret, and nothing that is about a person."""
ENDPOINTS = frozenset({"/token", "/userinfo", "/introspect", "/revoke", "/par", "/device_authorization", "/logout"})
"""The endpoints whose requests are logged for applications. /authorize names itself when it answers."""
AFTER_AUTHENTICATION = frozenset(
    {"invalid_grant", "invalid_scope", "unauthorized_client", "access_denied", "slow_down"}
)
"""Errors of the token endpoint that a client meets only after it has authenticated."""


def known_grant_type(request: ProtocolRequest) -> str:
    """Return the grant type of a request, where it is one of ours: free text of strangers is shown to nobody."""
    grant_type = request.form.get("grant_type", "")
    return grant_type if grant_type in get_args(GrantType) else ""


def _note_authentication(client: Client, status: int, *, authenticated: bool) -> None:
    """Note that a request came from the application itself; a public client proves that by what it was given alone."""
    if status == 200 or (authenticated and client.meta.token_endpoint_auth_method != "none"):
        note("client_authenticated", "1")


def count_token(request: ProtocolRequest, answer: Answer) -> None:
    """Count an answer of the token endpoint."""
    usage, registry = request.provider.usage, request.provider.registry
    grant_type = known_grant_type(request)
    client = registry.get(client_named_by(request))
    if client is not None:
        note("client_id", client.client_id)
        note("grant_type", grant_type)
        error_code = str(answer.body.get("error", "")) if isinstance(answer.body, dict) else ""
        _note_authentication(client, answer.status, authenticated=error_code in AFTER_AUTHENTICATION)
    if answer.status == 200:
        usage.count("token", client.client_id if client else "", grant_type)
        return
    body = answer.body if isinstance(answer.body, dict) else {}
    error = str(body.get("error", ""))
    if client is None or error in ("authorization_pending", "slow_down"):
        return
    note("outcome", error)
    usage.count("token_error", client.client_id, error)
    sent = {name: request.form[name] for name in SHOWN if name in request.form}
    usage.mistake(client.client_id, error, {"at": "/token", "said": body.get("error_description", ""), **sent})


def note_program(request: ProtocolRequest, answer: Answer) -> None:
    """Name the application and the outcome of a request to an endpoint for programs, for its log."""
    client = request.client or request.provider.registry.get(client_named_by(request))
    if client is None:
        return
    note("client_id", client.client_id)
    _note_authentication(client, answer.status, authenticated=request.client is not None)
    if answer.status >= 400:
        body = answer.body if isinstance(answer.body, dict) else {}
        note("outcome", str(body.get("error", answer.status)))


def log_request(scope: Scope, path: str, status: int) -> None:
    """Add a request of an application to its log: each of a sandbox, of others those that failed.

    Args:
        scope: the request.
        path: the path of the route.
        status: the status of the answer.
    """
    fields = noted()
    client_id, endpoint = fields.get("client_id"), fields.get("endpoint") or (path if path in ENDPOINTS else "")
    if not client_id or not endpoint:
        return
    outcome = fields.get("outcome") or (OK if status < 400 else str(status))
    sandbox = client_id.endswith(SANDBOX_END)
    if sandbox or outcome != OK:
        site = scope["app"].site
        site.provider.usage.requests.add(
            client_id,
            endpoint,
            outcome,
            grant_type=fields.get("grant_type", ""),
            request_id=scope["request_id"],
            network=network_of(scope["client_address"]) if site.settings.ip_address_privacy != "none" else None,
            sandbox=sandbox,
            authenticated=outcome == OK or "client_authenticated" in fields,
        )


def count_page_error(usage: Usage, registry: Registry, path: str, error: PageError) -> None:
    """Count a request that could not be answered to the application, where it is known which that is.

    Args:
        usage: the counters.
        registry: the registered applications.
        path: the path of the endpoint.
        error: what is wrong.
    """
    if error.client_id and registry.get(error.client_id) is not None:
        note("client_id", error.client_id)
        note("endpoint", path)
        note("outcome", error.code)
        usage.count("authorize_error", error.client_id, error.code)
        usage.mistake(error.client_id, error.code, {"at": path, "said": error.detail})


def count_redirect_error(error: RedirectError) -> None:
    """Count a request that was answered to the application with an error."""
    usage, data = error.request.provider.usage, error.request.payload.data
    client_id = data.get("client_id", "")
    note("client_id", client_id)
    note("endpoint", error.request.path)
    note("outcome", error.error)
    usage.count("authorize_error", client_id, error.error)
    sent = {name: data[name] for name in SHOWN if name in data}
    usage.mistake(client_id, error.error, {"at": error.request.path, "said": error.text, **sent})
