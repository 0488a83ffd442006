"""Password hashes of other systems: what is taken at an import, in which form it is kept, and how it is verified.

They are taken as they are and replaced by argon2id at the next sign-in, when the password is known for a moment. The
schemes are in ``hash_schemes.py``, the bounds of their costs in ``platform/security/hash_costs.py``.
"""

from __future__ import annotations

import binascii
import difflib
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import cast

import orjson
from passlib.utils.binary import b64s_encode

from sso.errors import NoPassword as NoPassword
from sso.identity.authn import hash_schemes as schemes
from sso.identity.authn.formulas import NotAFormula, read_formula
from sso.identity.authn.hash_schemes import read_hash, unwrapped
from sso.identity.users.records import SchemeUnknown
from sso.platform.security.json_documents import members

_MARKS = {
    "", "x", "xx", "*", "!", "!!", "!*", "*!", "np", "lk", "*np*", "*lk*", "-", "--", "null", "none", "\\n",
    "not cached", "restored", "disabled", "locked", "<null>", "to be generated",
}  # fmt: skip
"""What stands in a password field when no password opens the account: shadow, Moodle, spreadsheets, dumps."""
_ELSEWHERE = re.compile(r"\{(sasl|kerberos|krb5|passthrough|saslauthd|ldap|radius|pam)\}.*", re.I | re.S)

_Taken = Callable[[str, str], str]


def taken_over(text: str, *, salt: str = "", scheme: str = "", parameters: Mapping[str, object] | None = None) -> str:
    """Return a hash of another system in the form that is kept.

    Args:
        text: the hash.
        salt: its salt, where it stands apart.
        scheme: how it was made: a name of :data:`SCHEMES` or a formula (``formulas.py``). Without one it is told from
            the hash itself.
        parameters: what the whole export has in common; of Firebase ``base64_signer_key``,
            ``base64_salt_separator``, ``rounds`` and ``mem_cost``.

    Raises:
        NoPassword: when the field says that no password opens the account.
        SchemeUnknown: when there is no such scheme.
        ValueError: when the hash is of no kind that can be verified, or would cost too much.
    """
    text, scheme = text.strip(), scheme.strip()
    take = _named(scheme, parameters or {}) if scheme else _by_form
    mark = no_password_mark(text)
    if mark is not None:
        raise NoPassword(f"is {mark!r}, which means that no password opens the account")
    stored = take(text, salt)
    read_hash(stored)
    return stored


def verify_imported(typed: Iterable[str], stored: str) -> bool:
    """Tell whether a password, in one of its spellings, is the one of a hash of another system.

    Never raises. A hash that cannot be read, or is above a bound, is wrong for every password and is not computed.
    """
    return schemes.verify(stored, typed)


def no_password_mark(text: str) -> str | None:
    """Return the mark that a password field holds in place of a hash, or None."""
    inner = text
    if match := re.fullmatch(r"\{crypt\}(.*)", text, re.I | re.S):
        inner = match[1]
    if inner.casefold() in _MARKS:
        return text
    if inner.startswith("!") or (inner.startswith("*") and not re.fullmatch(r"\*[0-9a-fA-F]{40}", inner)):
        return text[:4] + "…" if len(text) > 4 else text
    if match := _ELSEWHERE.fullmatch(inner):
        return "{" + match[1] + "}…"
    return None


def _by_form(text: str, salt: str) -> str:
    """Return a hash whose scheme nobody named."""
    text = unwrapped(text)
    if text.startswith("{") and text.endswith("}") and '"' in text:
        return _from_json(text)
    if text.startswith("$argon2"):
        return f"$imported{text}"  # so that it is never taken for one of ours
    if text.startswith(("$only", "$imported", "$digest", "$salted", "$firebase", "$formula", "$symfony", "$ion-auth")):
        raise ValueError("is of no kind that can be verified")
    for pattern, change in _SPELLINGS:
        if match := pattern.fullmatch(text):
            return change(*match.groups())
    if match := re.fullmatch(r"md5([0-9a-f]{32})", text):
        return _postgresql(match[1], salt)
    if _ASPNET.fullmatch(text):
        return _from_aspnet(text, "")
    return _with_salt(text, salt) if salt else text


def _spring_pbkdf2(digest: str, rounds: int, size: int) -> Callable[[str], str]:
    """Spring Security: the salt and 32 bytes of key in hexadecimal. The name says the rest."""

    def change(text: str) -> str:
        raw = bytes.fromhex(text)
        return schemes.pbkdf2_form(digest, rounds, raw[:size], raw[size:])

    return change


