"""Validating a ticket (CAS Protocol 3.0 sections 2.4 and 2.5): it is consumed, whatever comes of it, and the
application takes part in the session from then on."""

from __future__ import annotations

from collections.abc import Mapping

from sso import clock
from sso.clients.registry import Client
from sso.gate.cas import store
from sso.gate.cas.answers import Validated, attributes_of
from sso.gate.cas.logout_request import PURPOSE
from sso.gate.cas.parameters import CasRefused, Code, Validation
from sso.gate.cas.request import LOGIN
from sso.identity.sessions.store import open_client_session
from sso.oidc.demands import Way
from sso.oidc.enforcement import unmet_by_grant
from sso.oidc.grants.front_channel import CODE_RETENTION
from sso.oidc.requests import Outdated, ProtocolRequest
from sso.oidc.server import ProviderServer
from sso.oidc.store import store as grants
from sso.oidc.store.store import LiveGrant
from sso.oidc.token.issue import id_token_claims
from sso.platform.db import Work
from sso.platform.security.tokens import token_hash

UNKNOWN = "The ticket is unknown, was used, or has expired."


async def validate(server: ProviderServer, presented: Validation) -> tuple[Client | None, Validated | CasRefused]:
    """Validate a ticket. One transaction, which is committed although the answer is a refusal: a ticket that was
    presented stays consumed.

    Args:
        server: the authorization server.
        presented: the ticket, and the service URL of who presents it.

    Returns:
        The application that the ticket was made for (None: unknown), and the answer.

    Raises:
        DatabaseUnavailable: when there is no database now.
    """
    try:
        return await server.provider.db.run_write(lambda work: _validate(server, work, presented, looked=False))
    except Outdated:
        await server.provider.look()
    return await server.provider.db.run_write(lambda work: _validate(server, work, presented, looked=True))


def _validate(
    server: ProviderServer, work: Work, presented: Validation, *, looked: bool
) -> tuple[Client | None, Validated | CasRefused]:
    owner = store.owner_of(work, token_hash(presented.ticket))
    if owner is None:
        return None, CasRefused(Code.INVALID_TICKET, UNKNOWN)
    client = server.provider.registry.get(owner)
    if client is None and not looked:
        raise Outdated
    if client is None or client.meta.type != "cas":  # the code of an application that speaks OpenID Connect
        return None, CasRefused(Code.INVALID_TICKET, UNKNOWN)
    request = ProtocolRequest(server.provider, "GET", LOGIN, [], session=work)
    request.client = client
    try:
        return client, _validated(request, client, presented)
    except CasRefused as refused:
        return client, refused


def _validated(request: ProtocolRequest, client: Client, presented: Validation) -> Validated:
    """Return what the application learns.

    Raises:
        CasRefused: when the ticket is not valid for it.
    """
    provider, work, now = request.provider, request.session, clock.now()
    used_until, access = now + CODE_RETENTION, client.receives_access
    grant = grants.use_code(work, token_hash(presented.ticket), client.client_id, now, used_until, access=access)
    if grant is None:
        raise CasRefused(Code.INVALID_TICKET, UNKNOWN)
    if grant.redirect_uri != presented.service:
        raise CasRefused(Code.INVALID_SERVICE, "The ticket was made for another service URL.")
    if not client.check_redirect_uri(presented.service):
        raise CasRefused(Code.INVALID_SERVICE, "The service URL is not registered any more.")
    if presented.renew and not grant.details.get("renewed"):
        raise CasRefused(Code.INVALID_TICKET, "The user did not sign in for this ticket: send renew to /cas/login too.")
    unmet = unmet_by_grant(provider.settings, work, Way.TICKET, client, grant)
    if unmet is not None:
        raise CasRefused(Code.UNAUTHORIZED_SERVICE, unmet.text)
    session_id = grant.session_id
    assert session_id is not None, "a ticket is made within a session"
    sid = open_client_session(work, session_id, client.client_id, now, now - provider.idle)
    if sid is None:
        raise CasRefused(Code.INVALID_TICKET, "The session of the user is over.")
    grant = request.grant = grant.with_sid(sid)
    claims = _claims(request, client, grant)
    user = username(client, claims)
    encrypted = provider.box.encrypt(presented.ticket.encode(), PURPOSE)
    store.keep_used(work, session_id, client.client_id, presented.service, encrypted, now)
    return Validated(user, attributes_of({**about_sign_in(grant), **claims}))


def _claims(request: ProtocolRequest, client: Client, grant: LiveGrant) -> dict[str, object]:
    """Return what an ID token of the application would say of the user."""
    about = id_token_claims(request, grant, grant.scope.split(), in_full=True)
    return {"sub": request.provider.subject(client, grant.user_id), **about}


def about_sign_in(grant: LiveGrant) -> dict[str, object]:
    """Return what is said of the sign-in (section 2.5.7), and the level that it reached."""
    return {
        "authenticationDate": f"{grant.auth_time:%Y-%m-%dT%H:%M:%SZ}",
        "longTermAuthenticationRequestTokenUsed": False,
        "isFromNewLogin": bool(grant.details.get("renewed")),
        "acr": grant.acr,
        "amr": grant.amr,
    }


def username(client: Client, claims: Mapping[str, object]) -> str:
    """Return the username of the answer: the claim that the application has registered for it.

    Raises:
        CasRefused: when the user has none.
    """
    name = client.meta.cas_username
    value = claims.get(name)
    if name == "email" and claims.get("email_verified") is not True:
        value = None  # an address that nobody has proven opens no account
    if not isinstance(value, str) or not value:
        raise CasRefused(Code.UNAUTHORIZED_SERVICE, f"The user has no {name}, which is the username here.")
    return value
