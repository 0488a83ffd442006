"""A small relying party in the process of a test: it shows its page to users with a role.

It keeps no list of users. At each request it asks the userinfo endpoint what the user may do now.
"""

from __future__ import annotations

import asyncio
import hashlib
import secrets
from base64 import urlsafe_b64encode
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import parse_qs, urlencode

import httpx2 as httpx
import uvicorn
from joserfc import jwt
from joserfc.jwk import KeySet
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.routing import Route
from tests.waiting import until

LOGOUT_EVENT = "http://schemas.openid.net/event/backchannel-logout"


class RolePage:
    """The application ``client_id`` at ``here``: the page ``/counter`` is for users with ``role``."""

    def __init__(self, issuer: str, here: str, client_id: str, role: str) -> None:
        self.issuer, self.here, self.client_id, self.role = issuer, here, client_id, role
        self.http = httpx.AsyncClient(base_url=issuer, timeout=60)
        self.started: dict[str, str] = {}
        self.tokens: dict[str, dict[str, Any]] = {}
        self.logout_tokens: list[dict[str, Any]] = []

    async def login(self, _request: Request) -> Response:
        """Begin the authorization code flow with PKCE."""
        state, verifier = secrets.token_urlsafe(16), secrets.token_urlsafe(32)
        self.started[state] = verifier
        challenge = urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()
        query = {
            "client_id": self.client_id, "response_type": "code", "scope": "openid profile roles", "state": state,
            "redirect_uri": f"{self.here}/callback", "code_challenge": challenge, "code_challenge_method": "S256",
        }  # fmt: skip
        return RedirectResponse(f"{self.issuer}/authorize?{urlencode(query)}")

    async def callback(self, request: Request) -> Response:
        """Exchange the code, and open the page."""
        form = {
            "grant_type": "authorization_code", "code": request.query_params["code"], "client_id": self.client_id,
            "redirect_uri": f"{self.here}/callback",
            "code_verifier": self.started.pop(request.query_params["state"]),
        }  # fmt: skip
        answer = await self.http.post("/token", data=form)
        assert answer.status_code == 200, answer.text
        key = secrets.token_urlsafe(16)
        self.tokens[key] = answer.json()
        response = RedirectResponse("/counter", 303)
        response.set_cookie("counter", key, httponly=True)
        return response

    async def counter(self, request: Request) -> Response:
        """Show the page to a user who has the role now."""
        token = self.tokens.get(request.cookies.get("counter", ""), {}).get("access_token", "")
        answer = await self.http.get("/userinfo", headers={"Authorization": f"Bearer {token}"})
        if answer.status_code == 401:
            return HTMLResponse("<p>Anda belum masuk</p>", 401)
        user = answer.json()
        if self.role not in user["roles"]:
            return HTMLResponse(f"<p>{user['name']} bukan petugas loket</p>", 403)
        return HTMLResponse(f"<h1>Loket</h1><p>{user['name']} adalah {self.role}</p>")

    async def backchannel_logout(self, request: Request) -> Response:
        """Keep the logout token, if the provider signed it for this application."""
        encoded = parse_qs((await request.body()).decode())["logout_token"][0]
        keys = KeySet.import_key_set((await self.http.get("/jwks")).json())
        token = jwt.decode(encoded, keys, algorithms=["RS256", "ES256", "PS256", "Ed25519"])
        assert token.header["typ"] == "logout+jwt"
        assert token.claims["aud"] == self.client_id
        assert LOGOUT_EVENT in token.claims["events"]
        self.logout_tokens.append(token.claims)
        return Response(status_code=200, headers={"Cache-Control": "no-store"})


@asynccontextmanager
async def running(page: RolePage, port: int) -> AsyncIterator[RolePage]:
    """Serve the application at a port of this machine."""
    names = ("login", "callback", "counter")
    routes = [Route(f"/{name}", getattr(page, name)) for name in names]
    routes.append(Route("/backchannel-logout", page.backchannel_logout, methods=["POST"]))
    config = uvicorn.Config(Starlette(routes=routes), host="127.0.0.1", port=port, log_config=None, lifespan="off")
    server = uvicorn.Server(config)
    async with page.http:
        task = asyncio.create_task(server._serve())
        try:
            await until(lambda: server.started)
            yield page
        finally:
            server.should_exit = True
            await task
