"""A proxy in front of an application, as far as the provider sees it, and the browser behind it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import httpx2 as httpx
from tests.elsewhere import add_client
from tests.support import ISSUER, PASSWORD, Browser, City

from sso.gate.keys import proxy_credential

HOST = "arsip.kota.example"
PROXY = "10.0.0.9"
USER = "203.0.113.7"
NAVIGATION = {"sec-fetch-mode": "navigate", "accept": "text/html"}
TRUSTED = {"trusted_proxies": ["10.0.0.0/8"]}


def gate_of(**fields: Any) -> dict[str, Any]:
    """Return the field ``gate`` of an application."""
    return {"hosts": [HOST], **fields}


async def add_gate(city: City, client_id: str = "arsip", *, gate: dict[str, Any] | None = None, **fields: Any) -> None:
    """Register an application behind the gate."""
    await add_client(city, client_id, type="gate", gate=gate or gate_of(), **fields)
    await city.provider.refresh()


@dataclass
class Proxy:
    """The proxy of an application. ``cookies`` are those of the browser at the host of the application."""

    city: City
    client_id: str = "arsip"
    host: str = HOST
    peer: str = PROXY
    user: str = USER
    key: str | None = None
    cookies: dict[str, str] = field(default_factory=dict)

    def about(self, uri: str, method: str) -> dict[str, str]:
        """Return the headers that say what is asked about, in both spellings."""
        key = self.key if self.key is not None else proxy_credential(self.city.provider.box, self.client_id)
        known = {"host": self.host, "proto": "https", "uri": uri, "method": method}
        headers = {f"x-{kind}-{name}": value for kind in ("original", "forwarded") for name, value in known.items()}
        cookies = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
        return {**headers, "x-forwarded-for": self.user, "x-sso-gate-key": key, "cookie": cookies}

    async def send(self, path: str, uri: str, method: str, headers: dict[str, str]) -> httpx.Response:
        """Send a request to the provider, and keep the cookies of the answer."""
        async with self.city.client(self.peer) as http:
            answer = await http.get(path, headers={**self.about(uri, method), **headers})
        for line in answer.headers.get_list("set-cookie"):
            name, _, value = line.partition(";")[0].partition("=")
            self.cookies.pop(name, None)
            if value:
                self.cookies[name] = value
        return answer

    async def check(self, uri: str = "/", kind: str = "nginx", method: str = "GET", **headers: str) -> httpx.Response:
        """Ask whether a request may pass. Names of headers have ``_`` in place of ``-``."""
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        return await self.send(f"/gate/check/{kind}", uri, method, sent)

    async def open(self, address: str) -> httpx.Response:
        """Open an address of the gate on the host of the application."""
        parts = urlsplit(address)
        assert parts.netloc in ("", self.host), address
        return await self.send(f"{parts.path}?{parts.query}", f"{parts.path}?{parts.query}", "GET", NAVIGATION)

    async def sign_in(self, browser: Browser, uri: str = "/", **fields: str) -> httpx.Response:
        """Open a page of the application, sign in where asked, and return the answer of the callback."""
        redirect = await self.send("/gate/check/redirect", uri, "GET", NAVIGATION)
        assert redirect.status_code == 302, redirect.text
        begun = await self.open(redirect.headers["location"])
        assert begun.headers["location"].startswith(f"{ISSUER}/authorize?")
        page = await browser.open(begun.headers["location"])
        if not page.is_redirect:
            page = await browser.submit(page, **{"username": "siti", "password": PASSWORD, **fields})
        assert page.is_redirect, page.text
        return await self.open(page.headers["location"])
