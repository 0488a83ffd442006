"""The form in which people are imported."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import date, timedelta
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationInfo, field_validator

from sso import clock
from sso.identity.users.codes import Code, country, language_tag, time_zone
from sso.identity.users.identifiers import Kind, normalise_as
from sso.platform.permissions import RoleName
from sso.platform.security.hash_costs import argon2_costs, check_costs
from sso.platform.security.text import Line, Lines

Role = RoleName
KIND_OF_FIELD: dict[str, Kind] = {
    "username": "username", "email": "email", "phone_number": "phone", "nik": "nik", "nip": "nip"
}  # fmt: skip
NAME = re.compile(r"[^\x00-\x1f\x7f<>]{1,200}")
MAX_LOCALE_CHARS = 16
Short = Annotated[Line, Field(max_length=200)]
FullName = Annotated[Line, Field(min_length=1, max_length=200, pattern=r"^[^<>]+$")]

BIRTHDATE_FORM = "must be year, month and day (1990-04-21), or the year alone (1990), or 0000-04-21 without a year"
_LEAP_YEAR = 2000
_FIRST_TIME_ZONE = timedelta(hours=14)


def check_birthdate(text: str) -> str:
    """Return a date of birth of the form ``YYYY-MM-DD``, ``0000-MM-DD`` or ``YYYY`` (OpenID Connect Core section 5.1),
    if there is such a day and it is not in the future.

    Raises:
        ValueError: saying what is wrong.
    """
    year, _, day = text.partition("-")
    if int(year) == 0 and not day:
        raise ValueError(BIRTHDATE_FORM)
    try:
        born = date.fromisoformat(f"{_LEAP_YEAR if int(year) == 0 else year}-{day or '01-01'}")
    except ValueError:
        raise ValueError("is a day that does not exist") from None
    if born > (clock.now() + _FIRST_TIME_ZONE).date():
        raise ValueError("is in the future")
    return text


Birthdate = Annotated[str, Field(pattern=r"^[0-9]{4}(-[0-9]{2}-[0-9]{2})?$"), AfterValidator(check_birthdate)]


def _in_canonical_form(read: Callable[[str], Code]) -> AfterValidator:
    return AfterValidator(lambda text: read(text).value if text.strip() else text)


def check_locale(text: str) -> str:
    """Return a language tag in its canonical form, as long as the column holds it.

    Raises:
        ValueError: saying what is wrong.
    """
    tag = language_tag(text).value
    if len(tag) > MAX_LOCALE_CHARS:
        raise ValueError(f"must have at most {MAX_LOCALE_CHARS} characters")
    return tag


LanguageTag = Annotated[
    Line, Field(max_length=35, examples=["id", "en", "id-ID"], description="BCP 47."), AfterValidator(check_locale)
]
TimeZone = Annotated[Line, Field(max_length=60), _in_canonical_form(time_zone)]
Country = Annotated[Line, Field(max_length=200), _in_canonical_form(country)]


def _three_digits(number: str) -> str:
    return number.zfill(3)


Neighbourhood = Annotated[str, Field(pattern=r"^[0-9]{1,3}$", examples=["003"]), AfterValidator(_three_digits)]


class Address(BaseModel):
    """An address. Applications receive the members of the address claim (OpenID Connect Core section 5.1.1); ``rt``,
    ``rw``, ``village`` and ``district`` become lines of its ``street_address``."""

    model_config = ConfigDict(extra="forbid")

    formatted: Annotated[Lines, Field(max_length=500)] | None = None
    street_address: Annotated[Lines, Field(max_length=300)] | None = None
    rt: Neighbourhood | None = Field(None, description="Rukun tetangga: one to three digits.")
    rw: Neighbourhood | None = Field(None, description="Rukun warga: one to three digits.")
    village: Short | None = Field(None, description="Kelurahan or desa.")
    district: Short | None = Field(None, description="Kecamatan.")
    locality: Short | None = Field(None, description="City or regency, such as Kota Tangerang.")
    region: Short | None = Field(None, description="Province.")
    postal_code: Short | None = None
    country: Country | None = None


class Profile(BaseModel):
    """Standard claims that are kept as they are (OpenID Connect Core section 5.1)."""

    model_config = ConfigDict(extra="forbid")

    given_name: Short | None = None
    family_name: Short | None = None
    middle_name: Short | None = None
    nickname: Short | None = None
    profile: Annotated[str, Field(max_length=500, pattern=r"^https://")] | None = None
    picture: Annotated[str, Field(max_length=500, pattern=r"^https://")] | None = None
    website: Annotated[str, Field(max_length=500, pattern=r"^https://")] | None = None
    gender: Short | None = None
    birthdate: Birthdate | None = None
    zoneinfo: TimeZone | None = None
    address: Address | None = None


class NewUser(BaseModel):
    """A person to be made."""

    model_config = ConfigDict(extra="forbid", str_strip_whitespace=True)

    username: str
    name: FullName
    email: str | None = None
    email_verified: bool = False
    phone_number: str | None = None
    phone_number_verified: bool = False
    nik: str | None = Field(None, description="The 16 digits of the identity number; encrypted, and shown masked.")
    nik_verified: bool = False
    locale: LanguageTag | None = None
    roles: list[Role] = ["citizen"]
    profile: Profile = Field(default_factory=Profile)
    password_hash: str | None = Field(None, description="An argon2id hash in PHC form, moved from another system.")

    @field_validator("username", "email", "phone_number", "nik")
    @classmethod
    def _is_of_its_kind(cls, value: str | None, info: ValidationInfo) -> str | None:
        return _of_kind(value, str(info.field_name))

    @field_validator("password_hash")
    @classmethod
    def _is_argon2id(cls, value: str | None) -> str | None:
        if value is not None and not value.startswith("$argon2id$"):
            raise ValueError("must be an argon2id hash ($argon2id$...)")
        if value is not None:
            check_costs("argon2", argon2_costs(value))
        return value


class UserChange(BaseModel):
    """What is to change about a person: only what is named. None takes an address or a number away."""

    model_config = ConfigDict(extra="forbid", str_strip_whitespace=True)

    name: FullName = ""
    username: str = ""
    email: str | None = None
    email_verified: bool = False
    phone_number: str | None = None
    phone_number_verified: bool = False
    locale: LanguageTag | None = None
    profile: Profile = Field(default_factory=Profile)

    @field_validator("username", "email", "phone_number")
    @classmethod
    def _is_of_its_kind(cls, value: str | None, info: ValidationInfo) -> str | None:
        return _of_kind(value, str(info.field_name))


def warnings_of(person: NewUser | UserChange) -> list[str]:
    """Return what is unusual in the values that were given: codes that no table has, and a telephone number that cannot
    count as verified. Nothing of it keeps them from being stored."""
    warnings = []
    for field, kind in KIND_OF_FIELD.items():
        value = getattr(person, field, None)
        warnings += [f"{field}: {text}" for text in (normalise_as(kind, value).warnings if value else ())]
    address = person.profile.address
    codes: list[tuple[str, Callable[[str], Code], str | None]] = [
        ("locale", language_tag, person.locale),
        ("profile.zoneinfo", time_zone, person.profile.zoneinfo),
        ("profile.address.country", country, address.country if address is not None else None),
    ]
    for field, read, value in codes:
        warning = read(value).warning if value and value.strip() else ""
        warnings += [f"{field}: {warning}"] if warning else []
    return warnings


def _of_kind(value: str | None, field: str) -> str | None:
    return None if value is None else normalise_as(KIND_OF_FIELD[field], value).value
