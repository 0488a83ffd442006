"""Which notices a user receives, and the language."""

from __future__ import annotations

from typing import Annotated
from urllib.parse import urlencode

from fastapi import Depends
from starlette.responses import RedirectResponse, Response

from sso.accounts.own_account import lock_own_account
from sso.accounts.profile import change_preferences
from sso.http.account.access import OwnPage, OwnVisit
from sso.http.common.i18n import LOCALES, N_, page_language
from sso.http.common.late_routes import new_router
from sso.http.common.typed_forms import FormModel, Sent, SentForm, Ticked, one_of

router = new_router()

NOTIFICATIONS = "/account/notifications"
NOTICES = (
    ("new_device", N_("When somebody signs in to my account on a new device")),
    ("application_connected", N_("When I allow an application to see my data")),
)
SAVED = N_("Your settings are saved.")
Here = Annotated[OwnVisit, Depends(OwnPage("notifications"))]


class PreferencesForm(FormModel):
    """The notices that the user wants, and the language."""

    new_device: Ticked = False
    application_connected: Ticked = False
    language: Annotated[str, one_of(LOCALES)] = ""


Preferences = Annotated[Sent[PreferencesForm], Depends(SentForm(PreferencesForm))]


@router.get(NOTIFICATIONS)
async def notifications_page(here: Here) -> Response:
    """Which notices are sent, and the language."""
    return here.page(
        "account_notifications.html",
        notices=NOTICES,
        enabled={name: here.user.preferences.get(name) is not False for name, _ in NOTICES},
        language=page_language(here.user.locale, ""),
        done=SAVED if here.request.query_params.get("done") else "",
    )


@router.post(NOTIFICATIONS)
async def save_notifications(here: Here, sent: Preferences) -> Response:
    """Choose which notices are sent, and the language."""
    if not here.sent_by_us(sent.typed):
        return RedirectResponse(NOTIFICATIONS, 303)
    form, language = sent.form, sent.form.language
    async with here.services.db.write() as session:
        user = await lock_own_account(session, here.own)
        change_preferences(user, {"new_device": form.new_device, "application_connected": form.application_connected})
        if language != page_language(user.locale, ""):  # the page names the language; the region stays
            user.locale = language or None
    chosen = {"done": "1", **({"lang": language} if language else {})}
    return RedirectResponse(f"{NOTIFICATIONS}?{urlencode(chosen)}", 303)
