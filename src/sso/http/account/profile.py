"""The profile of the own account: name, standard claims (OpenID Connect Core section 5.1) and picture."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Annotated

from fastapi import Depends
from pydantic import AfterValidator
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from sso.accounts.own_account import lock_own_account
from sso.accounts.profile import (
    ProfileInvalid,
    change_picture,
    change_profile,
    profile_values,
    read_name,
    read_profile,
)
from sso.http.account.access import OwnPage, OwnVisit
from sso.http.common.forms import upload
from sso.http.common.i18n import N_
from sso.http.common.images import made_small
from sso.http.common.late_routes import new_router
from sso.http.common.services import Db
from sso.http.common.typed_forms import FormModel, Sent, SentForm, required
from sso.http.sign_in.texts import STALE
from sso.identity.users import store as users

router = new_router()

PROFILE = "/account/profile"
PICTURE_PIXELS = 256
NO_NAME = N_("Type your name.")
NOT_A_PICTURE = N_("We cannot read this picture. Choose a PNG, JPEG, GIF or WebP of at most %(megabytes)d MB.")
WRONG = N_("This cannot be kept. Write it shorter, without special signs.")
WRONG_FIELDS = {
    "birthdate": N_("Write the date of birth as year, month and day: 1990-04-21."),
    "website": N_("Write the whole address, beginning with https://."),
}
Here = Annotated[OwnVisit, Depends(OwnPage("profile"))]


class ProfileForm(FormModel):
    """The name. The other fields are those of the stored profile, which checks them itself."""

    name: Annotated[str, AfterValidator(read_name), required(NO_NAME)] = ""


ProfileFields = Annotated[Sent[ProfileForm], Depends(SentForm(ProfileForm))]


@router.get(PROFILE)
async def profile_page(here: Here) -> Response:
    """The profile."""
    return await _page(here, profile_values(here.user))


@router.post(PROFILE)
async def save_profile(here: Here, sent: ProfileFields) -> Response:
    """Change the profile; the page names every mistake, and keeps what was typed."""
    if not here.sent_by_us(sent.typed):
        return await _page(here, sent.typed, {"": STALE}, 400)
    mistakes = dict(sent.mistakes)
    try:
        profile = read_profile(here.user.profile, sent.typed)
    except ProfileInvalid as error:
        mistakes |= {field: WRONG_FIELDS.get(field, WRONG) for field in error.fields}
        return await _page(here, sent.typed, mistakes, 400)
    if mistakes:
        return await _page(here, sent.typed, mistakes, 400)
    async with here.services.db.write() as session:
        user = await lock_own_account(session, here.own)
        change_profile(session, user, sent.form.name, profile, here.actor)
    return RedirectResponse(f"{PROFILE}?done=1", 303)


async def _page(
    here: OwnVisit,
    typed: Mapping[str, str],
    mistakes: Mapping[str, str] | None = None,
    status: int = 200,
    **values: int,
) -> Response:
    async with here.services.db.read() as session:
        picture = await users.picture_of(session, here.user.id)
    return here.page(
        "account_profile.html",
        status,
        typed={name: typed.get(name, "")[:500] for name in profile_values(here.user)},
        mistakes=mistakes or {},
        picture=picture.id if picture else "",
        megabytes=_megabytes(here),
        done=here.request.query_params.get("done", ""),
        values=values,
    )


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
            image = await asyncio.to_thread(made_small, body, PICTURE_PIXELS)
        except ValueError:
            mistakes = {"picture": NOT_A_PICTURE}
            return await _page(here, profile_values(here.user), mistakes, 400, megabytes=_megabytes(here))
    async with here.services.db.write() as session:
        user = await lock_own_account(session, here.own)
        await change_picture(session, user.id, image, here.actor)
    return RedirectResponse(f"{PROFILE}?done=1", 303)


@router.get("/picture/{picture_id}")
async def picture_file(picture_id: str, db: Db) -> Response:
    """The picture of a user, for those who know its address: applications that may have the claim ``picture``."""
    async with db.read() as session:
        image = await users.picture_with_id(session, picture_id)
    if image is None:
        return Response(status_code=404, headers={"Cache-Control": "no-store"})
    return Response(image, headers={"Cache-Control": "private, max-age=3600"}, media_type="image/png")