def _spring_scrypt(costs: str, salt: str, key: str) -> str:
    """Spring Security: the logarithm of N, r and p in one hexadecimal number, a byte for each of the last two."""
    number = int(costs, 16)
    n, r, p = 1 << min(number >> 16, 40), number >> 8 & 255, number & 255
    return schemes.scrypt_form(n, r, p, schemes.unpadded(salt), schemes.unpadded(key))


def _spring_digest(name: str, salt: str, digits: str) -> str:
    digest = name.lower().replace("-", "")
    if schemes.BY_LENGTH.get(len(digits)) != digest:
        raise ValueError(f"is malformed: it is not as long as {digest}")
    return schemes.salted_form(digest, "post", salt.encode(), digits.lower())


_SPELLINGS: tuple[tuple[re.Pattern[str], Callable[..., str]], ...] = (
    (
        re.compile(r":A:([0-9a-f]{32})", re.IGNORECASE | re.ASCII),
        lambda digits: schemes.formula_form("md5(password)", b"", digits),
    ),
    (
        re.compile(r"(?::B:|\$B\$)([^:$]{1,64})[:$]([0-9a-f]{32})", re.IGNORECASE | re.ASCII),
        lambda salt, digits: schemes.formula_form("md5(salt.'-'.md5(password))", salt.encode(), digits),
    ),
    (
        re.compile(r"(?:\{sha256\})?([0-9a-f]{32}|[0-9a-f]{64}):([^:\s]{1,128})(?::1)?", re.IGNORECASE | re.ASCII),
        lambda digits, salt: schemes.digest_form(salt.encode(), digits.lower()),
    ),
    (re.compile(r"[123]\|(\$.+)", re.ASCII), lambda inner: _by_form(inner, "")),
    (re.compile(r"\{argon2@SpringSecurity_v5_[0-9]\}(\$argon2.+)", re.ASCII), lambda inner: _by_form(inner, "")),
    (re.compile(r"\{pbkdf2@SpringSecurity_v5_8\}([0-9a-f]{96})", re.ASCII), _spring_pbkdf2("sha256", 310_000, 16)),
    (
        re.compile(r"\{pbkdf2(?:@SpringSecurity_v5_5)?\}([0-9a-f]{80})", re.ASCII),
        _spring_pbkdf2("sha1", 185_000, 8),
    ),
    (
        re.compile(
            r"\{scrypt(?:@SpringSecurity_v[45]_[0-9])?\}\$([0-9a-f]{5,8})\$([A-Za-z0-9+/=]+)\$([A-Za-z0-9+/=]+)",
            re.ASCII,
        ),
        _spring_scrypt,
    ),
    (re.compile(r"\{(MD5|SHA-1|SHA-256|SHA-512)\}(\{[^{}]{1,88}\})([0-9a-fA-F]+)", re.ASCII), _spring_digest),
    (re.compile(r"(?:md5|sha1|sha256|sha512)\$\$([0-9a-f]+)", re.IGNORECASE | re.ASCII), str.lower),
)
"""MediaWiki (A, B), Joomla and Magento, Nextcloud (1 to 3), Spring Security, and Django without a salt."""


def _with_salt(text: str, salt: str) -> str:
    if re.fullmatch(r"[0-9a-fA-F]+", text) and len(text) in schemes.BY_LENGTH:
        return schemes.digest_form(salt.encode(), text.lower())
    if text.startswith("$"):
        return text  # it holds its own salt, the column repeats it
    raise ValueError("with a salt apart must be md5, sha1, sha256 or sha512 in hexadecimal, or name its scheme")


def _named(scheme: str, parameters: Mapping[str, object]) -> _Taken:
    """Return how the hashes of a named scheme are taken.

    Raises:
        SchemeUnknown: when there is no such scheme.
    """
    name = re.sub(r"[\s_]+", "-", scheme.casefold())
    if name in _MAKERS:
        return _MAKERS[name]
    if name in ("firebase", "firebase-scrypt"):
        return lambda text, salt: _from_firebase(text, salt, parameters)
    if name in _FAMILIES:
        return lambda text, salt: _of_family(name, text, salt)
    try:
        formula = read_formula(_FORMULAS.get(name, scheme.casefold() if "'" not in scheme else scheme))
    except NotAFormula as error:
        near = difflib.get_close_matches(name, SCHEMES, n=1)
        hint = f"; the nearest is {near[0]}" if near else ""
        if "(" in scheme:
            raise SchemeUnknown(f"{scheme[:60]!r} {error}") from None
        raise SchemeUnknown(f"{scheme[:60]!r} is not known{hint}; known: {', '.join(SCHEMES)}, or a formula") from None
    return lambda text, salt: _of_formula(formula.text, formula.uses_salt, text, salt)


