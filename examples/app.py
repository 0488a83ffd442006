"""A small relying party, as an application of the city would be: FastAPI and Authlib's client, nothing of ours.

It signs people in with the authorization code flow and PKCE, keeps its own session in memory, and listens for
back-channel logout, so that signing out anywhere ends the session here too. One that cannot be told (APP_LOGOUT) asks
at each visit whether its access token is still good. Read it from the top: it is meant to be
copied. Configuration comes from the environment (APP_...).
"""

from __future__ import annotations

import html
import os
import secrets
import time
from typing import Any
from urllib.parse import urlencode

import uvicorn
from authlib.integrations.starlette_client import OAuth, OAuthError
from fastapi import FastAPI, Request, Response
from fastapi.responses import HTMLResponse, RedirectResponse
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet

NAME = os.environ["APP_NAME"]
ISSUER = os.environ["APP_ISSUER"]
PORT = int(os.environ["APP_PORT"])
OTHER = os.environ.get("APP_OTHER", "")
LOGOUT = os.environ.get("APP_LOGOUT", "back_channel")  # or front_channel, or none: how it learns that a session is over
HERE = f"http://localhost:{PORT}"
COOKIE = f"app{PORT}"  # cookies know no ports, and several apps run on this machine
LOGOUT_EVENT = "http://schemas.openid.net/event/backchannel-logout"

oauth = OAuth()
oauth.register(
    "city",
    client_id=os.environ["APP_CLIENT_ID"],
    client_secret=os.environ["APP_CLIENT_SECRET"],
    server_metadata_url=f"{ISSUER}/.well-known/openid-configuration",
    client_kwargs={"scope": "openid profile email", "code_challenge_method": "S256", "timeout": 30},
)
app = FastAPI(openapi_url=None)
sessions: dict[str, dict[str, Any]] = {}
seen_logout_tokens: set[str] = set()


@app.middleware("http")
async def own_session(request: Request, call_next: Any) -> Response:
    """Give each browser a session that lives on this server, so that a logout token can end it."""
    key = request.cookies.get(COOKIE, "")
    if key not in sessions:
        key = secrets.token_urlsafe(32)
        sessions[key] = {}
    request.scope["session"] = sessions[key]
    response: Response = await call_next(request)
    if sessions.get(key) and request.cookies.get(COOKIE) != key:
        response.set_cookie(COOKIE, key, httponly=True, samesite="lax")
    elif not sessions.get(key):
        sessions.pop(key, None)
    return response


@app.get("/")
async def home(request: Request) -> Response:
    if LOGOUT != "back_channel" and not await still_signed_in(request):
        request.session.clear()
    user = request.session.get("user")
    if user is None:
        return page("<p>Anda belum masuk.</p><p><a class=b href=/login>Masuk</a></p>")
    rows = "".join(f"<dt>{html.escape(name)}<dd>{html.escape(str(value))}" for name, value in user.items())
    return page(
        f"<p id=who>Halo, <b>{html.escape(str(user.get('name')))}</b>!</p><dl>{rows}</dl>"
        "<form method=post action=/logout><button class=b>Keluar</button></form>"
    )


async def still_signed_in(request: Request) -> bool:
    """Ask the provider: the userinfo endpoint takes no token of a session that is over."""
    token = request.session.get("token")
    if token is None:
        return False
    answer = await oauth.city.get((await oauth.city.load_server_metadata())["userinfo_endpoint"], token=token)
    return bool(answer.status_code == 200)


@app.get("/login")
async def login(request: Request) -> Response:
    return await oauth.city.authorize_redirect(request, f"{HERE}/callback", nonce=secrets.token_urlsafe(16))


