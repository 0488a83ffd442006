"""Where somebody wants to go while they recover an account or register: to an application, a device or a page of ours.

It is kept in the forms, the links and the pending flow of every page on the way, so that nobody ends on a page that
leads nowhere. A waiting authorization request may end before they come back, or they may come back in another browser:
then the application is still known, and a link opens it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from urllib.parse import urlencode

from starlette.requests import Request

from sso.clients.registry import Client
from sso.http.common.cookies import read_cookie
from sso.http.common.state import site_of
from sso.oidc.authorize import stored as requests
from sso.oidc.authorize.request import AuthorizationRequest, PageError, RedirectError
from sso.oidc.device.service import normal_user_code
from sso.oidc.provider import Provider

MAX_TOKEN_CHARS, MAX_CLIENT_CHARS = 200, 100
OPEN = "/open/"


@dataclass(frozen=True, slots=True)
class Onward:
    """Where somebody wants to go.

    Args:
        i: the token of a waiting authorization request.
        then: a page of ours, as signing in knows it.
        user_code: the code of a device (RFC 8628).
        client_id: of the application.
    """

    i: str = ""
    then: str = ""
    user_code: str = ""
    client_id: str = ""

    @property
    def fields(self) -> dict[str, str]:
        """What a form or an address keeps of it."""
        named = {"i": self.i, "then": self.then, "user_code": self.user_code, "client": self.client_id}
        return {name: value for name, value in named.items() if value}

    @property
    def stored(self) -> dict[str, str]:
        """What a pending flow keeps of it."""
        return asdict(self)

    def address(self, path: str, **more: str) -> str:
        """Return the address of a page of ours, with this.

        Args:
            path: of the page.
            more: further parameters.
        """
        query = urlencode({**more, **self.fields})
        return f"{path}?{query}" if query else path


def stored_onward(data: Mapping[str, str]) -> Onward:
    """Return what a pending flow kept; a pending flow of the release before keeps less."""
    return Onward(*(str(data.get(name, "")) for name in ("i", "then", "user_code", "client_id")))


def read_onward(said: Mapping[str, str]) -> Onward:
    """Return what the fields of a form, or the parameters of an address, say. Nothing of it is trusted: the token must
    be this browser's, the page one of ours, and the application registered."""
    return Onward(
        said.get("i", "")[:MAX_TOKEN_CHARS],
        said.get("then", "")[:2000],
        normal_user_code(said.get("user_code", "")[:40]),
        said.get("client", "")[:MAX_CLIENT_CHARS],
    )


async def find_onward(request: Request, onward: Onward) -> tuple[Onward, AuthorizationRequest | None, Client | None]:
    """Look up where somebody wants to go.

    Returns:
        What of it still holds; the waiting request, where it has not ended; and the application, where it is known and
        can be used.
    """
    site, asked = site_of(request), None
    if onward.i:
        async with site.provider.db.read() as session:
            stored = await requests.recall_request(session, onward.i, read_cookie(request, "browser"))
        try:
            asked = await requests.stored_request(site.server, stored) if stored is not None else None
        except (PageError, RedirectError):  # the application was changed meanwhile
            asked = None
    client = asked.client if asked is not None and asked.client.enabled else None
    client = client or application_named(request, onward)
    held = replace(onward, i=onward.i if asked is not None else "", client_id=client.client_id if client else "")
    return held, asked, client


def application_named(request: Request, onward: Onward) -> Client | None:
    """Return the application to which somebody wants to go, by its client_id or by the page that opens it; None where
    there is none, or it is disabled."""
    return _application(site_of(request).provider, onward)


def _application(provider: Provider, onward: Onward) -> Client | None:
    opened = onward.then.removeprefix(OPEN) if onward.then.startswith(OPEN) else ""
    return provider.registry.enabled(onward.client_id or opened)


def page_end(provider: Provider, onward: Onward) -> str:
    """Return what the token of a page ends with, so that the page names the application when it is stale: that of the
    waiting request, or of the application that is known otherwise; nothing where there is none."""
    client = _application(provider, onward)
    return requests.end_of(onward.i) or (requests.token_end(provider, client.client_id) if client is not None else "")


def sign_in_address(onward: Onward, client: Client | None) -> str:
    """Return the address of the sign-in page from which somebody comes to where they want to go.

    Args:
        onward: what still holds, from :func:`find_onward`.
        client: the application, where it is known.
    """
    if onward.i:
        return f"/login?{urlencode({'i': onward.i})}"
    if onward.user_code:
        return f"/login?{urlencode({'user_code': onward.user_code})}"
    if client is not None and client.meta.initiate_login_uri:
        return f"/login?{urlencode({'then': OPEN + client.client_id})}"
    return f"/login?{urlencode({'then': onward.then})}" if onward.then else "/login"
