"""The page of administrators about signing keys."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from sso.http.common.i18n import N_
from sso.http.common.state import request_id_of, site_of
from sso.http.console.access import ADMIN, Here, Needs, admin_page, own_form, said, token_for
from sso.platform.audit import record
from sso.platform.keys.service import KeyTooYoung, list_keys, rotate
from sso.settings import whole_days

router = APIRouter()
NOTE_MISSING = N_("Say why: it is kept in the audit log.")
TOO_YOUNG = N_("The next keys were published a moment ago: applications may not know them yet. Try again later.")
SeesKeys = Annotated[Here, Depends(Needs("keys:read"))]
Rotates = Annotated[Here, Depends(Needs("keys:rotate"))]


@router.get(ADMIN + "/keys")
async def keys_page(request: Request, here: SeesKeys) -> Response:
    """List the signing keys."""
    return await _keys_page(request, here)


async def _keys_page(request: Request, here: Here, problem: str = "", status: int = 200, note: str = "") -> Response:
    site = site_of(request)
    async with site.provider.db.read() as session:
        found = await list_keys(session)
    return admin_page(
        request,
        here,
        "keys",
        "admin_keys.html",
        status,
        rows=found,
        days=whole_days(site.settings.key_rotation_interval),
        alg=site.settings.signing_alg,
        may_rotate=here.may("keys:rotate"),
        problem=problem,
        note=note,
        csrf_token=token_for(request, "keys"),
    )


@router.post(ADMIN + "/keys")
async def rotate_keys(request: Request, here: Rotates) -> Response:
    """Rotate the keys: the next keys sign from now on, the present keys stay published until their tokens expire."""
    fields, provider = await own_form(request, "keys"), site_of(request).provider
    note = said(fields)
    if not note:
        return await _keys_page(request, here, NOTE_MISSING, 400)
    try:
        async with provider.db.write() as session:
            await rotate(session, provider.box, force=fields.get("force") == "1", actor=here.actor)
            record(
                session, "keys.rotation_asked", actor=here.actor, request_id=request_id_of(request), data={"note": note}
            )
    except KeyTooYoung:
        return await _keys_page(request, here, TOO_YOUNG, 409, note)
    await provider.refresh()
    return RedirectResponse(ADMIN + "/keys", 303)
