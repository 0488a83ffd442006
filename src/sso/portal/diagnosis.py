"""Why an application's request did not work, and what about its registration should be better: found, not yet
worded."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal
from urllib.parse import urlsplit

from sso.clients.metadata import ClientMetadata
from sso.clients.redirect_uris import with_one_slash
from sso.clients.validation_errors import scope_warnings

Part = Literal["scheme", "host", "port", "path", "slash", "case", "query", "fragment", "slashes"]
OLD_SECRET_DAYS = 365
ENDS_SOON_DAYS = 21
"""How long before a secret ends its team is warned, and its owners are reminded."""
UNUSED_DAYS = 90


@dataclass(frozen=True, slots=True)
class Nearest:
    """The registered address that is nearest to one that came, and in what they differ."""

    uri: str
    differs: tuple[Part, ...]


def nearest(uri: str, registered: Sequence[str]) -> Nearest | None:
    """Return the registered address that was probably meant; None where none is registered."""
    if not registered:
        return None
    best = max(registered, key=lambda one: difflib.SequenceMatcher(None, uri, one).ratio())
    return Nearest(best, differences(uri, best))


def differences(left: str, right: str) -> tuple[Part, ...]:
    """Return the parts in which two addresses differ, the weightiest first."""
    try:
        one, other = urlsplit(left), urlsplit(right)
        ports = one.port != other.port
    except ValueError:
        return ("path",)
    found: list[Part] = []
    if left != right and left.lower() == right.lower():
        return ("case",)
    if left != right and with_one_slash(left) == with_one_slash(right):
        return ("slashes",)
    if one.scheme != other.scheme:
        found.append("scheme")
    if one.hostname != other.hostname:
        found.append("host")
    if ports:
        found.append("port")
    if one.path != other.path:
        found.append("slash" if one.path.rstrip("/") == other.path.rstrip("/") else "path")
    if one.query != other.query:
        found.append("query")
    if one.fragment != other.fragment:
        found.append("fragment")
    return tuple(found)


Warning = Literal[
    "no_pkce", "old_secret", "secret_ends", "no_backchannel", "unused_redirect_uri", "failing_deliveries", "no_secret",
    "implicit", "misspelt_scope",
]  # fmt: skip


@dataclass(frozen=True, slots=True)
class Known:
    """What is known of how an application is used.

    Args:
        secrets: (made, ends) of each secret that is valid.
        failing: how many notices to it fail, or were given up.
        used_uris: how often each redirect URI came lately.
        signed_in: whether anybody signed in lately.
    """

    secrets: Sequence[tuple[datetime, datetime | None]]
    failing: int
    used_uris: Mapping[str, int]
    signed_in: bool


def warnings(meta: ClientMetadata, known: Known, now: datetime) -> list[tuple[Warning, str]]:
    """Return what should be better about an application: which warning, and what it is about."""
    found: list[tuple[Warning, str]] = []
    with_people = "authorization_code" in meta.grant_types
    if with_people and not meta.require_pkce:
        found.append(("no_pkce", ""))
    if "implicit" in meta.grant_types:
        found.append(("implicit", ""))
    found += [("misspelt_scope", text) for text in scope_warnings(meta.scope)]
    if meta.needs_secret and not known.secrets:
        found.append(("no_secret", ""))
    if any((now - made).days > OLD_SECRET_DAYS for made, _ in known.secrets):
        found.append(("old_secret", ""))
    if any(ends is not None and ends - now < timedelta(days=ENDS_SOON_DAYS) for _, ends in known.secrets):
        found.append(("secret_ends", ""))
    if with_people and not meta.is_public and meta.backchannel_logout_uri is None:
        found.append(("no_backchannel", ""))
    if known.failing:
        found.append(("failing_deliveries", str(known.failing)))
    if known.signed_in:
        found += [("unused_redirect_uri", uri) for uri in meta.redirect_uris if uri not in known.used_uris]
    return found
