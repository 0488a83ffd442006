"""The authorization endpoint (RFC 6749 section 3.1, OpenID Connect Core section 3.1.2): from a request to an answer.

``check_request`` holds the order of the checks. Until the redirect URI is proven an error is a page; afterwards it is
a redirect with ``error``, ``state`` and ``iss``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import parse_qsl, urlencode

from authlib.oauth2.rfc6749 import InvalidRequestError, InvalidScopeError, OAuth2Error
from sqlalchemy import delete, update
from sqlalchemy.ext.asyncio import AsyncSession

from sso import clock
from sso.audit import record
from sso.clients.registry import Client
from sso.keys import InvalidToken
from sso.oidc.interaction import Asked, Decision, Fail, Present, Progress, decide
from sso.oidc.issue import ID_TOKEN_TYP
from sso.oidc.models import Interaction
from sso.oidc.provider import Provider
from sso.oidc.requests import Answer, ProtocolRequest, description, with_parameters
from sso.oidc.server import ProviderServer
from sso.security.tokens import random_token, token_hash
from sso.sessions.store import LiveSession
from sso.tokens import store
from sso.users.store import Person

PROMPTS = ("none", "login", "consent", "select_account")
MAX_NONCE_CHARS = 2048
MAX_STATE_CHARS = 8192
MAX_AGE_LIMIT = 10**9


class PageError(Exception):
    """The request cannot be answered to an application, because its redirect URI is not proven: a page says why.

    ``code`` names a message; ``detail`` is what developers need: shown, never executed.
    """

    def __init__(self, code: str, detail: str = "") -> None:
        super().__init__(f"{code}: {detail}")
        self.code = code
        self.detail = detail


class RedirectError(Exception):
    """The request failed after its redirect URI was proven."""

    def __init__(self, request: ProtocolRequest, error: str, text: str) -> None:
        super().__init__(f"{error}: {text}")
        self.request = request
        self.error = error
        self.text = text


@dataclass(frozen=True, slots=True)
class AuthorizationRequest:
    """A request that passed every check. ``grant`` is Authlib's, ready to answer."""

    protocol: ProtocolRequest
    client: Client
    redirect_uri: str
    scopes: frozenset[str]
    prompt: frozenset[str]
    max_age: int | None
    hint_sub: str | None
    grant: Any
    parameters: dict[str, str] = field(default_factory=dict)

    @property
    def ui_locales(self) -> str:
        """The languages asked for (OpenID Connect Core section 3.1.2.1)."""
        return self.parameters.get("ui_locales", "")

    @property
    def login_hint(self) -> str:
        """What to fill in on the sign-in page."""
        return self.parameters.get("login_hint", "")[:254]


@dataclass(frozen=True, slots=True)
class SignedIn:
    """The browser's living session, its person, and what the person allowed the application."""

    session: LiveSession
    user: Person
    consented: frozenset[str]


def check_request(server: ProviderServer, parameters: list[tuple[str, str]]) -> AuthorizationRequest:
    """Check an authorization request.

    Raises:
        PageError: before the redirect URI is proven.
        RedirectError: afterwards.
    """
    request = ProtocolRequest(server.provider, "GET", "/authorize", parameters)
    client = _check_client(server, request)
    redirect_uri = _check_redirect_uri(request, client)
    try:
        return _check_the_rest(server, request, client, redirect_uri)
    except OAuth2Error as error:
        raise RedirectError(request, error.error, error.description or "") from None


def _check_client(server: ProviderServer, request: ProtocolRequest) -> Client:
    for name in ("client_id", "redirect_uri"):
        if len(request.payload.datalist.get(name, [])) > 1:
            raise PageError("repeated", name)
    client_id = request.payload.data.get("client_id")
    if client_id is None:
        raise PageError("no_client", "client_id")
    client = server.provider.registry.get(client_id)
    if client is None:
        raise PageError("unknown_client", client_id[:100])
    if not client.enabled:
        raise PageError("disabled_client", client.client_id)
    return client


def _check_redirect_uri(request: ProtocolRequest, client: Client) -> str:
    redirect_uri = request.payload.data.get("redirect_uri")
    if redirect_uri is None:
        raise PageError("no_redirect_uri", "redirect_uri")
    if not client.check_redirect_uri(redirect_uri):
        raise PageError("unregistered_redirect_uri", redirect_uri[:300])
    return redirect_uri


