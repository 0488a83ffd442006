"""The keys in memory: signing, verifying, decrypting and the published set."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import jwt
import orjson
from cryptography.hazmat.primitives.serialization import load_der_private_key
from jwt.algorithms import get_default_algorithms
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from sso import clock
from sso.platform.keys.models import SigningKey
from sso.platform.security.encryption import SecretBox
from sso.platform.security.jwe import KEY_MANAGEMENT_ALGS, decrypt, is_type, private_key
from sso.platform.security.tokens import base64url

JWKS_MAX_AGE_SECONDS = 300
MAX_TOKEN_CHARS = 16_384
LEEWAY_SECONDS = 10
_ORDER = ("active", "next", "retired")


class InvalidToken(Exception):
    """A token is not one that we signed, is not valid now, or is of another type."""


class UnknownKey(InvalidToken):
    """A token names a key that is not in memory. Another process may have made it a moment ago."""


@dataclass(frozen=True, slots=True)
class Key:
    """One opened key."""

    kid: str
    alg: str
    status: str
    private: Any
    public: Any
    public_jwk: dict[str, Any]
    retired_at: datetime | None


class KeyRing:
    """Every key, opened. Replaced as a whole by :meth:`load`, so readers never see half a change.

    Args:
        box: opens the private keys.
        published: how long a retired key stays published: longer than anything signed with it is valid.
        default_alg: the algorithm whose active key stands first in the published set.
    """

    def __init__(self, box: SecretBox, published: timedelta, default_alg: str = "RS256") -> None:
        self._box = box
        self._default_alg = default_alg
        self._published = published
        self._by_kid: dict[str, Key] = {}
        self._active: dict[str, Key] = {}

    async def load(self, session: AsyncSession) -> None:
        """Read the keys from the database.

        Raises:
            CannotDecrypt: when SSO_SECRET_KEY no longer holds the secret that encrypted a key.
        """
        rows = (await session.execute(select(SigningKey).order_by(SigningKey.created_at))).scalars().all()
        keys = {row.kid: self._by_kid.get(row.kid) or self._open(row) for row in rows}
        keys = {row.kid: _with_status(keys[row.kid], row) for row in rows}
        self._by_kid = keys
        self._active = {key.alg: key for key in keys.values() if key.status == "active"}

    @property
    def algs(self) -> list[str]:
        """The algorithms that can be signed with now."""
        return [alg for alg in self._active if alg not in KEY_MANAGEMENT_ALGS]

    def sign(self, claims: dict[str, Any], alg: str, typ: str = "JWT") -> str:
        """Return ``claims`` as a JWS in compact form (RFC 7515 section 3.1), signed with the active key for ``alg``.

        With ``none`` nothing is signed (RFC 7515 appendix A.5): for applications that registered it, and no other.
        """
        if alg == "none":
            return f"{base64url(orjson.dumps({'typ': typ, 'alg': 'none'}))}.{base64url(orjson.dumps(claims))}."
        key = self._active[alg]
        header = orjson.dumps({"typ": typ, "alg": alg, "kid": key.kid})
        signed = base64url(header) + "." + base64url(orjson.dumps(claims))
        return signed + "." + base64url(_ALGORITHMS[alg].sign(signed.encode("ascii"), key.private))

    def verify(
        self, token: str, *, typ: str, issuer: str, audience: str | None = None, expired: bool = False
    ) -> dict[str, Any]:
        """Return the claims of a token that we signed.

        Args:
            token: a JWS in compact form.
            typ: the ``typ`` its header must have, so that no kind of token passes for another (RFC 8725 section 3.11).
            issuer: the ``iss`` it must have.
            audience: the ``aud`` it must hold, where one is given.
            expired: accept it although its time is over: a hint, which opens nothing. Otherwise the key must still be
                published: what a key signed that was retired long ago cannot be valid, and was forged with a copy.

        Raises:
            InvalidToken: with a reason.
        """
        if len(token) > MAX_TOKEN_CHARS:
            raise InvalidToken("the token is too long")
        try:
            header = jwt.get_unverified_header(token)
            key = self._by_kid.get(header.get("kid") or "")
            if key is None:
                raise UnknownKey("the token was not signed here")
            if _decrypts(key) or not is_type(header.get("typ"), typ) or header.get("alg") != key.alg:
                raise InvalidToken("the token was not signed here, or is of another type")
            if not expired and not self._is_published(key):
                raise InvalidToken("the token was signed with a key that was retired long ago")
            options: Any = {
                "verify_exp": False,
                "verify_nbf": False,
                "verify_iat": False,
                "verify_aud": audience is not None,
                "require": ["iss", "exp", "iat"],
            }
            claims = jwt.decode(
                token, key.public, algorithms=[key.alg], issuer=issuer, audience=audience, options=options
            )
        except (jwt.PyJWTError, ValueError, RecursionError) as error:
            raise InvalidToken(str(error)) from error
        now = clock.timestamp()
        if not expired and claims["exp"] <= now:
            raise InvalidToken("the token has expired")
        if claims["iat"] > now + LEEWAY_SECONDS:
            raise InvalidToken("the token was issued in the future")
        return claims

    def decrypt(self, token: str) -> str:
        """Return the JWT within one that was encrypted for us: also with a key that was published until lately.

        Raises:
            CannotDecrypt: with a reason.
        """
        return decrypt(token, {key.kid: (key.alg, key.private) for key in self._published_keys() if _decrypts(key)})

    def jwks(self) -> tuple[bytes, str]:
        """Return the published key set (RFC 7517 section 5) and its entity tag.

        The keys of the default algorithm stand first, the active one before the next and the retired: some libraries
        try the first key alone, and others try all keys in turn but fail at the first key of another type
        (python-jose). Keys for encryption stand last.
        """
        # Nobody should encrypt for a retired key any more; what it signed must still be verified.
        published = [key for key in self._published_keys() if not (_decrypts(key) and key.status == "retired")]
        published.sort(key=lambda key: (_decrypts(key), key.alg != self._default_alg, _ORDER.index(key.status)))
        body = orjson.dumps({"keys": [key.public_jwk for key in published]})
        return body, f'"{hashlib.sha256(body).hexdigest()[:24]}"'

    def _published_keys(self) -> list[Key]:
        return [key for key in self._by_kid.values() if self._is_published(key)]

    def _is_published(self, key: Key) -> bool:
        return key.retired_at is None or key.retired_at + self._published > clock.now()

    def _open(self, row: SigningKey) -> Key:
        der = self._box.decrypt(row.encrypted_private_key, f"signing-key:{row.kid}")
        if row.alg in KEY_MANAGEMENT_ALGS:
            opened = private_key(der, row.alg)
            return Key(row.kid, row.alg, row.status, opened, None, dict(row.public_jwk), row.retired_at)
        # What we encrypted ourselves and nobody altered need not be proven prime again at every start.
        private = load_der_private_key(der, None, unsafe_skip_rsa_key_validation=True)
        return Key(
            row.kid,
            row.alg,
            row.status,
            private,
            private.public_key(),
            dict(row.public_jwk),
            row.retired_at,
        )


_ALGORITHMS = get_default_algorithms()


def _decrypts(key: Key) -> bool:
    return key.alg in KEY_MANAGEMENT_ALGS


def _with_status(key: Key, row: SigningKey) -> Key:
    return Key(key.kid, key.alg, row.status, key.private, key.public, key.public_jwk, row.retired_at)
