"""What every route needs, and where it finds it."""

from __future__ import annotations

import asyncio
import ipaddress
import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Protocol

from starlette.requests import Request
from starlette.types import Scope

from sso.accounts.services import AccountServices
from sso.gate.check import GateMemory
from sso.http.common.assets import Assets
from sso.http.common.images import Logos
from sso.identity.authn.passwords import Passwords
from sso.oidc.discovery import Discovery
from sso.oidc.provider import Provider
from sso.oidc.server import ProviderServer
from sso.platform.outbox import Worker
from sso.platform.security.ip_privacy import kept_address
from sso.platform.security.message_limits import MessageLimits
from sso.platform.security.rate_limits import Attempts, CountLimit, network_of
from sso.settings import Settings

_REQUEST_ID = re.compile(rb"[A-Za-z0-9._-]{8,64}")
Network = ipaddress.IPv4Network | ipaddress.IPv6Network


@dataclass(frozen=True, slots=True)
class RateLimits:
    """Every rate limit of the process.

    Args:
        attempts: failed attempts to sign in, for each account and each IP address.
        messages: codes that are sent by e-mail, SMS and WhatsApp.
        contact_codes: codes to verify further contacts, for each user.
        registrations: dynamic client registrations, for each IP address.
        device_codes: wrong user codes of devices, for each IP address.
        new_device_codes: requests of devices, for each IP address.
        sign_ups: registrations of users, for each IP address.
        flows: second-factor flows, for each account and network or known browser.
        waiting_requests: authorization requests of users who are not signed in, for each network, in this process.
        stored_requests: authorization requests that are stored for anybody, for each network: those that are too long
            for a URL, and pushed requests of public clients.
        pushed_requests: pushed authorization requests, for each other client.
        inviters: invitations to teams, for each user who invites.
        invited_to: the same, for each application.
        invited: the same, for each recipient within a day.
        invited_lately: the same, for each recipient within 30 days.
        declined: invitations that a recipient declined.
        setup_links: requests with a link of ``sso setup``, for each IP address.
        strengths: computations of the strength of a password, for each IP address.
        receipts: requests with delivery receipts, for each IP address, in this process.
        watches: looks for the first sign-in with a sandbox, for each user, in this process.
        downloads: lists of the console that are downloaded, for each administrator within a day.
        lookups: users whom a team or an administrator of units named and who were not found, for each of them.
    """

    attempts: Attempts
    messages: MessageLimits
    contact_codes: CountLimit
    registrations: CountLimit
    device_codes: CountLimit
    new_device_codes: CountLimit
    sign_ups: CountLimit
    flows: CountLimit
    waiting_requests: CountLimit
    stored_requests: CountLimit
    pushed_requests: CountLimit
    inviters: CountLimit
    invited_to: CountLimit
    invited: CountLimit
    invited_lately: CountLimit
    declined: CountLimit
    setup_links: CountLimit
    strengths: CountLimit
    receipts: CountLimit
    watches: CountLimit
    downloads: CountLimit
    lookups: CountLimit


class HasMetrics(Protocol):
    """Has the metrics of the process."""

    def text(self) -> bytes:
        """Return the metrics in the text format of Prometheus."""

    async def keep(self, stop: asyncio.Event) -> None:
        """Keep the metrics up to date until ``stop``."""


@dataclass(frozen=True, slots=True)
class Site:
    """The services of the process, built by ``create_app``."""

    settings: Settings
    provider: Provider
    server: ProviderServer
    passwords: Passwords
    accounts: AccountServices
    limits: RateLimits
    logos: Logos
    worker: Worker
    assets: Assets
    discovery: Discovery
    gate: GateMemory
    observer: HasMetrics | None = None


def site_of(request: Request) -> Site:
    """Return the site that ``request`` came to."""
    site: Site = request.scope["app"].site
    return site


def address_of(request: Request) -> str:
    """Return the network address that ``request`` came from; see ``SSO_TRUSTED_PROXIES``."""
    return str(request.scope["client_address"])


def source_of(request: Request) -> str:
    """Return the network that ``request`` came from: what shares a queue with others."""
    return network_of(address_of(request))


def kept_address_of(request: Request) -> str | None:
    """Return the same in the form in which it is kept; see ``SSO_IP_ADDRESS_PRIVACY``."""
    return kept_address(address_of(request), site_of(request).settings.ip_address_privacy)


def request_id_of(request: Request) -> str:
    """Return the reference under which ``request`` is found in the log."""
    return str(request.scope["request_id"])


@lru_cache(maxsize=10)
def networks_of(texts: tuple[str, ...]) -> list[Network]:
    """Return networks, such as those of the trusted proxies, as the settings write them (CIDR)."""
    return [ipaddress.ip_network(text, strict=False) for text in texts]


def client_address(scope: Scope, trusted: list[Network]) -> str:
    """Return who sent a request: the peer, or what a trusted proxy says of whom it asked for.

    X-Forwarded-For is read from its end: the first address that is not a trusted proxy of ours counts, and what stands
    before it may have been written by anyone.
    """
    peer = scope.get("client")
    address = str(peer[0]) if peer else ""
    if not trusted or not _within(address, trusted):
        return address
    forwarded = [value.decode("latin-1") for name, value in scope["headers"] if name == b"x-forwarded-for"]
    for hop in reversed([part.strip() for part in ",".join(forwarded).split(",") if part.strip()]):
        parsed = _parsed(hop)
        if parsed is None:
            return address
        address = str(parsed)
        if not _within(address, trusted):
            return address
    return address


def is_from_proxy(scope: Scope, trusted: list[Network]) -> bool:
    """Tell whether a trusted proxy sent a request."""
    peer = scope.get("client")
    return peer is not None and _within(str(peer[0]), trusted)


def request_id_of_proxy(scope: Scope, trusted: list[Network]) -> str | None:
    """Return the ``X-Request-ID`` that a trusted proxy sent, so that its log and ours name a request alike; None where
    there is none, or where it is not 8 to 64 letters, digits, dots, hyphens and underscores."""
    if not is_from_proxy(scope, trusted):
        return None
    given = [value for name, value in scope["headers"] if name == b"x-request-id"]
    return given[0].decode() if len(given) == 1 and _REQUEST_ID.fullmatch(given[0]) else None


def _within(address: str, networks: list[Network]) -> bool:
    parsed = _parsed(address)
    return parsed is not None and any(parsed in network for network in networks)


@lru_cache(maxsize=4096)
def _parsed(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """Return an IP address; None: it is none. The addresses of proxies come with every request."""
    try:
        return ipaddress.ip_address(text)
    except ValueError:
        return None
