"""The authorization endpoint (RFC 6749 section 3.1, OpenID Connect Core section 3.1.2): from a request to an answer.

``check_request`` holds the order of the checks. Until the redirect URI is proven an error is a page; afterwards it is
a redirect with ``error``, ``state`` and ``iss``.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import timedelta
from typing import TypeVar
from urllib.parse import urlsplit

from authlib.oauth2.rfc6749 import InvalidRequestError, OAuth2Error
from sqlalchemy.ext.asyncio import AsyncSession

from sso import clock
from sso.clients.claims import allowed_by, shortest
from sso.clients.registry import Client
from sso.identity.authn.assurance import ACR_VALUES, answered_acr
from sso.oidc.authorize.authorization_request import AuthorizationRequest, PageError, RedirectError
from sso.oidc.authorize.claims_parameter import read_claims_request
from sso.oidc.authorize.decision import Decision, Fail, Present, Progress, RequestedAccess, decide, minimum_level
from sso.oidc.authorize.request_object import RequestObjectRefused, Source, expand
from sso.oidc.authorize.response import RESPONSE_MODES, AuthorizationResponse, carries_tokens, response_mode
from sso.oidc.authorize.signed_in import SignedIn
from sso.oidc.demands import Demand, Way, unmet
from sso.oidc.enforcement import facts_at_page, recorded, standing_at_page
from sso.oidc.id_token_hint import read_hint
from sso.oidc.parameters import check_supported, repeated
from sso.oidc.requests import ProtocolRequest, check_granted, description, no_such_scope, note_ignored_scopes
from sso.oidc.server import ProviderServer
from sso.oidc.services import ChangeServices, DecisionServices
from sso.oidc.store import store
from sso.oidc.token.client_keys import KeysUnavailable
from sso.platform.audit import record
from sso.platform.db import Executor
from sso.platform.keys import InvalidToken, KeyRing
from sso.platform.security.numbers import read_int
from sso.platform.security.tokens import token_hash
from sso.settings import Settings

Checked = TypeVar("Checked")
PROMPTS = ("none", "login", "consent", "select_account", "create")
MAX_NONCE_CHARS = 2048
MAX_STATE_CHARS = 8192
MAX_AGE_LIMIT = 10**9


async def read_request(server: ProviderServer, parameters: list[tuple[str, str]]) -> AuthorizationRequest:
    """Read and check an authorization request, wherever its parameters are: in the request itself, in a request object,
    or pushed before.

    Raises:
        PageError: before the redirect URI is proven.
        RedirectError: afterwards.
        DatabaseUnavailable: when there is no database now.
    """
    return await with_news(server.provider, lambda: _read_request(server, parameters))


async def with_news(services: ChangeServices, check: Callable[[], Awaitable[Checked]]) -> Checked:
    """Return what ``check`` returns. Where it refuses the request, and applications or keys changed a moment ago in
    another process, it is asked once more.

    Raises:
        PageError, RedirectError: when the request is refused with what is known now.
        DatabaseUnavailable: when there is no database now.
    """
    before = services.generation
    try:
        return await check()
    except (PageError, RedirectError, RequestObjectRefused):
        if await services.look() == before:
            raise
    return await check()


async def _read_request(server: ProviderServer, parameters: list[tuple[str, str]]) -> AuthorizationRequest:
    provider, data = server.provider, dict(parameters)
    if "request" in data or "request_uri" in data:
        checked = await _read_object(server, parameters)
    else:
        checked = check_request(server, parameters)
    client = checked.client
    note_ignored_scopes(provider.usage, client, checked.parameters.get("scope", ""), "/authorize")
    if client.meta.id_token_encrypted_response_alg and carries_tokens(checked.parameters):
        try:
            await provider.client_keys.ready(client.meta.jwks_uri)
        except KeysUnavailable as error:
            raise RedirectError(checked.protocol, "invalid_request", str(error)) from None
    return checked


async def _read_object(server: ProviderServer, parameters: list[tuple[str, str]]) -> AuthorizationRequest:
    request = ProtocolRequest(server.provider, "GET", "/authorize", parameters)
    _check_named_once(request, ("client_id", "redirect_uri"))
    client = _check_client(server, request)
    try:
        expanded = await expand(server.provider, client, parameters)
    except RequestObjectRefused as error:
        if client.check_redirect_uri(request.payload.data.get("redirect_uri", "")):
            raise RedirectError(request, error.error, str(error)) from None
        raise PageError("bad_request_object", f"{error.error}: {error}", client.client_id) from None
    return check_request(server, expanded.parameters, expanded.source)


def check_request(
    server: ProviderServer, parameters: list[tuple[str, str]], source: Source = "plain"
) -> AuthorizationRequest:
    """Check the parameters of an authorization request, in the way of the protocol in which it came.

    Raises:
        PageError: before the redirect URI is proven.
        RedirectError: afterwards.
    """
    request = ProtocolRequest(server.provider, "GET", "/authorize", parameters)
    _check_named_once(request, ("client_id", "redirect_uri"))
    client = _check_client(server, request)
    redirect_uri = _check_redirect_uri(request, client)
    if (client.meta.type == "cas") != (source == "cas"):
        raise PageError("other_protocol", client.client_id, client.client_id)
    if source == "cas":
        return server.check_cas_request(server, client, redirect_uri, parameters)
    try:
        return _check_the_rest(server, request, client, redirect_uri, source)
    except OAuth2Error as error:
        raise RedirectError(request, error.error, error.description or "") from None


def _check_named_once(request: ProtocolRequest, names: tuple[str, ...]) -> None:
    for name in names:
        if len(request.payload.datalist.get(name, [])) > 1:
            raise PageError("repeated", name)


def _check_client(server: ProviderServer, request: ProtocolRequest) -> Client:
    client_id = request.payload.data.get("client_id")
    if client_id is None:
        raise PageError("no_client", "client_id")
    client = server.provider.registry.get(client_id)
    if client is None:
        raise PageError("unknown_client", client_id[:100])
    if not client.enabled:
        raise PageError("disabled_client", client.client_id, client.client_id)
    return client


def _check_redirect_uri(request: ProtocolRequest, client: Client) -> str:
    redirect_uri = request.payload.data.get("redirect_uri")
    if redirect_uri is None:
        raise PageError("no_redirect_uri", "redirect_uri", client.client_id)
    if not client.check_redirect_uri(redirect_uri):
        raise PageError("unregistered_redirect_uri", redirect_uri[:300], client.client_id)
    return redirect_uri


def _check_the_rest(
    server: ProviderServer, request: ProtocolRequest, client: Client, redirect_uri: str, source: Source
) -> AuthorizationRequest:
    data = request.payload.data
    _check_source(client, source)
    for check in _CHECKS:
        check(request)
    check_supported(request, client)
    check_granted(client, data.get("scope", "").split())
    grant = server.get_authorization_grant(request)
    grant.validate_authorization_request()
    if not request.scope:
        raise no_such_scope(client, data.get("scope", ""), "The client has not registered any of these scopes.")
    claims = read_claims_request(data.get("claims"), client.scopes, client.withheld, client.city_scope_of)
    request.asked_claims = claims.stored()
    return AuthorizationRequest(
        protocol=request,
        client=client,
        redirect_uri=redirect_uri,
        scopes=frozenset(request.scope.split()),
        prompt=_prompt(server.provider.settings, data),
        max_age=_max_age(data, client),
        hint_sub=_hint(server.provider.settings, server.provider.keys, client, data),
        grant=grant,
        claims=claims,
        source=source,
        parameters=dict(data),
    )


def _check_source(client: Client, source: Source) -> None:
    meta = client.meta
    if meta.require_pushed_authorization_requests and source not in ("pushed", "pushed_signed"):
        raise InvalidRequestError("This application must push its requests (RFC 9126 section 6).")
    if meta.require_signed_request_object and source not in ("signed", "pushed_signed"):
        raise InvalidRequestError("This application must sign its requests (RFC 9101 section 10.5).")


def _check_repeated(request: ProtocolRequest) -> None:
    name = repeated(request)
    if name:
        raise InvalidRequestError(description(f"{name} must not be repeated (RFC 6749 section 3.1)."))


def _check_response(request: ProtocolRequest) -> None:
    data = request.payload.data
    if "response_type" not in data:
        raise InvalidRequestError("response_type is required.")
    mode = data.get("response_mode")
    if mode is None:
        return
    if mode not in RESPONSE_MODES:
        raise InvalidRequestError(f"response_mode must be one of {', '.join(RESPONSE_MODES)}.")
    if mode == "form_post" and urlsplit(data["redirect_uri"]).scheme not in ("https", "http"):
        raise InvalidRequestError("response_mode=form_post needs an https redirect URI: a form is posted to it.")
    if mode == "query" and carries_tokens(data):
        raise InvalidRequestError(
            "Tokens must not be in a query (OAuth 2.0 Multiple Response Type Encoding Practices section 3)."
        )


def _check_sizes(request: ProtocolRequest) -> None:
    for name, maximum in (("nonce", MAX_NONCE_CHARS), ("state", MAX_STATE_CHARS)):
        value = request.payload.data.get(name, "")
        if len(value) > maximum or "\x00" in value:
            raise InvalidRequestError(f"{name} must have at most {maximum} characters, and no NUL.")


_CHECKS: tuple[Callable[[ProtocolRequest], None], ...] = (_check_repeated, _check_sizes, _check_response)


def prompts(settings: Settings) -> list[str]:
    """Return what ``prompt`` may be made of: ``create`` where people can register themselves."""
    return [prompt for prompt in PROMPTS if prompt != "create" or settings.sign_up_kinds]


def _prompt(settings: Settings, data: dict[str, str]) -> frozenset[str]:
    prompt = frozenset(data.get("prompt", "").split())
    if not prompt.issubset(prompts(settings)):
        raise InvalidRequestError(f"prompt must be made of {', '.join(prompts(settings))}.")
    if "none" in prompt and len(prompt) > 1:
        raise InvalidRequestError("prompt=none must stand alone (OpenID Connect Core section 3.1.2.1).")
    return prompt


def _max_age(data: dict[str, str], client: Client) -> int | None:
    text = data.get("max_age")
    if text is None:
        return client.meta.default_max_age
    try:
        return read_int(text, 0, MAX_AGE_LIMIT)
    except ValueError as error:
        raise InvalidRequestError(f"max_age {error}.") from None


def _hint(settings: Settings, keys: KeyRing, client: Client, data: dict[str, str]) -> str | None:
    """Return the ``sub`` of id_token_hint; an expired one is accepted (OpenID Connect Core section 3.1.2.1)."""
    hint = data.get("id_token_hint")
    if hint is None:
        return None
    try:
        claims = read_hint(settings, keys, hint, client.client_id)
    except InvalidToken:
        raise InvalidRequestError("id_token_hint is not an ID token that we gave this client.") from None
    return str(claims.get("sub", ""))


def signed_in(idle: timedelta, session: Executor, cookie: str, client_id: str | None) -> SignedIn | None:
    """Return who is signed in at the browser with the session cookie ``cookie``. One statement, none without cookie;
    for the bridge."""
    if not cookie:
        return None
    now = clock.now()
    row = store.find_session(session, token_hash(cookie), client_id, now, now - idle)
    return SignedIn(row[0], row[1], allowed_by(row[2])) if row else None


async def with_consent(session: AsyncSession, client: Client, who: SignedIn) -> SignedIn:
    """Return ``who`` with what the person allowed ``client``. No statement for the city's own applications."""
    if client.first_party:
        return who
    return replace(who, consented=allowed_by(await store.consented_scopes(session, who.user.id, client.client_id)))


