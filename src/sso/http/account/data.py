"""Downloading the own data: as JSON for programs, or as a page to read and print."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Annotated, cast

import orjson
from fastapi import Depends
from starlette.requests import Request
from starlette.responses import Response

from sso import clock
from sso.accounts.data_export import export_data
from sso.accounts.own_account import lock_own_account
from sso.http.account.access import OwnPage, OwnVisit
from sso.http.account.activity import EVENTS
from sso.http.common.field_errors import field_error
from sso.http.common.i18n import N_
from sso.http.common.labels import DOCUMENTS, ROLE_NAMES
from sso.http.common.late_routes import new_router
from sso.http.common.pages import page
from sso.http.common.typed_forms import Choice, ChoiceField, FormModel, Sent, SentForm
from sso.http.sign_in.texts import STALE
from sso.identity.sessions.devices import device_of
from sso.settings import whole_days

router = new_router()

MAX_EVENTS_SHOWN = 1000
"""How many events the page shows; the JSON file has all."""
IDENTIFIER_KINDS = {
    "email": N_("E-mail address"),
    "phone": N_("Phone number"),
    "username": N_("Username"),
    "nik": N_("NIK"),
    "nip": N_("NIP"),
}
CREDENTIAL_KINDS = {
    "password": N_("Password"),
    "passkey": N_("Passkey"),
    "totp": N_("Authenticator app"),
    "recovery_code": N_("Recovery code"),
}
PersonalData = Mapping[str, object]
"""The document that ``export_data`` returns."""
Here = Annotated[OwnVisit, Depends(OwnPage("data"))]
HereRecently = Annotated[OwnVisit, Depends(OwnPage("data", recent=True))]


class ExportForm(FormModel):
    """The form of the data: ``page``, or JSON."""

    choice: ChoiceField = Choice()


Export = Annotated[Sent[ExportForm], Depends(SentForm(ExportForm))]


@router.get("/account/data")
async def data_page(here: Here) -> Response:
    """Downloading the data, and the way to the deletion of the account."""
    return _page(here)


@router.post("/account/export")
async def export(request: Request, here: HereRecently, sent: Export) -> Response:
    """All data of the user (UU PDP 27/2022 article 6; GDPR article 20), as JSON or as a page."""
    if not here.sent_by_us(sent.typed):
        return _page(here, STALE, 400)
    async with here.services.db.write() as session:
        user = await lock_own_account(session, here.own)
        document = await export_data(session, here.services.changes, user, here.actor)
    here.services.worker.nudge()
    if sent.form.choice.act == "page":
        return page(
            request,
            "account_export.html",
            here="/account/data",
            header=here.visit.header(request),
            display="wide",
            export=_readable(document),
        )
    name = f"data-{clock.now():%Y-%m-%d}.json"
    headers = {"Content-Disposition": f'attachment; filename="{name}"', "Cache-Control": "no-store"}
    body = orjson.dumps(document, option=orjson.OPT_INDENT_2, default=str)
    return Response(body, headers=headers, media_type="application/json")


def _readable(document: PersonalData) -> dict[str, object]:
    """Return what the page shows of an export: its data without technical details, and the texts of its kinds."""
    activity = cast(Sequence[Mapping[str, str]], document["activity"])
    known = [event for event in activity if event["type"] in EVENTS]
    sessions = cast(Sequence[Mapping[str, str | None]], document["sessions"])
    account = cast(Mapping[str, Sequence[str]], document["account"])
    return {
        "data": document,
        "roles": [ROLE_NAMES[role] for role in account["roles"]],
        "sessions": [{**session, "device": device_of(session["device"] or "").text} for session in sessions],
        "activity": [{**event, "at": datetime.fromisoformat(event["at"])} for event in known[:MAX_EVENTS_SHOWN]],
        "events": EVENTS,
        "identifier_kinds": IDENTIFIER_KINDS,
        "credential_kinds": CREDENTIAL_KINDS,
        "documents": DOCUMENTS,
    }


def _page(here: OwnVisit, problem: str = "", status: int = 200) -> Response:
    days = whole_days(here.services.settings.deletion_grace_period)
    return here.page("account_data.html", status, errors=field_error("", problem), days=days)
