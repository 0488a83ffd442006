"""What tests of citizens' accounts share: what was sent, and an authenticator without a browser."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import secrets
import struct
from collections.abc import Sequence
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import cbor2
import httpx2 as httpx
import pyotp
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from sqlalchemy import select
from tests.support import ISSUER, PASSWORD, Browser, City

from sso import clock
from sso.identity.notifications import opened
from sso.identity.users import store
from sso.identity.users.models import Identifier
from sso.platform.outbox.models import Delivery

SENDING = {"smtp_url": "smtp://127.0.0.1:1", "sms_url": "https://sms.example/send"}
"""Settings with which mail and SMS can be promised; the worker does not run in tests, so nothing leaves."""
NEW_PASSWORD = "perahu-hijau-menyapa-awan-27"


async def sent(city: City) -> list[dict[str, Any]]:
    """Return what is in the outbox for people, oldest first, opened: ``about``, and whatever it says."""
    async with city.provider.db.read() as session:
        rows = (await session.execute(select(Delivery).order_by(Delivery.id))).scalars().all()
    messages = []
    for row in rows:
        if row.kind == "message":
            messages.append(opened(city.provider, row.payload))
        elif row.kind == "notice":
            values = opened(city.provider, row.payload)
            messages.append({"about": row.payload["notice"], "user_id": row.payload["user_id"], "values": values})
    return messages


async def notices(city: City) -> list[str]:
    """Return what the messages are about."""
    return [message["about"] for message in await sent(city)]


async def last_code(city: City) -> str:
    """Return the newest code that was sent."""
    codes = [message["values"]["code"] for message in await sent(city) if "code" in message["values"]]
    assert codes, "no code was sent"
    return str(codes[-1])


async def wrong_code(city: City, *apps: pyotp.TOTP) -> str:
    """Return what has the form of a code and is none: it was sent to nobody, and no authenticator app of ``apps`` shows
    it around this moment."""
    codes = {str(message["values"]["code"]) for message in await sent(city) if "code" in message["values"]}
    codes |= {app.at(clock.timestamp() + 30 * step) for app in apps for step in range(-3, 4)}
    return next(code for code in map("{:06}".format, range(len(codes) + 1)) if code not in codes)


async def token_of(city: City, about: str) -> str:
    """Return the newest link's token in messages of a kind."""
    return str([message["values"]["token"] for message in await sent(city) if message["about"] == about][-1])


async def here(city: City, browser: Browser, name: str = "siti", password: str = PASSWORD) -> httpx.Response:
    """Sign in without an application."""
    return await browser.submit(await browser.open("/login"), username=name, password=password)


async def identifiers(city: City, name: str = "siti") -> list[Identifier]:
    """Return what a person signs in with."""
    async with city.provider.db.read() as session:
        return await store.identifiers_of(session, city.users[name])


async def kinds(city: City, name: str = "siti") -> list[str]:
    """Return the kinds of credential that a person has."""
    async with city.provider.db.read() as session:
        return sorted(credential.kind for credential in await store.credentials_of(session, city.users[name]))


async def post(browser: Browser, path: str, fields: dict[str, str], page: httpx.Response) -> httpx.Response:
    """Send fields to a path with the token of the form of a page that goes there."""
    form = form_at(page, path)
    answer = await browser.http.post(path, data={**form, **fields})
    return await browser._follow(answer)


def form_at(page: httpx.Response, path: str) -> dict[str, str]:
    """Return the hidden fields of the form of a page that goes to a path."""
    from tests.support import forms_in

    for form in forms_in(page.text):
        if form.action == path and "csrf_token" in form.fields:
            return {name: form.fields[name] for name in ("csrf_token", "c", "i", "t", "lang") if name in form.fields}
    raise AssertionError(f"no form for {path} in {page.status_code} {page.url}: {page.text[:800]}")


def app_of(page: httpx.Response) -> tuple[pyotp.TOTP, str]:
    """Return the authenticator app that a page sets up, and its seed."""
    key = re.search(r'class="key" translate="no">([A-Z2-7 ]+)<', page.text)
    assert key is not None, page.text[:2000]
    seed = key.group(1).replace(" ", "")
    return pyotp.TOTP(seed), seed


