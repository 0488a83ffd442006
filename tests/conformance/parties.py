"""Applications that register themselves, and people who go all the way for them."""

from __future__ import annotations

import base64
import itertools
import json
import secrets
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import httpx2 as httpx
import jwt
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm
from sqlalchemy import delete
from tests.support import ISSUER, PASSWORD, Browser, City, RelyingParty, form_of, query_of

from sso import clock
from sso.oidc.store.models import Consent

REDIRECT_URI = "https://rp.example/cb"
ALL_TYPES = ["code", "id_token", "id_token token", "code id_token", "code token", "code id_token token"]
GRANTS = ["authorization_code", "implicit", "refresh_token"]
EVERYTHING = {"response_types": ALL_TYPES, "grant_types": GRANTS}


_rsa_numbers = itertools.cycle(range(4))


@cache
def _rsa_key(number: int) -> rsa.RSAPrivateKey:
    """Return one of four keys, which follow each other: to make one takes 100 ms, and no test needs more at once."""
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


@dataclass
class KeyPair:
    """A key of an application."""

    alg: str
    kid: str = field(default_factory=lambda: secrets.token_hex(4))
    use: str = "sig"

    def __post_init__(self) -> None:
        kind: Any
        if self.alg in ("RS256", "PS256", "RSA-OAEP-256"):
            self.private: Any = _rsa_key(next(_rsa_numbers))
            kind = RSAAlgorithm
        elif self.alg in ("ES256", "ECDH-ES"):
            self.private = ec.generate_private_key(ec.SECP256R1())
            kind = ECAlgorithm
        else:
            self.private = ed25519.Ed25519PrivateKey.generate()
            kind = OKPAlgorithm
        public = kind.to_jwk(self.private.public_key(), as_dict=True)
        self.jwk = {name: public[name] for name in ("kty", "crv", "x", "y", "n", "e") if name in public}
        self.jwk |= {"kid": self.kid, "use": self.use, "alg": self.alg}

    @property
    def der(self) -> bytes:
        """The private key (PKCS #8)."""
        encoded: bytes = self.private.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
        return encoded

    def sign(self, claims: dict[str, Any], **headers: Any) -> str:
        """Return a JWT."""
        return jwt.encode(claims, self.private, self.alg, {"kid": self.kid, **headers})


def key_set(*pairs: KeyPair) -> dict[str, Any]:
    """Return the public keys of an application."""
    return {"keys": [pair.jwk for pair in pairs]}


async def post_registration(city: City, document: Any, **headers: str) -> httpx.Response:
    """Send a registration."""
    async with city.client() as http:
        return await http.post("/register", json=document, headers=headers)


async def registered(city: City, **metadata: Any) -> RelyingParty:
    """Register an application and return it; ``metadata`` differs from the usual."""
    document = {"redirect_uris": [REDIRECT_URI], "client_name": "RP", **metadata}
    answer = await post_registration(city, document)
    assert answer.status_code == 201, answer.text
    registration = answer.json()
    city.secrets[registration["client_id"]] = registration.get("client_secret", "")
    party = RelyingParty(
        city,
        registration["client_id"],
        (registration.get("redirect_uris") or [""])[0],
        registration["token_endpoint_auth_method"],
    )
    party.registration = registration
    return party


@dataclass
class Answer:
    """What an application gets from the authorization endpoint."""

    mode: str
    redirect_uri: str
    parameters: dict[str, str]

    def __getitem__(self, name: str) -> str:
        return self.parameters[name]

    def __contains__(self, name: str) -> bool:
        return name in self.parameters

    def claims(self) -> dict[str, Any]:
        """Return the claims of the ID token, unchecked."""
        claims: dict[str, Any] = jwt.decode(self["id_token"], options={"verify_signature": False})
        return claims


def read_answer(response: httpx.Response) -> Answer | None:
    """Return the answer that a response carries, if it does."""
    location = response.headers.get("location", "")
    if response.is_redirect and not location.startswith(("/", ISSUER + "/")):
        mode = "fragment" if "#" in location else "query"
        return Answer(mode, location.partition("#")[0].partition("?")[0], query_of(location))
    if "data-auto" in response.text:
        form = form_of(response)
        return Answer("form_post", form.action, form.fields)
    return None


async def go_on(browser: Browser, page: httpx.Response, username: str = "siti") -> Answer:
    """Do what pages ask for until the application has its answer."""
    for _ in range(5):
        answer = read_answer(page)
        if answer is not None:
            return answer
        form = form_of(page)
        if "username" in form.fields:
            page = await browser.submit(page, username=username, password=PASSWORD)
        else:
            page = await browser.submit(page, choice="continue" if form.action == "/select" else "allow")
    raise AssertionError(page.text)


async def authorize(browser: Browser, party: RelyingParty, username: str = "siti", **changes: Any) -> Answer:
    """Go the whole way of an authorization request."""
    changes = {"code_challenge": None, "code_challenge_method": None, **changes}
    return await go_on(browser, await browser.open(party.url(**changes)), username)


async def forget_consents(city: City) -> None:
    """Let the next request of every application ask for consent again."""
    async with city.provider.db.write() as session:
        await session.execute(delete(Consent))


async def tokens(browser: Browser, party: RelyingParty, **changes: Any) -> dict[str, Any]:
    """Go the whole way and exchange the code."""
    answer = await authorize(browser, party, **changes)
    token_response = await party.exchange(answer["code"], code_verifier=None)
    assert token_response.status == 200, token_response.body
    return token_response.body


async def userinfo(party: RelyingParty, access_token: str) -> dict[str, Any]:
    """Return what userinfo says."""
    answer = await party.userinfo(access_token)
    assert answer.status_code == 200, answer.text
    body: dict[str, Any] = answer.json()
    return body


def header_of(token: str) -> dict[str, Any]:
    """Return the header of a JWS or a JWE."""
    first = token.partition(".")[0]
    header: dict[str, Any] = json.loads(base64.urlsafe_b64decode(first + "=" * (-len(first) % 4)))
    return header


def claims_of(token: str) -> dict[str, Any]:
    """Return the claims of a JWT, unchecked."""
    claims: dict[str, Any] = jwt.decode(token, options={"verify_signature": False})
    return claims


def request_object(party: RelyingParty, pair: KeyPair | None, **claims: Any) -> str:
    """Return a request object of ``party``; unsigned without a key."""
    values = {
        "iss": party.client_id,
        "aud": ISSUER,
        "client_id": party.client_id,
        "redirect_uri": party.redirect_uri,
        "response_type": "code",
        "scope": "openid",
        "state": party.state,
        "nonce": party.nonce,
        "iat": clock.timestamp(),
        "exp": clock.timestamp() + 60,
        **claims,
    }
    values = {name: value for name, value in values.items() if value is not None}
    return jwt.encode(values, None, "none") if pair is None else pair.sign(values)
