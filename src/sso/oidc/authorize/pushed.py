"""Pushed authorization requests (RFC 9126): an application sends its request itself, and the browser carries a name."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import datetime
from urllib.parse import urlencode

from authlib.oauth2.rfc6749 import InvalidRequestError, OAuth2Error
from sqlalchemy.ext.asyncio import AsyncSession

from sso import clock
from sso.clients.registry import Client
from sso.oidc.authorize.authorization_request import AuthorizationRequest, PageError, RedirectError
from sso.oidc.authorize.request import check_request, with_news
from sso.oidc.authorize.request_object import PUSHED_PREFIX, RequestObjectRefused, Source, expand
from sso.oidc.models import PushedRequest
from sso.oidc.parameters import repeated
from sso.oidc.requests import NO_STORE, Answer, ProtocolRequest, description, oauth_error
from sso.oidc.server import ProviderServer
from sso.platform.db import delete_batch
from sso.platform.security.tokens import random_token, token_hash
from sso.settings import whole_seconds

_CREDENTIALS = ("client_secret", "client_assertion", "client_assertion_type")


async def push(
    server: ProviderServer, request: ProtocolRequest, count: Callable[[Client], Awaitable[object]]
) -> Answer:
    """Answer a pushed request (RFC 9126 section 2): checked as at the authorization endpoint, with errors as JSON.

    Args:
        server: the authorization server.
        request: the request.
        count: counts a request that is to be stored, of the application that sent it.

    Raises:
        DatabaseUnavailable: when there is no database now.
        TooManyFailures: when too many were stored.
    """
    try:
        name = repeated(request)
        if name:
            raise InvalidRequestError(description(f"{name} must not be repeated."))
        client = await server.authenticated_client(request)
        if request.form.get("client_id", client.client_id) != client.client_id:
            raise InvalidRequestError("client_id is another's.")
        if "request_uri" in request.form:
            raise InvalidRequestError("request_uri must not be pushed (RFC 9126 section 2.1).")
        source, checked = await with_news(server.provider, lambda: _checked(server, request, client))
    except OAuth2Error as error:
        return server.handle_error_response(request, error)
    except RequestObjectRefused as error:
        return _refused(error.error, str(error))
    except RedirectError as error:
        return _refused(error.error, error.text)
    except PageError as error:
        return _refused("invalid_request", f"{error.code.replace('_', ' ')}: {error.detail}")
    await count(client)
    lifetime, name = server.provider.settings.pushed_request_lifetime, random_token()
    async with server.provider.db.write() as session:
        session.add(
            PushedRequest(
                token_hash=token_hash(name),
                client_id=client.client_id,
                query=urlencode(list(checked.parameters.items())),
                signed=source == "pushed_signed",
                expires_at=clock.now() + lifetime,
            )
        )
    return Answer(201, {"request_uri": PUSHED_PREFIX + name, "expires_in": whole_seconds(lifetime)}, NO_STORE)


async def _checked(
    server: ProviderServer, request: ProtocolRequest, client: Client
) -> tuple[Source, AuthorizationRequest]:
    """Return a pushed request that passed the checks of the authorization endpoint, and how it came."""
    sent = request.payload.datalist.items()
    pairs = [
        (name, value) for name, values in sent for value in values if name not in (*_CREDENTIALS, "client_id") and value
    ]
    client = server.provider.registry.enabled(client.client_id) or client
    expanded = await expand(server.provider, client, [*pairs, ("client_id", client.client_id)])
    source: Source = "pushed_signed" if expanded.source == "signed" else "pushed"
    return source, check_request(server, expanded.parameters, source)


def _refused(error: str, text: str) -> Answer:
    return oauth_error(400, error, description(text))


async def delete_expired_pushed_requests(session: AsyncSession, now: datetime, limit: int) -> int:
    """Delete requests that were not opened in time, at most ``limit``; return how many."""
    return await delete_batch(session, PushedRequest, PushedRequest.expires_at, limit, PushedRequest.expires_at < now)
