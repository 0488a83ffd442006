"""The visitor of a request: what a use case may know of the browser or program that sent it."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from sso.platform.actor import Actor


@dataclass(frozen=True, slots=True)
class Visitor:
    """The sender of a request, read once where it arrives. It holds values only; nothing in it is verified.

    Args:
        ip_address: the IP address that the request came from; see ``SSO_TRUSTED_PROXIES``.
        network: the network of that address, which shares limits and queues.
        stored_ip_address: the address in the form in which it may be stored; None: it is not stored at all.
        request_id: the reference of the request in the log and on error pages.
        user_agent: the header ``User-Agent``, shortened.
        locale: the language of the answer, ``en`` or ``id``.
        browser_id: the random value that identifies the browser. Pending requests and CSRF tokens are bound to it.
        device_id: the random value by which the browser is known at the next sign-in; empty: it has none yet.
        session_tokens: the session cookies of the accounts in this browser; the first is the present account's.
    """

    ip_address: str
    network: str
    stored_ip_address: str | None
    request_id: str
    user_agent: str = ""
    locale: str = "id"
    browser_id: str = ""
    device_id: str = ""
    session_tokens: tuple[str, ...] = ()

    @property
    def session_token(self) -> str:
        """The session cookie of the present account; empty: nobody is signed in."""
        return self.session_tokens[0] if self.session_tokens else ""

    def as_actor(self, user_id: UUID) -> Actor:
        """Return the user who acts at this browser."""
        return Actor(str(user_id), stored_ip_address=self.stored_ip_address, request_id=self.request_id)