def next_step(
    services: DecisionServices, request: AuthorizationRequest, who: SignedIn | None, progress: Progress, address: str
) -> Decision:
    """Return what ``request`` needs next. ``address`` is where the person comes from."""
    hinted = None
    subs = {sub for sub in (request.hint_sub, request.claims.sub) if sub is not None}
    if subs and who is not None:
        hinted = subs == {services.subject(request.client, who.user.id)}
    requested = requested_authorization(request, hinted)
    present = None
    if who is not None:
        facts = facts_at_page(services.settings, who.standing, who.session, address)
        unmet_rule = unmet(Way.AUTHORIZE, request.client, facts)
        why = unmet_rule.demand if unmet_rule is not None else None
        invited = why is not Demand.INVITATION
        present = Present(
            who.session.auth_time,
            who.consented,
            who.session.acr,
            who.standing.identity,
            invited,
            why if invited else None,
        )
    return decide(requested, present, request.client.first_party, progress, clock.now(), ACR_VALUES)


def requested_authorization(request: AuthorizationRequest, hinted: bool | None = None) -> RequestedAccess:
    """Return what the application asks for, as far as it is decided on."""
    return RequestedAccess(
        request.permissions,
        request.prompt,
        request.max_age,
        hinted,
        request.claims.acr,
        request.minimum,
        frozenset(request.wished_acr),
    )


