"""What tests share: people, browsers and relying parties that behave as real ones do."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from html import unescape
from pathlib import Path
from typing import Any, Self
from urllib.parse import parse_qsl, urlencode, urlsplit
from uuid import UUID

import httpx2 as httpx
import jwt
import pytest
from fastapi import FastAPI
from sqlalchemy import event
from tests.direct_client import DirectClient
from tests.pages import check_page

from sso import clock
from sso.http.common.state import Site
from sso.oidc.provider import Provider
from sso.platform.messages import VARIABLES
from sso.settings import Settings

ISSUER = "https://masuk.tangerang.example"
BASE = httpx.URL(f"{ISSUER}/")
SECRET_KEY = "a secret key for tests of more than 32 characters"
QUICK_HASHES = {"SSO_ARGON2_MEMORY": "8MiB", "SSO_ARGON2_ITERATIONS": "1"}
"""For a server in a process of its own: the hash of a password takes 8 ms instead of 250."""


def without_settings(environment: Mapping[str, str]) -> dict[str, str]:
    """Return the variables of an environment that are no settings and choose no language."""
    languages = (*VARIABLES, "LANGUAGE")
    return {name: value for name, value in environment.items() if not name.startswith("SSO_") and name not in languages}


def environment_of(directory: Path, **settings: str) -> dict[str, str]:
    """Return the environment of a command in a process of its own: this one, with no settings but these.

    Args:
        directory: the data directory.
        settings: more settings, or others than the issuer and the secret key of the tests.
    """
    outside = without_settings(os.environ)
    own = {"SSO_ISSUER": ISSUER, "SSO_DATA_DIR": str(directory), "SSO_SECRET_KEY": SECRET_KEY}
    return outside | own | settings


ALL_DATABASES = bool(os.environ.get("ALL_DATABASES"))
"""``make coverage`` and ``make interop-all``, which run every night, set it."""
DATABASES = ("sqlite", "postgresql")
ONE_DATABASE = pytest.mark.parametrize("database_kind", DATABASES if ALL_DATABASES else ["postgresql"])
"""For long tables of who may do what, whose answers are decided in memory. The statements behind them run on both
databases in the tests of single cases, and the tables too with ``ALL_DATABASES``."""
PASSWORD = "kuda-laut-terbang-91"
PEOPLE = [
    {
        "username": "siti",
        "name": "Siti Rahmawati",
        "email": "siti@warga.example",
        "email_verified": True,
        "phone_number": "0812 3456 7890",
        "phone_number_verified": True,
        "locale": "id",
        "profile": {
            "given_name": "Siti",
            "family_name": "Rahmawati",
            "birthdate": "1990-04-21",
            "zoneinfo": "Asia/Jakarta",
            "address": {"locality": "Tangerang", "country": "ID"},
        },
    },
    {"username": "budi", "name": "Budi Santoso", "email": "budi@warga.example"},
    {"username": "ratna", "name": "Ratna Wulandari", "roles": ["admin"]},
    {
        "username": "lengkap",
        "name": "Lengkap Sri Sentosa",
        "email": "lengkap@warga.example",
        "email_verified": True,
        "phone_number": "+62 811 222 333",
        "locale": "id",
        "profile": {
            "given_name": "Lengkap",
            "family_name": "Sentosa",
            "middle_name": "Sri",
            "nickname": "Sri",
            "profile": "https://warga.example/lengkap",
            "picture": "https://warga.example/lengkap.png",
            "website": "https://lengkap.example/",
            "gender": "female",
            "birthdate": "1985-01-31",
            "zoneinfo": "Asia/Jakarta",
            "address": {
                "formatted": "Jalan Satria 1\nTangerang 15111",
                "street_address": "Jalan Satria 1",
                "locality": "Tangerang",
                "region": "Banten",
                "postal_code": "15111",
                "country": "ID",
            },
        },
    },
]
KEY_OF_KUNCI = (Path(__file__).parent / "kunci.pem").read_text()


def challenge_of(verifier: str) -> str:
    """Return the S256 challenge of a verifier (RFC 7636 section 4.2)."""
    return base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()


def query_of(url: str) -> dict[str, str]:
    """Return the parameters of an address: of its query, or of its fragment."""
    parts = urlsplit(url)
    return dict(parse_qsl(parts.fragment or parts.query, keep_blank_values=True))


@dataclass
class Form:
    """A form of a page. ``sends``: it has a button that sends it without a script."""

    action: str
    method: str
    fields: dict[str, str] = field(default_factory=dict)
    buttons: list[tuple[str, str]] = field(default_factory=list)
    sends: bool = False


_FORM = re.compile(r"<form\b.*?</form>", re.DOTALL)
_TAG = re.compile(
    r"<(form|input|button|textarea|select|option|/select)\b([^\"'>]*(?:\"[^\"]*\"[^\"'>]*|'[^']*'[^\"'>]*)*)>"
)
_ATTRIBUTE = re.compile(r"([^\s=/\"']+)(?:\s*=\s*(?:\"([^\"]*)\"|'([^']*)'|([^\s\"']+)))?")


def forms_in(page: str) -> list[Form]:
    """Return the forms of a page, as a browser reads them. Only the tags of forms are read: the parser of the standard
    library takes three times as long."""
    forms: list[Form] = []
    for text in _FORM.findall(page):
        select = ""
        for tag in _TAG.finditer(text):
            name, values = tag[1], _attributes(tag[2])
            if name == "form":
                forms.append(Form(values.get("action", ""), values.get("method", "get")))
            elif name == "option" and select:
                chosen = values.get("value", "")
                if "selected" in values:
                    forms[-1].fields[select] = chosen
                forms[-1].fields.setdefault(select, chosen)
            elif name == "select":
                select = values.get("name", "")
            elif name == "/select":
                select = ""
            elif name == "textarea" and "name" in values:
                forms[-1].fields[values["name"]] = unescape(text[tag.end() : text.index("</textarea>", tag.end())])
            else:
                _add_field(forms[-1], name, values)
    return forms


def _attributes(text: str) -> dict[str, str]:
    return {name.lower(): unescape(double or single or bare) for name, double, single, bare in _ATTRIBUTE.findall(text)}


def _add_field(form: Form, tag: str, values: dict[str, str]) -> None:
    if tag == "input" and "name" in values:
        if values.get("type") not in ("checkbox", "radio") or "checked" in values:
            form.fields[values["name"]] = values.get("value", "")
    elif tag == "button" and values.get("type", "submit") == "submit":
        form.sends = True
        if "name" in values:
            form.buttons.append((values["name"], values.get("value", "")))


def form_of(answer: httpx.Response) -> Form:
    """Return the form of a page: the first that a browser without scripts can send."""
    forms = forms_in(answer.text)
    assert forms, f"no form in {answer.status_code}: {answer.text[:600]}"
    return next((form for form in forms if form.sends), forms[0])


def main_of(answer: httpx.Response) -> str:
    """Return the content of a page, without what stands on every page: header, footer and the form that signs out."""
    return answer.text.partition("<main")[2].partition("</main>")[0]


class City:
    """A running provider, seen from outside; ``provider`` is the way in, for what only a test may do."""

    def __init__(
        self, app: FastAPI, settings: Settings, client_secrets: dict[str, str], users: dict[str, UUID]
    ) -> None:
        self.app = app
        self.settings = settings
        self.secrets = dict(client_secrets)
        self.users = dict(users)

    @property
    def site(self) -> Site:
        site: Site = self.app.state.site
        return site

    @property
    def provider(self) -> Provider:
        return self.site.provider

    def client(self, address: str = "203.0.113.7", **options: Any) -> httpx.AsyncClient:
        """Return a program's connection to the provider."""
        transport = httpx.ASGITransport(self.app, client=(address, 50000), raise_app_exceptions=False)
        hooks = {"response": [check_page]}
        return DirectClient(transport=transport, base_url=BASE, event_hooks=hooks, **options)

    def browser(self, **options: Any) -> Browser:
        """Return a new browser, with no cookies yet."""
        return Browser(self, self.client(**options))

    def relying_party(self, client_id: str, redirect_uri: str | None = None) -> RelyingParty:
        """Return an application, which speaks to the provider over a connection of its own."""
        client = self.provider.registry.get(client_id)
        assert client is not None
        uri = redirect_uri or (client.meta.redirect_uris[0] if client.meta.redirect_uris else "")
        return RelyingParty(self, client_id, uri, client.meta.token_endpoint_auth_method)


