"""JSON Web Encryption (RFC 7516) of signed JWTs. Signing is in ``keys``.

Only key management with public keys and authenticated content encryption. Compressed content (``zip``) is refused, so
that a small token never becomes a large one.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import load_der_private_key
from joserfc.errors import JoseError

from sso.platform.security.json_documents import read_json
from sso.platform.security.tokens import from_base64url

# Imported where something is encrypted or decrypted: commands do without.
if TYPE_CHECKING:
    from joserfc.jwe import JWERegistry
    from joserfc.jwk import Key

KEY_MANAGEMENT_ALGS = ("RSA-OAEP-256", "ECDH-ES")
CONTENT_ENCRYPTIONS = ("A128CBC-HS256", "A128GCM", "A256GCM")
MAX_JWE_CHARS = 64 * 1024

_KTY = {"RSA-OAEP-256": ("RSA",), "ECDH-ES": ("EC", "OKP")}


class CannotEncrypt(Exception):
    """The recipient has no suitable key."""


class CannotDecryptJwe(Exception):
    """A JWE is not encrypted for a key of the provider, or is of a kind that is not accepted."""


def encrypt(payload: str, keys: list[dict[str, object]], alg: str, enc: str) -> str:
    """Return ``payload`` encrypted, in compact form; a signed JWT becomes a nested JWT (RFC 7519 section 5.2).

    Args:
        payload: the signed JWT, or a JSON object.
        keys: public keys of the recipient, as JWKs.
        alg: how the key is managed, one of :data:`KEY_MANAGEMENT_ALGS`.
        enc: how the content is encrypted, one of :data:`CONTENT_ENCRYPTIONS`.

    Raises:
        CannotEncrypt: when no key fits.
    """
    from joserfc import jwe

    for key in keys:
        if key.get("kty") not in _KTY[alg] or key.get("use", "enc") != "enc" or key.get("alg", alg) != alg:
            continue
        header = {"alg": alg, "enc": enc, **({"kid": key["kid"]} if "kid" in key else {})}
        if not payload.startswith("{"):
            header["cty"] = "JWT"
        try:
            return jwe.encrypt_compact(header, payload.encode("utf-8"), _imported(key), registry=_registry())
        except (JoseError, ValueError, TypeError, KeyError):
            continue
    raise CannotEncrypt(f"the application has no public key for {alg}")


def decrypt(token: str, keys: dict[str, tuple[str, Key]]) -> str:
    """Return the JWT within a nested JWT.

    Args:
        token: the JWE in compact form.
        keys: private keys of the provider by key id, each with its algorithm.

    Raises:
        CannotDecryptJwe: with a reason.
    """
    from joserfc import jwe

    if len(token) > MAX_JWE_CHARS:
        raise CannotDecryptJwe("the encrypted JWT is too long")
    header = _header(token)
    if "zip" in header:
        raise CannotDecryptJwe("compressed content is not opened")
    alg, kid = header.get("alg"), header.get("kid")
    for known, (key_alg, private) in keys.items():
        if key_alg != alg or (kid is not None and kid != known):
            continue
        try:
            return bytes(jwe.decrypt_compact(token, private, registry=_registry()).plaintext or b"").decode("ascii")
        except (JoseError, ValueError, TypeError, UnicodeDecodeError):
            continue
    raise CannotDecryptJwe("it is not encrypted for one of our keys")


def private_key(der: bytes, alg: str) -> Key:
    """Return a private key (PKCS #8) of the provider for :func:`decrypt`."""
    from joserfc.jwk import ECKey, RSAKey

    if alg != "RSA-OAEP-256":
        return ECKey.import_key(der)
    # The key was encrypted at rest with authentication: checking its primes again takes 60 ms.
    key = load_der_private_key(der, None, unsafe_skip_rsa_key_validation=True)
    assert isinstance(key, RSAPrivateKey)
    return RSAKey.import_key(key)


def is_encrypted(token: str) -> bool:
    """Tell whether ``token`` has the five parts of a JWE in compact form (RFC 7516 section 7.1)."""
    return token.count(".") == 4


def is_type(typ: object, expected: str) -> bool:
    """Tell whether the ``typ`` of a JWT is ``expected``. It is a media type: case does not matter, and ``application/``
    may be left out (RFC 7515 section 4.1.9).

    Args:
        typ: what the header says.
        expected: the media type in small letters, without ``application/``.
    """
    return isinstance(typ, str) and typ.lower().removeprefix("application/") == expected.lower()


@cache
def _registry() -> JWERegistry:
    from joserfc.jwe import JWERegistry

    return JWERegistry(algorithms=[*KEY_MANAGEMENT_ALGS, *CONTENT_ENCRYPTIONS])


def _header(token: str) -> dict[str, object]:
    """Return the protected header, read more strictly than joserfc does: no member may stand in it twice."""
    try:
        header = read_json(from_base64url(token.partition(".")[0]))
    except ValueError:
        raise CannotDecryptJwe("it is not an encrypted JWT") from None
    if not isinstance(header, dict):
        raise CannotDecryptJwe("it is not an encrypted JWT")
    return header


def _imported(key: dict[str, Any]) -> Key:
    from joserfc.jwk import import_key

    return import_key({name: value for name, value in key.items() if name not in ("use", "key_ops", "alg")})
