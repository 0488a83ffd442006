"""The keys in memory: signing, verifying, decrypting and the published set."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, TypedDict, cast

import jwt
import orjson
from cryptography.hazmat.primitives.serialization import load_der_private_key
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from sso import clock
from sso.platform.keys.claims_cache import CachedClaims, ClaimsCache
from sso.platform.keys.compact import payload_of, read_compact
from sso.platform.keys.models import SigningKey
from sso.platform.security.encryption import CannotDecrypt, SecretBox
from sso.platform.security.jwe import KEY_MANAGEMENT_ALGS, decrypt, is_type, private_key
from sso.platform.security.numbers import is_time

if TYPE_CHECKING:
    from joserfc.jwk import Key as EncryptionKey
    from jwt.algorithms import AllowedPrivateKeys

JWKS_MAX_AGE_SECONDS = 300
MAX_TOKEN_CHARS = 16_384
LEEWAY_SECONDS = 10
_JWS = jwt.PyJWS()
_ORDER = ("active", "next", "retired")
_ALL_KEYS = select(SigningKey).order_by(SigningKey.created_at)


class InvalidToken(Exception):
    """A token was not signed by the provider, is not valid now, or is of another type."""


class UnknownKey(InvalidToken):
    """A token names a key that is not in memory. Another process may have created the key just now."""


class TokenTimes(TypedDict):
    """When a token was issued and expires, in seconds since 1970 (RFC 7519 section 4.1)."""

    iat: int
    exp: int


@dataclass(frozen=True, slots=True)
class Key:
    """A decrypted key."""

    kid: str
    alg: str
    status: str
    private: object
    public: object
    public_jwk: dict[str, object]
    retired_at: datetime | None


class KeyRing:
    """Every key, decrypted. :meth:`load` replaces all keys at once, so that readers never see a partial change.

    Args:
        box: decrypts the private keys.
        published: how long a retired key stays published; longer than any token that it signed is valid.
        default_alg: the algorithm whose active key is first in the published set.
    """

    def __init__(self, box: SecretBox, published: timedelta, default_alg: str = "RS256") -> None:
        self._box = box
        self._default_alg = default_alg
        self._published = published
        self._by_kid: dict[str, Key] = {}
        self._active: dict[str, Key] = {}
        self._kept = ClaimsCache()

    async def load(self, session: AsyncSession) -> None:
        """Read the keys from the database. Where some cannot be decrypted, the others are used all the same, and an
        algorithm whose new key cannot be decrypted goes on with the key that it had.

        Raises:
            CannotDecrypt: when the secret that encrypted a key is not in SSO_SECRET_KEY.
        """
        rows = (await session.execute(_ALL_KEYS)).scalars().all()
        keys, unreadable = dict[str, Key](), dict[str, CannotDecrypt]()
        for row in rows:
            try:
                # A key in memory may have been encrypted again with a secret that is not known here.
                self._box.check(row.encrypted_private_key, _purpose(row))
                keys[row.kid] = _with_status(self._by_kid.get(row.kid) or self._open(row), row)
            except CannotDecrypt as error:
                unreadable[row.kid] = error
                if row.kid in self._by_kid:
                    keys[row.kid] = _with_status(self._by_kid[row.kid], row)
        before, self._by_kid = self._active, keys
        self._kept.clear()  # of a key that was withdrawn, above all
        self._active = {key.alg: key for key in keys.values() if key.status == "active"}
        for row in rows:
            known = before.get(row.alg)
            if row.kid in unreadable and row.alg not in self._active and known is not None and known.kid in keys:
                self._active[row.alg] = keys[known.kid]
        if unreadable:
            raise next(iter(unreadable.values()))

    @property
    def algs(self) -> list[str]:
        """The algorithms that have an active signing key."""
        return [alg for alg in self._active if alg not in KEY_MANAGEMENT_ALGS]

    def sign(self, claims: dict[str, object], alg: str, typ: str = "JWT") -> str:
        """Return ``claims`` as a JWS in compact form (RFC 7515 section 3.1), signed with the active key for ``alg``.

        ``none`` (RFC 7515 appendix A.5) is only for applications that registered it.
        """
        payload = orjson.dumps(claims)
        if alg == "none":
            return _JWS.encode(payload, "", alg, {"typ": typ})
        key = self._active[alg]
        return _JWS.encode(payload, cast("AllowedPrivateKeys", key.private), alg, {"typ": typ, "kid": key.kid})

    def verify(
        self, token: str, *, typ: str, issuer: str, audience: str | None = None, expired: bool = False
    ) -> dict[str, object]:
        """Return the claims of a token that the provider signed.

        Args:
            token: a JWS in compact form.
            typ: the required ``typ``, so that one kind of token is not accepted as another (RFC 8725 section 3.11).
            issuer: the required ``iss``.
            audience: a required value of ``aud``, if given.
            expired: accept an expired token, as a hint that grants nothing. Otherwise the key must still be published:
                a valid token of a key that was retired long ago can only be forged.

        Raises:
            InvalidToken: with a reason.
        """
        if len(token) > MAX_TOKEN_CHARS:
            raise InvalidToken("the token is too long")
        if expired or audience is not None:
            return self._verified(token, typ, issuer, audience, expired=expired)[1]
        now, name = clock.timestamp(), ClaimsCache.name(token, typ, issuer)
        verified = self._kept.find(name, now)
        if verified is not None and verified.kid in self._by_kid and self._is_published(self._by_kid[verified.kid]):
            claims: dict[str, object] = orjson.loads(verified.payload)
            _check_times(cast(TokenTimes, claims), now)
            return claims
        verified, claims = self._verified(token, typ, issuer, audience, expired=expired)
        self._kept.keep(name, verified)
        return claims

    def _verified(
        self, token: str, typ: str, issuer: str, audience: str | None, *, expired: bool
    ) -> tuple[CachedClaims, dict[str, object]]:
        """Verify a token of which nothing is known; arguments and errors as at :meth:`verify`."""
        try:
            compact = read_compact(token)
            header = compact.header
            kid = header.get("kid", "")
            if not isinstance(kid, str):
                raise InvalidToken("the kid is not text")
            key = self._by_kid.get(kid)
            if key is None:
                raise UnknownKey("the token was not signed here")
            if _decrypts(key) or not is_type(header.get("typ"), typ) or header.get("alg") != key.alg:
                raise InvalidToken("the token was not signed here, or is of another type")
            if not expired and not self._is_published(key):
                raise InvalidToken("the token was signed with a key that was retired long ago")
            payload = payload_of(compact, key.public, key.alg)
            claims = orjson.loads(payload)
        except ValueError as error:
            raise InvalidToken(str(error)) from error
        if not isinstance(claims, dict):
            raise InvalidToken("the claims are no object")
        _check_claims(claims, issuer=issuer, audience=audience)
        _check_times(cast(TokenTimes, claims), clock.timestamp(), expired=expired)
        return CachedClaims(kid, payload, claims["exp"]), claims

    def decrypt(self, token: str) -> str:
        """Return the JWT in a JWE that is encrypted for a published key, active or retired.

        Raises:
            CannotDecryptJwe: with a reason.
        """
        return decrypt(
            token,
            {
                key.kid: (key.alg, cast("EncryptionKey", key.private))
                for key in self._published_keys()
                if _decrypts(key)
            },
        )

    def jwks(self) -> tuple[bytes, str]:
        """Return the published key set (RFC 7517 section 5) and its entity tag.

        The keys of the default algorithm are first, the active one before the next and the retired ones: some libraries
        try the first key only, and others fail at the first key of another type (python-jose). Encryption keys are
        last.
        """
        # A retired encryption key is not published; a retired signing key still verifies tokens.
        published = [key for key in self._published_keys() if not (_decrypts(key) and key.status == "retired")]
        published.sort(key=lambda key: (_decrypts(key), key.alg != self._default_alg, _ORDER.index(key.status)))
        body = orjson.dumps({"keys": [key.public_jwk for key in published]})
        return body, f'"{hashlib.sha256(body).hexdigest()[:24]}"'

    def _published_keys(self) -> list[Key]:
        return [key for key in self._by_kid.values() if self._is_published(key)]

    def _is_published(self, key: Key) -> bool:
        return key.retired_at is None or key.retired_at + self._published > clock.now()

    def _open(self, row: SigningKey) -> Key:
        der = self._box.decrypt(row.encrypted_private_key, _purpose(row))
        if row.alg in KEY_MANAGEMENT_ALGS:
            private = private_key(der, row.alg)
            return Key(row.kid, row.alg, row.status, private, None, dict(row.public_jwk), row.retired_at)
        # The key was encrypted at rest with authentication: its primes need no check at every start.
        signing = load_der_private_key(der, None, unsafe_skip_rsa_key_validation=True)
        public_jwk = dict(row.public_jwk)
        return Key(row.kid, row.alg, row.status, signing, signing.public_key(), public_jwk, row.retired_at)


def _purpose(row: SigningKey) -> str:
    return f"signing-key:{row.kid}"


def _check_claims(claims: dict[str, object], *, issuer: str, audience: str | None) -> None:
    """Check what does not change with time.

    Raises:
        InvalidToken: with a reason.
    """
    if claims.get("iss") != issuer:
        raise InvalidToken("the token is of another issuer")
    if not all(isinstance(claims.get(name, ""), str) for name in ("sub", "jti")):
        raise InvalidToken("sub and jti must be text")
    if not all(is_time(claims.get(name)) for name in ("exp", "iat")):
        raise InvalidToken("exp and iat must be numbers")
    if audience is None:
        return
    named = claims.get("aud")
    audiences = named if isinstance(named, list) else [named]
    if audience not in audiences or not all(isinstance(name, str) for name in audiences):
        raise InvalidToken("the token is for another audience")


def _check_times(claims: TokenTimes, now: int, *, expired: bool = False) -> None:
    """Check what changes with time.

    Raises:
        InvalidToken: with a reason.
    """
    if not expired and claims["exp"] <= now:
        raise InvalidToken("the token has expired")
    if claims["iat"] > now + LEEWAY_SECONDS:
        raise InvalidToken("the token was issued in the future")


def _decrypts(key: Key) -> bool:
    return key.alg in KEY_MANAGEMENT_ALGS


def _with_status(key: Key, row: SigningKey) -> Key:
    return Key(key.kid, key.alg, row.status, key.private, key.public, key.public_jwk, row.retired_at)
