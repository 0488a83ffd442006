"""The logout request of the CAS protocol: a SAML LogoutRequest that names a ticket (section 2.3.3, appendix C).

Short, and with the field ``logoutRequest`` alone: mod_auth_cas reads 1023 bytes of the form.
"""

from __future__ import annotations

import secrets
from datetime import datetime
from xml.sax.saxutils import escape

PURPOSE = "cas-ticket"
"""The purpose with which a ticket is encrypted."""


def logout_request(ticket: str, now: datetime) -> str:
    """Return the request that ends what an application began with ``ticket``."""
    return (
        '<samlp:LogoutRequest xmlns:samlp="urn:oasis:names:tc:SAML:2.0:protocol" '
        f'ID="LR-{secrets.token_hex(16)}" Version="2.0" IssueInstant="{now:%Y-%m-%dT%H:%M:%SZ}">'
        '<saml:NameID xmlns:saml="urn:oasis:names:tc:SAML:2.0:assertion">@NOT_USED@</saml:NameID>'
        f"<samlp:SessionIndex>{escape(ticket)}</samlp:SessionIndex></samlp:LogoutRequest>"
    )
