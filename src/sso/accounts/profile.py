"""The profile of a user: name and standard claims, the picture, and preferences."""

from __future__ import annotations

import uuid
from collections.abc import Mapping

from pydantic import ValidationError
from sqlalchemy.ext.asyncio import AsyncSession

from sso import clock
from sso.identity.users import store as users
from sso.identity.users.models import Picture, User
from sso.identity.users.schemas import Address, Profile
from sso.platform.actor import Actor
from sso.platform.audit import record
from sso.platform.security.tokens import random_token

MAX_NAME_CHARS = 200
PROFILE_FIELDS = (
    "given_name", "middle_name", "family_name", "nickname", "gender", "birthdate", "website", "zoneinfo",
)  # fmt: skip
ADDRESS_FIELDS = ("street_address", "locality", "region", "postal_code", "country")


class ProfileInvalid(Exception):
    """A profile cannot be stored. ``fields`` names what is wrong: profile fields, those of the address with the prefix
    ``address_``."""

    def __init__(self, fields: list[str]) -> None:
        super().__init__(", ".join(fields))
        self.fields = fields


def read_name(typed: str) -> str:
    """Return the name of a user as it is stored; empty: it cannot be stored. Signs that make markup are refused, and
    what cannot be printed."""
    name = " ".join(typed.split())[:MAX_NAME_CHARS]
    return "" if any(char in "<>" or not char.isprintable() for char in name) else name


def read_profile(present: Mapping[str, object], typed: Mapping[str, str]) -> Profile:
    """Return the profile that was typed. What the form does not ask for stays as it is.

    Args:
        present: the stored profile.
        typed: the fields of the form.

    Raises:
        ProfileInvalid: naming the fields that are wrong.
    """
    values = {name: value for name, value in present.items() if name not in (*PROFILE_FIELDS, "address")}
    values |= {name: typed.get(name, "").strip() or None for name in PROFILE_FIELDS}
    address = {name: typed.get(f"address_{name}", "").strip() or None for name in ADDRESS_FIELDS}
    if any(address.values()):
        formatted = _formatted(address)
        values["address"] = Address.model_construct(None, **address, formatted=formatted).model_dump()
    try:
        return Profile.model_validate(values)
    except ValidationError as error:
        raise ProfileInvalid([_field_of(problem["loc"]) for problem in error.errors()]) from None


def _field_of(location: tuple[int | str, ...]) -> str:
    """Return the field of the form to correct. The formatted address is made from the other fields of the address."""
    name = "_".join(str(part) for part in location)
    return "address_street_address" if name == "address_formatted" else name


def _formatted(address: Mapping[str, str | None]) -> str:
    """Return an address on several lines (OpenID Connect Core section 5.1.1)."""
    town = " ".join(filter(None, (address["locality"], address["postal_code"])))
    return "\n".join(filter(None, (address["street_address"], town, address["region"], address["country"])))


def profile_values(user: User) -> dict[str, str]:
    """Return name, profile and address of a user by the names of the fields of the form."""
    address = user.profile.get("address") or {}
    values = {name: str(user.profile.get(name) or "") for name in PROFILE_FIELDS}
    return {"name": user.name, **values, **{f"address_{name}": str(address.get(name) or "") for name in ADDRESS_FIELDS}}


def change_profile(session: AsyncSession, user: User, name: str, profile: Profile, actor: Actor) -> None:
    """Change name and profile of a user who is locked."""
    user.name, user.profile, user.updated_at = name, profile.model_dump(exclude_none=True), clock.now()
    record(session, "user.changed", actor=actor.name, subject=str(user.id), request_id=actor.request_id)


async def change_picture(session: AsyncSession, user_id: uuid.UUID, image: bytes, actor: Actor) -> None:
    """Store a picture of a user in place of any other; an empty one removes it.

    Args:
        session: the transaction.
        user_id: the user, locked.
        image: a PNG that was made anew from its pixels, or nothing.
        actor: the user.
    """
    now, present = clock.now(), await users.picture_of(session, user_id)
    if present is not None:
        await session.delete(present)
        await session.flush()
    if image:
        session.add(Picture(user_id=user_id, id=random_token(), image=image, updated_at=now))
    await users.mark_changed(session, user_id, now)
    data = {"changed": ["picture"]}
    record(session, "user.changed", actor=actor.name, subject=str(user_id), request_id=actor.request_id, data=data)


def change_preferences(user: User, notices: Mapping[str, bool]) -> None:
    """Choose which notices a user receives."""
    user.preferences = {**user.preferences, **notices}
    user.updated_at = clock.now()