def needed_level(request: AuthorizationRequest) -> str:
    """Return the level that a sign-in must reach for this request."""
    return minimum_level(requested_authorization(request))


async def with_standing(session: AsyncSession, request: AuthorizationRequest, who: SignedIn) -> SignedIn:
    """Return ``who`` with what decides whether they may use the application. No statement where nothing depends on it,
    otherwise one."""
    if not request.wants_more:
        return who
    return replace(who, read=await standing_at_page(session, request.client, who.user.id))


async def respond(
    session: AsyncSession, request: AuthorizationRequest, who: SignedIn, address: str
) -> AuthorizationResponse:
    """Answer within the transaction of a session: see :func:`answer`."""
    return await session.run_sync(lambda sync: answer(sync, request, who, address))


def is_single(request: AuthorizationRequest) -> bool:
    """Tell whether the answer is one statement: the INSERT of a grant."""
    return not carries_tokens(request.parameters)


def answer(session: Executor, request: AuthorizationRequest, who: SignedIn, address: str) -> AuthorizationResponse:
    """Answer with what the response type names, within the transaction of ``session``: for a code one INSERT. For the
    bridge.

    Args:
        session: the transaction.
        request: what was asked.
        who: the person, who meets every demand.
        address: where the person comes from.

    Raises:
        RedirectError: when it cannot be made: the session is over this very moment, or there is no key to encrypt with.
    """
    protocol, sso_session, level = request.protocol, who.session, who.session.acr
    if levels := [*sorted(request.claims.acr or ()), *request.wished_acr, *request.minimum]:
        sso_session = replace(sso_session, acr=answered_acr(levels, level, who.standing.identity))
    protocol.sso_session = sso_session
    protocol.recorded = recorded(request.client, address, level, sso_session.acr)
    protocol.by_consent = bool(request.permissions) and not request.client.first_party

    protocol._session = session
    try:
        response = request.grant.create_authorization_response(request.redirect_uri, sso_session)[1]
    except OAuth2Error as error:
        raise RedirectError(protocol, error.error, error.description or "") from None
    return response


