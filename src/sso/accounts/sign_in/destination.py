"""Where a person wants to go while they sign in, register or recover an account: to an application, a device or a page
of ours.

Forms, links and pending flows keep it, so that no page of the way leads nowhere. An authorization request may expire
before the person comes back, or they may come back in another browser: then the application is still known, and a link
opens it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from urllib.parse import urlencode

from sso.clients.registry import Client, Registry
from sso.oidc.authorize import stored as stored_requests
from sso.platform.security.encryption import SecretBox

OPEN = "/open/"


@dataclass(frozen=True, slots=True)
class Destination:
    """Where a person wants to go.

    Args:
        i: the token of an authorization request.
        then: a page of ours, as signing in names it.
        user_code: the code of a device (RFC 8628).
        client_id: of the application.
    """

    i: str = ""
    then: str = ""
    user_code: str = ""
    client_id: str = ""

    @property
    def fields(self) -> dict[str, str]:
        """The fields of a form, or the parameters of a URL, that name it."""
        named = {"i": self.i, "then": self.then, "user_code": self.user_code, "client": self.client_id}
        return {name: value for name, value in named.items() if value}

    @property
    def stored(self) -> dict[str, str]:
        """What a pending flow stores of it."""
        return asdict(self)

    def address(self, path: str, **more: str) -> str:
        """Return the URL of a page of ours that knows the destination.

        Args:
            path: of the page.
            more: further parameters.
        """
        query = urlencode({**more, **self.fields})
        return f"{path}?{query}" if query else path


def stored_destination(data: Mapping[str, object]) -> Destination:
    """Return what a pending flow stored; a flow of the previous release stores less."""
    return Destination(*(str(data.get(name, "")) for name in ("i", "then", "user_code", "client_id")))


def named_application(registry: Registry, destination: Destination) -> Client | None:
    """Return the application of a destination, by its client_id or by the page that opens it; None where it names none,
    or the application is disabled.

    None for a sandbox too: anybody can write its ID into a link, and nobody has approved its name. Only
    an authorization request names a sandbox.
    """
    opened = destination.then.removeprefix(OPEN) if destination.then.startswith(OPEN) else ""
    client = registry.enabled(destination.client_id or opened)
    return None if client is not None and client.sandbox else client


def page_end(box: SecretBox, registry: Registry, destination: Destination) -> str:
    """Return what the token of a page ends with, so that the page names the application when it has expired: the end of
    the authorization request's token, or one made for the application; empty where neither is known."""
    client = named_application(registry, destination)
    end_for_client = stored_requests.token_end(box, client.client_id) if client is not None else ""
    return stored_requests.end_of(destination.i) or end_for_client
