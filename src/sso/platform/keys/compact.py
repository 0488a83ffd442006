"""Reading a signed token in compact form (RFC 7515 section 7.1), each part once.

PyJWT's own reader walks over every character in Python, and needs the key before the header is read
(docs/decisions/0050). Its algorithms verify here too.
"""

from __future__ import annotations

from dataclasses import dataclass

import jwt
import orjson

from sso.platform.security.tokens import from_base64url

_JWS = jwt.PyJWS()


class Malformed(ValueError):
    """The text is not a signed token in compact form."""


@dataclass(frozen=True, slots=True)
class Compact:
    """A token whose header was read, and nothing else: :func:`payload_of` does the rest with the key."""

    header: dict[str, object]
    signing_input: bytes
    payload: bytes
    signature: bytes


def read_compact(token: str) -> Compact:
    """Split a token and read its header.

    Raises:
        Malformed: when it has not three parts, when its header is no JSON object in base64url, or names an extension
            (``crit``, ``b64``): there is none that we sign with.
    """
    try:
        signing_input, _, signature = token.encode("ascii").rpartition(b".")
        first, _, payload = signing_input.partition(b".")
        header = orjson.loads(from_base64url(first))
    except ValueError as error:  # other than ASCII, no base64url, no JSON
        raise Malformed(str(error)) from None
    if not isinstance(header, dict) or "crit" in header or "b64" in header:
        raise Malformed("the header is not one of ours")
    return Compact(header, signing_input, payload, signature)


def payload_of(token: Compact, key: object, alg: str) -> bytes:
    """Return the payload of a token after its signature was verified.

    Args:
        token: the token.
        key: the public key.
        alg: the algorithm of the key; what the header names does not count (RFC 8725 section 3.1).

    Raises:
        ValueError: when a part is not base64url, or the signature is wrong (:class:`Malformed`).
    """
    payload, signature = from_base64url(token.payload), from_base64url(token.signature)
    if not _JWS.get_algorithm_by_name(alg).verify(token.signing_input, key, signature):
        raise Malformed("the signature is wrong")
    return payload
