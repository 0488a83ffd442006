"""The profile of the own account: name, standard claims (OpenID Connect Core section 5.1) and picture."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping
from datetime import date
from typing import Annotated, Literal

import orjson
from fastapi import Depends
from pydantic import AfterValidator
from starlette.requests import Request
from starlette.responses import Response

from sso import clock
from sso.accounts.attributes import ValuesInvalid, attribute_views, change_values
from sso.accounts.languages import territory_name
from sso.accounts.own_account import lock_own_account
from sso.accounts.profile import (
    ADDRESS_FIELDS,
    MAX_NAME_CHARS,
    NAME_PARTS,
    PROFILE_FIELDS,
    ProfileInvalid,
    change_picture,
    change_profile,
    profile_values,
    read_name,
    read_profile,
)
from sso.http.account.access import OwnPage, OwnVisit, done
from sso.http.account.time_zones import other_time_zones
from sso.http.common.attribute_fields import attribute_errors, attribute_fields, sent_attributes
from sso.http.common.field_errors import FieldError, errors_in_order
from sso.http.common.forms import upload
from sso.http.common.i18n import N_
from sso.http.common.images import reduced_png
from sso.http.common.late_routes import new_router
from sso.http.common.pages import locale_of
from sso.http.common.services import Db
from sso.http.common.typed_forms import Choice, ChoiceField, FormModel, Sent, SentForm, required
from sso.http.sign_in.texts import STALE
from sso.identity.users import regions
from sso.identity.users import store as users
from sso.identity.users.schemas import Profile

router = new_router()

PROFILE = "/account/profile"
OWN: tuple[Literal["user"]] = ("user",)
"""What the user of the account is for the rights of attributes."""
PICTURE_PIXELS = 256
NO_NAME = N_("Enter your name.")
NOT_A_PICTURE = N_("Choose a picture in PNG, JPEG, GIF or WebP format of at most %(megabytes)d MB.")
WRONG = N_("Shorten this text and remove unusual characters.")
WRONG_FIELDS = {
    "birthdate": N_("Enter a date of birth that exists, such as 21/04/1990."),
    "website": N_("Enter the full web address, beginning with https://."),
    "address_rt": N_("Enter the RT as a number of at most three digits, such as 003."),
    "address_rw": N_("Enter the RW as a number of at most three digits, such as 005."),
}
FIELDS = ("name", *PROFILE_FIELDS, *(f"address_{field}" for field in ADDRESS_FIELDS))
"""The fields of the page, in its order."""
DONE = {
    "1": N_("Your profile is saved."),
    "parts": N_("Your profile is saved. The stored first and last names did not match your new name and were removed."),
    "picture": N_("Your picture is saved."),
    "no_picture": N_("Your picture is removed."),
    "attributes": N_("Your data is saved."),
}
Here = Annotated[OwnVisit, Depends(OwnPage("profile"))]


class ProfileForm(FormModel):
    """The name. The other fields are those of the stored profile, which checks them itself. ``choice``: ``regions``
    shows the names of the regions within those that were typed, and saves nothing."""

    name: Annotated[str, AfterValidator(read_name), required(NO_NAME)] = ""
    choice: ChoiceField = Choice()


class AttributesForm(FormModel):
    """The attributes that the city declared: the fields are those of the declaration, which checks them itself."""


AttributeValues = Annotated[Sent[AttributesForm], Depends(SentForm(AttributesForm))]
ProfileFields = Annotated[Sent[ProfileForm], Depends(SentForm(ProfileForm))]


@router.get(PROFILE)
async def profile_page(here: Here) -> Response:
    return await _page(here, profile_values(here.user))


@router.post(PROFILE)
async def save_profile(here: Here, sent: ProfileFields) -> Response:
    """Change the profile; the page names every mistake, and keeps what was typed."""
    if not here.sent_by_us(sent.typed):
        return await _page(here, sent.typed, {"": STALE}, 400)
    if sent.form.choice.act == "regions":
        return await _page(here, sent.typed)
    mistakes = dict(sent.mistakes)
    stored, before = here.user.profile, here.user.name
    try:
        profile = read_profile(stored, sent.typed, sent.form.name or before, before)
    except ProfileInvalid as error:
        mistakes |= {field: WRONG_FIELDS.get(field, WRONG) for field in error.fields}
        return await _page(here, sent.typed, mistakes, 400)
    if mistakes:
        return await _page(here, sent.typed, mistakes, 400)
    async with here.services.db.write() as session:
        user = await lock_own_account(session, here.own)
        change_profile(session, user, sent.form.name, profile, here.actor)
    return done(PROFILE, "parts" if _parts_removed(sent.typed, profile) else "1")


@router.post(f"{PROFILE}/attributes")
async def save_attributes(here: Here, sent: AttributeValues) -> Response:
    """Change the attributes that the user may change, all or none."""
    stored = profile_values(here.user)
    if not here.sent_by_us(sent.typed):
        return await _page(here, stored, {"": STALE}, 400)
    city = here.services.changes.registry.city
    try:
        async with here.services.db.write() as session:
            user = await lock_own_account(session, here.own)
            values = sent_attributes(sent.typed, city, OWN)
            await change_values(session, here.services.box, user.id, values, who=OWN, actor=here.actor)
    except ValuesInvalid as error:
        return await _page(here, {**stored, **sent.typed}, status=400, refused=error.wrong)
    return done(PROFILE, "attributes")


def _parts_removed(typed: Mapping[str, str], profile: Profile) -> bool:
    """Tell whether parts of the name were in the form and are not stored any more."""
    parts = profile.model_dump(include=set(NAME_PARTS))
    return any(typed.get(part, "").strip() and not parts[part] for part in NAME_PARTS)


async def _page(
    here: OwnVisit,
    typed: Mapping[str, str],
    mistakes: Mapping[str, str] | None = None,
    status: int = 200,
    refused: Collection[str] = (),
    **values: int,
) -> Response:
    city = here.services.changes.registry.city
    async with here.services.db.read() as session:
        picture = await users.picture_of(session, here.user.id)
        attributes = await attribute_views(session, here.services.box, city, here.user.id, OWN)
    stored, locale = profile_values(here.user), locale_of(here.request)
    field_values = {name: typed.get(name, "")[:500] for name in stored}
    field_values["address_country"] = (
        territory_name(locale, field_values["address_country"]) or field_values["address_country"]
    )
    return here.page(
        "account_profile.html",
        status,
        typed=field_values,
        apart=any(stored[part] for part in NAME_PARTS),
        birthdate_is_date=_is_date(field_values["birthdate"]),
        today=clock.now().date().isoformat(),
        zones=other_time_zones(locale, stored["zoneinfo"]),
        regions=await asyncio.to_thread(regions_within, field_values),
        errors=[
            *(FieldError(error.field, error.text, values) for error in errors_in_order(mistakes or {}, FIELDS)),
            *attribute_errors(refused, city),
        ],
        attributes=attribute_fields(attributes, locale, typed),
        picture=picture.id if picture else "",
        megabytes=_megabytes(here),
        done=DONE.get(here.request.query_params.get("done", ""), ""),
    )


def _is_date(text: str) -> bool:
    """Tell whether a date picker can show a stored or typed date of birth; a year alone it cannot show."""
    try:
        return not text or bool(date.fromisoformat(text).year)
    except ValueError:
        return False


def regions_within(typed: Mapping[str, str]) -> dict[str, list[str]]:
    """Return the names to choose from, by the fields of the form: of a field only where the one above it is known."""
    province, regency = typed.get("address_region", ""), typed.get("address_locality", "")
    return {
        "address_region": regions.provinces(),
        "address_locality": regions.regencies(province),
        "address_district": regions.districts(province, regency),
        "address_village": regions.villages(province, regency, typed.get("address_district", "")),
    }


@router.get(f"{PROFILE}/regions", dependencies=[Depends(OwnPage("profile"))])
async def region_names(request: Request) -> Response:
    """The names of regions within others, as JSON: a script of ours asks when a region was chosen."""
    typed = {name: value[:MAX_NAME_CHARS] for name, value in request.query_params.items()}
    names = await asyncio.to_thread(regions_within, typed)  # reads the file of a province
    return Response(orjson.dumps(names), headers={"Cache-Control": "no-store"}, media_type="application/json")


def _megabytes(here: OwnVisit) -> int:
    return here.services.settings.max_picture_size // (1024 * 1024)


@router.post("/account/picture")
async def save_picture(request: Request, here: Here) -> Response:
    """Store a picture, small and made anew from its pixels; or remove it."""
    fields, body = await upload(request, "picture")
    if not here.sent_by_us(fields):
        return await _page(here, profile_values(here.user), {"": STALE}, 400)
    image = b""
    if fields.get("choice") != "remove":
        try:
            image = await asyncio.to_thread(reduced_png, body, PICTURE_PIXELS)
        except ValueError:
            mistakes = {"picture": NOT_A_PICTURE}
            return await _page(here, profile_values(here.user), mistakes, 400, megabytes=_megabytes(here))
    async with here.services.db.write() as session:
        user = await lock_own_account(session, here.own)
        await change_picture(session, user.id, image, here.actor)
    return done(PROFILE, "picture" if image else "no_picture")


@router.get("/picture/{picture_id}")
async def picture_file(picture_id: str, db: Db) -> Response:
    """The picture of a user, for those who know its address: applications that may have the claim ``picture``."""
    async with db.read() as session:
        image = await users.picture_with_id(session, picture_id)
    if image is None:
        return Response(status_code=404, headers={"Cache-Control": "no-store"})
    return Response(image, headers={"Cache-Control": "private, max-age=3600"}, media_type="image/png")
