"""The flows that are measured. They work with any OpenID provider: endpoints come from discovery, pages are forms."""

from __future__ import annotations

import json
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from html import unescape
from urllib.parse import parse_qs, urlencode, urljoin, urlsplit

import jwt
from bench.http import FORM, Connection, CookieJar, Reply, basic

VERIFIER = "v" * 43
CHALLENGE = "7w_YNF9DSfIdPf_pRjSq646_kPr-2-o9NAl16JGghdM"
CALLBACK = "http://localhost:7001/cb"
DISCOVERY = "/.well-known/openid-configuration"
_FORM = re.compile(r"<form\b([^>]*)>(.*?)</form>", re.S | re.I)
_INPUT = re.compile(r"<input\b([^>]*)>", re.I)
_ATTRIBUTE = re.compile(r'([\w-]+)(?:="([^"]*)")?')


@dataclass(frozen=True)
class Target:
    """A provider, and what the driver needs to use it. In `username`, `%` stands for the number of the actor."""

    port: int
    client_id: str
    client_secret: str
    machine_id: str
    machine_secret: str
    username: str
    password: str
    redirect_uri: str = CALLBACK
    machine_scope: str = "write"
    scope: str = "openid profile email"
    endpoints: dict[str, str] = field(default_factory=dict)

    @property
    def client(self) -> str:
        return basic(self.client_id, self.client_secret)

    @property
    def machine(self) -> str:
        return basic(self.machine_id, self.machine_secret)


@dataclass
class Actor:
    """One of those who use the provider at the same time: a browser, and the application behind it."""

    target: Target
    number: int
    connection: Connection
    cookies: CookieJar = field(default_factory=CookieJar)
    tokens: dict[str, str] = field(default_factory=dict)

    def path(self, endpoint: str) -> str:
        """Return the path of an endpoint that the provider's metadata names."""
        return urlsplit(self.target.endpoints[endpoint]).path


Step = Callable[[Actor], Awaitable[None]]


@dataclass(frozen=True)
class Flow:
    """`run` is measured. `prepare` runs once for each actor and is not measured. `share` is the part of the actors."""

    name: str
    run: Step
    prepare: Step
    share: float = 1.0


def expect(reply: Reply, status: int) -> Reply:
    """Return the response if it has this status.

    Raises:
        AssertionError: when it has another one.
    """
    assert reply.status == status, f"{reply.status} {reply.body[:500]!r}"
    return reply


async def nothing(actor: Actor) -> None:
    """Prepare nothing."""


async def discovery(actor: Actor) -> None:
    expect(await actor.connection.get(DISCOVERY), 200)


async def client_credentials(actor: Actor) -> None:
    form = {"grant_type": "client_credentials", "scope": actor.target.machine_scope}
    expect(await actor.connection.post(actor.path("token_endpoint"), form, Authorization=actor.target.machine), 200)


def authorize_path(actor: Actor) -> str:
    """Return path and query of an authorization request."""
    parameters = {
        "response_type": "code",
        "client_id": actor.target.client_id,
        "redirect_uri": actor.target.redirect_uri,
        "scope": actor.target.scope,
        "state": "state-of-the-benchmark",
        "nonce": "nonce-of-the-benchmark",
        "code_challenge": CHALLENGE,
        "code_challenge_method": "S256",
    }
    return f"{actor.path('authorization_endpoint')}?{urlencode(parameters)}"


async def browse(actor: Actor, path: str) -> str:
    """Return the authorization code at which :func:`arrive` ends."""
    return parse_qs(urlsplit(await arrive(actor, path)).query)["code"][0]


async def arrive(actor: Actor, path: str) -> str:
    """Follow redirects and send forms, as a browser without scripts does, until the application is reached.

    Returns:
        The address at the application.
    """
    origin = f"http://localhost:{actor.target.port}"
    method, body, extra = "GET", b"", {}
    for _ in range(10):
        headers = {"Accept": "text/html", "Accept-Language": "en", **actor.cookies.header(urlsplit(path).path), **extra}
        reply = await actor.connection.send(method, path, body, headers)
        actor.cookies.take(reply.cookies)
        if 300 <= reply.status < 400:
            location = urljoin(origin + path, reply.headers["location"])
            if location.startswith(actor.target.redirect_uri):
                return location
            method, body, extra = "GET", b"", {}
        else:
            location, fields = sign_in_form(expect(reply, 200).body.decode(), origin + path, actor)
            method, body, extra = "POST", urlencode(fields).encode(), {"Content-Type": FORM, "Origin": origin}
        path = location.removeprefix(origin)
    raise AssertionError(f"too many steps, the last one is {path}")