def _of_formula(formula: str, uses_salt: bool, text: str, salt: str) -> str:
    if uses_salt and not salt:
        raise ValueError(f"lacks its password_salt, which {formula} uses")
    return schemes.formula_form(formula, salt.encode() if uses_salt else b"", unwrapped(text))


def _of_family(name: str, text: str, salt: str) -> str:
    stored = _by_form(text, salt)
    family = _FAMILIES[name]
    if read_hash(stored).scheme not in family:
        raise ValueError(f"is not what password_scheme {name} says")
    if name == "bcrypt" and stored.startswith("$2"):
        return f"$only{stored}"
    return stored


def _by_length(order: str) -> _Taken:
    def take(text: str, salt: str) -> str:
        if not salt:
            return _by_form(text, "")  # an application that changed to another scheme, row by row
        digest = schemes.BY_LENGTH.get(len(text))
        if digest is None or re.fullmatch("[0-9a-fA-F]+", text) is None:
            raise ValueError("must be md5, sha1, sha256 or sha512 in hexadecimal, as password_scheme says")
        return schemes.salted_form(digest, order, salt.encode(), text.lower())

    return take


def _ion_auth(text: str, salt: str) -> str:
    if text.startswith("$"):
        return text  # the same application with bcrypt or argon2
    if salt:
        return schemes.salted_form("sha1", "post", salt.encode(), text.lower())
    return f"$ion-auth${text}"


def _codeigniter(text: str, _: str) -> str:
    slow = "argon2" if text.startswith("$argon2") else "bcrypt"
    return schemes.formula_form(f"{slow}(base64(unhex(sha384(password))))", b"", text)


def _phpbb(text: str, salt: str) -> str:
    if text.startswith("$2"):
        return schemes.formula_form("bcrypt(html(trim(password)))", b"", text)
    if text.startswith("$argon2"):
        return schemes.formula_form("argon2(html(trim(password)))", b"", text)
    return _by_form(text, salt)


def _postgresql(digits: str, salt: str) -> str:
    if not salt:
        raise ValueError("is md5 of PostgreSQL, which needs the name of the database user in password_salt")
    return schemes.salted_form("md5", "post", salt.encode(), digits)


def _symfony(text: str, salt: str) -> str:
    if text.startswith("$"):
        return _by_form(text, salt)
    return schemes.symfony_form(5000, salt.encode(), schemes.unpadded(text))


# --- ASP.NET Identity, Firebase, Keycloak, Auth0 -------------------------------------------------------------------

_PRFS = ("sha1", "sha256", "sha512")


_ASPNET = re.compile(r"A[A-P][A-Za-z0-9+/]{64}==|AQAAAA[A-Za-z0-9+/]{58,}={0,2}", re.ASCII)
"""Version 2 has 49 bytes and begins with 0x00; version 3 begins with 0x01 and a small number in four bytes."""


def _from_aspnet(text: str, _: str) -> str:
    """ASP.NET Identity: version 2 (0x00, 16 bytes of salt, 32 of key) and 3 (0x01, PRF, rounds, length of the salt)."""
    raw = schemes.unpadded(text)
    if raw[:1] == b"\x00" and len(raw) == 49:
        return schemes.pbkdf2_form("sha1", 1000, raw[1:17], raw[17:])
    prf, rounds, size = (int.from_bytes(raw[at : at + 4], "big") for at in (1, 5, 9))
    if raw[:1] != b"\x01" or len(raw) < 13 + 16 + 16 or prf >= len(_PRFS) or not 8 <= size <= len(raw) - 13 - 16:
        raise ValueError("is malformed: it is not a password hash of ASP.NET Identity")
    return schemes.pbkdf2_form(_PRFS[prf], rounds, raw[13 : 13 + size], raw[13 + size :])


def _from_firebase(text: str, salt: str, parameters: Mapping[str, object]) -> str:
    missing = [
        name
        for name in ("base64_signer_key", "base64_salt_separator", "rounds", "mem_cost")
        if parameters.get(name) in (None, "")
    ]
    if missing:
        raise ValueError(f"of Firebase needs the hash parameters of its project: {', '.join(missing)}")
    return schemes.firebase_form(parameters, _either64(salt), _either64(text))