def _check_the_rest(
    server: ProviderServer, request: ProtocolRequest, client: Client, redirect_uri: str
) -> AuthorizationRequest:
    data = request.payload.data
    for check in _CHECKS:
        check(request)
    grant = server.get_authorization_grant(request)
    grant.validate_consent_request()
    if not request.scope:
        raise InvalidScopeError("The client has not registered any of these scopes.")
    return AuthorizationRequest(
        protocol=request,
        client=client,
        redirect_uri=redirect_uri,
        scopes=frozenset(request.scope.split()),
        prompt=_prompt(data),
        max_age=_max_age(data, client),
        hint_sub=_hint(server.provider, client, data),
        grant=grant,
        parameters=dict(data),
    )


def _check_repeated(request: ProtocolRequest) -> None:
    repeated = request.payload.repeated()
    if repeated:
        raise InvalidRequestError(description(f"{repeated} must not be repeated (RFC 6749 section 3.1)."))


def _check_request_objects(request: ProtocolRequest) -> None:
    for name in ("request", "request_uri"):
        if name in request.payload.data:
            raise OAuth2Error(f"{name} is not supported.", error=f"{name}_not_supported")


def _check_response(request: ProtocolRequest) -> None:
    data = request.payload.data
    if "response_type" not in data:
        raise InvalidRequestError("response_type is required.")
    if data.get("response_mode", "query") != "query":
        raise InvalidRequestError("response_mode must be query.")


def _check_sizes(request: ProtocolRequest) -> None:
    for name, most in (("nonce", MAX_NONCE_CHARS), ("state", MAX_STATE_CHARS)):
        value = request.payload.data.get(name, "")
        if len(value) > most or "\x00" in value:
            raise InvalidRequestError(f"{name} must have at most {most} characters, and no NUL.")


_CHECKS: tuple[Callable[[ProtocolRequest], None], ...] = (
    _check_repeated,
    _check_sizes,
    _check_request_objects,
    _check_response,
)


def _prompt(data: dict[str, str]) -> frozenset[str]:
    prompt = frozenset(data.get("prompt", "").split())
    if not prompt.issubset(PROMPTS):
        raise InvalidRequestError(f"prompt must be made of {', '.join(PROMPTS)}.")
    if "none" in prompt and len(prompt) > 1:
        raise InvalidRequestError("prompt=none must stand alone (OpenID Connect Core section 3.1.2.1).")
    return prompt


def _max_age(data: dict[str, str], client: Client) -> int | None:
    text = data.get("max_age")
    if text is None:
        return client.meta.default_max_age
    if not (text.isascii() and text.isdigit()) or int(text[:12]) > MAX_AGE_LIMIT:
        raise InvalidRequestError("max_age must be a number of seconds, 0 or more.")
    return int(text)


def _hint(provider: Provider, client: Client, data: dict[str, str]) -> str | None:
    """Return the ``sub`` of id_token_hint; an expired one is accepted (OpenID Connect Core section 3.1.2.1)."""
    hint = data.get("id_token_hint")
    if hint is None:
        return None
    try:
        claims = provider.keys.verify(
            hint, typ=ID_TOKEN_TYP, issuer=provider.settings.issuer, audience=client.client_id, expired=True
        )
    except InvalidToken:
        raise InvalidRequestError("id_token_hint is not an ID token that we gave this client.") from None
    return str(claims.get("sub", ""))


async def signed_in(provider: Provider, session: AsyncSession, cookie: str, client_id: str | None) -> SignedIn | None:
    """Return who is signed in at the browser with the session cookie ``cookie``. One statement, none without cookie."""
    if not cookie:
        return None
    now = clock.now()
    row = await store.find_session(session, token_hash(cookie), client_id, now, now - provider.idle)
    return SignedIn(row[0], row[1], frozenset(row[2])) if row else None


async def with_consent(session: AsyncSession, client: Client, who: SignedIn) -> SignedIn:
    """Return ``who`` with what the person allowed ``client``. No statement for the city's own applications."""
    if client.meta.first_party:
        return who
    return replace(who, consented=frozenset(await store.consented_scopes(session, who.user.id, client.client_id)))


