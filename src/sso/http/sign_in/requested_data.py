"""What an application may have of a person, in the order and with the reasons in which pages show it."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable
from dataclasses import dataclass

import orjson

from sso.clients.claims import SCOPE_CLAIMS
from sso.clients.metadata import OIDC_SCOPES
from sso.clients.registry import Client
from sso.identity.attributes.definitions import Texts


@dataclass(frozen=True, slots=True)
class RequestedItem:
    """One thing that an application asks for.

    Args:
        permission: a scope, or ``scope claim`` (:func:`sso.clients.claims.permissions`).
        name: the scope, or the claim alone.
        reason: what the application needs it for; nothing where it does not say.
        texts: the titles of a scope or claim that the city declared.
    """

    permission: str
    name: str
    reason: str
    texts: Texts | None = None


def requested_items(client: Client, permissions: Iterable[str]) -> list[RequestedItem]:
    """Return what an application asks for: the standard scopes first, in the order of the specification."""
    return [_item(client, permission) for permission in sorted(permissions, key=_place)]


def _item(client: Client, permission: str) -> RequestedItem:
    scope, _, claim = permission.partition(" ")
    reasons = client.meta.claim_reasons if claim else client.meta.scope_reasons
    texts = client.city.texts(scope, claim)
    reason = reasons.get(claim or scope, "") if texts is None else client.meta.scope_reasons.get(scope, "")
    return RequestedItem(permission, claim or scope, reason, texts)


def _place(permission: str) -> tuple[int, int, str]:
    scope, _, claim = permission.partition(" ")
    first = OIDC_SCOPES.index(scope) if scope in OIDC_SCOPES else len(OIDC_SCOPES)
    return (first, SCOPE_CLAIMS[scope].index(claim) if claim and scope in SCOPE_CLAIMS else 0, permission)


def permissions_digest(client: Client, permissions: Collection[str], *more: str) -> str:
    """Return a digest of what a page says that an application asks for: a form that was made of it is worth nothing
    for anything else.

    Args:
        client: the application.
        permissions: what it asks for.
        more: what else is decided by it, such as where the answer goes.
    """
    digest_parts = [client.client_id, client.meta.client_name, client.meta.client_name_en, sorted(permissions), *more]
    return hashlib.sha256(orjson.dumps(digest_parts)).hexdigest()[:32]
