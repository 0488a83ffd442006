"""A stored password hash, however it came to be stored, never stops sign-in: for its own account or for others."""

from __future__ import annotations

import base64
import time

import pytest
from pydantic import ValidationError
from sqlalchemy import update
from tests.support import City

from sso.identity.users import store
from sso.identity.users.models import Credential
from sso.identity.users.schemas import NewUser

B64 = base64.b64encode(b"g" * 32).decode().rstrip("=")
STORED = [
    f"$argon2id$v=19$m=4194304,t=1000,p=1${B64}${B64}",
    f"$argon2id$v=19$m=65536,t=4000000000,p=4${B64}${B64}",
    f"$argon2i$v=19$m=2097152,t=64,p=1${B64}${B64}",
    "$2b$31$cKbFxK..247tYeC7rOs.Xeu.Qsi8izcEZSc6qCiB9GntC096zA7JW",
    "$6$rounds=999999999$saltstring$" + "a" * 86,
    "$pbkdf2-sha512$900000000$c2FsdA$" + B64,
    "pbkdf2_sha256$999999999$garam$" + base64.b64encode(b"k" * 32).decode(),
    f"$scrypt$ln=24,r=8,p=1$c2FsdA${B64}",
    "$P$Z84478476IagS59wHZvyQMArzfx58u.",
    "$S$Z33783772bRXEx1aCsvY.dqgaaSu76XmVlKrW9Qu8IQlvxHlmzLf",
    "$argon2id$v=19$m=65536,t=3,p=1$broken",
    "$argon2id$",
    "{SSHA}####",
    "{CRYPT}",
    "é",
    "*",
]  # fmt: skip


async def test_a_stored_hash_fails_closed_and_quickly(city: City) -> None:
    """Before, the argon2id and sha512_crypt hashes were computed for minutes, and the broken ones were a 500."""
    for stored in STORED:
        async with city.provider.db.write() as session:
            user = await store.find_user(session, "siti")
            assert user is not None
            await session.execute(
                update(Credential)
                .where(Credential.user_id == user.id, Credential.kind == "password")
                .values(secret=stored)
            )
        started = time.process_time()
        async with city.browser() as browser:
            answer = await browser.sign_in(city.relying_party("warga"), "siti", "kata sandi apa pun")
        assert answer.status_code in (400, 429), stored
        assert time.process_time() - started < 3, stored


def test_the_api_takes_no_hash_that_costs_too_much() -> None:
    for costs in ("m=4194304,t=3,p=1", "m=131073,t=1,p=1", "m=65536,t=65,p=1", "m=65536,t=1,p=17", "m=1"):
        with pytest.raises(ValidationError, match="password_hash"):
            NewUser.model_validate(
                {"username": "baru", "name": "B", "password_hash": f"$argon2id$v=19${costs}${B64}${B64}"}
            )
