"""Why an address cannot be registered, and what was probably meant: for those who type it into a form.

``uris`` decides what may be registered; this explains it, and finds what only looks right.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from typing import Literal
from urllib.parse import SplitResult, urlsplit, urlunsplit

from sso.clients.redirect_uris import ApplicationType, check_redirect_uri, is_loopback_literal, with_one_slash

Code = Literal[
    "http", "wildcard", "fragment", "localhost", "look_alike", "trailing_slash", "user_name", "upper_case",
    "whole_address", "dots", "two_slashes", "scheme", "characters", "private", "other",
    "unknown_code",
]  # fmt: skip
MIN_CHARS = 8
"""Shorter hosts are not compared: too many are near each other."""


@dataclass(frozen=True, slots=True)
class Advice:
    """What is wrong with an address.

    Args:
        code: what it is.
        uri: the address.
        suggestion: the address that was probably meant, or nothing.
        detail: what the rule says, in English; for ``look_alike`` the other application's host.
        refused: whether it cannot be registered; otherwise it may be as it should be.
    """

    code: Code
    uri: str
    suggestion: str = ""
    detail: str = ""
    refused: bool = True


def advise(
    uri: str, application_type: ApplicationType, allow_http_loopback: bool, others: Collection[str] = ()
) -> Advice | None:
    """Return what is wrong with a redirect URI; None: nothing.

    Args:
        uri: what was typed.
        application_type: ``native`` may use more.
        allow_http_loopback: whether it may be on the developer's own machine: in a sandbox.
        others: the hosts of other people's applications, which must not be imitated.
    """
    problem = ""
    try:
        check_redirect_uri(uri, application_type, allow_http_loopback)
    except ValueError as error:
        problem = str(error)
    if problem:
        return _explained(uri, problem, application_type, allow_http_loopback)
    parts = urlsplit(uri)
    host = parts.hostname or ""
    other = look_alike(host, others)
    if other:
        return Advice("look_alike", uri, urlunsplit(parts._replace(netloc=other)), other)
    if parts.scheme in ("http", "https") and len(parts.path) > 1 and parts.path.endswith("/") and not parts.query:
        return Advice("trailing_slash", uri, uri.rstrip("/"), refused=False)
    return None


def is_local(uri: str) -> bool:
    """Tell whether a redirect URI is on the developer's own machine."""
    host = urlsplit(uri).hostname or ""
    return host == "localhost" or is_loopback_literal(host)


@dataclass(frozen=True, slots=True)
class _Typed:
    """An address that was refused, taken apart as far as it can be."""

    text: str
    parts: SplitResult
    problem: str

    @property
    def is_local(self) -> bool:
        host = self.parts.hostname or ""
        return host == "localhost" or is_loopback_literal(host)

    def with_netloc(self, netloc: str) -> str:
        return urlunsplit(self.parts._replace(netloc=netloc))


def _nothing(_: _Typed) -> str:
    return ""


_Rule = tuple[Code, Callable[[_Typed], bool], Callable[[_Typed], str]]
_RULES: tuple[_Rule, ...] = (
    ("whole_address", lambda it: "://" not in it.text and ":/" not in it.text, lambda it: f"https://{it.text}"),
    ("wildcard", lambda it: "*" in it.text, lambda it: it.text.replace("*.", "").replace("*", "").rstrip("/")),
    ("fragment", lambda it: "#" in it.text, lambda it: it.text.partition("#")[0]),
    ("user_name", lambda it: "@" in it.parts.netloc, lambda it: it.with_netloc(it.parts.netloc.rpartition("@")[2])),
    ("localhost", lambda it: it.parts.scheme == "http" and it.is_local, _nothing),
    (
        "upper_case",
        lambda it: it.parts.netloc.lower().rstrip(".") != it.parts.netloc,
        lambda it: it.with_netloc(it.parts.netloc.lower().rstrip(".")),
    ),
    ("http", lambda it: it.parts.scheme == "http", lambda it: urlunsplit(it.parts._replace(scheme="https"))),
    ("dots", lambda it: ". or .." in it.problem, _nothing),
    ("private", lambda it: "native applications" in it.problem, _nothing),
    ("two_slashes", lambda it: "two slashes" in it.problem, lambda it: with_one_slash(it.text)),
    ("scheme", lambda it: "scheme" in it.problem, _nothing),
    ("characters", lambda it: "characters" in it.problem, lambda it: it.text),
)
"""In this order: what it is, and what was probably meant."""


def _explained(uri: str, problem: str, application_type: ApplicationType, allow_http_loopback: bool) -> Advice:
    text = uri.strip()
    try:
        typed = _Typed(text, urlsplit(text), problem)
        rule_broken = next((rule for rule in _RULES if rule[1](typed)), None)
    except ValueError:
        return Advice("characters", uri, detail=problem)
    if rule_broken is None:
        return Advice("other", uri, detail=problem)
    better = rule_broken[2](typed)
    try:
        check_redirect_uri(better, application_type, allow_http_loopback)
    except ValueError:
        better = ""
    return Advice(rule_broken[0], uri, better if better != uri else "", problem)


def look_alike(host: str, others: Collection[str]) -> str:
    """Return the host that ``host`` could be taken for; nothing where it is that of one of them, or like none."""
    if host in others or len(host) < MIN_CHARS or is_loopback_literal(host):
        return ""
    drawn = _drawn(host)
    for other in sorted(others):
        if len(other) < MIN_CHARS or host.endswith("." + other) or other.endswith("." + host):
            continue
        siblings = host.partition(".")[2] == other.partition(".")[2]  # whoever has the one domain has the other
        if drawn == _drawn(other) or (not siblings and _one_apart(host, other)):
            return other
    return ""


_LIKE = str.maketrans({"0": "o", "1": "l", "i": "l", "5": "s", "8": "b", "-": None, ".": None, "_": None})


def _drawn(host: str) -> str:
    """Return how a host looks at a glance: what is easily taken for something else is the same."""
    try:
        displayed_host = host.encode("ascii").decode("idna")
    except UnicodeError:
        displayed_host = host
    return displayed_host.lower().translate(_LIKE).replace("rn", "m").replace("vv", "w")


def _one_apart(left: str, right: str) -> bool:
    """Tell whether one letter changed, added, left out, or two exchanged makes one the other. Digits may differ: hosts
    are counted."""
    if left == right or abs(len(left) - len(right)) > 1:
        return False
    start = next((at for at, (char, other) in enumerate(zip(left, right, strict=False)) if char != other), -1)
    if start < 0:
        start = min(len(left), len(right))
    rest, other = left[start:], right[start:]
    if len(rest) == len(other):
        if len(rest) > 1 and rest[0] == other[1] and rest[1] == other[0] and rest[2:] == other[2:]:
            return True
        return rest[1:] == other[1:] and not (rest[0].isdigit() and other[0].isdigit())
    longer, shorter = (rest, other) if len(rest) > len(other) else (other, rest)
    return longer[1:] == shorter and not longer[0].isdigit()


def hosts_of(addresses: Iterable[str]) -> set[str]:
    """Return the hosts of URLs; what is no URL has none."""
    hosts = set()
    for address in addresses:
        try:
            host = urlsplit(address).hostname
        except ValueError:
            continue
        if host:
            hosts.add(host)
    return hosts
