"""Checking JWTs that others signed: client assertions, request objects, assertions of trusted issuers.

Only registered keys count: nothing that a header names (``jku``, ``jwk``, ``x5u``) is fetched or trusted.
"""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import jwt

from sso.clients.registry import Client
from sso.platform.security.json_documents import DocumentRefused, check_document
from sso.platform.security.numbers import is_time
from sso.platform.security.public_keys import is_usable

if TYPE_CHECKING:
    from jwt.algorithms import AllowedPublicKeys
    from jwt.types import Options

    SignatureKey = AllowedPublicKeys | jwt.PyJWK | bytes

ASYMMETRIC_ALGS = ("RS256", "PS256", "ES256", "EdDSA")
MAX_CHARS = 16_384
LEEWAY_SECONDS = 10
_KTY = {"ES256": "EC", "EdDSA": "OKP"}
_SIGNATURE_ONLY: Options = {
    "verify_signature": True,
    "verify_exp": False,
    "verify_nbf": False,
    "verify_iat": False,
    "verify_aud": False,
    "verify_sub": False,
    "verify_jti": False,
}


class AssertionRefused(Exception):
    """A JWT is not acceptable; the message says why."""


@dataclass(frozen=True, slots=True)
class Unverified:
    """What a JWT says of itself before anything is checked: enough to find whose keys to check it with."""

    token: str
    header: dict[str, object]
    claims: dict[str, object]

    @property
    def alg(self) -> str:
        """The algorithm that it names."""
        return str(self.header.get("alg"))

    @property
    def kid(self) -> str | None:
        """The key id that it names."""
        kid = self.header.get("kid")
        return kid if isinstance(kid, str) else None


def read_unverified(token: str, limit: int = MAX_CHARS) -> Unverified:
    """Read a JWT without checking it.

    Raises:
        AssertionRefused: when it is not a JWT, too long, or has a critical header that we do not know.
    """
    if len(token) > limit:
        raise AssertionRefused("is too long")
    try:
        unverified = jwt.decode_complete(token, options={"verify_signature": False})
        header, claims = unverified["header"], unverified["payload"]
        check_document(header)
        check_document(claims)
    except DocumentRefused as error:
        raise AssertionRefused(str(error)) from None
    except (jwt.PyJWTError, ValueError, RecursionError):
        raise AssertionRefused("is not a JWT") from None
    if "crit" in header:
        raise AssertionRefused("has a critical header that is not understood")
    return Unverified(token, header, claims)


def check_signature(assertion: Unverified, keys: Sequence[dict[str, object]]) -> None:
    """Check the signature with one of ``keys``: those of the right kind, with the right key id where one is named.

    Raises:
        AssertionRefused: when none fits.
    """
    kty = _KTY.get(assertion.alg, "RSA")
    fitting = [key for key in keys if key.get("kty") == kty and key.get("use", "sig") == "sig" and is_usable(key)]
    if assertion.kid is not None:
        fitting = [key for key in fitting if key.get("kid") == assertion.kid]
    usable = []
    for key in fitting:
        with contextlib.suppress(jwt.PyJWTError, ValueError, TypeError, KeyError):
            usable.append(jwt.PyJWK(key, algorithm=assertion.alg).key)
    check_with(assertion, usable)


def check_with(assertion: Unverified, keys: Sequence[SignatureKey]) -> None:
    """Check the signature with one of ``keys``, ready for use.

    Raises:
        AssertionRefused: when none fits.
    """
    for key in keys:
        try:
            jwt.decode(assertion.token, key, algorithms=[assertion.alg], options=_SIGNATURE_ONLY)
        except (jwt.PyJWTError, ValueError, TypeError, RecursionError):
            continue
        return
    raise AssertionRefused("is not signed with a registered key")


def names_us(aud: object, audiences: Collection[str], client: Client) -> bool:
    """Tell whether the ``aud`` of an assertion names us: as one string, because an array could name another server too
    (the advisories of 2025). Of an application with the profile ``legacy`` an array is accepted that holds nothing but
    our own names.

    Args:
        aud: what the assertion says.
        audiences: our names.
        client: the application that presents the assertion.
    """
    if isinstance(aud, list) and takes_lists(client):
        return bool(aud) and all(isinstance(name, str) and name in audiences for name in aud)
    return isinstance(aud, str) and aud in audiences


def takes_lists(client: Client) -> bool:
    """Tell whether the ``aud`` of an application's assertions may be a list of our names."""
    return client.meta.profile == "legacy"


def one_of(names: Sequence[str]) -> str:
    """Return names as a sentence lists them: ``a``, ``a or b``, ``a, b or c``."""
    return " or ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)


def check_times(claims: Mapping[str, object], now: int, longest: int, *, exp_required: bool = True) -> None:
    """Check ``exp``, ``iat`` and ``nbf`` (RFC 7523 section 3, RFC 7519 section 4.1).

    Args:
        claims: of the JWT.
        now: the time, in seconds since 1970.
        longest: how far ``exp`` may be away, in seconds.
        exp_required: whether it must have an ``exp``.

    Raises:
        AssertionRefused: saying which is wrong.
    """
    exp, iat, nbf = (_time_of(claims, name) for name in ("exp", "iat", "nbf"))
    if exp is None and exp_required:
        raise AssertionRefused(f"must have an exp within {longest} seconds from now")
    if exp is not None and not now - LEEWAY_SECONDS < exp <= now + longest + LEEWAY_SECONDS:
        raise AssertionRefused(f"must have an exp within {longest} seconds from now")
    if any(time is not None and time > now + LEEWAY_SECONDS for time in (iat, nbf)):
        raise AssertionRefused("must not have iat or nbf in the future")


def _time_of(claims: Mapping[str, object], name: str) -> float | None:
    value = claims.get(name)
    if value is not None and not is_time(value):
        raise AssertionRefused("must have numbers of seconds since 1970 as exp, iat and nbf")
    return value


def expiry_of(claims: Mapping[str, object]) -> float:
    """Return the ``exp`` of claims that passed :func:`check_times`, in seconds since 1970."""
    exp = claims["exp"]
    assert is_time(exp)
    return exp