def sign_in_form(page: str, address: str, actor: Actor) -> tuple[str, dict[str, str]]:
    """Return where the form with a password is sent, and its fields with the user's name and password."""
    attributes, content = next(form for form in _FORM.findall(page) if 'type="password"' in form[1])
    fields = {}
    for tag in _INPUT.findall(content):
        about = {name.lower(): unescape(value) for name, value in _ATTRIBUTE.findall(tag)}
        kind, name = about.get("type", "text"), about.get("name")
        if name and kind == "password":
            fields[name] = actor.target.password
        elif name and kind == "hidden":
            fields[name] = about.get("value", "")
        elif name and kind in {"text", "email"}:
            fields[name] = actor.target.username.replace("%", str(actor.number))
    action = unescape(dict(_ATTRIBUTE.findall(attributes)).get("action", "")) or address
    return urljoin(address, action), fields


async def exchange(actor: Actor, code: str) -> dict[str, str]:
    """Exchange an authorization code for tokens."""
    form = {
        "grant_type": "authorization_code",
        "code": code,
        "redirect_uri": actor.target.redirect_uri,
        "code_verifier": VERIFIER,
    }
    reply = await actor.connection.post(actor.path("token_endpoint"), form, Authorization=actor.target.client)
    tokens: dict[str, str] = json.loads(expect(reply, 200).body)
    assert tokens["access_token"]
    assert tokens["id_token"]
    return tokens


async def authorize_and_exchange(actor: Actor) -> None:
    actor.tokens = await exchange(actor, await browse(actor, authorize_path(actor)))


async def sign_in(actor: Actor) -> None:
    """Sign in with a password in a browser without a session, and get tokens."""
    actor.cookies.values.clear()
    await authorize_and_exchange(actor)


async def refresh(actor: Actor) -> None:
    form = {"grant_type": "refresh_token", "refresh_token": actor.tokens["refresh_token"]}
    reply = await actor.connection.post(actor.path("token_endpoint"), form, Authorization=actor.target.client)
    tokens = json.loads(expect(reply, 200).body)
    assert tokens["refresh_token"] != actor.tokens["refresh_token"], "the refresh token is not rotated"
    actor.tokens = tokens


async def userinfo(actor: Actor) -> None:
    path = actor.path("userinfo_endpoint")
    expect(await actor.connection.get(path, Authorization=f"Bearer {actor.tokens['access_token']}"), 200)


async def introspection(actor: Actor) -> None:
    form = {"token": actor.tokens["access_token"]}
    reply = await actor.connection.post(actor.path("introspection_endpoint"), form, Authorization=actor.target.client)
    assert json.loads(expect(reply, 200).body)["active"] is True


FLOWS = (
    Flow("authorize + code exchange", authorize_and_exchange, authorize_and_exchange),
    Flow("refresh", refresh, authorize_and_exchange),
    Flow("userinfo", userinfo, authorize_and_exchange),
    Flow("introspection", introspection, authorize_and_exchange),
    Flow("client credentials", client_credentials, nothing),
    Flow("discovery", discovery, nothing),
    Flow("password sign-in", sign_in, nothing, share=0.25),
)


async def read_endpoints(port: int) -> dict[str, str]:
    """Return the endpoints that a provider's metadata names."""
    connection = Connection(port)
    try:
        metadata = json.loads(expect(await connection.get(DISCOVERY), 200).body)
    finally:
        connection.close()
    return {name: value for name, value in metadata.items() if name.endswith(("_endpoint", "jwks_uri"))}


async def inspect_tokens(target: Target, algorithm: str) -> str:
    """Sign in and look at the tokens, so that no provider does less work than another.

    Args:
        target: the provider.
        algorithm: what ID tokens and JWT access tokens must be signed with.

    Returns:
        What the tokens are, in one line.

    Raises:
        AssertionError: when tokens are signed with another algorithm, when the refresh token is not rotated, or when
            userinfo lacks the claims.
        jwt.PyJWTError: when a signature is wrong.
    """
    actor = Actor(target, 0, Connection(target.port))
    try:
        await sign_in(actor)
        keys = jwt.PyJWKSet.from_dict(json.loads((await actor.connection.get(actor.path("jwks_uri"))).body))
        kinds = {}
        for name in ("id_token", "access_token"):
            token = actor.tokens[name]
            if token.count(".") != 2:
                kinds[name] = "opaque"
                continue
            header = jwt.get_unverified_header(token)
            assert header["alg"] == algorithm, f"{name} is signed with {header['alg']}"
            jwt.decode(token, keys[header["kid"]], algorithms=[algorithm], options={"verify_aud": False})
            kinds[name] = algorithm
        assert kinds["id_token"] == algorithm
        access = f"Bearer {actor.tokens['access_token']}"
        claims = json.loads((await actor.connection.get(actor.path("userinfo_endpoint"), Authorization=access)).body)
        assert {"sub", "name", "email"} <= claims.keys(), claims
        await refresh(actor)
        await introspection(actor)
    finally:
        actor.connection.close()
    return f"ID token {kinds['id_token']}, access token {kinds['access_token']}, refresh token rotated"
