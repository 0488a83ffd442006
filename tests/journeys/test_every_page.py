"""Every page is looked at by a test of this directory in several displays."""

from __future__ import annotations

from fastapi.routing import APIRoute
from tests.journeys.test_citizens import OWN
from tests.journeys.test_portal import LINK, PAGES
from tests.routes import ROUTERS

FOR_PROGRAMS = (
    "/api/", "/.well-known/", "/userinfo", "/jwks", "/check_session", "/register/", "/ssf/", "/receipts/", "/healthz",
    "/metrics", "/readyz", "/robots.txt", "/gate/check/", "/cas/p3/", "/cas/proxy", "/cas/serviceValidate",
    "/cas/validate", "/logo/", "/picture/", "/account/profile/regions", "/check/", "/admin/mails/{notice}",
    "/developer/apps/{application_id}/quick-start/{stack}.zip", "/developer/apps/{application_id}/first-sign-in",
    "/developer/try", "/.sso/start", "/.sso/sign-out",
    "/help/pictures/",
)  # fmt: skip
"""What no page is: answers to programs, pictures, parts of a page, downloads, and addresses that lead on."""
IN_FLOWS = {
    "/", "/apps", "/outbox", "/terms", "/privacy", "/accessibility", "/login", "/login/second", "/signup", "/welcome",
    "/recover", "/recover/done", "/recover/stop", "/recover/continue", "/not-me", "/account/contacts/code",
    "/account/security/app", "/logout", "/device", "/authorize", "/open/{client_id}", "/admin/endings/{ending_id}",
    "/admin/sessions/{session_id}", "/invitation", "/setup", "/setup/app", "/more-data", "/cas/login", "/cas/logout",
    "/.sso/callback", "/.sso/sent", "/admin/invitations/file/result",
    "/help", "/help/{name}", "/help/developers", "/help/developers/{name}",
}  # fmt: skip
"""What the journeys of citizens, of sessions, of the protocol, of an invitation and of the setup come through."""


def test_every_page_is_looked_at() -> None:
    addresses = [path.removeprefix(LINK).partition("?")[0] for paths in PAGES.values() for path in paths]
    addresses = [f"{path}x" if path.endswith("/") else path for path in addresses] + [f"/account{end}" for end in OWN]
    pages = {
        route.path
        for router in ROUTERS
        for route in router.routes
        if isinstance(route, APIRoute) and "GET" in route.methods and not route.path.startswith(FOR_PROGRAMS)
        if not any(route.path_regex.match(path) for path in addresses)
    }
    assert pages == IN_FLOWS
