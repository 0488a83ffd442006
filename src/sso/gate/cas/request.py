"""The login page of the CAS protocol: from its request to an authorization request, which the sign-in handles as any
other, and from there to a ticket."""

from __future__ import annotations

import secrets
from datetime import timedelta
from urllib.parse import urlsplit

from sso.clients.registry import Client, Registry
from sso.gate.cas.parameters import TICKET_PREFIX, Login
from sso.oidc.authorize.authorization_request import AuthorizationRequest, PageError
from sso.oidc.authorize.request import check_request
from sso.oidc.authorize.response import AuthorizationResponse, response_mode
from sso.oidc.grants.front_channel import FrontChannel
from sso.oidc.requests import ProtocolRequest
from sso.oidc.server import ProviderServer

LOGIN = "/cas/login"
TICKET_BYTES = 32
SHOWN_CHARS = 300


class ServiceTicketGrant(FrontChannel):
    """Answers with a ticket: the code of a grant, which ``cas/validation.py`` consumes. No grant type of the token
    endpoint: Authlib does not know it."""

    def __init__(self, request: ProtocolRequest) -> None:
        self.request = request

    @property
    def code_lifetime(self) -> timedelta:
        """How long a ticket is valid."""
        return self.request.provider.settings.cas_ticket_lifetime

    def create_authorization_response(
        self, redirect_uri: str, grant_user: object
    ) -> tuple[int, AuthorizationResponse, list[tuple[str, str]]]:
        """Return the answer as the body (CAS Protocol 3.0 section 2.2.4).

        Raises:
            OAuth2Error: when the session is over this very moment.
        """
        ticket = new_ticket()
        self._insert_grant(ticket, frozenset({"code"}))
        mode = response_mode(self.request.payload.data)
        return 200, AuthorizationResponse(redirect_uri, mode, [("ticket", ticket)]), []


def new_ticket() -> str:
    """Return a new ticket: 256 random bits, of the characters that section 3.7 allows."""
    return TICKET_PREFIX + secrets.token_hex(TICKET_BYTES)


def login_request(server: ProviderServer, login: Login) -> AuthorizationRequest:
    """Return the authorization request that a request for the login page means.

    Raises:
        PageError: when no application, or more than one, registered the service URL, or it cannot be used.
    """
    clients = server.provider.registry.of_service(login.service)
    if not clients:
        known = _at_origin(server.provider.registry, login.service)
        raise PageError("unregistered_service", login.service[:SHOWN_CHARS], known, named=known)
    if len(clients) > 1:
        raise PageError("ambiguous_service", login.service[:SHOWN_CHARS])
    return check_request(server, login.parameters(clients[0].client_id), "cas")


def _at_origin(registry: Registry, service: str) -> str:
    """Return the one application with a service URL at the same origin, so that its team sees the mistake and the page
    leads back to it; empty where there is none, or more than one."""
    try:
        parts = urlsplit(service)
    except ValueError:
        return ""
    names = registry.services_at(parts.scheme, parts.netloc)
    return names[0] if len(names) == 1 else ""


def check_cas_request(
    server: ProviderServer, client: Client, redirect_uri: str, parameters: list[tuple[str, str]]
) -> AuthorizationRequest:
    """Return the authorization request of an application that speaks CAS: it asks for all that it has registered.

    Args:
        server: the authorization server.
        client: the application.
        redirect_uri: its service URL, which is registered.
        parameters: of :meth:`sso.gate.cas.parameters.Login.parameters`.
    """
    request = ProtocolRequest(server.provider, "GET", LOGIN, parameters)
    scopes = [scope for scope in client.meta.scope.split() if scope in client.scopes and scope != "offline_access"]
    prompt = frozenset(request.payload.data.get("prompt", "").split())
    request.client, request.scope, request.knows_errors = client, " ".join(scopes), False
    request.asked_claims = {"renewed": True} if "login" in prompt else {}
    return AuthorizationRequest(
        protocol=request,
        client=client,
        redirect_uri=redirect_uri,
        scopes=frozenset(scopes),
        prompt=prompt,
        max_age=client.meta.default_max_age,
        hint_sub=None,
        grant=ServiceTicketGrant(request),
        source="cas",
        parameters=dict(request.payload.data),
    )
