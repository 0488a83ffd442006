"""What is measured. Each scenario is one flow, done again and again by several people or programs at once."""

from __future__ import annotations

import json
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from urllib.parse import parse_qs, urlencode, urlsplit

from bench.http import Connection, basic

VERIFIER = "v" * 43
CHALLENGE = "7w_YNF9DSfIdPf_pRjSq646_kPr-2-o9NAl16JGghdM"
CALLBACK = "http://localhost:7001/cb"


@dataclass
class Target:
    """The server that is measured."""

    port: int
    web_secret: str
    machine_secret: str
    username: str
    password: str


@dataclass
class Actor:
    """One of those who act at once."""

    target: Target
    connection: Connection
    number: int
    kept: dict[str, str] = field(default_factory=dict)

    @property
    def web(self) -> dict[str, str]:
        return {"Authorization": basic("bench-web", self.target.web_secret)}


Step = Callable[[Actor], Awaitable[None]]


@dataclass
class Scenario:
    """A flow: ``prepare`` runs once for each actor and is not measured."""

    name: str
    flow: Step
    prepare: Step
    share: float = 1.0


def authorize_path() -> str:
    asked = {
        "response_type": "code",
        "client_id": "bench-web",
        "redirect_uri": CALLBACK,
        "scope": "openid profile email",
        "state": "s",
        "nonce": "n",
        "code_challenge": CHALLENGE,
        "code_challenge_method": "S256",
    }
    return f"/authorize?{urlencode(asked)}"


async def nothing(_: Actor) -> None:
    """There is nothing to prepare."""


async def discovery(actor: Actor) -> None:
    assert (await actor.connection.get("/.well-known/openid-configuration")).status == 200


async def client_credentials(actor: Actor) -> None:
    credentials = basic("bench-machine", actor.target.machine_secret)
    form = {"grant_type": "client_credentials", "scope": "write"}
    reply = await actor.connection.post("/token", form, Authorization=credentials)
    assert reply.status == 200, reply.body


async def sign_in(actor: Actor) -> None:
    """A browser without a session: the page, then name and password."""
    actor.connection.cookies.clear()
    page = (await actor.connection.get(authorize_path())).body.decode()
    form = dict(re.findall(r'name="(csrf_token|i)" value="([^"]*)"', page))
    reply = await actor.connection.post(
        "/login", {**form, "username": actor.target.username, "password": actor.target.password}
    )
    assert reply.status == 303, reply.body
    actor.kept["code"] = code_of(reply.headers["location"])


def code_of(location: str) -> str:
    return parse_qs(urlsplit(location).query)["code"][0]


async def exchange(actor: Actor) -> dict[str, str]:
    form = {
        "grant_type": "authorization_code",
        "code": actor.kept["code"],
        "redirect_uri": CALLBACK,
        "code_verifier": VERIFIER,
    }
    reply = await actor.connection.post("/token", form, **actor.web)
    assert reply.status == 200, reply.body
    tokens: dict[str, str] = json.loads(reply.body)
    return tokens


async def signed_in(actor: Actor) -> None:
    await sign_in(actor)
    actor.kept |= {name: str(value) for name, value in (await exchange(actor)).items()}


async def authorize_and_exchange(actor: Actor) -> None:
    reply = await actor.connection.get(authorize_path())
    assert reply.status == 303, reply.body
    actor.kept["code"] = code_of(reply.headers["location"])
    await exchange(actor)


async def refresh(actor: Actor) -> None:
    form = {"grant_type": "refresh_token", "refresh_token": actor.kept["refresh_token"]}
    reply = await actor.connection.post("/token", form, **actor.web)
    assert reply.status == 200, reply.body
    actor.kept["refresh_token"] = json.loads(reply.body)["refresh_token"]


async def userinfo(actor: Actor) -> None:
    reply = await actor.connection.get("/userinfo", Authorization=f"Bearer {actor.kept['access_token']}")
    assert reply.status == 200, reply.body


async def introspection(actor: Actor) -> None:
    reply = await actor.connection.post("/introspect", {"token": actor.kept["access_token"]}, **actor.web)
    assert json.loads(reply.body)["active"] is True


SCENARIOS = [
    Scenario("discovery", discovery, nothing),
    Scenario("client credentials", client_credentials, nothing),
    Scenario("authorize + code exchange", authorize_and_exchange, signed_in),
    Scenario("refresh", refresh, signed_in),
    Scenario("userinfo", userinfo, signed_in),
    Scenario("introspection", introspection, signed_in),
    Scenario("password sign-in", sign_in, nothing, share=0.3),
]
