"""The key with which the proxy of an application shows that it is that proxy."""

from __future__ import annotations

from functools import lru_cache

from sso.platform.security.encryption import SecretBox
from sso.platform.security.tokens import equal, keyed_token

PURPOSE = "gate-proxy-key"


def proxy_keys(box: SecretBox, client_id: str) -> list[str]:
    """Return the keys that are accepted from the proxy of an application: one for each secret key of this
    installation, the present one first."""
    return [keyed_token(key, client_id) for key in box.derived_keys(PURPOSE)]


def proxy_credential(box: SecretBox, client_id: str) -> str:
    """Return what the proxy of an application sends in ``X-SSO-Gate-Key``."""
    return f"{client_id}:{proxy_keys(box, client_id)[0]}"


def client_of_credential(box: SecretBox, credential: str) -> str | None:
    """Return the application whose proxy sent ``credential``; None: nobody's."""
    client_id, separator, key = credential.rpartition(":")
    if not separator or len(credential) > 200:
        return None
    return client_id if any(equal(known, key) for known in _keys(box, client_id)) else None


@lru_cache(maxsize=1000)
def _keys(box: SecretBox, client_id: str) -> tuple[str, ...]:
    return tuple(proxy_keys(box, client_id))
