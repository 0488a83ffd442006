"""Headers of clients that the application must not get, and their spellings.

CGI makes an underscore of each hyphen in a header's name; PHP also of each dot, and lighttpd of every character that is
neither a letter nor a digit. So ``X.SSO.Username`` can arrive as ``X-SSO-Username``.
"""

from __future__ import annotations

from itertools import product

from sso.gate.headers import NAMES

KEY_HEADER = "X-SSO-Gate-Key"
MARKS = "-_."
"""What stands for a hyphen where names are listed."""
TOKEN_MARKS = "!#$%&'*+-.^_`|~"
"""Every character of a header's name that is neither a letter nor a digit (RFC 9110 section 5.6.2)."""
PREFIXES = ("SSO", "Forwarded", "Original", "Rewrite")
"""What stands behind ``X-`` in the names that are removed by pattern."""
ADDRESSES = (
    "X-Original-URL",
    "X-Original-URI",
    "X-Original-Host",
    "X-Rewrite-URL",
    "X-Forwarded-Uri",
    "X-Forwarded-Prefix",
    "X-Forwarded-Path",
)
"""Headers with which an application can be told another address than the one that was decided about."""
_BY_THE_PROXY = ("X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto")
"""Headers that proxies set themselves, under this spelling alone."""


def spellings(name: str) -> list[str]:
    """Return a header's name with each of :data:`MARKS` at each place. Case makes no difference to proxies."""
    first, *rest = name.split("-")
    chosen = product(MARKS, repeat=len(rest))
    return [first + "".join(mark + part for mark, part in zip(marks, rest, strict=True)) for marks in chosen]


def every_spelling() -> list[str]:
    """Return every spelling of every header of the gate."""
    return [spelling for name in (*NAMES.values(), KEY_HEADER) for spelling in spellings(name)]


CREDENTIALS = ("Authorization", "Proxy-Authorization")
"""Headers with credentials that are removed where the gate makes Basic credentials itself."""


def removed_credentials() -> list[str]:
    """Return every spelling of headers with credentials."""
    return [spelling for name in CREDENTIALS for spelling in spellings(name)]


def removed_names() -> list[str]:
    """Return every name to remove, for proxies that know no patterns; without credentials."""
    addresses = [spelling for name in ADDRESSES for spelling in spellings(name)]
    others = [spelling for name in _BY_THE_PROXY for spelling in spellings(name) if spelling != name]
    return [*every_spelling(), *addresses, *others, "Forwarded", "HTTP2-Settings"]
