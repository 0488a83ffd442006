"""The texts of e-mails and SMS, for administrators."""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends
from starlette.requests import Request
from starlette.responses import Response

from sso import clock
from sso.http.common.i18n import LOCALES, N_
from sso.http.common.late_routes import new_router
from sso.http.common.mail_notices import NOTICES
from sso.http.common.mail_texts import Mail, compose
from sso.http.common.pages import failure
from sso.http.common.services import CurrentSettings
from sso.http.console.access import Here, Needs, admin_page
from sso.identity.notifications import link_token
from sso.settings import Settings

router = new_router()

Reader = Annotated[Here, Depends(Needs("mails:read"))]

MAILS = "/admin/mails"
SENT_FOR = {
    "code_sign_up": N_("Code for a registration"),
    "code_sign_in": N_("Code for two-step verification at sign-in"),
    "code_contact": N_("Code to verify a new e-mail address or phone number"),
    "code_recover": N_("Code to recover an account"),
    "already_here": N_("Somebody tried to register with an address that has an account"),
    "welcome": N_("Registration completed"),
    "new_device": N_("Sign-in with a new device"),
    "password_changed": N_("Password changed"),
    "factor_added": N_("Passkey, authenticator app or recovery codes added"),
    "factor_removed": N_("Passkey or authenticator app removed"),
    "contact_added": N_("E-mail address or phone number added"),
    "contact_removed": N_("E-mail address or phone number removed"),
    "contact_verified": N_("E-mail address or phone number marked as verified"),
    "contact_unverified": N_("E-mail address or phone number marked as not verified"),
    "contact_primary": N_("Main e-mail address or phone number changed"),
    "sign_in_name_changed": N_("Username, NIK or NIP changed"),
    "recovery_waits": N_("Account recovery started, with a waiting time"),
    "recovery_ready": N_("Waiting time of an account recovery ended"),
    "recovery_stopped": N_("Account recovery stopped"),
    "helpdesk_recovery": N_("Recovery code created by the helpdesk"),
    "recovered": N_("Account recovered"),
    "locked": N_("Account locked after a report"),
    "identity_checked": N_("Document checked at a counter"),
    "exported": N_("Personal data downloaded"),
    "employment_ended": N_("Employment ended"),
    "deletion_planned": N_("Deletion of an account requested"),
    "deletion_cancelled": N_("Deletion of an account cancelled"),
    "application_connected": N_("Application allowed to receive data"),
    "merged": N_("Two accounts merged"),
    "new_password_needed": N_("New password required by an administrator"),
    "factors_reset": N_("Two-step verification removed by an administrator"),
    "team_invitation": N_("Invitation to the team of an application"),
    "secret_expires": N_("Client secret about to expire"),
    "access_review": N_("Access review started"),
    "access_review_ends": N_("Access review about to end"),
    "access_review_over": N_("Access review over"),
    "access_review_admin": N_("Access review of an application without an owner started"),
    "access_review_ends_admin": N_("Access review of an application without an owner about to end"),
    "access_review_over_admin": N_("Access review of an application without an owner over"),
    "application_decided": N_("Decision about an application"),
    "webhook_disabled": N_("Webhook of an application disabled"),
    "user_invitation": N_("Invitation to create an account"),
    "account_disabled": N_("Account disabled"),
    "message_budget": N_("A daily budget of SMS or WhatsApp messages is almost used up"),
    "sessions_ended": N_("All sessions ended by an administrator"),
}
"""When each message is sent. Its subject alone does not tell: several begin with the same words."""
SAMPLES = {
    **dict.fromkeys(("factor_added", "factor_removed"), "Passkey (Chrome, Android 14)"),
    **dict.fromkeys(
        ("application_connected", "team_invitation", "application_decided", "webhook_disabled"), "Antrean Puskesmas"
    ),
    **dict.fromkeys(
        ("secret_expires", *(name for name in SENT_FOR if name.startswith("access_review"))), "Antrean Puskesmas"
    ),
    "message_budget": "SMS",
    "sign_in_name_changed": "siti.rahmawati",
}
"""What a message is about, where it is no e-mail address."""
SANDBOX = "default-src 'none'; style-src 'unsafe-inline'; sandbox; frame-ancestors 'none'"
"""A mail is written for mail programs, which read styles only within its elements. It is shown where nothing of it can
do anything: no scripts, no forms, no origin."""


@router.get(MAILS)
async def mails_page(request: Request, here: Reader, settings: CurrentSettings) -> Response:
    """List the messages."""
    rows = [
        (name, SENT_FOR.get(name, name), [_sample(settings, name, locale) for locale in LOCALES]) for name in NOTICES
    ]
    return admin_page(request, here, "mails", "admin_mails.html", rows=rows)


@router.get(MAILS + "/{notice}/{locale}", dependencies=[Depends(Needs("mails:read"))])
async def mail_page(request: Request, notice: str, locale: str, settings: CurrentSettings) -> Response:
    """Show one message as a mail program does."""
    if notice not in NOTICES or locale not in LOCALES:
        return failure(request, "not_found", 404)
    headers = {"Content-Security-Policy": SANDBOX, "Cache-Control": "no-store", "Referrer-Policy": "no-referrer"}
    return Response(_sample(settings, notice, locale).html, headers=headers, media_type="text/html")


def _sample(settings: Settings, notice: str, locale: str) -> Mail:
    """Return a message as somebody would get it: with a code and a link that open nothing."""
    now = clock.now()
    later = (now + settings.recovery_delay).isoformat()
    values = {"code": "123456", "device": "Chrome 131, Android 14", "what": "s•••i@warga.example", "place": "Tangerang"}
    values["percent"] = "80"
    values["what"] = SAMPLES.get(notice, values["what"])
    values |= {"ready": later, "until": later, "token": link_token()}
    return compose(settings, notice, "siti@warga.example", now, name="Siti Rahmawati", locale=locale, values=values)