def error_answer(
    settings: Settings, failed: RedirectError | tuple[AuthorizationRequest, Fail]
) -> AuthorizationResponse:
    """Return what tells the application of an error (RFC 6749 section 4.1.2.1, OpenID Connect Core section 3.1.2.6,
    RFC 9207), in the mode of the request."""
    if isinstance(failed, RedirectError):
        request, error, text = failed.request, failed.error, failed.text
    else:
        request, error, text = failed[0].protocol, failed[1].error, failed[1].description
    data = request.payload.data
    if not request.knows_errors:
        silent = data.get("prompt") == "none"
        return AuthorizationResponse(data["redirect_uri"], "query", [], "" if silent else text or error)
    parameters = [("error", error)]
    if text:
        parameters.append(("error_description", description(text)))
    states = request.payload.datalist.get("state", [])
    if len(states) == 1:
        parameters.append(("state", states[0]))
    parameters.append(("iss", settings.issuer))
    return AuthorizationResponse(data["redirect_uri"], response_mode(data), parameters)


async def allow(
    session: AsyncSession, request: AuthorizationRequest, who: SignedIn, address: str | None, request_id: str
) -> None:
    """Remember that the person allows what the application asks for, besides what was allowed before."""
    scopes = shortest(request.permissions | who.consented)
    await store.remember_consent(session, who.user.id, request.client.client_id, scopes, clock.now())
    record(
        session,
        "consent.given",
        actor=str(who.user.id),
        subject=str(who.user.id),
        client_id=request.client.client_id,
        address=address,
        request_id=request_id,
        data={"scopes": sorted(request.permissions)},
    )
