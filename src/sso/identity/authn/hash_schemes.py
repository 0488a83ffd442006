"""The schemes of imported password hashes: how each is recognised, what it costs, and how it is verified.

:func:`read_hash` is used at the import and at every sign-in. Whatever it returns can be verified within the bounds of
``platform/security/hash_costs.py``; whatever it refuses is never computed.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import html
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from argon2 import PasswordHasher
from argon2.exceptions import Argon2Error
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from passlib import hash as known
from passlib.utils import saslprep
from passlib.utils.binary import ab64_encode, bcrypt64, h64

from sso.identity.authn import yescrypt
from sso.identity.authn.formulas import DIGESTS, PHP_BLANKS, Formula, read_formula
from sso.platform.security.hash_costs import argon2_costs, check_costs
from sso.platform.security.tokens import base64url, from_base64url

MAX_CHARS = 2000
BCRYPT_BYTES = 72
MAX_SPELLINGS = 4
"""How many spellings of one typed password are tried against one hash."""
BY_LENGTH = {32: "md5", 40: "sha1", 56: "sha224", 64: "sha256", 96: "sha384", 128: "sha512"}
_Check = Callable[[bytes], bool]
_Spelling = Callable[[str], str]


@dataclass(frozen=True, slots=True)
class Hash:
    """A stored hash, read. ``check`` tells whether the bytes of a password are the right ones.

    ``spellings``: what the application did to the typed text before it computed the hash.
    """

    scheme: str
    check: _Check
    costs: Mapping[str, int] = field(default_factory=dict)
    spellings: tuple[_Spelling, ...] = ()


@dataclass(frozen=True, slots=True)
class _Form:
    pattern: re.Pattern[str]
    read: Callable[[re.Match[str]], Hash]


_FORMS: list[_Form] = []


def _form(pattern: re.Pattern[str]) -> Callable[[Callable[[re.Match[str]], Hash]], object]:
    """Register how the hashes of one spelling are read."""

    def register(read: Callable[[re.Match[str]], Hash]) -> Callable[[re.Match[str]], Hash]:
        _FORMS.append(_Form(pattern, read))
        return read

    return register


def read_hash(text: str) -> Hash:
    """Return a stored hash, read.

    Raises:
        ValueError: when it is of no kind that can be verified, is malformed, or costs too much (``TooCostly``).
    """
    if not text.isascii() or not text.isprintable() or len(text) > MAX_CHARS:
        raise ValueError("is of no kind that can be verified")
    for form in _FORMS:
        match = form.pattern.fullmatch(text)
        if match is not None:
            try:
                read = form.read(match)
            except (ValueError, TypeError, IndexError, OverflowError) as error:
                raise ValueError(str(error) or "is malformed") from None
            check_costs(read.scheme, read.costs)
            return read
    raise ValueError("is of no kind that can be verified")


def verify(stored: str, typed: Iterable[str]) -> bool:
    """Tell whether a typed password is the one of a stored hash. It never raises: what cannot be read is wrong."""
    try:
        read = read_hash(stored)
    except ValueError:
        return False
    return any(_is_right(read, secret) for secret in _secrets(read, typed))


def _secrets(read: Hash, typed: Iterable[str]) -> list[bytes]:
    texts = list(typed)
    texts += [spelling(text) for text in texts for spelling in read.spellings]
    return [text.encode("utf-8", "surrogatepass") for text in dict.fromkeys(texts)][:MAX_SPELLINGS]


def _is_right(read: Hash, secret: bytes) -> bool:
    try:
        return read.check(secret)
    except (ValueError, TypeError, OverflowError, MemoryError, Argon2Error):
        return False


def _same(computed: bytes, expected: bytes) -> bool:
    return hmac.compare_digest(computed, expected)


def number(value: object) -> int:
    """Return a number of a document.

    Raises:
        ValueError: when it is neither a number nor the text of one.
    """
    return int(value) if isinstance(value, int | float) else int(str(value))


def unpadded(text: str) -> bytes:
    """Return the bytes of base64, padded or not.

    Raises:
        ValueError: when it is not base64.
    """
    bare = text.rstrip("=")
    if len(bare) % 4 == 1:
        raise ValueError("has broken base64")
    try:
        decoded = base64.b64decode(bare + "=" * (-len(bare) % 4), validate=True)
    except binascii.Error:
        raise ValueError("has broken base64") from None
    if base64.b64encode(decoded).rstrip(b"=").decode() != bare:
        raise ValueError("has broken base64")
    return decoded


def ab64(text: str) -> bytes:
    """Return the bytes of base64 in which ``.`` may stand for ``+``, as passlib and LDAP write it."""
    return unpadded(text.replace(".", "+"))


def as_ab64(raw: bytes) -> str:
    """Return bytes as :func:`ab64` reads them."""
    return str(ab64_encode(raw).decode())


def pbkdf2_form(digest: str, rounds: int, salt: bytes, key: bytes) -> str:
    """Return the form in which PBKDF2 hashes of every origin are kept."""
    return f"$pbkdf2-{digest}${rounds}${as_ab64(salt)}${as_ab64(key)}"


def scrypt_form(n: int, r: int, p: int, salt: bytes, key: bytes) -> str:
    """Return the form in which scrypt hashes of every origin are kept.

    Raises:
        ValueError: when ``n`` is no power of two.
    """
    if n < 2 or n & (n - 1):
        raise ValueError("has an N that is no power of two")
    return f"$scrypt$ln={n.bit_length() - 1},r={r},p={p}${as_ab64(salt)}${as_ab64(key)}"


def formula_form(formula: str, salt: bytes, rest: str) -> str:
    """Return the form in which a hash that a formula describes is kept."""
    return f"$formula${base64url(formula.encode())}${base64url(salt)}${rest}"


def digest_form(salt: bytes, digits: str) -> str:
    """Return the form in which a salted digest of an unknown order is kept."""
    return f"$digest${base64url(salt)}${digits}"


def salted_form(digest: str, order: str, salt: bytes, digits: str) -> str:
    """Return the form in which a salted digest is kept. ``order``: pre (salt first) or post."""
    return f"$salted${digest}${order}${base64url(salt)}${digits}"


def firebase_form(key: Mapping[str, object], salt: bytes, result: bytes) -> str:
    """Return the form in which a hash of Firebase is kept, with the parameters of its project."""
    parts = (base64url(unpadded(str(key[name]))) for name in ("base64_salt_separator", "base64_signer_key"))
    separator, signer = parts
    costs = f"ln={number(key['mem_cost'])},r={number(key['rounds'])}"
    return f"$firebase${costs}${separator}${signer}${base64url(salt)}${base64url(result)}"


def symfony_form(rounds: int, salt: bytes, result: bytes) -> str:
    """Return the form in which a hash of Symfony's message digest encoder (SHA-512) is kept."""
    return f"$symfony$sha512${rounds}${base64url(salt)}${base64url(result)}"