def _either64(text: str) -> bytes:
    """Return the bytes of base64 in either alphabet."""
    return schemes.unpadded(text.replace("-", "+").replace("_", "/"))


def _from_json(text: str) -> str:
    """Return a hash that is a JSON object: a credential of Keycloak, or Auth0's ``custom_password_hash``."""
    try:
        document = orjson.loads(text)
    except orjson.JSONDecodeError:
        raise ValueError("is broken JSON") from None
    if not isinstance(document, dict):
        raise ValueError("is of no kind that can be verified")
    try:
        if "hash" in document and "algorithm" in document:
            return _from_auth0(document)
        return _from_keycloak(document)
    except (KeyError, TypeError, AttributeError, UnicodeError) as error:
        raise ValueError(f"is malformed: {error!r}"[:200]) from None


_KEYCLOAK: Mapping[str, str] = {
    "pbkdf2": "sha1", "pbkdf2-sha1": "sha1", "pbkdf2-sha256": "sha256", "pbkdf2-sha512": "sha512",
    "pbkdf2-sha384": "sha384",
}  # fmt: skip


def _nested(value: object) -> Mapping[str, object]:
    nested = orjson.loads(value) if isinstance(value, str) else value
    if not isinstance(nested, dict):
        raise ValueError("is malformed: a credential of Keycloak has secretData and credentialData")
    return nested


def _from_keycloak(credential: Mapping[str, object]) -> str:
    """A credential as a realm export has it; before Keycloak 8 all of it stood in one object."""
    if "secretData" in credential:
        try:
            secret = _nested(credential["secretData"])
            about = _nested(credential.get("credentialData", "{}"))
        except orjson.JSONDecodeError:
            raise ValueError("is malformed: secretData or credentialData is broken JSON") from None
    else:
        secret = {"value": credential["hashedSaltedValue"], "salt": credential.get("salt", "")}
        about = credential
    algorithm, rounds = str(about["algorithm"]).lower(), schemes.number(about["hashIterations"])
    key = schemes.unpadded(cast(str, secret["value"])) if algorithm in _KEYCLOAK or algorithm == "argon2" else b""
    salt = schemes.unpadded(cast(str, secret.get("salt") or ""))
    if algorithm in _KEYCLOAK:
        return schemes.pbkdf2_form(_KEYCLOAK[algorithm], rounds, salt, key)
    if algorithm == "argon2":
        more = {
            name: cast(Sequence[str], values)[0]
            for name, values in members(about["additionalParameters"]).items()
            if values
        }
        version = {"1.0": 16, "1.3": 19}[str(more.get("version", "1.3"))]
        costs = f"m={int(more['memory'])},t={rounds},p={int(more.get('parallelism', 1))}"
        return f"$imported$argon2{more.get('type', 'id')}$v={version}${costs}${_bare(salt)}${_bare(key)}"
    if algorithm == "bcrypt" and str(secret["value"]).startswith("$2"):
        return str(secret["value"])
    raise ValueError(f"has the algorithm {algorithm[:40]!r} of Keycloak, which cannot be verified")


def _bare(raw: bytes) -> str:
    return str(b64s_encode(raw).decode())


def _from_auth0(fields: Mapping[str, object]) -> str:
    hashed = members(fields["hash"])
    algorithm, value = str(fields["algorithm"]).lower(), str(hashed["value"])
    if str(members(fields.get("password") or {}).get("encoding", "utf8")).lower() not in ("utf8", "utf-8", "ascii"):
        raise ValueError("has a password encoding of Auth0 that cannot be verified")
    if algorithm in ("argon2", "bcrypt", "pbkdf2", "ldap"):
        return _by_form(value, "")
    salt = members(fields.get("salt") or {})
    salt_bytes = _auth0_bytes(salt) if salt else b""
    encoding = hashed.get("encoding", "hex" if algorithm != "scrypt" else "base64")
    raw = _auth0_bytes({"value": value, "encoding": encoding})
    if algorithm in ("md5", "sha1", "sha256", "sha512"):
        order = "pre" if salt.get("position", "prefix") == "prefix" else "post"
        return schemes.salted_form(algorithm, order, salt_bytes, raw.hex())
    if algorithm == "scrypt":
        n, r, p = (
            schemes.number(fields.get(name, usual))
            for name, usual in (("cost", 16384), ("blockSize", 8), ("parallelization", 1))
        )
        return schemes.scrypt_form(n, r, p, salt_bytes, raw)
    if algorithm == "hmac":
        key = _auth0_bytes(members(hashed["key"]))
        digest = str(hashed["digest"]).lower()
        return schemes.formula_form(f"hmac_{digest}(salt,password)", key, raw.hex())
    raise ValueError(f"has the algorithm {algorithm[:40]!r} of Auth0, which cannot be verified")