@dataclass
class Tokens:
    """A token response."""

    status: int
    body: dict[str, Any]

    def __getitem__(self, name: str) -> Any:
        return self.body[name]

    def claims(self, name: str = "id_token") -> dict[str, Any]:
        """Return the claims of one of the tokens, unchecked."""
        claims: dict[str, Any] = jwt.decode(self.body[name], options={"verify_signature": False})
        return claims


class RelyingParty:
    """An application of the city."""

    def __init__(self, city: City, client_id: str, redirect_uri: str, method: str) -> None:
        self.city = city
        self.client_id = client_id
        self.redirect_uri = redirect_uri
        self.method = method
        self.verifier = secrets.token_urlsafe(32)
        self.state = secrets.token_urlsafe(8)
        self.nonce = secrets.token_urlsafe(8)
        self.registration: dict[str, Any] = {}

    def parameters(self, **changes: str | None) -> dict[str, str]:
        """Return the parameters of an authorization request; None leaves one out."""
        values: dict[str, str | None] = {
            "response_type": "code",
            "client_id": self.client_id,
            "redirect_uri": self.redirect_uri,
            "scope": "openid profile email",
            "state": self.state,
            "nonce": self.nonce,
            "code_challenge": challenge_of(self.verifier),
            "code_challenge_method": "S256",
            **changes,
        }
        return {name: value for name, value in values.items() if value is not None}

    def url(self, **changes: str | None) -> str:
        """Return the address to which a browser is sent."""
        return f"/authorize?{urlencode(self.parameters(**changes))}"

    def authentication(self, form: dict[str, str]) -> dict[str, Any]:
        """Add the client's authentication to a form; return what httpx needs."""
        secret = self.city.secrets.get(self.client_id, "")
        if self.method == "client_secret_basic":
            return {"data": form, "auth": (self.client_id, secret)}
        form = {**form, "client_id": self.client_id}
        if self.method == "client_secret_post":
            form["client_secret"] = secret
        elif self.method in ("private_key_jwt", "client_secret_jwt"):
            form["client_assertion_type"] = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
            form["client_assertion"] = self.assertion()
        return {"data": form}

    def assertion(self, *, headers: dict[str, Any] | None = None, key: Any = None, alg: str = "", **claims: Any) -> str:
        """Return a client assertion (RFC 7523 section 3); ``claims`` differ from a right one."""
        now = clock.timestamp()
        values = {
            "iss": self.client_id,
            "sub": self.client_id,
            "aud": ISSUER,
            "iat": now,
            "exp": now + 60,
            "jti": secrets.token_hex(8),
            **claims,
        }
        values = {name: value for name, value in values.items() if value is not None}
        shared = self.method == "client_secret_jwt"
        usual = self.city.secrets.get(self.client_id, "") if shared else KEY_OF_KUNCI
        if headers is None:
            headers = {} if shared else {"kid": "1"}
        return jwt.encode(values, usual if key is None else key, alg or ("HS256" if shared else "ES256"), headers)

    async def post(self, path: str, form: dict[str, str]) -> httpx.Response:
        """Send a form to an endpoint with the client's authentication."""
        async with self.city.client() as http:
            return await http.post(path, **self.authentication(form))

    async def token(self, **form: str) -> Tokens:
        """Send a token request."""
        answer = await self.post("/token", form)
        return Tokens(answer.status_code, answer.json())

    async def exchange(self, code: str, **changes: str | None) -> Tokens:
        """Exchange a code; None leaves a parameter out."""
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": self.redirect_uri,
            "code_verifier": self.verifier,
            **changes,
        }
        return await self.token(**{name: value for name, value in form.items() if value is not None})

    async def refresh(self, refresh_token: str, **form: str) -> Tokens:
        """Exchange a refresh token."""
        return await self.token(grant_type="refresh_token", refresh_token=refresh_token, **form)

    async def userinfo(self, access_token: str) -> httpx.Response:
        """Ask for the person's claims."""
        async with self.city.client() as http:
            return await http.get("/userinfo", headers={"Authorization": f"Bearer {access_token}"})

    async def introspect(self, token: str, **form: str) -> dict[str, Any]:
        """Ask about a token."""
        body: dict[str, Any] = (await self.post("/introspect", {"token": token, **form})).json()
        return body