# --- bcrypt ---------------------------------------------------------------------------------------------------------

_BCRYPT = re.compile(r"(\$2[aby]?\$[0-9]{2}\$)([./A-Za-z0-9]{22})([./A-Za-z0-9]{31})", re.ASCII)


def _bcrypt_check(text: str) -> tuple[int, _Check]:
    match = _BCRYPT.fullmatch(text)
    if match is None:
        raise ValueError("is not bcrypt")
    setting, salt, digest = match.groups()
    # Some systems leave the unused bits of the last characters set, about which passlib would warn.
    canonical = f"{setting}{bcrypt64.repair_unused(salt)}{bcrypt64.repair_unused(digest)}"
    rounds = int(known.bcrypt.from_string(canonical).rounds)
    return rounds, lambda secret: bool(known.bcrypt.verify(secret[:BCRYPT_BYTES], canonical))


def _long_as_symfony(text: str) -> str:
    raw = text.encode("utf-8", "surrogatepass")
    return base64.b64encode(hashlib.sha512(raw).digest()).decode() if len(raw) > BCRYPT_BYTES else text


def _as_codeigniter(text: str) -> str:
    return base64.b64encode(hashlib.sha384(text.encode("utf-8", "surrogatepass")).digest()).decode()


@_form(_BCRYPT)
def _bcrypt(match: re.Match[str]) -> Hash:
    rounds, check = _bcrypt_check(match[0])
    # CodeIgniter 4 and Symfony write plain bcrypt of a digest: nothing in the hash tells it.
    return Hash("bcrypt", check, {"log_rounds": rounds}, (_long_as_symfony, _as_codeigniter))


@_form(re.compile(r"\$only(\$2.{57,58})", re.ASCII))
def _only_bcrypt(match: re.Match[str]) -> Hash:
    rounds, check = _bcrypt_check(match[1])
    return Hash("bcrypt", check, {"log_rounds": rounds}, (_long_as_symfony,))


