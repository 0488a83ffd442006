"""The pages of administrators that change settings in the database."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from typing import Annotated

from fastapi import Depends
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from sso.http.admin.setting_labels import LONG_TEXTS, SECTIONS, SOURCES, Section, errors_of, field_of, written
from sso.http.admin.setting_texts import description_of
from sso.http.common.cookies import own_cookies
from sso.http.common.csrf import has_valid_csrf_token
from sso.http.common.field_errors import FieldError, field_error
from sso.http.common.forms import form_fields, upload
from sso.http.common.late_routes import new_router
from sso.http.common.pages import failure, locale_of
from sso.http.common.services import Clients, CurrentSettings, Db
from sso.http.console.access import ADMIN, Here, Needs, admin_page, token_for
from sso.platform.db import Database
from sso.platform.messages import N_
from sso.platform.stored_settings import SettingRefused, change_of, change_settings, newest_change, recent_changes
from sso.platform.stored_settings.store import SettingChangeView
from sso.settings import CHANNELS, Settings, logo_type

router = new_router()
PAGE = ADMIN + "/system/{section}"
PURPOSE = "settings"
LOGO = "brand_logo_data"
NO_LOGO = N_("Choose an SVG or PNG file of at most 32 KB.")
SHOWN_CHANGES = 20
MAX_ID_DIGITS = 18
SeesSettings = Annotated[Here, Depends(Needs("settings:read"))]
ChangesSettings = Annotated[Here, Depends(Needs("settings:write"))]


@router.get(PAGE)
async def section_page(
    request: Request, section: str, here: SeesSettings, db: Db, settings: CurrentSettings, known: Clients
) -> Response:
    """Show the settings of a section, their history, and the form that changes them. With ``change`` in the query, the
    form shows the value after this change of the history."""
    if section not in SECTIONS:
        return failure(request, "not_found", 404)
    typed: dict[str, str] = {}
    changed, name = request.query_params.get("change", ""), request.query_params.get("name", "")
    if name in SECTIONS[section].names and changed.isdecimal() and len(changed) <= MAX_ID_DIGITS:
        async with db.read() as session:
            change = await change_of(session, name, int(changed))
        if change is not None:
            typed[name] = change.after or ""
    saved = "saved" in request.query_params
    return await _page(request, here, section, db, settings, known, typed=typed, saved=saved)


@router.post(PAGE)
async def change_section(
    request: Request, section: str, here: ChangesSettings, db: Db, settings: CurrentSettings, known: Clients
) -> Response:
    """Change the settings of a section, all or none."""
    if section not in SECTIONS:
        return failure(request, "not_found", 404)
    fields = await form_fields(request)
    if not has_valid_csrf_token(request, fields, PURPOSE, own_cookies(request).session_token):
        return failure(request, "stale_form", 400, fields=fields)
    await known.refresh()  # what was typed is compared with the values of now
    changes = _changes(SECTIONS[section], settings, fields)
    return await _change(request, here, section, db, settings, known, changes, fields)


@router.post(PAGE + "/logo")
async def change_logo(
    request: Request, section: str, here: ChangesSettings, db: Db, settings: CurrentSettings, known: Clients
) -> Response:
    """Store the logo of the city, or remove it."""
    fields, body = await upload(request, "logo")
    if section != "brand":
        return failure(request, "not_found", 404)
    if not has_valid_csrf_token(request, fields, PURPOSE, own_cookies(request).session_token):
        return failure(request, "stale_form", 400, fields=fields)
    value = None
    if fields.get("choice") != "remove":
        try:
            kind = logo_type(body)
        except ValueError:
            errors = field_error("logo", NO_LOGO)
            return await _page(request, here, section, db, settings, known, errors=errors, status=400)
        media = "image/png" if kind == "png" else "image/svg+xml"
        value = f"data:{media};base64,{base64.b64encode(body).decode()}"
    return await _change(request, here, section, db, settings, known, {LOGO: value}, fields)


async def _change(
    request: Request,
    here: Here,
    section: str,
    db: Database,
    settings: Settings,
    known: Clients,
    changes: Mapping[str, str | None],
    fields: Mapping[str, str],
) -> Response:
    """Change settings and go back to their page; show the form again where that is refused."""
    seen = fields.get("seen", "")
    try:
        async with db.write() as session:
            await change_settings(
                session,
                settings,
                changes,
                reason=fields.get("reason", ""),
                actor=here.as_actor,
                seen=int(seen) if seen.isdecimal() and len(seen) <= MAX_ID_DIGITS else None,
            )
    except SettingRefused as error:
        errors = errors_of(error.mistakes)
        status = error.status
        return await _page(request, here, section, db, settings, known, typed=fields, errors=errors, status=status)
    await known.refresh()
    return RedirectResponse(f"{ADMIN}/system/{section}?saved=1", 303)


def _changes(section: Section, settings: Settings, fields: Mapping[str, str]) -> dict[str, str | None]:
    """Return what was changed in a form. An empty field stands for the default."""
    changes: dict[str, str | None] = {}
    for name in section.names:
        if name == LOGO or settings.source_of(name) == "environment":
            continue
        if name == "channels":
            ticked = [channel for channel in CHANNELS if fields.get(f"channels.{channel}") == "1"]
            typed = ",".join(ticked) or "none"
        else:
            typed = " ".join(fields.get(name, "").split())
        if typed != written(settings, name):
            changes[name] = typed or None
    return changes


async def _page(
    request: Request,
    here: Here,
    section: str,
    db: Database,
    settings: Settings,
    known: Clients,
    *,
    typed: Mapping[str, str] | None = None,
    errors: Sequence[FieldError] = (),
    saved: bool = False,
    status: int = 200,
) -> Response:
    """Show a section, with the values of now."""
    page_section, locale = SECTIONS[section], locale_of(request)
    async with db.read() as session:
        newest = await newest_change(session)  # before the values: whoever saves older values than these is refused
    await known.refresh()
    async with db.read() as session:
        history = await recent_changes(session, page_section.names, SHOWN_CHANGES, without_values=[LOGO])
    return admin_page(
        request,
        here,
        "system",
        "admin_settings.html",
        status,
        section=section,
        title=page_section.title,
        rows=[field_of(settings, name, typed or {}) for name in page_section.names],
        describe=lambda name: description_of(name, locale),
        sources=SOURCES,
        long_texts=LONG_TEXTS,
        typed=typed or {},
        errors=errors,
        reason=(typed or {}).get("reason", ""),
        history=[_readable(change) for change in history],
        seen=newest,
        saved=saved,
        may_change=here.may("settings:write"),
        csrf_token=token_for(request, PURPOSE),
    )


def _readable(change: SettingChangeView) -> dict[str, object]:
    """Return a change as the page shows it: the data of a logo are not shown."""
    before, after = (None if text is None else text[:100] for text in (change.before, change.after))
    if change.name == LOGO:
        before, after = ("" if text is None else "•" for text in (before, after))
    return {
        "id": change.id, "name": change.name, "at": change.at, "actor": change.actor, "reason": change.reason,
        "before": before, "after": after,
    }  # fmt: skip
