"""Trying the gate of an application from outside, as ``sso gate check`` does: what is sent, and what it shows."""

from __future__ import annotations

from collections.abc import Awaitable, Mapping
from dataclasses import dataclass, field
from typing import Protocol
from urllib.parse import urlsplit

from sso.clients.registry import Client
from sso.errors import Refusal
from sso.gate.proxies.names import every_spelling

NAVIGATION = {"Sec-Fetch-Mode": "navigate", "Accept": "text/html"}
SCRIPT = {"Sec-Fetch-Mode": "cors", "Accept": "application/json"}
CREDENTIALS = {"Authorization": "Basic YWRtaW46YWRtaW4=", "Proxy-Authorization": "Basic YWRtaW46YWRtaW4="}
_NAMES_AT_ONCE = 70
"""Proxies refuse requests with more than about a hundred headers."""
_TRICKS = ("/%2e%2e/", "/..%2f", "/%252e%252e/", "/..%5c")


class NotHere(Refusal):
    """What is to be tried is not at a host of the application, or does not answer."""

    status = 422


class Unreachable(Exception):
    """Nothing answers at an address."""


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer. The names of headers have small letters."""

    status: int
    headers: Mapping[str, str] = field(default_factory=dict)

    @property
    def location(self) -> str:
        """Where it redirects to."""
        return self.headers.get("location", "")


@dataclass(frozen=True, slots=True)
class Finding:
    """The result of one check."""

    check: str
    ok: bool
    text: str


class Send(Protocol):
    """Sends a GET request, follows no redirect, and returns the answer."""

    def __call__(self, url: str, headers: Mapping[str, str]) -> Awaitable[Reply]: ...


async def try_gate(client: Client, issuer: str, url: str, direct: str, send: Send) -> list[Finding]:
    """Try the gate of an application, without a session.

    Args:
        client: the application.
        issuer: the issuer of the provider.
        url: a page of the application that needs a sign-in.
        direct: an address of the application itself; empty: it is not tried.
        send: sends a request.

    Raises:
        NotHere: when ``url`` is not at a host of the application, or nothing answers there.
    """
    parts = urlsplit(url)
    gate = client.meta.gate
    assert gate is not None
    if parts.scheme != "https" or parts.netloc not in gate.hosts:
        raise NotHere(f"{url}: must be at a host of the application: " + ", ".join(f"https://{h}" for h in gate.hosts))
    origin = f"https://{parts.netloc}"
    try:
        findings = [
            await _page(send, url, origin),
            await _script(send, url),
            await _forged(send, url, origin),
            await _forged_host(send, url, origin),
            await _sign_in(send, origin, issuer),
            await _sign_out(send, origin, issuer),
            *[
                await _trick(send, f"{origin}{path.rstrip('/')}{trick}")
                for path in gate.public_paths
                for trick in _TRICKS
            ],
        ]
    except Unreachable as error:
        raise NotHere(f"{url}: {error}") from None
    findings.append(await _at_the_provider(send, issuer, parts.netloc))
    if direct:
        findings.append(await _direct(send, direct))
    return findings


def _is_closed(reply: Reply, origin: str) -> bool:
    leads = reply.status in (302, 303) and reply.location.startswith(f"{origin}/.sso/start?")
    return leads or reply.status in (401, 403, 421)


def _no_store(reply: Reply) -> bool:
    return "no-store" in reply.headers.get("cache-control", "")


async def _page(send: Send, url: str, origin: str) -> Finding:
    reply = await send(url, NAVIGATION)
    if not (reply.status in (302, 303) and reply.location.startswith(f"{origin}/.sso/start?")):
        return Finding("page", False, f"answers {reply.status}, not a redirect to {origin}/.sso/start")
    if not _no_store(reply):
        return Finding("page", False, "the redirect lacks Cache-Control: no-store, so that a cache may keep it")
    return Finding("page", True, "is led to the sign-in, and no cache keeps that")


async def _script(send: Send, url: str) -> Finding:
    reply = await send(url, SCRIPT)
    if reply.status != 401 or not _no_store(reply):
        return Finding("script", False, f"answers {reply.status}; expected 401 with Cache-Control: no-store")
    return Finding("script", True, "gets the status 401, and no cache keeps that")


async def _forged(send: Send, url: str, origin: str) -> Finding:
    names = every_spelling()
    for begin in range(0, len(names), _NAMES_AT_ONCE):
        forged = dict.fromkeys(names[begin : begin + _NAMES_AT_ONCE], "admin")
        reply = await send(url, {**SCRIPT, **forged, **CREDENTIALS, "Cookie": "__Host-sso-gate=" + "A" * 43})
        if not _is_closed(reply, origin):
            return Finding("forged headers", False, f"a request with forged headers is answered with {reply.status}")
    return Finding("forged headers", True, "let nobody pass")


async def _forged_host(send: Send, url: str, origin: str) -> Finding:
    forged = {
        f"X-{kind}-{name}": value
        for kind in ("Forwarded", "Original")
        for name, value in (("Host", "elsewhere.example"), ("Proto", "http"), ("Uri", "/"), ("Method", "OPTIONS"))
    }
    reply = await send(url, {**NAVIGATION, **forged})
    if not _is_closed(reply, origin) or "elsewhere.example" in reply.location:
        return Finding("forged host", False, f"X-Forwarded-Host of a client changes the answer: {reply.status}")
    return Finding("forged host", True, "X-Forwarded-* and X-Original-* of a client change nothing")


async def _trick(send: Send, url: str) -> Finding:
    reply = await send(url, SCRIPT)
    name = f"path {urlsplit(url).path}"
    if 200 <= reply.status < 300:
        return Finding(name, False, f"answers {reply.status} without a sign-in")
    return Finding(name, True, f"answers {reply.status}")


async def _sign_in(send: Send, origin: str, issuer: str) -> Finding:
    reply = await send(f"{origin}/.sso/start?to=//elsewhere.example/", NAVIGATION)
    cookie = reply.headers.get("set-cookie", "")
    if not reply.location.startswith(f"{issuer}/authorize?"):
        return Finding("sign-in", False, f"/.sso/start answers {reply.status}, not a redirect to {issuer}/authorize")
    if not cookie.startswith("__Host-") or "Secure" not in cookie:
        return Finding("sign-in", False, "/.sso/start sets no __Host- cookie: the proxy removes Set-Cookie")
    return Finding("sign-in", True, "begins at the provider")


async def _sign_out(send: Send, origin: str, issuer: str) -> Finding:
    reply = await send(f"{origin}/.sso/sign-out", {**NAVIGATION, "Sec-Fetch-Site": "cross-site"})
    leads = reply.status in (302, 303) and reply.location.startswith(f"{issuer}/logout?")
    if not leads or not _no_store(reply):
        return Finding("sign-out", False, f"/.sso/sign-out answers {reply.status}, not a redirect to {issuer}/logout")
    return Finding("sign-out", True, "leads to the provider, and no cache keeps that")


async def _at_the_provider(send: Send, issuer: str, host: str) -> Finding:
    claimed = {"X-Original-Host": host, "X-Original-Proto": "https", "X-Original-URI": "/"}
    try:
        reply = await send(f"{issuer}/gate/check/nginx", claimed)
    except Unreachable:
        return Finding("provider", True, "cannot be reached from here")
    if reply.status != 403:
        return Finding("provider", False, f"answers {reply.status} to a request that is not from the proxy")
    return Finding("provider", True, "refuses who is not the proxy")


async def _direct(send: Send, direct: str) -> Finding:
    try:
        reply = await send(direct, NAVIGATION)
    except Unreachable:
        return Finding("direct access", True, "nothing answers")
    if reply.status in (401, 403):
        return Finding("direct access", True, f"is refused with {reply.status}")
    text = f"answers {reply.status}: allow connections from the proxy alone, or let the application verify X-SSO-JWT"
    return Finding("direct access", False, text)