@_form(re.compile(r"bcrypt_sha256\$(\$2.{57,58})", re.ASCII))
def _django_bcrypt_sha256(match: re.Match[str]) -> Hash:
    rounds, check = _bcrypt_check(match[1])
    hexed = lambda secret: check(hashlib.sha256(secret).hexdigest().encode())  # noqa: E731
    return Hash("bcrypt_sha256", hexed, {"log_rounds": rounds})


def _slashed(text: str) -> str:
    """Return what PHP's addslashes makes: WordPress hashes the text of its form as it arrives."""
    return re.sub(r"(['\"\\])", r"\\\1", text)


def _trimmed(text: str) -> str:
    return text.strip(PHP_BLANKS)


_WORDPRESS = (_trimmed, lambda text: _slashed(_trimmed(text)))


@_form(re.compile(r"\$wp(\$2y.{57}|\$argon2.+)", re.ASCII))
def _wordpress(match: re.Match[str]) -> Hash:
    inner = read_hash(match[1])

    def check(secret: bytes) -> bool:
        return inner.check(base64.b64encode(hmac.new(b"wp-sha384", secret, "sha384").digest()))

    return Hash(inner.scheme, check, inner.costs, _WORDPRESS)


# --- argon2 ---------------------------------------------------------------------------------------------------------

_ARGON2_HASHER = PasswordHasher()
"""It verifies: the parameters are those of each hash."""
_ARGON2 = re.compile(
    r"\$argon2(?:id|i|d)(?:\$v=(?:16|19))?\$m=[0-9]+,t=[0-9]+,p=[0-9]+\$([A-Za-z0-9+/]+)\$([A-Za-z0-9+/]+)", re.ASCII
)


def _argon2_check(text: str) -> tuple[Mapping[str, int], _Check]:
    match = _ARGON2.fullmatch(text)
    if match is None:
        raise ValueError("is not an argon2 hash in PHC form")
    if len(unpadded(match[1])) < 8 or len(unpadded(match[2])) < 12:
        raise ValueError("is malformed: its salt or its digest is too short")
    costs = argon2_costs(text)
    if costs["lanes"] < 1 or costs["passes"] < 1 or costs["memory_kib"] < 8 * costs["lanes"]:
        raise ValueError("has impossible parameters")
    return costs, lambda secret: _ARGON2_HASHER.verify(text, secret)


@_form(_ARGON2)
def _argon2(match: re.Match[str]) -> Hash:
    costs, check = _argon2_check(match[0])
    return Hash("argon2", check, costs)


@_form(re.compile(r"\$imported(\$argon2.+)", re.ASCII))
def _imported_argon2(match: re.Match[str]) -> Hash:
    costs, check = _argon2_check(match[1])
    return Hash("argon2", check, costs, (_as_codeigniter,))


# --- PBKDF2, SCRAM, scrypt, yescrypt --------------------------------------------------------------------------------


