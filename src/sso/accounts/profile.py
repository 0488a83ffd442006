"""The profile of a user: name and standard claims, the picture, and preferences."""

from __future__ import annotations

import re
import uuid
from collections.abc import Mapping
from typing import cast

from pydantic import ValidationError
from sqlalchemy.ext.asyncio import AsyncSession

from sso import clock
from sso.identity.users import store as users
from sso.identity.users.addresses import formatted_address
from sso.identity.users.codes import country_code
from sso.identity.users.models import Picture, User
from sso.identity.users.regions import canonical
from sso.identity.users.schemas import Address, Profile
from sso.platform.actor import Actor
from sso.platform.audit import record_by
from sso.platform.security.tokens import random_token

MAX_NAME_CHARS = 200
NAME_PARTS = ("given_name", "middle_name", "family_name")
PROFILE_FIELDS = (*NAME_PARTS, "nickname", "gender", "birthdate", "website", "zoneinfo")
ADDRESS_FIELDS = (
    "street_address", "rt", "rw", "village", "district", "locality", "region", "postal_code", "country",
)  # fmt: skip
_DATE = re.compile(r"([0-9]{1,2})[-/. ]([0-9]{1,2})[-/. ]([0-9]{4})")
_NEIGHBOURHOOD = re.compile(r"(?:r\.?[tw]\.?)?\s*([0-9]{1,3})", re.IGNORECASE)


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


def read_birthdate(typed: str) -> str:
    """Return a date of birth in the form of the claim. ``21-4-1990`` and ``21/04/1990`` are read too: a browser without
    a date picker lets people type the date as they write it."""
    match = _DATE.fullmatch(typed)
    return f"{match[3]}-{match[2]:0>2}-{match[1]:0>2}" if match else typed


def read_profile(present: Mapping[str, object], typed: Mapping[str, str], name: str = "", before: str = "") -> Profile:
    """Return the profile that was typed. What the form does not ask for stays as it is.

    Args:
        present: the stored profile.
        typed: the fields of the form.
        name: the full name that was typed.
        before: the stored full name.

    Raises:
        ProfileInvalid: naming the fields that are wrong.
    """
    asks_address = any(f"address_{field}" in typed for field in ADDRESS_FIELDS)
    values = {field: value for field, value in present.items() if field != "address" or not asks_address}
    form_fields = [field for field in PROFILE_FIELDS if field in typed or field not in NAME_PARTS]
    values |= {field: typed.get(field, "").strip() or None for field in form_fields}
    values["birthdate"] = read_birthdate(str(values.get("birthdate") or "")) or None
    if name != before and parts_disagree(name, present, values):
        values |= dict.fromkeys(NAME_PARTS)
    address = _typed_address(typed)
    if any(address.values()):  # "formatted" is checked too: it is what an application receives
        formatted = formatted_address(address)
        values["address"] = Address.model_construct(None, **address, formatted=formatted).model_dump()
    try:
        profile = Profile.model_validate(values)
    except ValidationError as error:
        raise ProfileInvalid([_field_of(problem["loc"]) for problem in error.errors()]) from None
    if asks_address and profile.address is not None:  # numbers and country are in their stored form now
        profile.address.formatted = formatted_address(profile.address.model_dump())
    return profile


def parts_disagree(name: str, stored: Mapping[str, object], parts: Mapping[str, object]) -> bool:
    """Tell whether first and last names say something else than a full name that has just been changed.

    Most people in Indonesia have one name of one or more words and no family name. Where an import or another form
    stored the parts apart, a new full name must not leave an old first name behind. Parts that were changed together
    with the name are kept as they were typed.

    Args:
        name: the new full name.
        stored: the stored profile.
        parts: the profile with the parts that were typed.
    """
    if any((parts.get(part) or None) != (stored.get(part) or None) for part in NAME_PARTS):
        return False
    words = set(name.casefold().split())
    return any(not words.issuperset(str(parts.get(part) or "").casefold().split()) for part in NAME_PARTS)


def _typed_address(typed: Mapping[str, str]) -> dict[str, str | None]:
    """Return the address that was typed: names of regions and the country in the spelling of the data, numbers without
    ``RT`` and ``RW``."""
    address = {field: typed.get(f"address_{field}", "").strip() or None for field in ADDRESS_FIELDS}
    named = [address[field] or "" for field in ("region", "locality", "district", "village")]
    region, locality, district, village = (name or None for name in canonical(*named))
    address |= {"region": region, "locality": locality, "district": district, "village": village}
    address["country"] = country_code(address["country"] or "") or None
    for field in ("rt", "rw"):
        match = _NEIGHBOURHOOD.fullmatch(address[field] or "")
        address[field] = match[1] if match else address[field]
    return address


def _field_of(location: tuple[int | str, ...]) -> str:
    """Return the field of the form to correct. The formatted address is made from the other fields of the address."""
    name = "_".join(str(part) for part in location)
    return "address_street_address" if name == "address_formatted" else name


def profile_values(user: User) -> dict[str, str]:
    """Return name, profile and address of a user by the names of the fields of the form."""
    address = cast(Mapping[str, object], user.profile.get("address") or {})
    if set(address) == {"formatted"}:  # an import knew the whole address alone
        address = {"street_address": ", ".join(str(address["formatted"]).splitlines())}
    values = {name: str(user.profile.get(name) or "") for name in PROFILE_FIELDS}
    return {"name": user.name, **values, **{f"address_{name}": str(address.get(name) or "") for name in ADDRESS_FIELDS}}


def change_profile(session: AsyncSession, user: User, name: str, profile: Profile, actor: Actor) -> None:
    """Change name and profile of a user who is locked."""
    user.name, user.profile, user.updated_at = name, profile.model_dump(exclude_none=True), clock.now()
    record_by(session, actor, "user.changed", subject=str(user.id))


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
    record_by(session, actor, "user.changed", subject=str(user_id), data=data)


def change_preferences(user: User, notices: Mapping[str, bool]) -> None:
    """Choose which notices a user receives."""
    user.preferences = {**user.preferences, **notices}
    user.updated_at = clock.now()
