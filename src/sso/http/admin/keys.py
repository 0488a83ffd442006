"""The page of administrators about signing keys."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Annotated

from fastapi import Depends
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from sso.http.admin.audit_labels import STATE_TEXTS
from sso.http.admin.csv_download import Downloads, DownloadSent, Row, csv_response, download_of
from sso.http.common.i18n import N_
from sso.http.common.late_routes import new_router
from sso.http.common.services import Box, Clients, CurrentSettings, Db
from sso.http.common.typed_forms import FormModel, Note, Sent, Ticked, required
from sso.http.console.access import ADMIN, Here, Needs, OwnForm, admin_page, token_for
from sso.http.console.texts import NOTE_MISSING
from sso.platform.audit import record_by
from sso.platform.db import Database
from sso.platform.keys.models import SigningKey
from sso.platform.keys.service import KeyTooYoung, list_keys, rotate
from sso.settings import Settings, whole_days

router = new_router()
TOO_YOUNG = N_("The next keys were published a moment ago, and applications may not know them yet. Try again later.")
COLUMNS = ("kid", "alg", "state", "created", "activated")
SeesKeys = Annotated[Here, Depends(Needs("keys:read"))]
Exports = Annotated[Here, Depends(Downloads("keys:read", personal=False))]
Rotates = Annotated[Here, Depends(Needs("keys:rotate"))]


class RotationForm(FormModel):
    """The reason, and whether the keys are replaced although the next ones are young."""

    note: Annotated[Note, required(NOTE_MISSING)] = ""
    force: Ticked = False


RotationSent = Annotated[Sent[RotationForm], Depends(OwnForm(RotationForm, "keys"))]


@router.get(ADMIN + "/keys")
async def keys_page(request: Request, here: SeesKeys, db: Db, settings: CurrentSettings) -> Response:
    """List the signing keys."""
    return await _keys_page(request, here, db, settings)


async def _keys_page(
    request: Request,
    here: Here,
    db: Database,
    settings: Settings,
    problem: str = "",
    status: int = 200,
    note: str = "",
) -> Response:
    async with db.read() as session:
        keys = await list_keys(session)
    return admin_page(
        request,
        here,
        "keys",
        "admin_keys.html",
        status,
        rows=keys,
        days=whole_days(settings.key_rotation_interval),
        alg=settings.signing_alg,
        states=STATE_TEXTS,
        download=download_of(request, here, ADMIN + "/keys", {}, personal=False),
        may_see_audit=here.may("audit:read"),
        may_rotate=here.may("keys:rotate"),
        problem=problem,
        field="note",
        note=note,
        csrf_token=token_for(request, "keys"),
    )


@router.post(ADMIN + "/keys/download")
async def download(request: Request, here: Exports, sent: DownloadSent, db: Db) -> Response:
    """Download the list of keys: their names and states."""
    async with db.read() as session:
        keys = await list_keys(session)
    return await csv_response(request, db, here, "keys", COLUMNS, _csv_rows(keys), (), sent)


async def _csv_rows(keys: Sequence[SigningKey]) -> AsyncIterator[Sequence[Row]]:
    yield [(key.kid, key.alg, key.status, key.created_at, key.activated_at) for key in keys]


@router.post(ADMIN + "/keys")
async def rotate_keys(
    request: Request, here: Rotates, sent: RotationSent, db: Db, settings: CurrentSettings, box: Box, known: Clients
) -> Response:
    """Rotate the keys: the next keys sign from now on, the present keys stay published until their tokens expire."""
    note = sent.form.note
    if sent.mistakes:
        return await _keys_page(request, here, db, settings, sent.mistakes["note"], 400)
    try:
        async with db.write() as session:
            await rotate(session, box, force=sent.form.force, actor=here.as_actor)
            record_by(session, here.as_actor, "keys.rotation_asked", data={"note": note})
    except KeyTooYoung:
        return await _keys_page(request, here, db, settings, TOO_YOUNG, 409, note)
    await known.refresh()
    return RedirectResponse(ADMIN + "/keys", 303)
