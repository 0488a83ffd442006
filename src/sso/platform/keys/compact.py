"""Writing and reading a signed token in compact form (RFC 7515 section 7.1), each part once.

PyJWT's own writer encodes and checks the same header and key for every token, and its reader walks over every character
in Python. Its algorithms sign and verify here too.
"""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import jwt
import orjson

from sso.platform.security.tokens import base64url_bytes

_JWS = jwt.PyJWS()


class Malformed(ValueError):
    """The text is not a signed token in compact form."""


@dataclass(frozen=True, slots=True)
class Compact:
    """A token whose header was read, and nothing else: :func:`payload_of` does the rest with the key."""

    header: dict[str, Any]
    signing_input: bytes
    payload: bytes
    signature: bytes


def write_compact(payload: bytes, key: Any, alg: str, typ: str, kid: str | None) -> str:
    """Return a payload as a signed token.

    Args:
        payload: what is signed.
        key: the private key, which belongs to ``alg``; for ``none`` it does not count.
        alg: the algorithm.
        typ: of the header.
        kid: of the header; None: the header has none.
    """
    signing_input = b"%b.%b" % (_header(typ, alg, kid), base64url_bytes(payload))
    signature = _JWS.get_algorithm_by_name(alg).sign(signing_input, key)
    return (b"%b.%b" % (signing_input, base64url_bytes(signature))).decode("ascii")


@lru_cache(maxsize=100)
def _header(typ: str, alg: str, kid: str | None) -> bytes:
    header = {"typ": typ, "alg": alg}
    return base64url_bytes(orjson.dumps(header if kid is None else {**header, "kid": kid}))


def read_compact(token: str) -> Compact:
    """Split a token and read its header.

    Raises:
        Malformed: when it has not three parts, when its header is no JSON object in base64url, or names an extension
            (``crit``, ``b64``): there is none that we sign with.
    """
    try:
        signing_input, _, signature = token.encode("ascii").rpartition(b".")
        first, _, payload = signing_input.partition(b".")
        header = orjson.loads(decoded(first))
    except ValueError as error:  # other than ASCII, no base64url, no JSON
        raise Malformed(str(error)) from None
    if not isinstance(header, dict) or "crit" in header or "b64" in header:
        raise Malformed("the header is not one of ours")
    return Compact(header, signing_input, payload, signature)


def payload_of(token: Compact, key: Any, alg: str) -> bytes:
    """Return the payload of a token after its signature was verified.

    Args:
        token: the token.
        key: the public key.
        alg: the algorithm of the key; what the header names does not count (RFC 8725 section 3.1).

    Raises:
        Malformed: when a part is not base64url, or the signature is wrong.
    """
    payload, signature = decoded(token.payload), decoded(token.signature)
    if not _JWS.get_algorithm_by_name(alg).verify(token.signing_input, key, signature):
        raise Malformed("the signature is wrong")
    return payload


def decoded(segment: bytes) -> bytes:
    """Return what a part of a token encodes in base64url without padding (RFC 7515 section 2).

    Raises:
        Malformed: when encoding that again does not give the same text: other characters, padding, bits that are left
            over.
    """
    try:
        data = base64.urlsafe_b64decode(segment + b"=" * (-len(segment) % 4))
    except binascii.Error:
        raise Malformed("a part is not base64url") from None
    if base64url_bytes(data) != segment:
        raise Malformed("a part is not base64url")
    return data
