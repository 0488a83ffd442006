"""People who are nobody: with whom a team tries its sandbox, in every combination of claims and levels.

They have no way to sign in: the portal starts a session for one, marked in ``amr``, and no application but a sandbox
takes such a session. Whoever is one is marked in ``preferences`` too, and is neither signed in nor recovered.
"""

from __future__ import annotations

from collections.abc import Mapping

from sqlalchemy.ext.asyncio import AsyncSession

from sso import clock
from sso.identity.authn.authenticated import Authenticated
from sso.identity.sessions.store import ActiveSession
from sso.identity.users.models import User
from sso.identity.users.schemas import NewUser
from sso.identity.users.service import create_users
from sso.identity.users.store import find_user

MARK = "test"
"""What ``amr`` of their sessions holds, and what their ``preferences`` say."""
_ADDRESS = {"locality": "Tangerang", "region": "Banten", "country": "ID", "formatted": "Jalan Uji 1\nTangerang"}
PEOPLE: Mapping[str, dict[str, object]] = {
    "uji-lengkap": {
        "name": "Uji Lengkap",
        "email": "uji-lengkap@uji.example",
        "email_verified": True,
        "phone_number": "+628110000001",
        "phone_number_verified": True,
        "locale": "id",
        "profile": {
            "given_name": "Uji", "family_name": "Lengkap", "nickname": "Uji", "gender": "female",
            "birthdate": "1990-01-31", "zoneinfo": "Asia/Jakarta", "website": "https://uji.example/",
            "address": _ADDRESS,
        },
        "checked": True,
    },
    "uji-terbukti": {"name": "Uji Terbukti", "email": "uji-terbukti@uji.example", "email_verified": True},
    "uji-baru": {"name": "Uji Baru", "email": "uji-baru@uji.example"},
    "uji-telepon": {"name": "Uji Telepon", "phone_number": "+628110000002", "phone_number_verified": True},
    "uji-nama": {"name": "Uji Nama"},
    "uji-panjang": {
        "name": "O'Uji Nama Yang Sangat Panjang " + "Wijaya " * 20 + "Ağ-日本",
        "email": "uji-panjang@uji.example",
        "email_verified": True,
        "locale": "en",
    },
}  # fmt: skip
"""By user name: what their claims are made of. ``checked``: their document was checked at a counter."""


def is_test(live: ActiveSession) -> bool:
    """Tell whether a session is of one of them."""
    return MARK in live.amr


async def test_person(session: AsyncSession, username: str) -> User:
    """Return one of them, made where they are not there yet.

    Raises:
        KeyError: when there is none of that name.
    """
    about = dict(PEOPLE[username])
    existing = await find_user(session, username)
    if existing is not None and existing.preferences.get(MARK):
        return existing
    checked = about.pop("checked", False)
    person = NewUser.model_validate({"username": username, "roles": [], **about})
    (created,) = await create_users(session, [person], actor="system")
    created.preferences = {MARK: True}
    created.identity_checked_at = clock.now() if checked else None
    await session.flush()
    return created


def authenticated_with(user: User, acr: str) -> Authenticated:
    """Return what a session of one of them says of how they signed in."""
    return Authenticated(user, acr, [MARK])
