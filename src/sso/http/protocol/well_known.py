"""Documents at well-known addresses for browsers, password managers, Android and security researchers (RFC 8615)."""

from __future__ import annotations

from datetime import datetime, time, timedelta

from starlette.responses import RedirectResponse, Response

from sso import clock
from sso.clients.registry import Registry
from sso.http.common.i18n import LOCALES
from sso.http.common.late_routes import new_router
from sso.http.common.responses import json_response
from sso.http.common.services import Clients, CurrentSettings
from sso.settings import Settings

router = new_router()

PASSWORD_PAGE = "/account/security"
SECURITY_TXT = "/.well-known/security.txt"
SECURITY_TXT_DAYS = 90
_A_DAY = {"Cache-Control": "public, max-age=86400"}
_AN_HOUR = {"Cache-Control": "public, max-age=3600"}
ANDROID_RELATIONS = ("delegate_permission/common.handle_all_urls",)
"""What an Android application of the city may do with addresses and saved sign-ins of this service."""


@router.get("/.well-known/change-password")
async def change_password() -> Response:
    """The page that changes the password (W3C, A Well-Known URL for Changing Passwords)."""
    return RedirectResponse(PASSWORD_PAGE, 302, _A_DAY)


@router.get("/.well-known/passkey-endpoints")
async def passkey_endpoints(settings: CurrentSettings) -> Response:
    """The page where passkeys are created and managed (W3C, Passkey Endpoints Well-Known URL)."""
    page = settings.issuer + PASSWORD_PAGE
    return json_response(200, {"enroll": page, "manage": page}, _A_DAY)


@router.get(SECURITY_TXT)
async def security_txt(settings: CurrentSettings) -> Response:
    """How to report a vulnerability (RFC 9116); not found where no contact is set that can be written as a URI."""
    contacts = security_contacts(settings)
    if not contacts:
        return Response(status_code=404, headers=_A_DAY)
    midnight = datetime.combine(clock.now().date(), time(), clock.now().tzinfo)
    expires = midnight + timedelta(days=SECURITY_TXT_DAYS)
    lines = [f"Contact: {contact}" for contact in contacts]
    lines += [
        f"Expires: {expires:%Y-%m-%dT%H:%M:%SZ}",
        f"Preferred-Languages: {', '.join(LOCALES)}",
        f"Canonical: {settings.issuer}{SECURITY_TXT}",
    ]
    return Response("\n".join(lines) + "\n", headers=_A_DAY, media_type="text/plain; charset=utf-8")


@router.get("/.well-known/assetlinks.json")
async def asset_links(clients: Clients) -> Response:
    """The Android applications of the city that belong to this service (Digital Asset Links)."""
    return json_response(200, android_statements(clients.registry), _AN_HOUR)


@router.get("/robots.txt")
async def robots() -> Response:
    """What search engines may read (RFC 9309): nothing but the well-known documents."""
    return Response(
        "User-agent: *\nAllow: /.well-known/\nDisallow: /\n", headers=_A_DAY, media_type="text/plain; charset=utf-8"
    )


def security_contacts(settings: Settings) -> list[str]:
    """Return the contacts for vulnerabilities as URIs: the contact for security, or else the helpdesk."""
    contact = settings.security_contact or settings.support_contact
    if contact.startswith(("https://", "mailto:", "tel:")):
        return [contact]
    return [f"mailto:{contact}"] if "@" in contact and " " not in contact else []


def android_statements(registry: Registry) -> list[dict[str, object]]:
    """Return the statements about the enabled Android applications of the city that registered their package."""
    return [
        {
            "relation": list(ANDROID_RELATIONS),
            "target": {
                "namespace": "android_app",
                "package_name": client.meta.android_package,
                "sha256_cert_fingerprints": list(client.meta.android_certificate_fingerprints),
            },
        }
        for client in sorted(registry, key=lambda client: client.client_id)
        if client.enabled and client.first_party and client.meta.android_package
    ]
