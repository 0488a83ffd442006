"""Authorization requests that wait for a person, with what has been done for them, bound to a browser.

A waiting request costs no row: its token, in URLs and forms, carries it, encrypted. Only a request that is too long for
a URL is stored. That a request was answered is recorded when the person has acted, so that each is answered once
(docs/decisions/0052).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import NotRequired, TypedDict, cast
from urllib.parse import parse_qsl, urlencode

import orjson
from sqlalchemy import delete, update
from sqlalchemy.ext.asyncio import AsyncSession

from sso import clock
from sso.clients.registry import Client, Registry
from sso.oidc.authorize.authorization_request import AuthorizationRequest
from sso.oidc.authorize.decision import Progress
from sso.oidc.authorize.request import check_request, with_news
from sso.oidc.authorize.request_object import Source
from sso.oidc.models import Interaction
from sso.oidc.parameters import AUTHORIZATION
from sso.oidc.server import ProviderServer
from sso.platform.db import delete_batch, run_bridged
from sso.platform.security.encrypted_tokens import decrypt_token, encrypt_token
from sso.platform.security.encryption import SecretBox
from sso.platform.security.replay import first_use, was_seen
from sso.platform.security.tokens import equal, keyed_token, random_token, token_hash
from sso.settings import Settings

MAX_ENCRYPTED_CHARS = 3000
"""The longest token that carries its request. nginx passes on 4 KiB of response headers where nothing else is set, and
a redirect to our own pages has other headers too."""
MAX_TOKEN_CHARS = 4000
"""The longest token that is read: what has been done for a request makes its token longer."""
_ENCRYPTED_MARK = "~"
"""What a token that carries its request begins with: the token of a stored one never does."""
_REQUEST_PURPOSE = "authorization-request"
_USED = "authorization-request"
"""The issuer of answered requests in the table of what is accepted once."""
KEPT_LONGER = timedelta(hours=1)
"""How much longer than a request waits its answer is recorded: a clock that is set back revives nothing."""
_END_PURPOSE = "way-back"
_MAC_CHARS = 22
"""How much of a proof a token holds: 132 bits."""
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True)
class WaitingRequest:
    """An authorization request that waits for a person.

    Args:
        request_id: identifies it, whatever has been done for it meanwhile.
        client_id: the application.
        parameters: what it asked for, from wherever that came.
        source: how that came.
        done: which pages are done.
        created_at: since when it waits.
        expires_at: until when it waits.
        is_stored: whether a row holds it.
    """

    request_id: str
    client_id: str
    parameters: list[tuple[str, str]]
    source: Source
    done: frozenset[str]
    created_at: datetime
    expires_at: datetime
    is_stored: bool = False


def token_end(box: SecretBox, client_id: str) -> str:
    """Return what the token of a page ends with, so that the page still names its application when nothing is known
    of the token any more: a proof that we wrote it, and the client_id."""
    key = box.derived_keys(_END_PURPOSE)[0]
    return f".{keyed_token(key, client_id)[:_MAC_CHARS]}.{client_id}"


def end_of(token: str) -> str:
    """Return the end of a token that names an application, to be that of another token; nothing where it has none."""
    _, separator, end = token.partition(".")
    return separator + end


def client_of_token(box: SecretBox, registry: Registry, token: str) -> Client | None:
    """Return the application that a token names, where we wrote it and the application is enabled."""
    mac, client_id = end_of(token).removeprefix(".").partition(".")[0], _named_in(token)
    keys = box.derived_keys(_END_PURPOSE) if client_id else []
    if not any([equal(mac, keyed_token(key, client_id)[:_MAC_CHARS]) for key in keys]):
        return None
    return registry.enabled(client_id)


def _named_in(token: str) -> str:
    """Return the client_id in the end of a token; empty where it has none."""
    return end_of(token).removeprefix(".").partition(".")[2]


def waiting_request(settings: Settings, request: AuthorizationRequest) -> WaitingRequest:
    """Return a request that begins to wait now. Parameters that nothing reads are left out."""
    now = clock.now()
    known = [(name, value) for name, value in request.parameters.items() if name in AUTHORIZATION or name == "resource"]
    return WaitingRequest(
        request_id=random_token(),
        client_id=request.client.client_id,
        parameters=known,
        source=request.source,
        done=frozenset(),
        created_at=now,
        expires_at=now + settings.authorization_request_lifetime,
    )


def encrypt_request(box: SecretBox, waiting: WaitingRequest, browser: str) -> str:
    """Return the token that carries a request. Another browser cannot open it."""
    times = [(moment - _EPOCH) // _MICROSECOND for moment in (waiting.created_at, waiting.expires_at)]
    members = [waiting.request_id, waiting.client_id, waiting.parameters, waiting.source, sorted(waiting.done), *times]
    encrypted = encrypt_token(box, _REQUEST_PURPOSE, _bound_to(browser), orjson.dumps(members))
    return _ENCRYPTED_MARK + encrypted + token_end(box, waiting.client_id)


def _open_request(box: SecretBox, token: str, browser: str) -> WaitingRequest | None:
    data = decrypt_token(
        box, _REQUEST_PURPOSE, _bound_to(browser), token.partition(".")[0].removeprefix(_ENCRYPTED_MARK)
    )
    if data is None:
        return None
    request_id, client_id, parameters, source, done, created, expires = orjson.loads(data)
    times = [_EPOCH + moment * _MICROSECOND for moment in (created, expires)]
    pairs = [(name, value) for name, value in parameters]
    if _named_in(token) != client_id:  # the page would be that of another application where the request is over
        return None
    return WaitingRequest(request_id, client_id, pairs, source, frozenset(done), *times)


def _bound_to(browser: str) -> bytes:
    return token_hash(browser)


async def store_request(session: AsyncSession, box: SecretBox, waiting: WaitingRequest, browser: str) -> str:
    """Store a request that is too long for a URL, bound to the browser, and return its token. One statement."""
    token = waiting.request_id + token_end(box, waiting.client_id)
    session.add(
        Interaction(
            token_hash=token_hash(token),
            browser_hash=token_hash(browser),
            client_id=waiting.client_id,
            parameters={"query": urlencode(waiting.parameters), "source": waiting.source},
            progress=sorted(waiting.done),
            created_at=waiting.created_at,
            expires_at=waiting.expires_at,
        )
    )
    return token


async def recall_request(session: AsyncSession, box: SecretBox, token: str, browser: str) -> WaitingRequest | None:
    """Return a waiting request of this browser, or None when it is unknown, over, answered, or another browser's. At
    most one statement."""
    if not token or not browser or len(token) > MAX_TOKEN_CHARS:
        return None
    if not token.startswith(_ENCRYPTED_MARK):
        return await _stored_request(session, token, browser)
    waiting = _open_request(box, token, browser)
    if waiting is None or waiting.expires_at <= clock.now():
        return None
    if await run_bridged(session, lambda sync: was_seen(sync, _USED, waiting.request_id)):
        return None
    return waiting


class StoredParameters(TypedDict):
    """The JSON of a stored request. Requests of the release 0.1 have no ``source``."""

    query: str
    source: NotRequired[Source]


async def _stored_request(session: AsyncSession, token: str, browser: str) -> WaitingRequest | None:
    row = await session.get(Interaction, token_hash(token))
    if row is None or row.browser_hash != token_hash(browser) or row.expires_at <= clock.now():
        return None
    stored = cast(StoredParameters, row.parameters)
    return WaitingRequest(
        request_id=token.partition(".")[0],
        client_id=row.client_id,
        parameters=parse_qsl(stored["query"], keep_blank_values=True),
        source=stored.get("source", "plain"),
        done=frozenset(row.progress),
        created_at=row.created_at,
        expires_at=row.expires_at,
        is_stored=True,
    )


async def checked_again(server: ProviderServer, waiting: WaitingRequest) -> AuthorizationRequest:
    """Return a waiting request, checked again: the application may have been changed meanwhile.

    Raises:
        PageError, RedirectError: when it is not valid any more.
        DatabaseUnavailable: when there is no database now.
    """

    async def check() -> AuthorizationRequest:
        return check_request(server, waiting.parameters, waiting.source)

    return await with_news(server.provider, check)


def progress_of(waiting: WaitingRequest) -> Progress:
    """Return what has been done for a request."""
    return Progress(waiting.created_at, waiting.done)


async def store_progress(session: AsyncSession, token: str, waiting: WaitingRequest) -> None:
    """Store which pages of a stored request are done. One statement."""
    mine = Interaction.token_hash == token_hash(token)
    await session.execute(update(Interaction).where(mine).values(progress=sorted(waiting.done)))


async def end_request(session: AsyncSession, token: str, waiting: WaitingRequest) -> None:
    """Record that a request was answered: no token of it opens anything from now on. One statement."""
    if waiting.is_stored:
        await session.execute(delete(Interaction).where(Interaction.token_hash == token_hash(token)))
    else:
        until = waiting.expires_at + KEPT_LONGER
        await run_bridged(session, lambda sync: first_use(sync, _USED, waiting.request_id, until))


def with_done(waiting: WaitingRequest, step: str) -> WaitingRequest:
    """Return a request with one more page done."""
    return replace(waiting, done=waiting.done | {step})


async def delete_expired_requests(session: AsyncSession, now: datetime, limit: int) -> int:
    """Delete requests that waited too long, at most ``limit``; return how many."""
    return await delete_batch(session, Interaction, Interaction.expires_at, limit, Interaction.expires_at < now)