def _auth0_bytes(given: Mapping[str, object]) -> bytes:
    value, encoding = str(given["value"]), str(given.get("encoding", "utf8")).lower()
    if encoding == "hex":
        return bytes.fromhex(value)
    if encoding == "base64":
        try:
            return _either64(value)
        except binascii.Error:
            raise ValueError("has broken base64") from None
    return value.encode()


def _json_only(text: str, _: str) -> str:
    if not text.startswith("{") or '"' not in text:
        raise ValueError("must be the JSON object of the credential")
    return _from_json(text)


_MAKERS: Mapping[str, _Taken] = {
    "salt.password": _by_length("pre"),
    "password.salt": _by_length("post"),
    "ion-auth": _ion_auth,
    "codeigniter": _codeigniter,
    "codeigniter4": _codeigniter,
    "shield": _codeigniter,
    "myth-auth": _codeigniter,
    "phpbb": _phpbb,
    "symfony": _symfony,
    "fosuserbundle": _symfony,
    "aspnet": _from_aspnet,
    "aspnet-identity": _from_aspnet,
    "keycloak": _json_only,
    "auth0": lambda text, salt: _json_only(text, salt) if text.startswith("{") else _by_form(text, salt),
}
_FORMULAS: Mapping[str, str] = {
    "plain-md5": "md5(password)",
    "vbulletin": "md5(md5(password).salt)",
    "mybb": "md5(md5(salt).md5(password))",
    "ipb": "md5(md5(salt).md5(password))",
    "aspnet-membership": "base64(unhex(sha1(unbase64(salt).utf16le(password))))",
}
_CRYPT = {"md5_crypt", "sha256_crypt", "sha512_crypt", "sha1_crypt", "des_crypt", "bsdi_crypt", "yescrypt", "bcrypt"}
_FAMILIES: Mapping[str, set[str]] = {
    "bcrypt": {"bcrypt"},
    "argon2": {"argon2"},
    "argon2id": {"argon2"},
    "argon2i": {"argon2"},
    "phpass": {"phpass"},
    "crypt": _CRYPT,
    "shadow": _CRYPT,
    "md5-crypt": {"md5_crypt"},
    "apr1": {"md5_crypt"},
    "sha256-crypt": {"sha256_crypt"},
    "sha512-crypt": {"sha512_crypt"},
    "sha1-crypt": {"sha1_crypt"},
    "des-crypt": {"des_crypt"},
    "bsdi-crypt": {"bsdi_crypt"},
    "yescrypt": {"yescrypt"},
    "bcrypt-sha256": {"bcrypt_sha256", "bcrypt_sha256_passlib"},
    "pbkdf2": {"pbkdf2"},
    "pbkdf2-sha1": {"pbkdf2"},
    "pbkdf2-sha256": {"pbkdf2"},
    "pbkdf2-sha512": {"pbkdf2"},
    "scrypt": {"scrypt"},
    "scram": {"scram"},
    "postgresql": {"scram", "digest"},
    "mysql": {"mysql", "mysql323"},
    "ldap": {"ldap_digest", "pbkdf2", "argon2", *_CRYPT},
    "django": {"pbkdf2", "bcrypt", "bcrypt_sha256", "argon2", "scrypt", "framework_digest", "digest"},
    "werkzeug": {"pbkdf2", "scrypt", "framework_digest"},
    "flask": {"pbkdf2", "scrypt", "framework_digest"},
    "wordpress": {"bcrypt", "argon2", "phpass", "digest"},
    "drupal": {"drupal", "phpass", "bcrypt", "argon2", "digest"},
    "laravel": {"bcrypt", "argon2"},
    "yii": {"bcrypt"},
    "moodle": {"bcrypt", "sha512_crypt", "argon2", "digest"},
    "joomla": {"bcrypt", "argon2", "phpass", "digest"},
    "mediawiki": {"pbkdf2", "argon2", "formula"},
}
SCHEMES = tuple(dict.fromkeys((*_FAMILIES, *_MAKERS, "firebase-scrypt", *_FORMULAS, "md5", "sha1", "sha256", "sha512")))
"""The names that ``password_scheme`` may have; a formula may stand there too."""
