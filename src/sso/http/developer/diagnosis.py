"""What went wrong lately with an application, in words; how often it is used; and what should be better about it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import TypedDict

from sqlalchemy.ext.asyncio import AsyncSession
from starlette.requests import Request
from starlette.responses import Response

from sso import clock
from sso.clients.registry import Client
from sso.clients.secrets import valid_secrets
from sso.http.common.charts import Chart, chart
from sso.http.common.i18n import N_, translations
from sso.http.common.labels import GRANTS, SPANS
from sso.http.common.late_routes import new_router
from sso.http.common.pages import locale_of
from sso.http.common.services import Clients, Db
from sso.http.developer.application_page import APPS, Reader, application_page
from sso.platform.metrics import store as usage
from sso.platform.metrics.counters import Span, span
from sso.platform.metrics.models import ClientMistake
from sso.platform.outbox import store as deliveries
from sso.portal.diagnosis import UNUSED_DAYS, Known, Nearest, Part, Warning, nearest, warnings

router = new_router()

WORDS: dict[str, tuple[str, str]] = {
    "unregistered_redirect_uri": (
        N_("The redirect URI is not registered."),
        N_("Register the redirect URI exactly as your application sends it, or send a registered one."),
    ),
    "unregistered_service": (
        N_("The service URL is not registered."),
        N_(
            "Register the service URL exactly as your application sends it, or set one fixed service URL in the "
            "application."
        ),
    ),
    "other_protocol": (
        N_("The application is registered for another protocol."),
        N_("An application of type cas uses the /cas endpoints only. Every other application uses OpenID Connect."),
    ),
    "no_redirect_uri": (
        N_("The request has no redirect URI."),
        N_("Send redirect_uri in every request, exactly as it is registered."),
    ),
    "bad_request_object": (
        N_("The request object is not valid."),
        N_("Read our message: the signature, the key or a parameter is wrong."),
    ),
    "disabled_client": (
        N_("The application is suspended or not approved yet."),
        N_("Use the client ID of the sandbox, or contact an administrator."),
    ),
    "invalid_client": (
        N_("Client authentication failed."),
        N_(
            "The client secret is wrong or expired, or the application sends it with a method that is not registered. "
            "Compare the method with the settings."
        ),
    ),
    "invalid_grant": (
        N_("The code or refresh token is not valid."),
        N_(
            "A code works once, for one minute, with the same redirect_uri and its code_verifier. Check that the "
            "application sends the request once, and that the user's session is active."
        ),
    ),
    "invalid_request": (
        N_("The request does not follow the specification."),
        N_("Read our message. Often code_challenge is missing: enable PKCE in your library."),
    ),
    "invalid_scope": (
        N_("The application requested a scope that is not registered."),
        N_("Add the scope in the settings with a reason, or remove it from the request."),
    ),
    "ignored_scope": (
        N_("The application requested a scope that is not registered. Sign-in works without that scope."),
        N_("Check the spelling, or add the scope in the settings with a reason."),
    ),
    "unauthorized_client": (
        N_("The application used a grant type that is not registered."),
        N_("Use authorization_code. For a service without users, create an application of that type."),
    ),
    "unsupported_response_type": (
        N_("The response type is not supported."),
        N_("Use response_type=code."),
    ),
    "unsupported_grant_type": (N_("The grant type is not supported."), N_("Use authorization_code.")),
    "invalid_target": (
        N_("The resource is not registered."),
        N_("Remove the resource parameter, or send the identifier of a registered resource server."),
    ),
}
OTHER = (N_("The request was refused."), N_("Read our message."))
COUNTED = ("authorize", "token", "token_error", "authorize_error")
DIFFERS: dict[Part, str] = {
    "scheme": N_("scheme (http or https)"),
    "host": N_("host"),
    "port": N_("port"),
    "path": N_("path"),
    "slash": N_("slash at the end"),
    "case": N_("upper and lower case"),
    "query": N_("query (after ?)"),
    "fragment": N_("fragment (after #)"),
    "slashes": N_("number of slashes after the scheme"),
}
WARNINGS: dict[Warning, str] = {
    "no_pkce": N_(
        "PKCE is not required. Stolen codes are easier to misuse. Enable PKCE, then ask an administrator to require it."
    ),
    "implicit": N_(
        "The application receives tokens in the browser's address bar, where they can leak. Use response_type=code."
    ),
    "misspelt_scope": N_("A scope may be misspelt: %(what)s."),
    "no_secret": N_("The application has no valid client secret, so it cannot get tokens."),
    "old_secret": N_("A client secret is older than one year. Create a new one, then revoke the old one."),
    "secret_ends": N_("A client secret expires within three weeks. Create a new one and deploy it."),
    "no_backchannel": N_(
        "Back-channel logout is not registered. Users who sign out elsewhere stay signed in to this application. "
        "Register a back-channel logout URL."
    ),
    "unused_redirect_uri": N_("Redirect URI %(what)s was not used for three months. Remove it if you do not need it."),
    "failing_deliveries": N_(
        "%(what)s logout tokens were not delivered. Check the back-channel logout URL: it must answer 200."
    ),
}


@router.get(APPS + "/{application_id}/diagnosis")
async def diagnosis_page(request: Request, there: Reader, db: Db, known: Clients) -> Response:
    """Show errors, charts and warnings, for the sandbox and for production."""
    registry = known.registry
    chosen = request.query_params.get("span", "day")
    period = span(chosen if chosen in SPANS else "day", clock.now())
    ids = [there.application_id, there.sandbox_id]
    clients = [client for client in map(registry.get, ids) if client is not None]
    charts: list[tuple[Chart, list[str]]] = []
    async with db.read() as session:
        mistakes = await usage.mistakes_of(session, ids)
        warned = [(client, await _warnings(session, client)) for client in clients]
        for client in clients:
            client_id = client.client_id
            counts = await usage.counts_since(session, COUNTED, period.start, client_id, begins=period.begins)
            charts += _charts(client, counts, period, translations(locale_of(request)).gettext)
    return await application_page(
        request,
        there,
        "diagnosis",
        "developer_diagnosis.html",
        rows=[_explained(mistake, registry.get(mistake.client_id)) for mistake in mistakes],
        warned=warned,
        warning_texts=WARNINGS,
        differs=DIFFERS,
        charts=charts,
        spans=SPANS,
        span=period.name,
    )


def _charts(
    client: Client, counts: list[tuple[datetime, str, str, int]], period: Span, words: Callable[[str], str]
) -> list[tuple[Chart, list[str]]]:
    """Return the charts of one client, each with the names of its rows.

    Args:
        client: the client.
        counts: the hour, the name, the label and the count.
        period: the time that the charts show.
        words: translates a text.
    """
    # Texts within an f-string are not found when messages are extracted.
    signing, issued, mistaken = words(N_("Sign-ins")), words(N_("Tokens")), words(N_("Errors"))
    place = words(N_("sandbox")) if client.sandbox else words(N_("production"))
    sign_ins = [(hour, name, count) for hour, name, _, count in counts if name == "authorize"]
    tokens = [(hour, label, count) for hour, name, label, count in counts if name == "token"]
    errors = [(hour, name, count) for hour, name, _, count in counts if name.endswith("_error")]
    return [
        (chart(f"{signing} ({place})", period, sign_ins, ("authorize",)), [signing]),
        (chart(f"{issued} ({place})", period, tokens, tuple(GRANTS)), [words(text) for text in GRANTS.values()]),
        (
            chart(f"{mistaken} ({place})", period, errors, ("authorize_error", "token_error")),
            [words(N_("at the authorization endpoint")), words(N_("at the token endpoint"))],
        ),
    ]


class ExplainedMistake(TypedDict):
    """A mistake of an application as the page shows it."""

    client_id: str
    sandbox: bool
    code: str
    at: object
    what: str
    advice: str
    message: str
    sent: dict[str, object]
    expected: list[str]
    near: Nearest | None
    count: int
    last_at: datetime
    first_at: datetime


def _explained(mistake: ClientMistake, client: Client | None) -> ExplainedMistake:
    """Return a mistake with what was expected, and for an address the nearest that is registered."""
    what, advice = WORDS.get(mistake.code, OTHER)
    expected: list[str] = []
    near: Nearest | None = None
    meta = client.meta if client is not None else None
    scopes = client.scopes if client is not None else frozenset()
    if meta is not None and mistake.code in ("unregistered_redirect_uri", "unregistered_service"):
        expected = list(meta.redirect_uris)
        near = nearest(str(mistake.sent.get("said", "")), meta.redirect_uris)
    elif meta is not None and mistake.code == "invalid_client":
        expected = [f"token_endpoint_auth_method: {meta.token_endpoint_auth_method}"]
    elif meta is not None and mistake.code in ("invalid_scope", "ignored_scope"):
        expected = [f"scope: {' '.join(name for name in meta.scope.split() if name in scopes)}"]
    elif meta is not None and mistake.code == "unauthorized_client":
        expected = [f"grant_types: {' '.join(meta.grant_types)}"]
    sent = {name: value for name, value in mistake.sent.items() if name not in ("at", "said") and value}
    our_message = str(mistake.sent.get("said", ""))
    if mistake.code == "unregistered_service":
        sent, our_message = {"service": our_message}, ""
    if mistake.code == "unregistered_redirect_uri":
        sent, our_message = {"redirect_uri": our_message, **sent}, ""
    return {
        "client_id": mistake.client_id,
        "sandbox": client is not None and client.sandbox,
        "code": mistake.code,
        "at": mistake.sent.get("at", ""),
        "what": what,
        "advice": advice,
        "message": our_message,
        "sent": sent,
        "expected": expected,
        "near": near,
        "count": mistake.count,
        "last_at": mistake.last_at,
        "first_at": mistake.first_at,
    }


async def _warnings(session: AsyncSession, client: Client) -> list[tuple[Warning, str]]:
    now = clock.now()
    secrets = [(secret.created_at, secret.expires_at) for secret in await valid_secrets(session, client.client_id)]
    since = now - timedelta(days=UNUSED_DAYS)
    rows = await usage.counts_since(session, ("returned", "authorize"), since, client.client_id)
    used: dict[str, int] = {}
    for _, name, label, count in rows:
        if name == "returned":
            used[label] = used.get(label, 0) + count
    known = Known(
        secrets=secrets,
        failing=await deliveries.count_failing(session, client.client_id),
        used_uris={uri: used[uri[:80]] for uri in client.meta.redirect_uris if uri[:80] in used},
        signed_in=bool(used) and not client.sandbox,
    )
    return warnings(client.meta, known, now)
