"""``session_state``: by which an application's page sees whether the session at the provider is still the same.

OpenID Connect Session Management 1.0 sections 2 and 3.2. The page that answers is ``http/protocol/check_session.py``.
"""

from __future__ import annotations

import hashlib
import secrets
from functools import lru_cache
from urllib.parse import urlsplit

SALT_BYTES = 8


def session_state(client_id: str, redirect_uri: str, browser_state: str, salt: str = "") -> str:
    """Return the value for an application, salted, so that two applications cannot compare theirs.

    Args:
        client_id: the application.
        redirect_uri: whose origin is the application's.
        browser_state: what the browser's cookie says.
        salt: for tests; made at random otherwise.
    """
    salt = salt or secrets.token_hex(SALT_BYTES)
    text = f"{client_id} {origin_of(redirect_uri)} {browser_state} {salt}"
    return f"{hashlib.sha256(text.encode()).hexdigest()}.{salt}"


@lru_cache(maxsize=1024)
def origin_of(uri: str) -> str:
    """Return the origin of ``uri`` as browsers write it (RFC 6454 section 6.2)."""
    parts = urlsplit(uri)
    usual = {"https": 443, "http": 80}.get(parts.scheme)
    host = parts.hostname or ""
    host = f"[{host}]" if ":" in host else host
    return f"{parts.scheme}://{host}" + (f":{parts.port}" if parts.port not in (None, usual) else "")
