"""The browser of a relying-party check: it keeps cookies, follows redirects, and stops at our issuer."""

from __future__ import annotations

from dataclasses import dataclass, field
from http.cookies import CookieError, SimpleCookie
from urllib.parse import urljoin, urlsplit

from sso.platform.security.outbound_errors import OutboundFailed, OutboundRefused, public_reason
from sso.platform.security.outbound_http import Outbound, Visited

MAX_HOPS = 8


class Stuck(Exception):
    """The application does not do what a sign-in needs. The message says what."""


@dataclass(slots=True)
class Browser:
    """What a browser keeps: cookies, by host. Follows redirects within some hosts, and stops at our issuer."""

    outbound: Outbound
    hosts: frozenset[str]
    cookies: dict[str, dict[str, str]] = field(default_factory=dict)

    async def open(self, url: str, stop: str) -> tuple[Visited, str]:
        """Return the answer at the end of the way, and its address; or where the way leads to ``stop``.

        Raises:
            Stuck: when it leads elsewhere, or nowhere.
        """
        for _ in range(MAX_HOPS):
            if origin_of(url) not in self.hosts:
                raise Stuck(f"it leads to {origin_of(url)}, which is not a registered address of it")
            jar = self.cookies.setdefault(urlsplit(url).hostname or "", {})
            try:
                answer = await self.outbound.visit(url, "; ".join(f"{k}={v}" for k, v in jar.items()))
            except (OutboundRefused, OutboundFailed) as error:
                raise Stuck(f"{url}: {public_reason(url, error)}") from None
            self._keep(jar, answer.cookies)
            if answer.status not in (301, 302, 303, 307, 308) or not answer.location:
                return answer, url
            url = urljoin(url, answer.location)
            if url.startswith(stop):
                return answer, url
        raise Stuck("it leads in circles")

    @staticmethod
    def _keep(jar: dict[str, str], set_cookies: list[str]) -> None:
        for text in set_cookies:
            try:
                for name, morsel in SimpleCookie(text).items():
                    if morsel["max-age"] == "0" or morsel.value in ("", "null"):
                        jar.pop(name, None)
                    else:
                        jar[name] = morsel.coded_value
            except CookieError:
                continue


@dataclass(frozen=True, slots=True)
class Look:
    """How a page looks: what tells whether somebody is signed in there."""

    status: int
    path: str
    named: bool


def origin_of(uri: str) -> str:
    """Return the scheme, host and port of a URI."""
    parts = urlsplit(uri)
    return f"{parts.scheme}://{parts.netloc}"