def next_step(provider: Provider, request: AuthorizationRequest, who: SignedIn | None, progress: Progress) -> Decision:
    """Return what ``request`` needs next."""
    hinted = None
    if request.hint_sub is not None and who is not None:
        hinted = provider.subject(request.client, who.user.id) == request.hint_sub
    asked = Asked(request.scopes, request.prompt, request.max_age, hinted)
    present = Present(who.session.auth_time, who.consented) if who else None
    return decide(asked, present, request.client.meta.first_party, progress, clock.now())


async def respond(
    server: ProviderServer, session: AsyncSession, request: AuthorizationRequest, sso_session: LiveSession
) -> Answer:
    """Answer with a code, within the transaction of ``session``: one INSERT (RFC 6749 section 4.1.2)."""
    protocol = request.protocol
    protocol.sso_session = sso_session

    def run(sync_session: Any) -> Answer:
        protocol._session = sync_session
        answer: Answer = server.create_authorization_response(protocol, grant_user=sso_session, grant=request.grant)
        return answer

    return await session.run_sync(run)


def error_answer(provider: Provider, failed: RedirectError | tuple[AuthorizationRequest, Fail]) -> Answer:
    """Return the redirect that tells the application of an error (RFC 6749 section 4.1.2.1, RFC 9207)."""
    if isinstance(failed, RedirectError):
        request, error, text = failed.request, failed.error, failed.text
    else:
        request, error, text = failed[0].protocol, failed[1].error, failed[1].description
    data = request.payload.data
    parameters = [("error", error)]
    if text:
        parameters.append(("error_description", description(text)))
    states = request.payload.datalist.get("state", [])
    if len(states) == 1:
        parameters.append(("state", states[0]))
    parameters.append(("iss", provider.settings.issuer))
    return Answer(303, "", [("Location", with_parameters(data["redirect_uri"], parameters))])


async def remember_request(
    provider: Provider, session: AsyncSession, request: AuthorizationRequest, browser: str
) -> str:
    """Store a request that waits for a person, bound to the browser, and return its token. One statement."""
    now, token = clock.now(), random_token()
    session.add(
        Interaction(
            token_hash=token_hash(token),
            browser_hash=token_hash(browser),
            client_id=request.client.client_id,
            parameters={"query": urlencode(list(request.parameters.items()))},
            progress=[],
            created_at=now,
            expires_at=now + timedelta(seconds=provider.settings.interaction_seconds),
        )
    )
    return token


async def recall_request(session: AsyncSession, token: str, browser: str) -> Interaction | None:
    """Return a waiting request of this browser, or None when it is unknown, over, or another browser's."""
    found = await session.get(Interaction, token_hash(token)) if token and browser else None
    if found is None or found.browser_hash != token_hash(browser) or found.expires_at <= clock.now():
        return None
    return found


def stored_parameters(interaction: Interaction) -> list[tuple[str, str]]:
    """Return the parameters of a waiting request."""
    return parse_qsl(interaction.parameters["query"], keep_blank_values=True)


def progress_of(interaction: Interaction | None) -> Progress:
    """Return what has been done for a request."""
    if interaction is None:
        return Progress()
    return Progress(interaction.created_at, frozenset(interaction.progress))


async def remember_progress(session: AsyncSession, interaction: Interaction, done: frozenset[str]) -> None:
    """Remember which pages of a waiting request are done. One statement."""
    mine = Interaction.token_hash == interaction.token_hash
    await session.execute(update(Interaction).where(mine).values(progress=sorted(done)))


async def forget_request(session: AsyncSession, interaction: Interaction) -> None:
    """Delete a request that was answered. One statement."""
    await session.execute(delete(Interaction).where(Interaction.token_hash == interaction.token_hash))


async def forget_expired_requests(session: AsyncSession, now: datetime) -> None:
    """Delete requests that waited too long."""
    await session.execute(delete(Interaction).where(Interaction.expires_at < now))


async def allow(
    session: AsyncSession, request: AuthorizationRequest, who: SignedIn, address: str, request_id: str
) -> None:
    """Remember that the person allows what the application asks for, besides what was allowed before."""
    scopes = sorted(request.scopes | who.consented)
    await store.remember_consent(session, who.user.id, request.client.client_id, scopes, clock.now())
    record(
        session,
        "consent.given",
        actor=str(who.user.id),
        subject=str(who.user.id),
        client_id=request.client.client_id,
        address=address,
        request_id=request_id,
        data={"scopes": sorted(request.scopes)},
    )
