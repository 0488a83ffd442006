"""One sign-in of the playground with the sandbox of an application: authorization request, response, tokens, and the
requests with these tokens. The requests go to the same endpoints as those of every client."""

from __future__ import annotations

import hashlib
import uuid
from base64 import b64encode
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, NotRequired, Protocol, TypedDict, cast, get_args
from urllib.parse import quote, urlencode

import orjson
from sqlalchemy.ext.asyncio import AsyncSession

from sso.clients.registry import Client
from sso.clients.secrets import TRIAL_SECONDS, trial_secret
from sso.identity.authn import pending_flows
from sso.identity.authn.pending_flows import RunningFlow
from sso.platform.db import Database
from sso.platform.security.encryption import SecretBox
from sso.platform.security.tokens import base64url, random_token
from sso.portal.playground.exchange import JsonObject, Step, TokenView, decoded_tokens, request_text, response_text
from sso.portal.sandbox import TRY_PATH, own_redirect_uri
from sso.portal.services import TrialServices
from sso.settings import Settings

MAX_STEPS = 20
PURPOSE: Literal["try"] = "try"
LOGOUT_STATE = "keluar"
"""The ``state`` of a sign-out: the browser comes back with it, and nothing follows."""
Obstacle = Literal["no_people", "own_key"]
"""Why a sandbox cannot be tried: nobody signs in there, or only its server has its key."""
TokenAction = Literal["refresh", "introspect", "revoke"]
"""What is done with the tokens of a trial."""
TOKEN_ACTIONS: tuple[TokenAction, ...] = get_args(TokenAction)


class TrialData(TypedDict):
    """What is kept of a trial, encrypted."""

    application_id: str
    asked: dict[str, str]
    verifier: str
    nonce: str
    secret: str
    steps: list[Step]
    tokens: NotRequired[JsonObject]


@dataclass(frozen=True, slots=True)
class Trial:
    """A trial of one browser."""

    flow: RunningFlow
    data: TrialData

    @property
    def token(self) -> str:
        """The value that identifies it, and the ``state`` of its authorization request."""
        return self.flow.token

    @property
    def tokens(self) -> JsonObject:
        """The token response; empty: there is none yet."""
        return self.data.get("tokens", {})


@dataclass(frozen=True, slots=True)
class AuthorizationParameters:
    """What the developer chose for the authorization request; empty: the parameter is left out.

    Args:
        scopes: the scopes besides ``openid``.
        prompt: see OpenID Connect Core section 3.1.2.1, as for the others.
        acr_values: one value.
        max_age: seconds.
        claims: the claims request, as JSON text; the endpoint says whether it is right.
    """

    scopes: frozenset[str] = frozenset()
    prompt: str = ""
    acr_values: str = ""
    max_age: str = ""
    claims: str = ""


@dataclass(frozen=True, slots=True)
class EndpointResponse:
    """The response of one of our endpoints. ``body``: its JSON; ``{}`` where it has none."""

    status: int
    headers: Mapping[str, str]
    body: object


class Endpoints(Protocol):
    """Sends a request to one of our own endpoints."""

    async def __call__(
        self, method: str, path: str, headers: Mapping[str, str], form: Mapping[str, str]
    ) -> EndpointResponse: ...


def obstacle(client: Client) -> Obstacle | None:
    """Return why a sandbox cannot be tried; None: it can."""
    if "authorization_code" not in client.meta.grant_types:
        return "no_people"
    return "own_key" if client.meta.token_endpoint_auth_method == "private_key_jwt" else None


def authorization_request(
    client: Client, redirect_uri: str, requested: AuthorizationParameters, *, nonce: str, verifier: str
) -> dict[str, str]:
    """Return the parameters of the authorization request, without ``state``."""
    scopes = sorted({"openid", *requested.scopes} & client.scopes, key=lambda scope: (scope != "openid", scope))
    parameters = {
        "response_type": "code",
        "client_id": client.client_id,
        "redirect_uri": redirect_uri,
        "scope": " ".join(scopes),
        "nonce": nonce,
        "code_challenge": base64url(hashlib.sha256(verifier.encode()).digest()),
        "code_challenge_method": "S256",
    }
    chosen = {
        "prompt": requested.prompt,
        "acr_values": requested.acr_values,
        "max_age": requested.max_age,
        "claims": requested.claims,
    }
    return parameters | {name: value for name, value in chosen.items() if value}


async def begin_trial(
    services: TrialServices,
    client: Client,
    application_id: str,
    requested: AuthorizationParameters,
    *,
    user_id: uuid.UUID,
    browser_id: str,
) -> str:
    """Begin a trial, and return the URL of its authorization request.

    Args:
        services: what beginning a trial needs.
        client: the sandbox.
        application_id: its application.
        requested: what the developer chose.
        user_id: the developer.
        browser_id: the browser that may go on with it.
    """
    verifier, nonce = random_token(), random_token()
    parameters = authorization_request(
        client, own_redirect_uri(services.settings), requested, nonce=nonce, verifier=verifier
    )
    async with services.db.write() as session:
        data: TrialData = {
            "application_id": application_id,
            "asked": parameters,
            "verifier": verifier,
            "nonce": nonce,
            "secret": await trial_secret(session, client.client_id) if client.meta.needs_secret else "",
            "steps": [],
        }
        flow = await pending_flows.begin(
            session,
            services.box,
            PURPOSE,
            browser_id,
            cast(dict[str, object], data),
            user_id=user_id,
            seconds=TRIAL_SECONDS,
        )
        parameters["state"] = flow.token
        data["steps"] = [
            {"name": "authorize", "request": request_text("GET", "/authorize", {}, parameters, query=True)}
        ]
        await pending_flows.keep(session, services.box, flow)
    await services.refresh()  # the secret of the trial is valid from now on
    return f"{services.settings.issuer}/authorize?{urlencode(parameters)}"