def _pbkdf2(digest: str, rounds: int, salt: bytes, key: bytes) -> Hash:
    if rounds < 1 or not 10 <= len(key) <= 512:
        raise ValueError("is malformed: impossible rounds or digest")
    blocks = -(-len(key) // hashlib.new(digest, usedforsecurity=False).digest_size)
    work = rounds * blocks * (2 if digest in ("sha384", "sha512") else 1)

    def check(secret: bytes) -> bool:
        return _same(hashlib.pbkdf2_hmac(digest, secret, salt, rounds, len(key)), key)

    return Hash("pbkdf2", check, {"work": work})


@_form(
    re.compile(
        r"\$pbkdf2(?:-(md5|sha1|sha224|sha256|sha384|sha512))?\$([0-9]{1,9})\$([A-Za-z0-9./+=]*)\$([A-Za-z0-9./+=]+)",
        re.ASCII,
    )
)
def _pbkdf2_passlib(match: re.Match[str]) -> Hash:
    return _pbkdf2(match[1] or "sha1", int(match[2]), ab64(match[3]), ab64(match[4]))


@_form(
    re.compile(
        r"\$pbkdf2(?:-(md5|sha1|sha224|sha256|sha384|sha512))?\$i=([0-9]{1,9})(?:,l=[0-9]{1,4})?\$([A-Za-z0-9./+=]*)\$([A-Za-z0-9./+=]+)",
        re.ASCII,
    )
)
def _pbkdf2_phc(match: re.Match[str]) -> Hash:
    return _pbkdf2(match[1] or "sha1", int(match[2]), ab64(match[3]), ab64(match[4]))


@_form(
    re.compile(
        r"\{PBKDF2(?:-(md5|sha1|sha224|sha256|sha384|sha512))?\}([0-9]{1,9})\$([A-Za-z0-9./+=]*)\$([A-Za-z0-9./+=]+)",
        re.ASCII | re.IGNORECASE,
    )
)
def _pbkdf2_ldap(match: re.Match[str]) -> Hash:
    return _pbkdf2((match[1] or "sha1").lower(), int(match[2]), ab64(match[3]), ab64(match[4]))


@_form(re.compile(r"\{PBKDF2_SHA256\}([A-Za-z0-9+/=]+)", re.ASCII | re.IGNORECASE))
def _pbkdf2_389ds(match: re.Match[str]) -> Hash:
    raw = unpadded(match[1])
    if len(raw) != 4 + 64 + 256:
        raise ValueError("is malformed: 324 bytes are expected")
    return _pbkdf2("sha256", int.from_bytes(raw[:4], "big"), raw[4:68], raw[68:])


@_form(re.compile(r"\{PKCS5S2\}([A-Za-z0-9+/=]+)", re.ASCII | re.IGNORECASE))
def _pbkdf2_atlassian(match: re.Match[str]) -> Hash:
    raw = unpadded(match[1])
    if len(raw) != 16 + 32:
        raise ValueError("is malformed: 48 bytes are expected")
    return _pbkdf2("sha1", 10_000, raw[:16], raw[16:])


@_form(re.compile(r"pbkdf2_(md5|sha1|sha224|sha256|sha384|sha512)\$([0-9]{1,9})\$([^$]*)\$([A-Za-z0-9+/=]+)", re.ASCII))
def _pbkdf2_django(match: re.Match[str]) -> Hash:
    return _pbkdf2(match[1], int(match[2]), match[3].encode(), unpadded(match[4]))


WERKZEUG_ROUNDS = 1_000_000
"""What Werkzeug 3.1 takes where the method names no rounds."""


@_form(
    re.compile(
        r"pbkdf2(?::(md5|sha1|sha224|sha256|sha384|sha512))?(?::([0-9]{1,9}))?\$([^$]*)\$([0-9a-fA-F]+)", re.ASCII
    )
)
def _pbkdf2_werkzeug(match: re.Match[str]) -> Hash:
    rounds = int(match[2]) if match[2] else WERKZEUG_ROUNDS
    return _pbkdf2(match[1] or "sha256", rounds, match[3].encode(), bytes.fromhex(match[4]))


@_form(
    re.compile(
        r":pbkdf2:(md5|sha1|sha224|sha256|sha384|sha512):([0-9]{1,9}):([0-9]{1,4}):([A-Za-z0-9+/=]*):([A-Za-z0-9+/=]+)",
        re.ASCII,
    )
)
def _pbkdf2_mediawiki(match: re.Match[str]) -> Hash:
    key = unpadded(match[5])
    if len(key) != int(match[3]):
        raise ValueError("is malformed: the digest is not as long as it says")
    return _pbkdf2(match[1], int(match[2]), unpadded(match[4]), key)


def _saslprep(text: str) -> str:
    """Return a password as SCRAM prepares it (RFC 4013). What must not be prepared, PostgreSQL takes as it is."""
    try:
        return str(saslprep(text))
    except ValueError:
        return text


@_form(
    re.compile(r"SCRAM-SHA-(1|256|512)\$([0-9]{1,9}):([A-Za-z0-9+/=]+)\$([A-Za-z0-9+/=]+):([A-Za-z0-9+/=]+)", re.ASCII)
)
def _scram(match: re.Match[str]) -> Hash:
    digest, rounds, salt = f"sha{match[1]}", int(match[2]), unpadded(match[3])
    stored, server = unpadded(match[4]), unpadded(match[5])
    if rounds < 1 or {len(stored), len(server)} != {hashlib.new(digest, usedforsecurity=False).digest_size}:
        raise ValueError("is malformed: impossible rounds or key")

    def check(secret: bytes) -> bool:
        salted = hashlib.pbkdf2_hmac(digest, secret, salt, rounds)
        client = hmac.new(salted, b"Client Key", digest).digest()
        return _same(hashlib.new(digest, client, usedforsecurity=False).digest(), stored)

    return Hash("scram", check, {"work": rounds * (2 if digest == "sha512" else 1)}, (_saslprep,))


def _scrypt_key(secret: bytes, salt: bytes, ln: int, r: int, p: int, size: int) -> bytes:
    room = 128 * r * ((1 << ln) + p + 2) + 1024 * 1024
    return hashlib.scrypt(secret, salt=salt, n=1 << ln, r=r, p=p, dklen=size, maxmem=room)


def _scrypt_costs(ln: int, r: int, p: int) -> dict[str, int]:
    if not (1 <= ln <= 40 and 1 <= r <= 1 << 20 and 1 <= p <= 1 << 20):
        raise ValueError("has impossible parameters")
    memory = 128 * r * ((1 << ln) + p + 2)
    return {"memory_kib": -(-memory // 1024), "work_kib": -(-(128 * r << ln) // 1024) * p}


def _scrypt(ln: int, r: int, p: int, salt: bytes, key: bytes) -> Hash:
    if not 10 <= len(key) <= 512:
        raise ValueError("is malformed: impossible digest")
    costs = _scrypt_costs(ln, r, p)
    return Hash("scrypt", lambda secret: _same(_scrypt_key(secret, salt, ln, r, p, len(key)), key), costs)


@_form(
    re.compile(
        r"\$scrypt\$ln=([0-9]{1,2}),r=([0-9]{1,5}),p=([0-9]{1,5})\$([A-Za-z0-9./+=]*)\$([A-Za-z0-9./+=]+)", re.ASCII
    )
)
def _scrypt_phc(match: re.Match[str]) -> Hash:
    ln, r, p = (int(number) for number in match.groups()[:3])
    return _scrypt(ln, r, p, ab64(match[4]), ab64(match[5]))


def _scrypt_n(n: int, r: int, p: int, salt: bytes, key: bytes) -> Hash:
    if n < 2 or n & (n - 1):
        raise ValueError("has an N that is no power of two")
    return _scrypt(n.bit_length() - 1, r, p, salt, key)


@_form(re.compile(r"scrypt(?::([0-9]{1,9})(?::([0-9]{1,5}):([0-9]{1,5}))?)?\$([^$]*)\$([0-9a-fA-F]+)", re.ASCII))
def _scrypt_werkzeug(match: re.Match[str]) -> Hash:
    n, r, p = int(match[1] or 1 << 15), int(match[2] or 8), int(match[3] or 1)
    return _scrypt_n(n, r, p, match[4].encode(), bytes.fromhex(match[5]))


@_form(re.compile(r"scrypt\$([0-9]{1,9})\$([^$]*)\$([0-9]{1,5})\$([0-9]{1,5})\$([A-Za-z0-9+/=]+)", re.ASCII))
def _scrypt_django(match: re.Match[str]) -> Hash:
    return _scrypt_n(int(match[1]), int(match[3]), int(match[4]), match[2].encode(), unpadded(match[5]))


@_form(
    re.compile(
        r"\$firebase\$ln=([0-9]{1,2}),r=([0-9]{1,5})\$([A-Za-z0-9_-]*)\$([A-Za-z0-9_-]+)\$([\w-]+)\$([\w-]+)", re.ASCII
    )
)
def _firebase(match: re.Match[str]) -> Hash:
    ln, r = int(match[1]), int(match[2])
    separator, signer, salt, expected = (from_base64url(part) for part in match.groups()[2:])
    if len(expected) != len(signer):
        raise ValueError("is malformed: the digest is not as long as the signer key")

    def check(secret: bytes) -> bool:
        key = _scrypt_key(secret, salt + separator, ln, r, 1, 32)
        encryptor = Cipher(algorithms.AES(key), modes.CTR(bytes(16))).encryptor()
        return _same(encryptor.update(signer) + encryptor.finalize(), expected)

    return Hash("firebase_scrypt", check, _scrypt_costs(ln, r, 1))


@_form(re.compile(r"\$y\$j([./0-9A-Za-j])([./0-9A-Za-j])\$[./0-9A-Za-z]{1,86}\$[./0-9A-Za-z]{43}", re.ASCII))
def _yescrypt(match: re.Match[str]) -> Hash:
    if not yescrypt.available():
        raise ValueError("is yescrypt, which needs libxcrypt (libcrypt.so.1) on this host")
    text, costs = match[0], {"memory_kib": yescrypt.memory_kib(match[1], match[2])}
    return Hash("yescrypt", lambda secret: yescrypt.matches(secret, text), costs)


# --- crypt(3) and phpass, computed by passlib -----------------------------------------------------------------------


def _passlib(name: str, text: str, cost: str = "", spellings: tuple[_Spelling, ...] = (), scheme: str = "") -> Hash:
    handler = getattr(known, name)
    parsed = handler.from_string(text)
    if getattr(parsed, "checksum", None) is None:
        raise ValueError("is malformed: it has no digest")
    canonical = parsed.to_string()
    costs = {cost: int(parsed.rounds)} if cost else {}
    return Hash(scheme or name, lambda secret: bool(handler.verify(secret, canonical)), costs, spellings)


@_form(re.compile(r"\$P\$[./0-9A-Za-z]{31}", re.ASCII))
def _phpass(match: re.Match[str]) -> Hash:
    return _passlib("phpass", match[0], "log_rounds", _WORDPRESS)


def _as_phpbb(text: str) -> str:
    """Return what PHP's htmlspecialchars makes: phpBB hashes the text of its form in that spelling."""
    return html.escape(text, quote=False).replace('"', "&quot;")


@_form(re.compile(r"\$H\$[./0-9A-Za-z]{31}", re.ASCII))
def _phpbb(match: re.Match[str]) -> Hash:
    return _passlib("phpass", match[0], "log_rounds", (_as_phpbb, _trimmed))


@_form(re.compile(r"\$S\$([./0-9A-Za-z])([./0-9A-Za-z]{8})([./0-9A-Za-z]{43})", re.ASCII))
def _drupal(match: re.Match[str]) -> Hash:
    rounds, salt, expected = int(h64.decode_int6(match[1].encode())), match[2].encode(), match[3].encode()
    if not 7 <= rounds <= 30:
        raise ValueError("has impossible rounds")

    def check(secret: bytes) -> bool:
        if len(secret) > 512:
            return False
        computed = hashlib.sha512(salt + secret).digest()
        for _ in range(1 << rounds):
            computed = hashlib.sha512(computed + secret).digest()
        return _same(bytes(h64.encode_bytes(computed))[:43], expected)

    return Hash("drupal", check, {"log_rounds": rounds}, (_trimmed,))


@_form(re.compile(r"U(\$[SPH]\$.+)", re.ASCII))
def _drupal_upgraded(match: re.Match[str]) -> Hash:
    inner = read_hash(match[1])

    def check(secret: bytes) -> bool:
        return inner.check(hashlib.md5(secret, usedforsecurity=False).hexdigest().encode())

    return Hash(inner.scheme, check, inner.costs, (_trimmed,))


for _name, _pattern, _cost in (
    ("md5_crypt", re.compile(r"\$1\$[^$]{0,8}\$[./0-9A-Za-z]{22}", re.ASCII), ""),
    ("apr_md5_crypt", re.compile(r"\$apr1\$[^$]{0,8}\$[./0-9A-Za-z]{22}", re.ASCII), ""),
    ("sha256_crypt", re.compile(r"\$5\$(?:rounds=[0-9]{1,9}\$)?[^$]{0,16}\$[./0-9A-Za-z]{43}", re.ASCII), "rounds"),
    ("sha512_crypt", re.compile(r"\$6\$(?:rounds=[0-9]{1,9}\$)?[^$]{0,16}\$[./0-9A-Za-z]{86}", re.ASCII), "rounds"),
    ("sha1_crypt", re.compile(r"\$sha1\$[0-9]{1,9}\$[./0-9A-Za-z]{0,64}\$[./0-9A-Za-z]{28}", re.ASCII), "rounds"),
    ("bsdi_crypt", re.compile(r"_[./0-9A-Za-z]{19}", re.ASCII), "rounds"),
    ("des_crypt", re.compile(r"[./0-9A-Za-z]{13}", re.ASCII), ""),
    (
        "bcrypt_sha256",
        re.compile(r"\$bcrypt-sha256\$[^$]{1,40}\$[./A-Za-z0-9]{22}\$[./A-Za-z0-9]{31}", re.ASCII),
        "log_rounds",
    ),
    ("mysql323", re.compile(r"[0-9a-fA-F]{16}", re.ASCII), ""),
):
    _scheme = {"bcrypt_sha256": "bcrypt_sha256_passlib", "apr_md5_crypt": "md5_crypt"}.get(_name, "")

    def _by_passlib(match: re.Match[str], name: str = _name, cost: str = _cost, scheme: str = _scheme) -> Hash:
        return _passlib(name, match[0], cost, scheme=scheme)

    _FORMS.append(_Form(_pattern, _by_passlib))


# --- digests --------------------------------------------------------------------------------------------------------


def _hexed(digest: str, *parts: bytes) -> bytes:
    return hashlib.new(digest, b"".join(parts), usedforsecurity=False).hexdigest().encode()


_BARE = ("{0}(password)", "{0}({0}(password))", "{0}(md5(password))", "{0}(sha1(password))", "{0}({0}({0}(password)))")
_WITH_SALT = (
    "{0}(salt.password)", "{0}(password.salt)", "{0}(salt.{0}(password))", "{0}({0}(password).salt)",
    "{0}({0}(salt).{0}(password))", "{0}(salt.md5(password))", "{0}(md5(password).salt)", "{0}(salt.password.salt)",
    "hmac_{0}(salt,password)", "hmac_{0}(password,salt)",
)  # fmt: skip
"""What a digest of which nobody said the formula is tried as; each costs a microsecond."""


def _tried(shapes: Iterable[str], digest: str) -> list[Formula]:
    return [read_formula(shape.format(digest)) for shape in shapes]


_FORMULAS = {digest: (_tried(_BARE, digest), _tried(_WITH_SALT, digest)) for digest in DIGESTS}


def _digest_hash(digits: str, salt: bytes | None) -> Hash:
    expected = digits.lower().encode()
    formulas = _FORMULAS[BY_LENGTH[len(digits)]][0 if salt is None else 1]

    def check(secret: bytes) -> bool:
        matches = [_same(formula.compute(secret, salt or b""), expected) for formula in formulas]
        return any(matches) or (salt is None and len(expected) == 40 and _ion_auth_check(digits, secret))

    return Hash("digest", check, {}, (_trimmed,))


@_form(
    re.compile(r"(?:[0-9a-fA-F]{32}|[0-9a-fA-F]{40}|[0-9a-fA-F]{56}|[0-9a-fA-F]{64}|[0-9a-fA-F]{96}|[0-9a-fA-F]{128})")
)
def _bare_digest(match: re.Match[str]) -> Hash:
    return _digest_hash(match[0], None)


@_form(re.compile(r"\$digest\$([\w-]*)\$([0-9a-fA-F]{32,128})", re.ASCII))
def _salted_digest(match: re.Match[str]) -> Hash:
    return _digest_hash(match[2], from_base64url(match[1]))


@_form(
    re.compile(r"\$salted\$(md5|sha1|sha224|sha256|sha384|sha512)\$(pre|post)\$([\w-]*)\$([0-9a-f]{32,128})", re.ASCII)
)
def _ordered_digest(match: re.Match[str]) -> Hash:
    digest, salt, expected = match[1], from_base64url(match[3]), match[4].encode()
    if BY_LENGTH.get(len(expected)) != digest:
        raise ValueError(f"is malformed: it is not as long as {digest}")
    first = match[2] == "pre"
    return Hash(
        "digest", lambda secret: _same(_hexed(digest, *((salt, secret) if first else (secret, salt))), expected)
    )


@_form(re.compile(r"(md5|sha1|sha224|sha256|sha384|sha512)\$([^$]*)\$([0-9a-fA-F]{32,128})", re.ASCII))
def _framework_digest(match: re.Match[str]) -> Hash:
    digest, salt, expected = match[1], match[2].encode(), match[3].lower().encode()
    if BY_LENGTH.get(len(expected)) != digest:
        raise ValueError(f"is malformed: it is not as long as {digest}")

    def check(secret: bytes) -> bool:
        # Django joins salt and password; Werkzeug before 2.3 made an HMAC.
        return _same(_hexed(digest, salt, secret), expected) or _same(
            hmac.new(salt, secret, digest).hexdigest().encode(), expected
        )

    return Hash("framework_digest", check)


def _ion_auth_check(text: str, secret: bytes) -> bool:
    """Ion Auth 1 and 2 with SHA-1: the salt (10 characters, or 22), then the digest cut to fill 40."""
    matches = []
    for size in (10, 22):
        computed = _hexed("sha1", text[:size].encode(), secret)[:-size]
        matches.append(_same(computed, text[size:].lower().encode()))
    return any(matches)


@_form(re.compile(r"(?:\$ion-auth\$)?([./0-9A-Za-z]{10}[0-9a-f]{30}|[./0-9A-Za-z]{22}[0-9a-f]{18})", re.ASCII))
def _ion_auth(match: re.Match[str]) -> Hash:
    text = match[1]
    return Hash("ion_auth", lambda secret: _ion_auth_check(text, secret))


@_form(re.compile(r"\*[0-9a-fA-F]{40}", re.ASCII))
def _mysql41(match: re.Match[str]) -> Hash:
    return _passlib("mysql41", match[0], scheme="mysql")


_LDAP = {name: name for name in DIGESTS} | {"sha": "sha1"}
_LDAP |= {f"s{name}": digest for name, digest in _LDAP.items()}
_LDAP |= {"plain-md5": "md5", "ldap-md5": "md5"}


@_form(
    re.compile(
        r"\{(s?md5|s?sha(?:1|224|256|384|512)?|plain-md5|ldap-md5)(\.hex|\.b64)?\}([A-Za-z0-9+/=]+)",
        re.ASCII | re.IGNORECASE,
    )
)
def _ldap_digest(match: re.Match[str]) -> Hash:
    name, spelling, text = match[1].lower(), (match[2] or "").lower(), match[3]
    digest = _LDAP[name]
    size = hashlib.new(digest, usedforsecurity=False).digest_size
    # Some servers write plain digests in hexadecimal: {MD5}5f4dcc3b... or {SHA256}...
    is_hex = spelling == ".hex" or (len(text) == 2 * size and re.fullmatch("[0-9a-fA-F]+", text) is not None)
    raw = bytes.fromhex(text) if is_hex else unpadded(text)
    salted = name.startswith("s") and name not in _LDAP_PLAIN
    if len(raw) < size or (len(raw) > size and not salted):
        raise ValueError(f"is malformed: {size} bytes are expected")
    expected, salt = raw[:size], raw[size:]

    def check(secret: bytes) -> bool:
        return _same(hashlib.new(digest, secret + salt, usedforsecurity=False).digest(), expected)

    return Hash("ldap_digest", check)


_LDAP_PLAIN = ("sha", "sha1", "sha224", "sha256", "sha384", "sha512")


@_form(re.compile(r"\$symfony\$sha512\$([0-9]{1,9})\$([\w-]*)\$([\w-]+)", re.ASCII))
def _symfony(match: re.Match[str]) -> Hash:
    rounds, salt, expected = int(match[1]), from_base64url(match[2]), from_base64url(match[3])
    if rounds < 1 or len(expected) != 64:
        raise ValueError("is malformed: impossible rounds or digest")

    def check(secret: bytes) -> bool:
        merged = secret + (b"{" + salt + b"}" if salt else b"")
        computed = hashlib.sha512(merged).digest()
        for _ in range(1, rounds):
            computed = hashlib.sha512(computed + merged).digest()
        return _same(computed, expected)

    return Hash("symfony", check, {"rounds": rounds})


# --- formulas -------------------------------------------------------------------------------------------------------


@_form(re.compile(r"\$formula\$([\w-]+)\$([\w-]*)\$(.+)", re.ASCII))
def _by_formula(match: re.Match[str]) -> Hash:
    formula, salt, rest = read_formula(from_base64url(match[1]).decode()), from_base64url(match[2]), match[3]
    if formula.slow:
        inner = read_hash(rest)
        if inner.scheme != formula.slow:
            raise ValueError(f"is not {formula.slow}")
        costs = inner.costs
        check = lambda secret: inner.check(formula.compute(secret, salt))  # noqa: E731
    else:
        computed = formula.compute(b"test", salt)
        is_hex = re.fullmatch(rb"[0-9a-f]+", computed) is not None
        if len(computed) != len(rest) or (is_hex and re.fullmatch("[0-9a-fA-F]+", rest) is None):
            raise ValueError(f"is not as long as {formula.text} makes it")
        expected = (rest.lower() if is_hex else rest).encode()
        costs = {"calls": formula.calls}
        check = lambda secret: _same(formula.compute(secret, salt), expected)  # noqa: E731
    return Hash(formula.slow or "formula", check, costs)


# --- names around other forms ---------------------------------------------------------------------------------------

_AROUND = re.compile(
    r"(?:\{(?:crypt|bcrypt|blf-crypt|sha256-crypt|sha512-crypt|md5-crypt|des-crypt|argon2|argon2i|argon2id|phpass)\}"
    r"|bcrypt\$(?=\$2)|argon2\$(?=argon2)|:argon2:)(.+)",
    re.IGNORECASE | re.ASCII,
)


def unwrapped(text: str) -> str:
    """Return a hash without the name that LDAP, Dovecot, Spring or Django writes before it."""
    match = _AROUND.fullmatch(text)
    if match is None:
        return text
    inner = match[1]
    return f"${inner}" if inner.startswith("argon2") else inner


@_form(_AROUND)
def _around(match: re.Match[str]) -> Hash:
    inner = unwrapped(match[0])
    if inner.startswith(("{", ":")) or _AROUND.fullmatch(inner):
        raise ValueError("is of no kind that can be verified")
    return read_hash(inner)
