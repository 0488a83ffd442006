"""Requests, responses and tokens as the playground shows them: secrets masked, tokens decoded and checked. Pure."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import NotRequired, TypedDict

import jwt
import orjson

from sso import clock
from sso.platform.security.tokens import base64url

SHOWN_HEADERS = ("content-type", "cache-control", "www-authenticate", "location")
SECRET_NAMES = ("authorization", "client_secret", "refresh_token", "token", "id_token_hint")
TOKENS = ("access_token", "refresh_token", "id_token")
SHOWN_TOKEN_CHARS = 24

JsonObject = dict[str, object]
Checks = list[tuple[str, bool]]
"""The name of each check, and whether it passed."""


class KeySet(TypedDict):
    """A JWK Set (RFC 7517 section 5)."""

    keys: list[dict[str, str]]


class TokenView(TypedDict):
    """A decoded JWT. ``text``: header and claims as indented JSON."""

    name: str
    header: JsonObject
    claims: JsonObject
    checks: Checks
    text: str


class Step(TypedDict):
    """One request and its response, as text. ``failed``: the response is an error."""

    name: str
    request: str
    response: NotRequired[str]
    failed: NotRequired[bool]
    checks: NotRequired[Checks]
    tokens: NotRequired[list[TokenView]]


def request_text(
    method: str, path: str, headers: Mapping[str, str], parameters: Mapping[str, str], *, query: bool = False
) -> str:
    """Return a request as text: one parameter on each line. ``query``: the parameters are in the query of the URL."""
    lines = [f"{method} {path}{'?' if query else ''}"]
    lines += [f"{name}: {_masked_value(name, value)}" for name, value in headers.items()]
    lines += [f"    {name}={_masked_value(name, value)}" for name, value in parameters.items()]
    return "\n".join(lines)


def response_text(status: int, headers: Mapping[str, str], body: object) -> str:
    """Return a response as text: the headers that matter, and its JSON with shortened tokens."""
    lines = [f"HTTP {status}", *(f"{name}: {value}" for name, value in headers.items() if name in SHOWN_HEADERS)]
    indented = orjson.dumps(_with_short_tokens(body), option=orjson.OPT_INDENT_2).decode() if body else ""
    return "\n".join([*lines, "", indented])


def _masked_value(name: str, value: str) -> str:
    if name.lower() not in SECRET_NAMES:
        return value
    scheme, _, rest = value.partition(" ")
    return f"{scheme} …{rest[-4:]}" if rest else f"…{value[-4:]}"


def _with_short_tokens(body: object) -> object:
    if not isinstance(body, dict):
        return body
    return {name: shortened(str(value)) if name in TOKENS else value for name, value in body.items()}


def shortened(token: str) -> str:
    """Return the beginning of a token, which is of no use to anybody."""
    return f"{token[:SHOWN_TOKEN_CHARS]}…"


def decoded(name: str, token: str) -> TokenView:
    """Return the header and the claims of a JWT, without checks.

    Raises:
        jwt.PyJWTError: when it is no JWT.
    """
    header, claims = jwt.get_unverified_header(token), jwt.decode(token, options={"verify_signature": False})
    text = orjson.dumps({"header": header, "claims": claims}, option=orjson.OPT_INDENT_2).decode()
    return {"name": name, "header": header, "claims": claims, "checks": [], "text": text}


def decoded_tokens(
    tokens: Mapping[str, object], *, issuer: str, client_id: str, nonce: str, jwks: KeySet
) -> list[TokenView]:
    """Return the tokens of a token response that are JWTs: the ID token with its checks, and the access token.

    Args:
        tokens: the token response.
        issuer: our issuer.
        client_id: of the sandbox.
        nonce: the nonce of the authorization request; empty: the ID token needs none, as after a refresh.
        jwks: our key set.
    """
    described = []
    for name in ("id_token", "access_token"):
        try:
            token = decoded(name, str(tokens[name]))
        except (jwt.PyJWTError, KeyError):
            continue
        if name == "id_token":
            token["checks"] = id_token_checks(tokens, token, issuer=issuer, client_id=client_id, nonce=nonce, jwks=jwks)
        described.append(token)
    return described


def id_token_checks(
    tokens: Mapping[str, object],
    id_token: TokenView,
    *,
    issuer: str,
    client_id: str,
    nonce: str,
    jwks: KeySet,
) -> Checks:
    """Check an ID token as every client must (OpenID Connect Core section 3.1.3.7)."""
    claims = id_token["claims"]
    checks = [
        ("signature", is_signed_by(jwks, str(tokens["id_token"]), id_token["header"])),
        ("iss", claims.get("iss") == issuer),
        ("aud", claims.get("aud") in (client_id, [client_id])),
        ("exp", is_later(claims.get("exp"))),
    ]
    if nonce:
        checks.append(("nonce", claims.get("nonce") == nonce))
    if "at_hash" in claims:
        half = hashlib.sha256(str(tokens["access_token"]).encode()).digest()[:16]
        checks.append(("at_hash", claims["at_hash"] == base64url(half)))
    return checks


def is_later(moment: object) -> bool:
    """Tell whether a NumericDate (RFC 7519 section 2) is in the future."""
    return isinstance(moment, (int, float)) and moment > clock.timestamp()


def is_signed_by(jwks: KeySet, token: str, header: JsonObject) -> bool:
    """Tell whether a JWT is signed by the key of a key set that its header names."""
    keys = {key["kid"]: key for key in jwks["keys"]}
    options: jwt.types.Options = {"verify_aud": False, "verify_exp": False, "verify_iat": False, "verify_nbf": False}
    try:
        jwt.decode(token, jwt.PyJWK(keys[str(header["kid"])]), algorithms=[str(header["alg"])], options=options)
    except (jwt.PyJWTError, KeyError):
        return False
    return True
