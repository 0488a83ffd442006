"""The key with which the proxy of an application shows that it is that proxy, and the password that the gate sends to
an application."""

from __future__ import annotations

from functools import lru_cache

from sso.clients.registry import Client
from sso.platform.security.encryption import CannotDecrypt, SecretBox
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


def basic_password(box: SecretBox, client: Client) -> str | None:
    """Return the password of an application's Basic credentials: its oldest client secret that is valid, so that a
    second one can be put into the application before the first is revoked. None: it has none that can be read."""
    sent = next((secret.encrypted for secret in client.current_secrets() if secret.encrypted is not None), None)
    try:
        return _decrypted(box, client.client_id, sent) if sent is not None else None
    except CannotDecrypt:
        return None


@lru_cache(maxsize=200)
def _decrypted(box: SecretBox, client_id: str, encrypted: bytes) -> str:
    return box.decrypt(encrypted, f"client-secret:{client_id}").decode()
