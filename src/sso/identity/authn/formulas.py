"""How an application of its own making computed a password digest, as a formula: ``md5(salt.md5(password))``.

    formula = part { "." part }             parts are joined
    part    = "password" | "salt" | "'" text "'" | name "(" formula { "," formula } ")" | digest

A digest without brackets is the digest of the password: ``md5(md5)`` is ``md5(md5(password))``. Digests and HMACs
give lower-case hexadecimal digits, as in PHP.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import html
import re
from collections.abc import Callable
from dataclasses import dataclass

MAX_CHARS = 200
MAX_DEPTH = 8
DIGESTS = ("md5", "sha1", "sha224", "sha256", "sha384", "sha512")
PHP_BLANKS = " \t\n\r\0\x0b"
Part = Callable[[bytes, bytes], bytes]
_TOKEN = re.compile(r"\s*(?:([a-z][a-z0-9_]*)|'([ -&(-~]{0,64})'|([().,]))")


class NotAFormula(ValueError):
    """The text is no formula; the message says why."""


def _digest(name: str) -> Callable[[bytes], bytes]:
    return lambda text: hashlib.new(name, text, usedforsecurity=False).hexdigest().encode()


def _hmac(name: str) -> Callable[[bytes, bytes], bytes]:
    return lambda key, text: hmac.new(key, text, name).hexdigest().encode()


def _as_text(change: Callable[[str], str], encoding: str = "utf-8") -> Callable[[bytes], bytes]:
    return lambda text: change(text.decode("utf-8", "surrogateescape")).encode(encoding, "surrogateescape")


_ONE: dict[str, Callable[[bytes], bytes]] = {
    **{name: _digest(name) for name in DIGESTS},
    "base64": base64.b64encode,
    "unbase64": lambda text: base64.b64decode(text, validate=True),
    "unhex": lambda text: bytes.fromhex(text.decode("ascii")),
    "upper": bytes.upper,
    "lower": bytes.lower,
    "trim": lambda text: text.strip(PHP_BLANKS.encode()),
    "html": _as_text(lambda text: html.escape(text, quote=False).replace('"', "&quot;")),
    "utf16le": lambda text: text.decode("utf-8").encode("utf-16-le"),
}
_TWO = {f"hmac_{name}": _hmac(name) for name in DIGESTS}
SLOW = ("bcrypt", "argon2")
"""What may stand around a formula: the hash itself says how it is computed."""


@dataclass(frozen=True, slots=True)
class Formula:
    """A formula, read. ``slow``: bcrypt or argon2 of its result, or nothing. ``calls``: how many functions it calls."""

    text: str
    slow: str
    calls: int
    uses_salt: bool
    compute: Part


def read_formula(text: str) -> Formula:
    """Return a formula.

    Raises:
        NotAFormula: saying why.
    """
    if len(text) > MAX_CHARS:
        raise NotAFormula(f"has more than {MAX_CHARS} characters")
    reader = _Reader(text)
    slow = reader.slow_name()
    if slow:
        reader.expect("(")
    compute = reader.joined(0)
    if slow:
        reader.expect(")")
    if reader.tokens:
        raise NotAFormula(f"has {reader.tokens[0][1]!r} after its end")
    if not reader.uses_password:
        raise NotAFormula("does not use the password")
    return Formula(text, slow, reader.calls, reader.uses_salt, compute)


class _Reader:
    def __init__(self, text: str) -> None:
        self.tokens: list[tuple[str, str]] = []
        self.calls, self.uses_salt, self.uses_password = 0, False, False
        at = 0
        while at < len(text):
            token = _TOKEN.match(text, at)
            if token is None:
                if not text[at:].strip():
                    break
                raise NotAFormula(f"cannot be read at {text[at : at + 10]!r}")
            name, literal, mark = token.groups()
            self.tokens.append(("name", name) if name else ("mark", mark) if mark else ("text", literal))
            at = token.end()

    def slow_name(self) -> str:
        if self.tokens and self.tokens[0][0] == "name" and self.tokens[0][1] in SLOW:
            return self.tokens.pop(0)[1]
        return ""

    def expect(self, mark: str) -> None:
        if not self.tokens or self.tokens.pop(0) != ("mark", mark):
            raise NotAFormula(f"lacks {mark!r}")

    def _next_is(self, mark: str) -> bool:
        return bool(self.tokens) and self.tokens[0] == ("mark", mark)

    def joined(self, depth: int) -> Part:
        parts = [self._part(depth)]
        while self._next_is("."):
            self.tokens.pop(0)
            parts.append(self._part(depth))
        return parts[0] if len(parts) == 1 else lambda password, salt: b"".join(part(password, salt) for part in parts)

    def _part(self, depth: int) -> Part:
        if depth > MAX_DEPTH:
            raise NotAFormula("is too deep")
        kind, value = self.tokens.pop(0) if self.tokens else ("", "")
        if kind == "text":
            literal = value.encode()
            return lambda _password, _salt: literal
        if kind != "name":
            raise NotAFormula(f"has {value!r} where a name is expected" if value else "ends too early")
        if value == "password":
            self.uses_password = True
            return lambda password, _salt: password
        if value == "salt":
            self.uses_salt = True
            return lambda _password, salt: salt
        return self._call(value, depth)

    def _call(self, name: str, depth: int) -> Part:
        if name not in _ONE and name not in _TWO:
            raise NotAFormula(f"names {name!r}, which is not known")
        self.calls += 1
        if not self._next_is("("):
            if name not in DIGESTS:
                raise NotAFormula(f"lacks '(' after {name}")
            self.uses_password = True
            digest = _ONE[name]
            return lambda password, _salt: digest(password)
        self.expect("(")
        first = self.joined(depth + 1)
        if name in _ONE:
            self.expect(")")
            function = _ONE[name]
            return lambda password, salt: function(first(password, salt))
        self.expect(",")
        second = self.joined(depth + 1)
        self.expect(")")
        two = _TWO[name]
        return lambda password, salt: two(first(password, salt), second(password, salt))
