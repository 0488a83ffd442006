"""After "this was not me": a locked account is good for help and signing out, and for nothing else.

Generated from the routing table: a new page either refuses a locked account or is named here with the reason.
"""

from __future__ import annotations

import re
import uuid
from collections import Counter
from datetime import timedelta
from typing import Any
from urllib.parse import urlencode

import pytest
from fastapi.routing import APIRoute
from tests.api.conftest import person_with
from tests.api.test_access import ROUTES, call
from tests.arranged import sign_in
from tests.citizens import NEW_PASSWORD, SENDING, here, last_code, notices, post, token_of
from tests.delivery.test_proof import add
from tests.routes import ROUTERS
from tests.support import PASSWORD, City, form_of, query_of

from sso import clock
from sso.identity.users.service import set_roles
from sso.identity.users.store import lock_user

PAGES = [
    route
    for router in ROUTERS
    for route in router.routes
    if isinstance(route, APIRoute) and not route.path.startswith("/api/")
]
PROTOCOL = {
    "/token", "/userinfo", "/introspect", "/revoke", "/jwks", "/par", "/device_authorization", "/register",
    "/register/{client_id}", "/check_session", "/.well-known/openid-configuration", "/.well-known/ssf-configuration",
    "/.well-known/oauth-authorization-server",
    "/.well-known/change-password", "/.well-known/passkey-endpoints", "/.well-known/security.txt",
    "/.well-known/assetlinks.json", "/robots.txt", "/receipts/whatsapp",
    "/healthz", "/readyz", "/metrics", "/cas/validate", "/cas/serviceValidate", "/cas/p3/serviceValidate",
    "/cas/proxyValidate", "/cas/p3/proxyValidate", "/cas/proxy",
    "/gate/check/nginx", "/gate/check/redirect", "/gate/check/refused", "/gate/check/envoy{path:path}",
    "/.sso/start", "/.sso/callback", "/.sso/sent", "/.sso/sign-out",
}  # fmt: skip
"""Programs and applications call these; no cookie of a person counts there."""
HELP = {
    "/recover", "/recover/stop", "/recover/continue", "/not-me", "/logout", "/cas/logout", "/terms", "/privacy",
    "/accessibility", "/outbox", "/help", "/help/{name}", "/help/developers", "/help/developers/{name}",
    "/help/pictures/{name}",
}  # fmt: skip
"""What a locked person needs: recovering, the report itself, signing out, and documents for everybody."""
SERVICE = "https://lama.example/masuk"
LANGUAGES = (("id", "Akun Anda dikunci"), ("en", "Your account is locked"))
FOR_EVERYBODY = {
    "/logo/{client_id}", "/picture/{picture_id}", "/open/{client_id}", "/password-strength", "/recovery-codes",
}  # fmt: skip
"""They look at nobody's session."""
BEFORE_A_SESSION = {"/login/second", "/login/passkey", "/signup", "/invitation", "/setup", "/setup/app"}
"""They prove who somebody is; what comes after is the lock page. ``/signup`` makes another account."""


@pytest.fixture
def overrides() -> dict[str, Any]:
    return dict(SENDING)


def address(route: APIRoute) -> str:
    return re.sub(r"{[^}]*}", str(uuid.UUID(int=7)), route.path)


async def lock(city: City, name: str, hours: int = 72) -> None:
    async with city.provider.db.write() as session:
        user = await lock_user(session, city.users[name])
        assert user is not None
        user.locked_until = clock.now() + timedelta(hours=hours)


