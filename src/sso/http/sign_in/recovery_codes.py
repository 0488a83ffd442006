"""Recovery codes as a file. The page on which they are shown sends them back in a form, and receives them as text:
nothing stores them readable, and no script is needed."""

from __future__ import annotations

import re

from starlette.requests import Request
from starlette.responses import Response

from sso import clock
from sso.http.common.csrf import has_valid_csrf_token
from sso.http.common.dates import moment_text
from sso.http.common.forms import form_fields
from sso.http.common.i18n import N_, translations
from sso.http.common.late_routes import new_router
from sso.http.common.pages import CODES_PURPOSE, failure, locale_of, page_headers
from sso.http.common.services import CurrentSettings
from sso.identity.authn.factors import RECOVERY_CODES

router = new_router()

FILE = "/recovery-codes"
FILE_NAME = "recovery-codes.txt"
_CODE = re.compile(r"[a-z0-9]{4}(-[a-z0-9]{4}){1,5}")
TITLE = N_("Recovery codes for %(service)s (%(city)s)")
MADE = N_("Created on %(when)s. Each code works once.")
USE = N_(
    "If you lose your phone: sign in at %(address)s, choose “Recovery code” for two-step verification and enter one of "
    "these codes. Keep this file in a safe place. Do not give a code to anybody, not even to the helpdesk."
)


@router.post(FILE)
async def recovery_codes_file(request: Request, settings: CurrentSettings) -> Response:
    """Return the recovery codes of the form as a text file. Only codes are accepted, and only from a page of ours."""
    fields = await form_fields(request)
    codes = fields.get("codes", "").split()
    readable = 0 < len(codes) <= RECOVERY_CODES and all(map(_CODE.fullmatch, codes))
    if not readable or not has_valid_csrf_token(request, fields, CODES_PURPOSE):
        return failure(request, "stale_form", 400, fields=fields)
    locale = locale_of(request, fields=fields)
    say = translations(locale).gettext
    lines = [
        say(TITLE) % {"service": settings.service_name, "city": settings.city_name},
        say(MADE) % {"when": moment_text(clock.now(), locale=locale, zone=settings.time_zone)},
        "",
        *(f"{number:2}. {code}" for number, code in enumerate(codes, 1)),
        "",
        say(USE) % {"address": settings.issuer},
        "",
    ]
    headers = page_headers(settings) | {"Content-Disposition": f'attachment; filename="{FILE_NAME}"'}
    return Response("\r\n".join(lines), headers=headers, media_type="text/plain")
