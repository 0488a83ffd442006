"""Reading what a proxy says of the request that it asks about."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass

from starlette.requests import Request
from starlette.responses import Response

from sso.clients.registry import Client
from sso.gate.decision import ProxiedRequest
from sso.gate.keys import client_of_credential
from sso.http.common.cookies import cookies_in, valid_token
from sso.http.common.errors import Interruption
from sso.http.common.state import address_of, is_from_proxy, networks_of, request_id_of, site_of

log = logging.getLogger("sso.gate")

COOKIE = "__Host-sso-gate"
BROWSER_COOKIE = "__Host-sso-gate-browser"
"""The cookie that binds sign-ins to a browser."""
KEY_HEADER = "x-sso-gate-key"
_READ = ("sec-fetch-mode", "sec-fetch-site", "sec-fetch-dest", "accept", "x-requested-with", "upgrade", "referer")


@dataclass(frozen=True, slots=True)
class Names:
    """The headers in which a kind of proxy says what the client asked for."""

    host: str
    proto: str
    uri: str
    method: str


ORIGINAL = Names("x-original-host", "x-original-proto", "x-original-uri", "x-original-method")
FORWARDED = Names("x-forwarded-host", "x-forwarded-proto", "x-forwarded-uri", "x-forwarded-method")


class NotTheProxy(Interruption):
    """A request does not come from the proxy of an application, or asks about a host that is not registered. The
    message is for the log."""

    def respond(self, request: Request) -> Response:
        """Refuse the request, and say why in the log."""
        log.warning("%s: refused at the gate: %s", request_id_of(request), self)
        text = b"This request does not come from the proxy of an application. The log of the server says why.\n"
        return Response(text, 403, {"Cache-Control": "no-store"}, "text/plain")


def read_proxied(request: Request, names: Names, *, envoy_uri: str | None = None) -> tuple[Client, ProxiedRequest]:
    """Return the application whose proxy sent a request, and what it asks about.

    Args:
        request: the request of the proxy.
        names: the headers that it uses.
        envoy_uri: path and query, where the proxy sends the request itself instead of headers about it.

    Raises:
        NotTheProxy: when it is not the proxy of an application, or the host is not one of the application's.
    """
    site = site_of(request)
    headers = _single(request)
    if not is_from_proxy(request.scope, networks_of(tuple(site.settings.trusted_proxies))):
        peer = request.client.host if request.client is not None else ""
        raise NotTheProxy(f"{peer} is not one of SSO_TRUSTED_PROXIES")
    client_id = client_of_credential(site.provider.box, headers.get(KEY_HEADER, ""))
    client = site.provider.registry.get(client_id) if client_id is not None else None
    if client is None or client.meta.gate is None:
        raise NotTheProxy("X-SSO-Gate-Key is missing or wrong")
    host = headers.get("host" if envoy_uri is not None else names.host, "").lower().removesuffix(":443")
    if host not in client.meta.gate.hosts:
        raise NotTheProxy(f"the host is not registered for {client.client_id}")
    if headers.get(names.proto) != "https":
        raise NotTheProxy(f"{names.proto} is not https")
    return client, ProxiedRequest(
        host=host,
        uri=headers.get(names.uri, "") if envoy_uri is None else envoy_uri,
        method=headers.get(names.method, "GET").upper() if envoy_uri is None else request.method,
        address=address_of(request),
        token=cookie_of(headers.get("cookie", ""), COOKIE),
        headers={name: headers[name] for name in _READ if name in headers},
    )


def cookie_of(header: str, name: str) -> str:
    """Return a random value among the cookies of a request; empty: there is none, or two."""
    return valid_token(cookies_in([header]).get(name, ""))


def _single(request: Request) -> Mapping[str, str]:
    """Return the headers; one that stands more than once is left out, but for cookies, which HTTP/2 may split."""
    headers: dict[str, str] = {}
    repeated = set()
    for name, value in request.scope["headers"]:
        key, text = name.decode("latin-1"), value.decode("latin-1")
        if key in headers:
            if key == "cookie":
                headers[key] += f"; {text}"
            else:
                repeated.add(key)
            continue
        headers[key] = text
    for key in repeated:
        del headers[key]
    return headers