class Browser:
    """A person's browser: keeps cookies, follows redirects within the provider, stops at an application."""

    def __init__(self, city: City, http: httpx.AsyncClient) -> None:
        self.city = city
        self.http = http

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.http.aclose()

    async def open(self, url: str, **options: Any) -> httpx.Response:
        """Open an address and follow redirects that stay at the provider."""
        return await self._follow(await self.http.get(url, **options))

    async def submit(self, page: httpx.Response, **fields: str) -> httpx.Response:
        """Fill in the form of a page and send it."""
        form = form_of(page)
        assert form.method == "post"
        return await self._follow(await self.http.post(form.action, data={**form.fields, **fields}))

    async def _follow(self, answer: httpx.Response) -> httpx.Response:
        for _ in range(5):
            location = answer.headers.get("location", "")
            if not answer.is_redirect or not location.startswith(("/", ISSUER + "/")):
                return answer
            answer = await self.http.get(location)
        raise AssertionError("too many redirects")

    async def sign_in(
        self, party: RelyingParty, username: str = "siti", password: str = PASSWORD, **changes: str | None
    ) -> httpx.Response:
        """Go to an application's sign-in, sign in where asked, and return what came of it."""
        page = await self.open(party.url(**changes))
        if page.is_redirect:
            return page
        return await self.submit(page, username=username, password=password)

    async def code(self, party: RelyingParty, **options: Any) -> str:
        """Sign in and return the code that the application got."""
        answer = await self.sign_in(party, **options)
        assert answer.is_redirect, f"{answer.status_code}: {answer.text}"
        location = answer.headers["location"]
        assert "code" in query_of(location), location
        return query_of(location)["code"]

    async def tokens(self, party: RelyingParty, **options: Any) -> Tokens:
        """Sign in and return the tokens that the application got."""
        tokens = await party.exchange(await self.code(party, **options))
        assert tokens.status == 200, tokens.body
        return tokens

    @property
    def session(self) -> str | None:
        """The session cookie."""
        return self.http.cookies.get("__Host-sso-session")


class Statements:
    """Counts SQL statements; BEGIN and COMMIT are left out, and what looks every second for changes."""

    def __init__(self, city: City) -> None:
        self.seen: list[str] = []
        for engine in city.provider.db.engines:
            event.listen(engine.sync_engine, "before_cursor_execute", self._count)

    def _count(self, _c: Any, _cursor: Any, statement: str, *_rest: Any) -> None:
        background = any(name in statement for name in ("FROM versions", "FROM ends", "/* clock */"))
        if statement.split()[0] not in ("BEGIN", "COMMIT", "PRAGMA") and not background:
            self.seen.append(statement)

    def take(self) -> list[str]:
        """Return what was seen since the last time."""
        seen, self.seen = self.seen, []
        return seen


def tampered(token: str) -> str:
    """Return a JWS with one claim changed and the signature kept."""
    header, body, signature = token.split(".")
    claims = json.loads(base64.urlsafe_b64decode(body + "=" * (-len(body) % 4)))
    claims["sub"] = "mallory"
    changed = base64.urlsafe_b64encode(json.dumps(claims).encode()).rstrip(b"=").decode()
    return f"{header}.{changed}.{signature}"
