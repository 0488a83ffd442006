"""Sealing at rest: keys rotate, values cannot be swapped or altered."""

from __future__ import annotations

import pytest
from sqlalchemy import text
from tests.support import SECRET_KEY, City

from sso.clients.secrets import reencrypt_secrets
from sso.oidc.provider import Provider
from sso.platform.keys import reencrypt
from sso.platform.security.encryption import CannotDecrypt, SecretBox
from sso.platform.security.instance_secrets import reencrypt_instance_secrets

OLD, NEW = b"o" * 32, b"n" * 32


def test_what_was_sealed_opens_with_any_of_the_keys() -> None:
    sealed = SecretBox([OLD]).encrypt(b"data", "x")
    rotated = SecretBox([NEW, OLD])
    assert rotated.decrypt(sealed, "x") == b"data"
    assert not rotated.is_current(sealed)
    assert rotated.is_current(rotated.encrypt(b"data", "x"))


@pytest.mark.parametrize("change", ["purpose", "key", "altered", "cut", "empty"])
def test_nothing_else_opens_it(change: str) -> None:
    box = SecretBox([OLD])
    sealed = box.encrypt(b"data", "x")
    purpose = "y" if change == "purpose" else "x"
    if change == "key":
        box = SecretBox([NEW])
    sealed = {"altered": sealed[:-1] + bytes([sealed[-1] ^ 1]), "cut": sealed[:8], "empty": b""}.get(change, sealed)
    with pytest.raises(CannotDecrypt):
        box.decrypt(sealed, purpose)


def test_the_same_data_is_sealed_differently_each_time() -> None:
    box = SecretBox([OLD])
    assert box.encrypt(b"data", "x") != box.encrypt(b"data", "x")


@pytest.mark.locks_freely
async def test_the_secret_key_is_replaced_without_losing_anything(city: City) -> None:
    """Put the new one in front, encrypt again, take the old one away."""
    both = city.settings.model_copy(update={"secret_key": []})
    object.__setattr__(both, "secrets", lambda **_: [NEW, SECRET_KEY.encode()])
    provider = Provider(both, city.provider.db)
    await provider.load()
    async with city.provider.db.write() as session:
        count = await reencrypt(session, provider.box)
        count += await reencrypt_instance_secrets(session, provider.box)
        count += await reencrypt_secrets(session, provider.box)
    assert count >= 10 + 2 + 1
    object.__setattr__(both, "secrets", lambda **_: [NEW])
    only_new = Provider(both, city.provider.db)
    await only_new.load()
    assert only_new.keys.algs
    client = only_new.registry.get("rahasia-jwt")
    assert client is not None
    sealed = client.current_secrets()[0].encrypted
    assert sealed is not None
    assert only_new.box.decrypt(sealed, "client-secret:rahasia-jwt").decode() == city.secrets["rahasia-jwt"]
    object.__setattr__(both, "secrets", lambda **_: [SECRET_KEY.encode()])
    with pytest.raises(CannotDecrypt):
        await Provider(both, city.provider.db).load()
    async with city.provider.db.read() as session:
        assert (await session.execute(text("SELECT count(*) FROM signing_keys"))).scalar_one() == 10