async def set_up_app(city: City, browser: Browser) -> tuple[pyotp.TOTP, list[str]]:
    """Set up an authenticator app for who is signed in; return it, and the recovery codes that were shown."""
    page = await browser.open("/account/security/app")
    assert page.status_code == 200, page.text
    app, _ = app_of(page)
    answer = await post(browser, "/account/security/app", {"code": app.at(clock.timestamp())}, page)
    return app, re.findall(r"<li>([a-z0-9]{4}(?:-[a-z0-9]{4}){3})</li>", answer.text)


def query(answer: httpx.Response) -> dict[str, str]:
    """Return the parameters of where a response was found."""
    return dict(parse_qsl(urlsplit(str(answer.url)).query))


def encoded(data: bytes) -> str:
    """Return base64url without padding."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def decoded(text: str) -> bytes:
    """Return what base64url holds."""
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


class Authenticator:
    """A passkey without a browser (Web Authentication Level 3 sections 5.8.1, 6.1, 6.5)."""

    def __init__(self, rp_id: str = "masuk.tangerang.example", origin: str = ISSUER) -> None:
        self.rp_id = rp_id
        self.origin = origin
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.id = secrets.token_bytes(32)
        self.user_handle = b""
        self.count = 0
        self.flags = 0x05  # the person is there, and was recognised
        self.transports: list[str] = []

    def create(self, options: str | dict[str, Any]) -> str:
        """Answer navigator.credentials.create."""
        creation_options = json.loads(options) if isinstance(options, str) else options
        self.user_handle = decoded(creation_options["user"]["id"])
        numbers = self.key.public_key().public_numbers()
        key = cbor2.dumps({1: 2, 3: -7, -1: 1, -2: numbers.x.to_bytes(32, "big"), -3: numbers.y.to_bytes(32, "big")})
        attested = bytes(16) + struct.pack(">H", len(self.id)) + self.id + key
        data = self._data(self.flags | 0x40) + attested
        response = {
            "clientDataJSON": encoded(self._client_data("webauthn.create", creation_options["challenge"])),
            "attestationObject": encoded(cbor2.dumps({"fmt": "none", "attStmt": {}, "authData": data})),
            **({"transports": self.transports} if self.transports else {}),
        }
        return self._answer(response)

    def get(self, options: str | dict[str, Any], *, handle: bool = True) -> str:
        """Answer navigator.credentials.get."""
        request_options = json.loads(options) if isinstance(options, str) else options
        self.count += 1
        data, client = self._data(self.flags), self._client_data("webauthn.get", request_options["challenge"])
        signature = self.key.sign(data + hashlib.sha256(client).digest(), ec.ECDSA(hashes.SHA256()))
        response = {
            "clientDataJSON": encoded(client),
            "authenticatorData": encoded(data),
            "signature": encoded(signature),
            "userHandle": encoded(self.user_handle) if handle else None,
        }
        return self._answer(response)

    def _answer(self, response: dict[str, Any]) -> str:
        return json.dumps(
            {
                "id": encoded(self.id),
                "rawId": encoded(self.id),
                "type": "public-key",
                "response": response,
                "clientExtensionResults": {},
            }
        )

    def _data(self, flags: int) -> bytes:
        return hashlib.sha256(self.rp_id.encode()).digest() + bytes([flags]) + struct.pack(">I", self.count)

    def _client_data(self, kind: str, challenge: str) -> bytes:
        return json.dumps({"type": kind, "challenge": challenge, "origin": self.origin, "crossOrigin": False}).encode()


def options_of(page: httpx.Response, kind: str) -> dict[str, Any]:
    """Return the options that a page gives its script."""
    from html import unescape

    attribute = re.search(rf'data-passkey="{kind}" data-options="([^"]*)"', page.text)
    assert attribute is not None, page.text[:1500]
    passkey_options: dict[str, Any] = json.loads(unescape(attribute.group(1)))
    return passkey_options


async def add_passkey(browser: Browser, device: Authenticator, name: str = "Ponsel") -> httpx.Response:
    """Add a passkey for who is signed in."""
    page = await browser.open("/account/security")
    answer = device.create(options_of(page, "create"))
    fields = {"choice": "passkey", "credential": answer, "name": name}
    return await post(browser, "/account/security", fields, page)


async def passkey_sign_in(browser: Browser, device: Authenticator, page: httpx.Response) -> httpx.Response:
    """Sign in by passkey on a sign-in page."""
    credential = device.get(options_of(page, "get"))
    return await post(browser, "/login/passkey", {"credential": credential}, page)


def forms_of(page: httpx.Response) -> Sequence[str]:
    """Return where the forms of a page go."""
    from tests.support import forms_in

    return [form.action for form in forms_in(page.text)]