async def recall_trial(
    session: AsyncSession, box: SecretBox, token: str, *, user_id: uuid.UUID, browser_id: str
) -> Trial | None:
    """Return a trial of a user in a browser; None: it is unknown, has ended, or is somebody else's."""
    flow = await pending_flows.recall(session, box, PURPOSE, token, browser_id)
    if flow is None or flow.user_id != user_id:
        return None
    return Trial(flow, cast(TrialData, flow.data))


def logout_url(settings: Settings, trial: Trial) -> str:
    """Return the URL that signs the browser out (RP-Initiated Logout section 2)."""
    parameters = {
        "id_token_hint": trial.tokens["id_token"],
        "post_logout_redirect_uri": own_redirect_uri(settings),
        "state": LOGOUT_STATE,
    }
    return f"{settings.issuer}/logout?{urlencode(parameters)}"


@dataclass(frozen=True, slots=True)
class TrialEndpoints:
    """The endpoints of this provider, called as the sandbox of a trial.

    Args:
        issuer: our issuer.
        jwks: our key set, as it is published.
        client: the sandbox.
        send: sends a request.
    """

    issuer: str
    jwks: bytes
    client: Client
    send: Endpoints

    async def receive(self, trial: Trial, parameters: Mapping[str, str]) -> list[Step]:
        """Go on with an authorization response: exchange its code, where it has one, and ask for the claims.

        Args:
            trial: the trial; its tokens are set.
            parameters: of the authorization response.
        """
        answer: Step = {
            "name": "answer",
            "request": request_text("GET", TRY_PATH, {}, parameters, query=True),
            "checks": [("state", True), ("answer_iss", parameters.get("iss") == self.issuer)],
        }
        if "code" not in parameters or trial.tokens:
            return [answer]
        return [answer, *await self._exchange_code(trial, parameters["code"])]

    async def use_tokens(self, trial: Trial, action: TokenAction) -> Step:
        """Refresh, introspect or revoke the tokens of a trial."""
        tokens = trial.tokens
        refresh_token, access_token = str(tokens.get("refresh_token", "")), str(tokens["access_token"])
        path, form = {
            "refresh": ("/token", {"grant_type": "refresh_token", "refresh_token": refresh_token}),
            "introspect": ("/introspect", {"token": access_token}),
            "revoke": ("/revoke", {"token": refresh_token or access_token}),
        }[action]
        step, body = await self._send_authenticated(trial, action, path, form)
        if action == "refresh" and body.get("id_token"):
            step["tokens"] = self._decoded(body, nonce="")
            trial.data["tokens"] = {**tokens, **body}
        return step

    async def _exchange_code(self, trial: Trial, code: str) -> list[Step]:
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": trial.data["asked"]["redirect_uri"],
            "code_verifier": trial.data["verifier"],
        }
        step, tokens = await self._send_authenticated(trial, "token", "/token", form)
        if "access_token" not in tokens:
            return [step]
        trial.data["tokens"] = tokens
        step["tokens"] = decoded_tokens = self._decoded(tokens, nonce=trial.data["nonce"])
        headers = {"Authorization": f"Bearer {tokens['access_token']}"}
        userinfo, claims = await self._send("userinfo", "GET", "/userinfo", headers, {})
        sub = decoded_tokens[0]["claims"].get("sub") if decoded_tokens else None
        userinfo["checks"] = [("sub", claims.get("sub") == sub)]
        return [step, userinfo]

    async def _send_authenticated(
        self, trial: Trial, name: str, path: str, form: dict[str, str]
    ) -> tuple[Step, JsonObject]:
        """Send a form with the registered client authentication of the sandbox (RFC 6749 section 2.3.1)."""
        headers, secret, client_id = {}, trial.data["secret"], self.client.client_id
        method = self.client.meta.token_endpoint_auth_method
        if method == "client_secret_basic":
            pair = f"{quote(client_id, safe='')}:{quote(secret, safe='')}"
            headers["Authorization"] = f"Basic {b64encode(pair.encode()).decode()}"
        else:
            form = {**form, "client_id": client_id}
        if method == "client_secret_post":
            form["client_secret"] = secret
        return await self._send(name, "POST", path, headers, form)

    async def _send(
        self, name: str, method: str, path: str, headers: Mapping[str, str], form: Mapping[str, str]
    ) -> tuple[Step, JsonObject]:
        """Send a request, and return it with its response as they are shown, and the JSON of the response."""
        response = await self.send(method, path, headers, form)
        step: Step = {
            "name": name,
            "request": request_text(method, path, headers, form),
            "response": response_text(response.status, response.headers, response.body),
            "failed": response.status >= 400,
        }
        return step, response.body if isinstance(response.body, dict) else {}

    def _decoded(self, tokens: JsonObject, *, nonce: str) -> list[TokenView]:
        jwks = orjson.loads(self.jwks)
        return list(decoded_tokens(tokens, issuer=self.issuer, client_id=self.client.client_id, nonce=nonce, jwks=jwks))


async def add_steps(db: Database, box: SecretBox, trial: Trial, steps: list[Step]) -> None:
    """Store a trial with further steps: the newest :data:`MAX_STEPS`."""
    trial.data["steps"] = [*trial.data["steps"], *steps][-MAX_STEPS:]
    async with db.write() as session:
        await pending_flows.keep(session, box, trial.flow)
