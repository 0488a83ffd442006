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
    best = max(registered, key=lambda registered_uri: difflib.SequenceMatcher(None, uri, registered_uri).ratio())
    return Nearest(best, differences(uri, best))


def differences(left: str, right: str) -> tuple[Part, ...]:
    """Return the parts in which two addresses differ, the weightiest first."""
    try:
        this, other = urlsplit(left), urlsplit(right)
        ports = this.port != other.port
    except ValueError:
        return ("path",)
    parts: list[Part] = []
    if left != right and left.lower() == right.lower():
        return ("case",)
    if left != right and with_one_slash(left) == with_one_slash(right):
        return ("slashes",)
    if this.scheme != other.scheme:
        parts.append("scheme")
    if this.hostname != other.hostname:
        parts.append("host")
    if ports:
        parts.append("port")
    if this.path != other.path:
        parts.append("slash" if this.path.rstrip("/") == other.path.rstrip("/") else "path")
    if this.query != other.query:
        parts.append("query")
    if this.fragment != other.fragment:
        parts.append("fragment")
    return tuple(parts)


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
    warned: list[tuple[Warning, str]] = []
    with_people = "authorization_code" in meta.grant_types
    if with_people and not meta.require_pkce:
        warned.append(("no_pkce", ""))
    if "implicit" in meta.grant_types:
        warned.append(("implicit", ""))
    warned += [("misspelt_scope", text) for text in scope_warnings(meta.scope)]
    if meta.needs_secret and not known.secrets:
        warned.append(("no_secret", ""))
    if any((now - created_at).days > OLD_SECRET_DAYS for created_at, _ in known.secrets):
        warned.append(("old_secret", ""))
    if any(ends is not None and ends - now < timedelta(days=ENDS_SOON_DAYS) for _, ends in known.secrets):
        warned.append(("secret_ends", ""))
    if with_people and not meta.is_public and meta.backchannel_logout_uri is None:
        warned.append(("no_backchannel", ""))
    if known.failing:
        warned.append(("failing_deliveries", str(known.failing)))
    if known.signed_in:
        warned += [("unused_redirect_uri", uri) for uri in meta.redirect_uris if uri not in known.used_uris]
    return warned
