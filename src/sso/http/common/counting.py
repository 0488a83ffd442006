"""What is counted of the protocol's answers, and which mistakes of applications are kept for their teams."""

from __future__ import annotations

from sso.clients.registry import Registry
from sso.logs import note
from sso.oidc.authorize.request import PageError, RedirectError
from sso.oidc.requests import Answer, ProtocolRequest
from sso.oidc.token.client_auth import client_named_by
from sso.platform.metrics import Usage

SHOWN = ("response_type", "response_mode", "redirect_uri", "scope", "prompt", "code_challenge_method", "grant_type")
"""What is kept of a request: nothing that is secret, and nothing that is about a person."""


def count_token(asked: ProtocolRequest, answer: Answer) -> None:
    """Count an answer of the token endpoint."""
    usage, registry = asked.provider.usage, asked.provider.registry
    grant_type = asked.form.get("grant_type", "")[:60]
    client = registry.get(client_named_by(asked))
    if client is not None:
        note("client_id", client.client_id)
    if answer.status == 200:
        usage.count("token", client.client_id if client else "", grant_type)
        return
    body = answer.body if isinstance(answer.body, dict) else {}
    error = str(body.get("error", ""))
    if client is None or error in ("authorization_pending", "slow_down"):
        return
    usage.count("token_error", client.client_id, error)
    sent = {name: asked.form[name] for name in SHOWN if name in asked.form}
    usage.mistake(client.client_id, error, {"at": "/token", "said": body.get("error_description", ""), **sent})


def count_page_error(usage: Usage, registry: Registry, path: str, error: PageError) -> None:
    """Count a request that could not be answered to the application, where it is known which that is.

    Args:
        usage: the counters.
        registry: the registered applications.
        path: the path of the endpoint.
        error: what is wrong.
    """
    if error.client_id and registry.get(error.client_id) is not None:
        usage.count("authorize_error", error.client_id, error.code)
        usage.mistake(error.client_id, error.code, {"at": path, "said": error.detail})


def count_redirect_error(error: RedirectError) -> None:
    """Count a request that was answered to the application with an error."""
    usage, data = error.request.provider.usage, error.request.payload.data
    client_id = data.get("client_id", "")
    note("client_id", client_id)
    usage.count("authorize_error", client_id, error.error)
    sent = {name: data[name] for name in SHOWN if name in data}
    usage.mistake(client_id, error.error, {"at": "/authorize", "said": error.text, **sent})
