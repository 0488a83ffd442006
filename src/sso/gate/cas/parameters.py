"""What requests of the CAS protocol ask for: pure decisions (CAS Protocol 3.0 sections 2.1 to 2.8)."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from sso.clients.redirect_uris import MAX_URI_CHARS

MAX_TICKET_CHARS = 256
TICKET_PREFIX = "ST-"
_TICKET = re.compile(r"[A-Za-z0-9-]+")
_OF_PROXIES = ("PT-", "PGT-", "PGTIOU-")
NO_PROXIES = "Proxy tickets are not supported here: each application signs its users in itself."

Pairs = Sequence[tuple[str, str]]


class Code(StrEnum):
    """Why a ticket is not validated, or a request is refused (sections 2.5.3 and 2.7.3)."""

    INVALID_REQUEST = "INVALID_REQUEST"
    INVALID_TICKET_SPEC = "INVALID_TICKET_SPEC"
    UNAUTHORIZED_SERVICE_PROXY = "UNAUTHORIZED_SERVICE_PROXY"
    INVALID_TICKET = "INVALID_TICKET"
    INVALID_SERVICE = "INVALID_SERVICE"
    UNAUTHORIZED_SERVICE = "UNAUTHORIZED_SERVICE"


class CasRefused(Exception):
    """A request of a program is refused: ``code``, and ``text`` for its developer."""

    def __init__(self, code: Code, text: str) -> None:
        super().__init__(f"{code}: {text}")
        self.code, self.text = code, text


class LoginRefused(Exception):
    """A request for the login page cannot be read: ``parameter`` is the one that is wrong."""

    def __init__(self, parameter: str) -> None:
        super().__init__(parameter)
        self.parameter = parameter


@dataclass(frozen=True, slots=True)
class Login:
    """What a request for the login page asks for (section 2.1.1).

    Args:
        service: the service URL.
        renew: the user must sign in, whatever session there is.
        gateway: the user must not be asked for anything.
        post: the ticket is sent back by POST.
    """

    service: str
    renew: bool
    gateway: bool
    post: bool

    def parameters(self, client_id: str) -> list[tuple[str, str]]:
        """Return the same as parameters of an authorization request, of which the sign-in asks what is needed."""
        parameters = [("client_id", client_id), ("redirect_uri", self.service)]
        if self.renew or self.gateway:  # renew wins (section 2.1.1)
            parameters.append(("prompt", "login" if self.renew else "none"))
        if self.post:
            parameters.append(("response_mode", "form_post"))
        return parameters


@dataclass(frozen=True, slots=True)
class Validation:
    """What a request to validate a ticket asks for (section 2.5.1). ``renew``: the user must have signed in for it."""

    service: str
    ticket: str
    renew: bool


def read_login(pairs: Pairs) -> Login | None:
    """Return what a request for the login page asks for; None: it names no service, so no application asks.

    Raises:
        LoginRefused: when a parameter stands more than once, or is too long.
    """
    data: dict[str, str] = {}
    for name in ("service", "renew", "gateway", "method"):
        values = [value for key, value in pairs if key == name]
        if len(values) > 1 or any(len(value) > MAX_URI_CHARS for value in values):
            raise LoginRefused(name)
        if values and values[0]:
            data[name] = values[0]
    if "service" not in data:
        return None
    return Login(data["service"], _is_set(data, "renew"), _is_set(data, "gateway"), data.get("method") == "POST")


def _is_set(data: dict[str, str], name: str) -> bool:
    """Tell whether a flag is set. Section 2.1.1 recommends the value ``true``; ``false`` is said by some clients."""
    return data.get(name, "false").lower() != "false"


def read_validation(pairs: Pairs) -> Validation:
    """Return what a request to validate a ticket asks for.

    Raises:
        CasRefused: when a parameter is missing or stands more than once, the ticket is none of ours, or the application
            asks to act as a proxy (sections 2.5 and 2.6).
    """
    for name in ("service", "ticket", "renew", "pgtUrl", "format"):
        if sum(key == name for key, _ in pairs) > 1:
            raise CasRefused(Code.INVALID_REQUEST, f"{name} must not be repeated.")
    data = {name: value for name, value in pairs if value}
    missing = [name for name in ("service", "ticket") if name not in data]
    if missing:
        raise CasRefused(Code.INVALID_REQUEST, f"{' and '.join(missing)} must be given.")
    if "pgtUrl" in data:
        raise CasRefused(Code.UNAUTHORIZED_SERVICE_PROXY, NO_PROXIES + " Leave pgtUrl out.")
    ticket, service = data["ticket"], data["service"]
    if ticket.startswith(_OF_PROXIES):
        raise CasRefused(Code.INVALID_TICKET_SPEC, NO_PROXIES)
    if len(ticket) > MAX_TICKET_CHARS or not ticket.startswith(TICKET_PREFIX) or not _TICKET.fullmatch(ticket):
        raise CasRefused(Code.INVALID_TICKET, "This is not a ticket of this service.")
    if len(service) > MAX_URI_CHARS:
        raise CasRefused(Code.INVALID_SERVICE, f"service must have at most {MAX_URI_CHARS} characters.")
    return Validation(service, ticket, _is_set(data, "renew"))