async def test_a_session_of_a_locked_account_gets_the_lock_page_everywhere(city: City) -> None:
    async with city.provider.db.write() as session:
        user = await lock_user(session, city.users["budi"])
        assert user is not None
        await set_roles(session, user, ["admin", "developer", "citizen"])
    await add(city, "lama-cas", type="cas", redirect_uris=[SERVICE])
    party = city.relying_party("warga")
    async with city.browser() as browser:
        await sign_in(city, browser, "budi")
        assert (await browser.open("/account")).status_code == 200
        waiting = form_of(await browser.open(city.relying_party("mitra").url())).fields["i"]
        await lock(city, "budi")
        checked, failed, counts = 0, [], Counter[str]()
        for route in PAGES:
            if route.path in PROTOCOL | HELP | FOR_EVERYBODY | BEFORE_A_SESSION or route.path.startswith(
                ("/ssf/", "/check/")
            ):
                continue
            asks = {"/authorize": dict(party.parameters()), "/cas/login": {"service": SERVICE}}.get(route.path)
            path = f"{route.path}?{urlencode(asks)}" if asks else address(route)
            for method in route.methods:
                language, text = LANGUAGES[checked % 2]  # one page in two languages, in turn
                sent: dict[str, Any] = {"headers": {"Accept-Language": language}}
                if method != "GET":
                    sent["data"] = asks or {"x": "1", "i": waiting}
                answer = await browser.http.request(method, path, **sent)
                if answer.status_code != 403 or text not in answer.text or "/recover" not in answer.text:
                    failed.append(f"{method} {route.path} {language}: {answer.status_code}")
                checked, counts[method + language] = checked + 1, counts[method + language] + 1
        assert not failed, sorted(set(failed))
        assert checked > 80
        assert min(counts[method + language] for method in ("GET", "POST") for language, _ in LANGUAGES) > 20
        silent = await browser.http.get(party.url(prompt="none"))
        assert query_of(silent.headers["location"])["error"] == "login_required"
        for path in ("/recover", "/logout", "/terms"):
            assert (await browser.open(path)).status_code in (200, 303), path
        page = await browser.open("/logout")
        assert (await browser.submit(page)).status_code == 200
        assert (await browser.open("/account")).url.path == "/login"
    async with city.browser() as browser:  # who signs in while the account is locked is answered to no application
        page = await browser.sign_in(party, "budi")
        assert page.status_code == 403
        assert "location" not in page.headers


async def test_tokens_of_a_locked_person_are_refused_by_the_api(city: City) -> None:
    api = await person_with(city, "admin")
    assert (await api("GET", "/me")).status_code == 200
    await lock(city, "budi")
    for route in ROUTES:
        assert (await call(api, route)).status_code == 401, route.path


async def test_this_was_not_me_ends_everything_and_works_once(city: City) -> None:
    party = city.relying_party("warga")
    async with city.browser() as first, city.browser() as second, city.browser() as mail:
        await here(city, first)
        page = await second.sign_in(party, scope="openid offline_access")
        answer = await post(second, "/login/second", {"code": await last_code(city)}, page)
        if not answer.is_redirect:
            answer = await second.submit(answer, choice="allow")
        tokens = await party.exchange(query_of(answer.headers["location"])["code"])
        link = f"/not-me?t={await token_of(city, 'new_device')}"
        page = await post(mail, "/not-me", {}, await mail.open(link))
        assert page.status_code == 200
        assert (await party.refresh(tokens["refresh_token"])).status == 400
        for browser in (first, second):
            assert (await browser.open("/account")).url.path == "/login"
        clock.advance(60)
        page = await mail.open("/recover")
        page = await post(mail, "/recover", {"username": "siti"}, page)
        page = await post(mail, "/recover", {"code": await last_code(city)}, page)
        assert (await post(mail, "/recover", {"password": NEW_PASSWORD}, page)).status_code == 200
        clock.advance(60)
        page = await here(city, mail, password=NEW_PASSWORD)
        if page.status_code == 200 and "/login" in page.url.path:
            page = await post(mail, "/login/second", {"code": await last_code(city)}, page)
        assert (await mail.open("/account")).status_code == 200
        async with city.browser() as stranger:  # an old mail locks nobody again
            assert (await post(stranger, "/not-me", {}, await stranger.open(link))).status_code == 400
        assert (await mail.open("/account")).status_code == 200
    assert "locked" in await notices(city)
    assert PASSWORD != NEW_PASSWORD