@app.get("/callback")
async def callback(request: Request) -> Response:
    if request.query_params.get("iss", ISSUER) != ISSUER:  # the answer of another issuer (RFC 9207)
        return page("<p>Tidak jadi masuk: iss</p><p><a class=b href=/>Kembali</a></p>", 400)
    try:
        token = await oauth.city.authorize_access_token(request)  # checks state, PKCE, nonce and the ID token
    except (OAuthError, JoseError) as error:
        return page(
            f"<p>Tidak jadi masuk: {html.escape(error.description or error.error)}</p>"
            "<p><a class=b href=/>Kembali</a></p>",
            400,
        )
    claims = token["userinfo"]
    user = await oauth.city.userinfo(token=token)
    names = ("sub", "name", "preferred_username", "email")
    request.session.update(
        user={name: user[name] for name in names if name in user},
        sid=claims["sid"],
        id_token=token["id_token"],
        token=token,
    )
    return RedirectResponse("/", 303)


@app.post("/logout")
async def logout(request: Request) -> Response:
    id_token = request.session.get("id_token", "")
    request.session.clear()
    metadata = await oauth.city.load_server_metadata()
    asked = {"id_token_hint": id_token, "post_logout_redirect_uri": f"{HERE}/"}
    return RedirectResponse(f"{metadata['end_session_endpoint']}?{urlencode(asked)}", 303)


@app.get("/frontchannel-logout")
async def frontchannel_logout(iss: str = "", sid: str = "") -> Response:
    """End the session that the provider names in a frame (OpenID Connect Front-Channel Logout 1.0 section 3)."""
    if iss == ISSUER and LOGOUT == "front_channel":
        end_sessions(sid)
    return Response(status_code=200, headers={"Cache-Control": "no-store"})


def end_sessions(sid: str) -> None:
    """End the session that the provider knows as ``sid``."""
    for session in sessions.values():
        if sid and session.get("sid") == sid:
            session.clear()


@app.post("/backchannel-logout")
async def backchannel_logout(request: Request) -> Response:
    """End the session that a logout token names (OpenID Connect Back-Channel Logout 1.0 section 2.6)."""
    form = await request.body()
    name, _, encoded = form.decode().partition("=")
    try:
        keys = KeySet.import_key_set(await oauth.city.fetch_jwk_set())
        token = jwt.decode(encoded, keys, algorithms=["RS256", "ES256", "PS256", "Ed25519", "EdDSA"])
    except (JoseError, ValueError):
        return Response("not a logout token", 400)
    claims, now = token.claims, time.time()
    right = (
        name == "logout_token"
        and token.header.get("typ") == "logout+jwt"
        and claims.get("iss") == ISSUER
        and claims.get("aud") == oauth.city.client_id
        and LOGOUT_EVENT in claims.get("events", {})
        and "nonce" not in claims
        and now - 300 < claims.get("iat", 0) <= now + 10
        and now - 10 < claims.get("exp", 0)
        and claims.get("jti") not in seen_logout_tokens
    )
    if not right:
        return Response("not a logout token for us", 400)
    seen_logout_tokens.add(claims["jti"])
    end_sessions(claims.get("sid", ""))
    return Response(status_code=200, headers={"Cache-Control": "no-store"})


STYLE = """
:root { color-scheme: light dark }
body { font: 1.0625rem/1.5 system-ui, sans-serif; max-width: 30rem; margin: 3rem auto; padding: 0 1rem }
.b { display: inline-block; font: inherit; background: #0b5f5a; color: #fff; padding: .75rem 1.5rem; border: 0;
     border-radius: .5rem; text-decoration: none; cursor: pointer }
dt { font-weight: 600 }
dd { margin: 0 0 .5rem; overflow-wrap: anywhere }
a { color: inherit }
"""


def page(content: str, status: int = 200) -> HTMLResponse:
    other = f"<p><a href={OTHER}>Buka aplikasi yang lain →</a></p>" if OTHER else ""
    name = html.escape(NAME)
    return HTMLResponse(
        f"<!doctype html><html lang=id><head><meta charset=utf-8><meta name=viewport content=width=device-width>"
        f"<title>{name}</title><style>{STYLE}</style></head>"
        f"<body><main><h1>{name}</h1>{content}{other}</main></body></html>",
        status,
        {"Cache-Control": "no-store"},
    )


if __name__ == "__main__":
    uvicorn.run(app, host="127.0.0.1", port=PORT, log_level="warning")
