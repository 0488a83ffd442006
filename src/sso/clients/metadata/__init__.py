"""Metadata of clients (OpenID Connect Dynamic Client Registration section 2, as far as it works here).

``types``: the values and their checks; ``fields``: every field, checked alone; ``rules``: the rules between the fields;
``model``: the metadata of one client.
"""

from sso.clients.metadata.fields import AssertionIssuer, with_defaults
from sso.clients.metadata.model import ClientMetadata, contradictions_in
from sso.clients.metadata.types import (
    DEVICE_CODE,
    FIRST_PARTY_SCOPES,
    GROUPS,
    JWT_BEARER,
    OIDC_SCOPES,
    STANDARD_SCOPES,
    Problem,
    Problems,
    application_type,
    checked_keys,
)

__all__ = [
    "DEVICE_CODE",
    "FIRST_PARTY_SCOPES",
    "GROUPS",
    "JWT_BEARER",
    "OIDC_SCOPES",
    "STANDARD_SCOPES",
    "AssertionIssuer",
    "ClientMetadata",
    "Problem",
    "Problems",
    "application_type",
    "checked_keys",
    "contradictions_in",
    "with_defaults",
]
